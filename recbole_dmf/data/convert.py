"""`recbole-dmf convert [FORMAT] SOURCE OUT`: raw rating data to RecBole atomic files."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from tabulate import tabulate

from recbole_dmf.data import sources
from recbole_dmf.data.raw import Interactions
from recbole_dmf.data.summary import cold_items, in_seconds, keep_latest, latest_rows
from recbole_dmf.data.tables import Columns, from_frame, table
from recbole_dmf.data.writer import write_table
from recbole_dmf.errors import UserError
from recbole_dmf.options import check_name

TABLE_1 = {  # users, items, ratings, density as printed in the paper
    "ml-100k": (944, 1683, 100000, 0.06294),
    "ml-1m": (6040, 3706, 1000209, 0.04468),
    "amazon-music": (844, 18813, 46468, 0.00292),
    "amazon-movie": (9582, 92221, 766759, 0.00087),
}
TABLE_1_ROWS = ("# of Users", "# of Items", "# of Ratings", "Rating Density")


def to_atomic(
    frame: pd.DataFrame,
    out: Path,
    user: str = "user_id",
    item: str = "item_id",
    rating: str | None = None,
    timestamp: str | None = None,
) -> Path:
    """Write a data frame as the atomic file `out/<name of out>.inter`.

    Args:
        frame: a row per interaction; ids str or int, ratings numbers above 0, timestamps numbers
            (seconds since 1970, or milli-, micro- or nanoseconds) or datetimes.
        out: the folder to write to; RecBole finds it by `--data_path=PARENT --dataset=NAME`.
        user, item, rating, timestamp: names of columns; None where there is none.

    Returns:
        The path of the file. Of duplicated (user, item) pairs it holds the latest.

    Raises:
        UserError: what cannot be written, with its row; then no file is written.
    """
    interactions = from_frame(frame, Columns(user, item, rating, timestamp), "the data frame")
    interactions, _ = prepare(interactions)
    return write_interactions(Path(out), interactions)


def prepare(
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
    notes: list[str] = []
    if interactions.times is not None:
        times, notes = in_seconds(interactions.times)
        interactions = replace(interactions, times=times)
    keep = keep_latest(interactions.users.codes, interactions.items.codes, interactions.times)
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
    path = _target(out, f"{part}.inter" if part else "inter")
    write_table(path, header, columns)
    return path


def _target(out: Path, ending: str) -> Path:
    name = out.resolve().name
    if not name:
        raise UserError(f"{out} has no name of its own. Name a folder such as dataset/my-shop.")
    check_name(name, "a data set's name")
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file. Name a folder such as dataset/my-shop.")
    return out / f"{name}.{ending}"


def _write_rows(path: Path, rows: Sequence[Sequence[str]]) -> None:
    header, *body = rows
    write_table(
        path, header, [pd.Series(column, dtype="category") for column in zip(*body, strict=True)]
    )


def summary(name: str, interactions: Interactions) -> str:
    """The numbers of the paper's Table 1 and what decides how hard the test is."""
    users = pd.factorize(interactions.users.codes)[0]
    items = pd.factorize(interactions.items.codes)[0]
    n_users, n_items, n = int(users.max()) + 1, int(items.max()) + 1, len(users)
    ours: tuple = (n_users, n_items, n, n / (n_users * n_items))
    rows = [[*row] for row in zip(TABLE_1_ROWS, ours, strict=True)]
    header = ["", name]
    if name in TABLE_1:
        header.append("paper, Table 1")
        rows = [[*row, theirs] for row, theirs in zip(rows, TABLE_1[name], strict=True)]
    for row in rows:
        row[1:] = [
            f"{value:.5f}" if isinstance(value, float) else f"{value:,}" for value in row[1:]
        ]
    lines = [
        tabulate(
            rows, header, disable_numparse=True, colalign=("left", *["right"] * (len(header) - 1))
        )
    ]
    if interactions.ratings is not None:
        values, counts = np.unique(interactions.ratings, return_counts=True)
        most = np.sort(np.argsort(-counts, kind="stable")[:10])
        shown = ", ".join(f"{values[k]:g}: {counts[k]:,} ({counts[k] / n:.1%})" for k in most)
        lines.append(f"ratings  {shown}" + (", ..." if len(values) > len(most) else ""))
    test, level = latest_rows(users, interactions.times)
    if interactions.times is not None:
        first, last = (
            str(np.datetime64(int(time), "s")) if abs(time) < 1e11 else f"{time:g}"
            for time in (interactions.times.min(), interactions.times.max())
        )
        lines.append(f"times    {first} to {last} (UTC)")
        lines.append(
            f"tied     {(level > 1).sum():,} of {n_users:,} users have several latest items"
        )
    cold = cold_items(items, test)
    lines.append(f"cold     {cold:,} of {n_users:,} latest items occur in no other interaction")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="recbole-dmf convert",
        usage="recbole-dmf convert [FORMAT] SOURCE OUT [options]",
        description="Raw rating data to atomic files OUT/<name of OUT>.inter (.item, .user).",
    )
    parser.add_argument(
        "arguments",
        nargs="+",
        metavar="FORMAT SOURCE OUT",
        help=f"FORMAT is one of {', '.join(sources.FORMATS)}; told from the source if left out",
    )
    parser.add_argument("--min-item-interactions", type=int, default=0, metavar="N")
    parser.add_argument("--min-user-interactions", type=int, default=0, metavar="N")
    parser.add_argument("--core", action="store_true", help="repeat both filters until stable")
    columns = parser.add_argument_group("only for FORMAT table")
    columns.add_argument("--user", metavar="COLUMN", help="default: user_id")
    columns.add_argument("--item", metavar="COLUMN", help="default: item_id")
    columns.add_argument("--rating", metavar="COLUMN", help="default: none, implicit data")
    columns.add_argument("--timestamp", metavar="COLUMN", help="default: none")
    columns.add_argument(
        "--timestamp-format", metavar="F", help="s, ms, us, ns, ISO8601 or a format as %%Y-%%m-%%d"
    )
    columns.add_argument("--columns", metavar="A,B,...", help="all columns of a headerless file")
    return parser


def main_convert(argv: list[str]) -> int:
    """The command `convert`; prints a summary and returns 0.

    Raises:
        UserError: what is wrong with the source or the options; then nothing is written.
    """
    options = _parser().parse_intermixed_args(argv)
    if len(options.arguments) not in (2, 3):
        raise UserError("name a source and a folder to write: recbole-dmf convert SOURCE OUT.")
    *given, source_name, out_name = options.arguments
    source, out = Path(source_name), Path(out_name)
    format_ = given[0] if given else sources.detect(source)
    if format_ not in sources.FORMATS:
        raise UserError(f"unknown format {format_!r}; known are {', '.join(sources.FORMATS)}.")
    for name in ("user", "item", "rating", "timestamp", "timestamp_format", "columns"):
        if getattr(options, name) is not None and format_ != "table":
            raise UserError(f"--{name.replace('_', '-')} is for tables, but this is {format_}.")
    _target(out, "inter")  # before the long part
    if format_ == "ncf":
        return _convert_ncf(source, out, options)
    if format_ == "table":
        found = sources.Source(table(source, _columns(options)))
    else:
        found = {"movielens": sources.movielens, "amazon": sources.amazon}[format_](source)
    interactions, notes = prepare(
        found.interactions,
        options.min_item_interactions,
        options.min_user_interactions,
        options.core,
    )
    for suffix, rows in found.tables.items():
        if len(rows) == 1:
            continue
        _write_rows(_target(out, suffix), rows)
    path = write_interactions(out, interactions)
    print(summary(out.resolve().name, interactions), *notes, f"written to {path}", sep="\n")
    return 0


def _columns(options: argparse.Namespace) -> Columns:
    names = options.columns.split(",") if options.columns else None
    return Columns(
        options.user or "user_id",
        options.item or "item_id",
        options.rating,
        options.timestamp,
        options.timestamp_format,
        tuple(names) if names else None,
    )


def _convert_ncf(source: Path, out: Path, options: argparse.Namespace) -> int:
    if options.min_item_interactions or options.min_user_interactions or options.core:
        raise UserError("filters would break the ready-made split of ncf files; leave them out.")
    train, test, candidates = sources.ncf(source)
    write_interactions(out, train, "train")
    write_interactions(out, test, "test")
    write_table(
        _target(out, "test.candidates"),
        ["user_id:token", "item_id:token"],
        [pd.Series(candidates.users), pd.Series(candidates.items)],
    )
    print(
        f"{len(train):,} training interactions, {len(test):,} test interactions, "
        f"{len(candidates):,} candidates",
        f"written to {out}",
        sep="\n",
    )
    return 0
