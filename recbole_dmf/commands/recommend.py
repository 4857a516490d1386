"""`recbole-dmf recommend`: items for users, known or new."""

import json
import sys
import warnings
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from recbole_dmf.commands.arguments import Parser
from recbole_dmf.errors import UNKNOWN_USERS, UserError
from recbole_dmf.options import clip

if TYPE_CHECKING:
    import pandas as pd

    from recbole_dmf.serving.recommend import Recommender

DESCRIPTION = "Recommend items from a trained model; the data set's files are not needed."


def parser() -> Parser:
    """The command's options."""
    made = Parser("recommend", DESCRIPTION)
    made.add_argument("--checkpoint", metavar="RUN", help="a run's folder, or the model.pt in it")
    who = made.add_mutually_exclusive_group(required=True)
    who.add_argument("--user", metavar="ID[,ID...]", help="users, by the data set's own ids")
    who.add_argument("--users", metavar="FILE", type=Path, help="users, one id per line")
    who.add_argument("--all", action="store_true", help="every user")
    who.add_argument(
        "--history",
        metavar="JSON",
        help="a user who was not in training, as '{\"item\": rating, ...}', the oldest first, "
        "or @FILE.json (DMF only)",
    )
    made.add_argument("--topk", metavar="N", default="10", help="items per user (default: 10)")
    made.add_argument(
        "--include-seen",
        action="store_true",
        help="also items that the user has in the training data",
    )
    made.add_argument(
        "--output",
        metavar="FILE",
        type=Path,
        help=".csv, .jsonl or .parquet; without it a table is printed",
    )
    made.add_argument("--device", metavar="NAME", default="cpu", help="cpu (default), cuda, ...")
    return made


def main(argv: list[str]) -> int:
    """`recbole-dmf recommend`; returns the exit code, UNKNOWN_USERS if some were not answered.

    Raises:
        UserError: what is wrong with the options, the checkpoint or the ids.
    """
    if not argv:
        parser().print_help()
        return 0
    given = parser().parse(argv)
    check_checkpoint(given.checkpoint)
    from recbole_dmf.serving.output import check_output, write_frame  # seconds: not for --help
    from recbole_dmf.serving.recommend import Recommender

    if given.output:
        check_output(given.output)
    topk = _topk(given.topk)
    history = None if given.history is None else read_history(given.history)
    listed = None if given.users is None else read_users(given.users)
    recommender = Recommender.load(given.checkpoint, given.device)
    users = None if history is not None else listed or _users(given, recommender)
    known, unknown = _by_knowledge(users or [], recommender)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        frame = recommender.recommend(known or users, topk, not given.include_seen, history)
    for warning in caught:
        print(f"warning: {warning.message}", file=sys.stderr)
    if history is not None:
        frame = frame.drop(columns="user_id")
    if given.output:
        write_frame(frame, given.output)
        print(f"{len(frame):,} recommendations written to {given.output}")
    else:
        print_frame(frame)
    if unknown:
        print(
            f"error: {len(unknown)} of {len(set(users or []))} users are unknown to the model and "
            f"have no recommendations: {', '.join(map(repr, unknown))}; --history recommends to "
            "users who were not in training (DMF).",
            file=sys.stderr,
        )
    return UNKNOWN_USERS if unknown else 0


def check_checkpoint(checkpoint: str | None) -> None:
    """Raise UserError where no --checkpoint is given."""
    if not checkpoint:
        raise UserError("no --checkpoint is given; name a run's folder, as in saved/DMF-...")


def _topk(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < len(text) < 10:
        raise UserError(f"--topk is {clip(repr(text))}; give a whole number of at least 1.")
    return int(text)


def _users(given: Namespace, recommender: "Recommender") -> list[str]:
    """The users of --all or --user; an id may itself hold commas."""
    if given.all:
        return recommender.users[1:].tolist()
    return [given.user] if recommender.knows_user(given.user) else given.user.split(",")


def _by_knowledge(users: list[str], recommender: "Recommender") -> tuple[list[str], list[str]]:
    """The users that the model knows, and the others, each once."""
    known = [user for user in users if recommender.knows_user(user)]
    unknown = [user for user in dict.fromkeys(users) if not recommender.knows_user(user)]
    return known, unknown


def read_users(path: Path) -> list[str]:
    """Ids in a UTF-8 text file, one per line.

    Raises:
        UserError: it cannot be read, or is empty.
    """
    lines = [line for line in _read(path, f"--users {path}").split("\n") if line]
    if not lines:
        raise UserError(f"--users {path} names no user; give one id per line.")
    return lines


def read_history(text: str) -> dict[str, Any]:
    """The pairs of a JSON object, given as text or as @FILE.

    Raises:
        UserError: the file cannot be read, no JSON object, or an item that is named twice.
    """
    where = "--history"
    if text.startswith("@"):
        where = f"--history {text[1:]}"
        text = _read(Path(text[1:]), where)

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(found)) < len(found):
            raise UserError(f"{where} names an item twice.")
        return dict(found)

    try:
        value = json.loads(text, object_pairs_hook=pairs)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{where} is not JSON ({error}); write it as '{{\"item\": rating, ...}}'."
        ) from error
    if not isinstance(value, dict):
        raise UserError(f"{where} must be one JSON object, '{{\"item\": rating, ...}}'.")
    return value


def _read(path: Path, where: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot read {where}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{where} is not UTF-8 text: {error.reason}.") from error


def print_frame(frame: "pd.DataFrame") -> None:
    """Print a data frame as a table; ids stay the text they are, floats get six digits."""
    shown = frame.copy()
    for name in shown.columns[[dtype.kind == "f" for dtype in shown.dtypes]]:
        shown[name] = [f"{value:.6g}" for value in shown[name]]
    right = {"rank", "score"}
    align = ["right" if name in right else "left" for name in shown.columns]
    table = tabulate(shown, list(shown), showindex=False, disable_numparse=True, colalign=align)
    encoding = sys.stdout.encoding or "utf-8"
    print(table.encode(encoding, "replace").decode(encoding))
