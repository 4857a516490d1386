"""`recbole-dmf export`: a trained model for other programs."""

from pathlib import Path

from recbole_dmf.commands.arguments import Parser
from recbole_dmf.commands.recommend import check_checkpoint
from recbole_dmf.errors import UserError

DESCRIPTION = """\
Write a trained model for other programs. Formats:

  npz          vectors.npz, user and item vectors with their ids; the inner product of two
               vectors is the score
  faiss        items.faiss, an inner-product index; row n is item_ids[n]
  safetensors  weights.safetensors, the state dict
  onnx         user_tower.onnx, a user's vector from item rows and ratings (DMF; with
               recent_items also from the rows of the latest items)"""


def parser() -> Parser:
    """The command's options."""
    made = Parser("export", DESCRIPTION)
    made.add_argument("--checkpoint", metavar="RUN", help="a run's folder, or the model.pt in it")
    made.add_argument("--output", metavar="FOLDER", help="is created where it does not exist")
    made.add_argument("--formats", metavar="LIST", default="npz", help="npz (default),faiss,...")
    return made


def main(argv: list[str]) -> int:
    """`recbole-dmf export`; returns the exit code.

    Raises:
        UserError: what is wrong with the options, the checkpoint or the folder.
    """
    if not argv:
        parser().print_help()
        return 0
    given = parser().parse(argv)
    check_checkpoint(given.checkpoint)
    if not given.output:
        raise UserError("no --output is given; name a folder to write.")
    from recbole_dmf.serving.export import export  # takes seconds: not for --help
    from recbole_dmf.serving.recommend import Recommender

    recommender = Recommender.load(given.checkpoint)
    for path in export(recommender, Path(given.output), given.formats.split(",")):
        print(f"{path}  {path.stat().st_size:,} bytes")
    return 0
