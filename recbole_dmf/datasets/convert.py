"""Rating data of other formats to RecBole atomic files."""

import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_dmf.data.split import drop_duplicates
from recbole_dmf.datasets.gather import Interactions, LeaveOut
from recbole_dmf.datasets.ncf import ncf
from recbole_dmf.datasets.summary import in_seconds
from recbole_dmf.datasets.tables import Columns, from_frame
from recbole_dmf.datasets.writer import write_atomic
from recbole_dmf.errors import UserError
from recbole_dmf.options import check_name

_FRAME = "the data frame"


def to_atomic(
    frame: pd.DataFrame,
    out: Path | str,
    user: str = "user_id",
    item: str = "item_id",
    rating: str | None = None,
    timestamp: str | None = None,
    timestamp_format: str | None = None,
    min_rating: float | None = None,
    drop_empty: bool = False,
) -> Path:
    """Write a data frame as the atomic file `out/<name of out>.inter`.

    Args:
        frame: a row per interaction; ids str or int, ratings numbers above 0, timestamps numbers
            (seconds since 1970, or milli-, micro- or nanoseconds), datetimes, or text in
            `timestamp_format`.
        out: the folder to write to; RecBole finds it by `--data_path=PARENT --dataset=NAME`.
        user, item, rating, timestamp: names of columns, or of levels of the index; None where
            there is none.
        timestamp_format: s, ms, us, ns, ISO8601, or as of `datetime.strptime`.
        min_rating: rows with a lower rating are left out.
        drop_empty: rows with an empty or missing field are left out.

    Returns:
        The path of the file. Of duplicated (user, item) pairs it holds the latest. A warning says
        how many rows were left out, and which other unit the timestamps were in.

    Raises:
        UserError: what cannot be written, with its row; then no file is written.
    """
    if not isinstance(frame, pd.DataFrame):
        raise UserError(
            f"the data are a {type(frame).__name__}; give a data frame, for example "
            "pandas.DataFrame(rows, columns=['user_id', 'item_id']). Files are read by "
            "`recbole-dmf convert table`."
        )
    if {user, item, rating, timestamp} & set(frame.index.names) - {None}:
        frame = frame.reset_index()
    columns = Columns(user, item, rating, timestamp, time_format=timestamp_format)
    try:
        interactions = from_frame(frame, columns, _FRAME, LeaveOut(min_rating, drop_empty))
        interactions, notes = cleaned(interactions)
    except UserError as error:
        raise UserError(_in_python(str(error))) from None
    path = write_interactions(Path(out), interactions)
    for note in notes:
        if not note.startswith("0 "):
            warnings.warn(f"{path}: {note}", stacklevel=2)
    return path


def _in_python(message: str) -> str:
    """A message of `convert table`, with arguments in the place of its options."""
    message = message.replace(", or all of a file without header with --columns", "")
    message = message.replace("Download it again or name another file", "Give other rows")
    return re.sub("--([a-z-]+)", lambda option: option[1].replace("-", "_"), message)


def cleaned(
    interactions: Interactions, min_items: int = 0, min_users: int = 0, core: bool = False
) -> tuple[Interactions, list[str]]:
    """Timestamps in seconds, pairs once, and only items and users with enough interactions.

    Args:
        min_items: fewest interactions of an item, counted before anything is filtered.
        min_users: fewest interactions of a user, counted after the items were filtered, once
            (this order gives the paper's Amazon sets, Sec. 4.1).
        core: repeat both until all of both have enough.

    Returns:
        What is left, and a text for each change.

    Raises:
        UserError: nothing is left.
    """
    notes = list(interactions.left_out)
    if interactions.times is not None:
        times, changes = in_seconds(interactions.times)
        notes += changes
        interactions = replace(interactions, times=times)
    users, items = interactions.users.codes, interactions.items.codes
    keep = np.zeros(len(interactions), dtype=bool)
    keep[drop_duplicates(users, items, interactions.times)] = True
    notes.append(f"{(~keep).sum()} duplicated (user, item) pairs dropped, the latest of each kept")
    interactions = interactions.where(keep)
    start = len(interactions)
    while min_items > 1 or min_users > 1:
        before = len(interactions)
        for side, fewest in (("items", min_items), ("users", min_users)):
            codes = getattr(interactions, side).codes
            interactions = interactions.where(np.bincount(codes, minlength=1)[codes] >= fewest)
            if len(interactions) == 0:
                raise UserError(
                    f"no {side[:-1]} has {fewest} interactions or more, so nothing is left. "
                    "Lower --min-item-interactions or --min-user-interactions."
                )
        if not core or len(interactions) == before:
            break
    if start > len(interactions):
        notes.append(f"{start - len(interactions)} interactions dropped by the filters")
    return interactions, notes


def write_interactions(out: Path, interactions: Interactions, part: str = "") -> Path:
    """Write `out/<name>.inter`, or `out/<name>.<part>.inter`; complete or not at all."""
    columns = [pd.Series(interactions.users), pd.Series(interactions.items)]
    header = ["user_id:token", "item_id:token"]
    for name, values in (("rating", interactions.ratings), ("timestamp", interactions.times)):
        if values is not None:
            header.append(f"{name}:float")
            columns.append(pd.Series(values))
    path = atomic_file(out, f"{part}.inter" if part else "inter")
    write_atomic(path, header, columns)
    return path


def atomic_file(out: Path, ending: str) -> Path:
    """The path `out/<name of out>.<ending>`.

    Raises:
        UserError: `out` is a file, or its name is none of a data set.
    """
    name = out.resolve().name
    if not name:
        raise UserError(f"{out} has no name of its own. Name a folder such as dataset/my-shop.")
    check_name(name, "a data set's name")
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file. Name a folder such as dataset/my-shop.")
    return out / f"{name}.{ending}"


def write_side_file(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """Write rows of texts, the header first, as an atomic file (`.item`, `.user`)."""
    header, *body = rows
    write_atomic(
        path, header, [pd.Series(column, dtype="category") for column in zip(*body, strict=True)]
    )


def convert_ncf(source: Path, out: Path) -> list[str]:
    """Write He et al.'s ready-made split and candidates; returns what was written, as texts."""
    train, test, candidates = ncf(source)
    write_interactions(out, train, "train")
    write_interactions(out, test, "test")
    write_atomic(
        atomic_file(out, "test.candidates"),
        ["user_id:token", "item_id:token"],
        [pd.Series(candidates.users), pd.Series(candidates.items)],
    )
    return [
        f"{len(train):,} training interactions, {len(test):,} test interactions, "
        f"{len(candidates):,} candidates",
        f"written to {out}",
    ]
