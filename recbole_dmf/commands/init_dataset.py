"""`recbole-dmf init-dataset FOLDER`: write a data set's property file."""

from pathlib import Path

from recbole_dmf.commands.arguments import Parser
from recbole_dmf.datasets.init_dataset import DEFAULTS, property_file
from recbole_dmf.errors import UserError
from recbole_dmf.files import write_text


def main(argv: list[str]) -> int:
    """The command `init-dataset`; writes and prints `<name>.yaml` and returns 0.

    Raises:
        UserError: the data cannot be read, or the file exists; then nothing is written.
    """
    parser = Parser("init-dataset", "Write a data set's property file.")
    parser.add_argument("folder", type=Path, help="holds <name>.inter, name as the folder's")
    parser.add_argument("--force", action="store_true", help="replace the property file")
    for role, default in DEFAULTS.items():
        parser.add_argument(f"--{role}", metavar="COLUMN", help=f"default: {default}")
    arguments = parser.parse(argv)
    columns = {role: getattr(arguments, role) for role in DEFAULTS if getattr(arguments, role)}
    path = arguments.folder / f"{arguments.folder.resolve().name}.yaml"
    if path.exists() and not arguments.force:
        raise UserError(f"{path} exists already. Edit it, or replace it with --force.")
    text = property_file(arguments.folder, columns)
    write_text(path, text)
    print(f"{text}\nwritten to {path}")
    return 0
