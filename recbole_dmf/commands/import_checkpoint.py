"""`recbole-dmf import-checkpoint`: a plain checkpoint from one that RecBole pickled."""

from pathlib import Path

from recbole_dmf.commands.arguments import Parser
from recbole_dmf.errors import UserError
from recbole_dmf.files import make_folder
from recbole_dmf.run_folder import CHECKPOINT

DESCRIPTION = """\
Make a checkpoint of plain tensors from one that RecBole's trainer wrote (.pth), for recommend, for
export, and for options such as NeuMF's mf_pretrain_path. The data set's files are read again, for
the ids and the training interactions.

RecBole's checkpoints are pickles: loading one runs whatever code is in it, with all your rights.
Nothing in this package does that unless you say --trust-checkpoint here. Say it for files that you
wrote yourself, or that come from somebody whose programs you would run."""


def parser() -> Parser:
    """The command's options."""
    made = Parser("import-checkpoint", DESCRIPTION)
    made.add_argument("file", metavar="FILE", type=Path, help="as RecBole's trainer saved it")
    made.add_argument(
        "--output", metavar="FOLDER", help="gets model.pt; is created where it does not exist"
    )
    made.add_argument("--trust-checkpoint", action="store_true", help="the file may run code")
    made.add_argument(
        "--data-path", metavar="FOLDER", type=Path, help="folder above the data set, if it moved"
    )
    return made


def main(argv: list[str]) -> int:
    """`recbole-dmf import-checkpoint`; returns the exit code.

    Raises:
        UserError: what is wrong with the options or the file.
    """
    if not argv:
        parser().print_help()
        return 0
    given = parser().parse(argv)
    if not given.file.is_file():
        raise UserError(f"{given.file}: no such file.")
    if not given.trust_checkpoint:
        raise UserError(
            f"{given.file} is not loaded: RecBole's checkpoints are pickles, and loading one runs "
            "whatever code is in it, with all your rights. If you wrote it yourself or trust whom "
            "you have it from, say so with --trust-checkpoint."
        )
    if not given.output:
        raise UserError("no --output is given; name a folder to write.")
    from recbole_dmf.host.foreign_checkpoint import read_foreign_checkpoint  # not for --help
    from recbole_dmf.training.checkpoint import save_checkpoint

    content = read_foreign_checkpoint(given.file, given.data_path)
    target = make_folder(Path(given.output)) / CHECKPOINT
    save_checkpoint(target, content)
    print(f"{content['model']} on {content['dataset']}: written to {target}")
    return 0
