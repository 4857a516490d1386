import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_dmf.commands.arguments import parse_open
from recbole_dmf.errors import UserError
from recbole_dmf.literals import literal
from recbole_dmf.options import check_options

SHORT = {"m": "model", "d": "dataset"}


def parse(*argv):
    return parse_open(list(argv), ("model", "dataset"), ("fresh",), SHORT)


def test_both_ways_of_writing_an_option():
    given = parse("--model=DMF", "-d", "ml-100k", "--epochs", "3", "--topk=[5, 10]", "--fresh")
    assert given.named == {"model": "DMF", "dataset": "ml-100k"}
    assert given.options == {"epochs": 3, "topk": [5, 10]}
    assert given.flags == {"fresh"}


def test_values_may_hold_equal_signs_and_minus_signs():
    assert parse("--a=b=c", "--offset", "-5", "--d=-m=x").options == {
        "a": "b=c",
        "offset": -5,
        "d": "-m=x",
    }


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["model=DMF"], "stands alone"),
        (["--epochs"], "has no value"),
        (["--epochs", "--seed=1"], "has no value"),
        (["--seed=1", "--seed=2"], "given twice"),
        (["--model=A", "-m", "B"], "given twice"),
        (["--=3"], "has no name"),
        (["-x", "3"], "stands alone"),
    ],
)
def test_command_lines_that_make_no_sense(argv, message):
    with pytest.raises(UserError, match=message):
        parse(*argv)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("None", None),
        ("~", None),
        ("1e-4", 1e-4),
        ("[64, 32]", [64, 32]),
        ("[Hit,NDCG]", ["Hit", "NDCG"]),
        ("{LS: x, k: [1, 1e-4]}", {"LS": "x", "k": [1, 1e-4]}),
        ("[a, b", "[a, b"),
        ("[!!python/name:os.system]", "[!!python/name:os.system]"),
        ("{'LS': 'x'}", {"LS": "x"}),
        ("cosine", "cosine"),
        ("007", "007"),
        ("", ""),
        ("__import__('os').system('true')", "__import__('os').system('true')"),
        ("[].append", "[].append"),
        ("(" * 5000, "(" * 5000),
    ],
)
def test_literals(text, value):
    assert literal(text) == value


@pytest.mark.slow
@given(st.text())
def test_any_text_is_a_literal_or_itself(text):
    literal(text)


def check(options, defaults, own=()):
    check_options(options, defaults, own, "the options")


def test_unknown_option_names_the_nearest():
    with pytest.raises(UserError, match="did you mean learning_rate"):
        check({"learnin_rate": 5}, {"learning_rate": 0.1, "seed": 1})


@pytest.mark.parametrize(
    ("default", "value"),
    [
        (True, 1),
        (3, "three"),
        (3, 2.5),
        (3, True),
        (0.5, "x"),
        (0.5, False),
        ([1], 3),
        ("a", [1]),
        ({"a": 1}, 5),
    ],
)
def test_wrong_types(default, value):
    with pytest.raises(UserError, match="expects"):
        check({"x": value}, {"x": default}, own=("x",))


@pytest.mark.parametrize(
    ("default", "value"),
    [(True, False), (3, 4), (0.5, 1), ([1], (2, 3)), ("a", "b"), ("0", 1), (None, [1]), (3, None)],
)
def test_right_types(default, value):
    check({"x": value}, {"x": default}, own=("x",))


def test_models_of_others_may_take_fractions():
    check({"reg": 0.5}, {"reg": 250})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("epochs", -1, "at least 0"),
        ("train_batch_size", 0, "at least 1"),
        ("learning_rate", 0.0, "positive number"),
        ("learning_rate", float("nan"), "positive number"),
        ("learning_rate", float("inf"), "positive number"),
        ("valid_reading", "exact", "sampled, expected, full"),
        ("candidate_items", "all", "rated, raw"),
    ],
)
def test_values_out_of_range(name, value, message):
    with pytest.raises(UserError, match=message):
        check({name: value}, {name: value})
