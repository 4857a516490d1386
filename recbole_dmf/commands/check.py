"""`recbole-dmf check FOLDER`: what is wrong with a folder of atomic files, and a mended copy."""

from pathlib import Path

from recbole_dmf.commands.arguments import Parser
from recbole_dmf.datasets.check import check_folder, show
from recbole_dmf.datasets.lenient import Finding
from recbole_dmf.datasets.mend import fix_folder
from recbole_dmf.datasets.settings import read_settings
from recbole_dmf.errors import UserError


def _parser() -> Parser:
    parser = Parser("check", "What is wrong with a folder of atomic files?")
    parser.add_argument("folder", type=Path, help="holds <name>.inter, name as the folder's")
    parser.add_argument("--properties", type=Path, help="settings to use instead of <name>.yaml")
    parser.add_argument("--fix", type=Path, metavar="OUT", help="write a mended copy to OUT")
    parser.add_argument(
        "--drop-unrated", action="store_true", help="with --fix: leave out ratings of 0 or less"
    )
    return parser


def _known_options(name: str) -> set[str]:
    """Every option that may stand in a data set's property file."""
    from recbole_dmf.host.properties import default_settings  # takes seconds: not for --help

    return {*default_settings("DMF", name), "model_settings"}


def main(argv: list[str]) -> int:
    """The command `check`: 0 if there are only notes, 1 for warnings, 2 for errors.

    With `--fix`, that is the state of the mended copy.

    Raises:
        UserError: the folder or the property file cannot be used at all.
    """
    arguments = _parser().parse(argv)
    if arguments.drop_unrated and arguments.fix is None:
        raise UserError("--drop-unrated is for the mended copy; add --fix=OUT.")
    settings = None
    findings: list[Finding] = []
    name = arguments.folder.resolve().name
    file = arguments.properties or arguments.folder / f"{name}.yaml"
    known_options = _known_options(name) if file.exists() else None
    if arguments.properties is not None:
        if not arguments.properties.is_file():
            raise UserError(f"--properties={arguments.properties}: no such file.")
        settings, findings = read_settings(arguments.properties)
    findings += check_folder(arguments.folder, settings, known_options)
    print(show(findings) or f"{arguments.folder}: nothing found")
    if arguments.fix is not None:
        changes = fix_folder(arguments.folder, arguments.fix, settings, arguments.drop_unrated)
        print(f"mended copy in {arguments.fix}:", *(changes or ["no change"]), sep="\n  ")
        findings = check_folder(arguments.fix, settings, known_options)
        print("what is left there:", show(findings) or "  nothing", sep="\n")
    severities = {finding.severity for finding in findings}
    return 2 if "error" in severities else 1 if "warning" in severities else 0
