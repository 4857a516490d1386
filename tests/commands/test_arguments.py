import pytest

from recbole_dmf.commands.arguments import Parser
from recbole_dmf.errors import UserError


@pytest.fixture
def parser():
    parser = Parser("example", "An example.")
    parser.add_argument("folder")
    parser.add_argument("--min-rating", type=float)
    parser.add_argument("--force", action="store_true")
    return parser


@pytest.mark.parametrize("name", ["--min-rating", "--min_rating"])
@pytest.mark.parametrize("form", ["{}=4", "{} 4"])
def test_dashes_and_underscores_and_both_ways_of_writing_a_value(parser, name, form):
    given = parser.parse([*form.format(name).split(), "here", "--force"])
    assert (given.folder, given.min_rating, given.force) == ("here", 4.0, True)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["here", "--min=4"], "unknown option --min"),
        (["here", "--min-rasing=4"], "did you mean min-rating"),
        (["here", "--force", "--force"], "given twice"),
        (["here", "--min-rating", "4", "--min_rating=5"], "given twice"),
        (["here", "--min-rating=many"], "invalid float value"),
        ([], "required: folder"),
        (["here", "there"], "there"),
    ],
)
def test_a_wrong_command_line_is_explained(parser, argv, message):
    with pytest.raises(UserError, match=message):
        parser.parse(argv)


def test_help_keeps_the_description_and_ends_well(parser, capsys):
    with pytest.raises(SystemExit) as end:
        parser.parse(["--help"])
    assert end.value.code in (0, None)
    assert "An example." in capsys.readouterr().out
