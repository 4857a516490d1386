"""`recbole-dmf convert [FORMAT] SOURCE OUT`: rating data of other formats to atomic files."""

import argparse
from pathlib import Path

from recbole_dmf.commands.arguments import Parser
from recbole_dmf.datasets import sources
from recbole_dmf.datasets.convert import (
    atomic_file,
    cleaned,
    convert_ncf,
    write_interactions,
    write_side_file,
)
from recbole_dmf.datasets.formats import FORMATS, detect
from recbole_dmf.datasets.gather import LeaveOut
from recbole_dmf.datasets.lists import lists
from recbole_dmf.datasets.summary import describe
from recbole_dmf.datasets.tables import Columns, read_table
from recbole_dmf.errors import UserError

TABLE_OPTIONS = (
    *("user", "item", "rating", "timestamp", "timestamp_format", "columns"),
    *("separator", "decimal", "drop_empty"),
)


def _parser() -> Parser:
    parser = Parser(
        "convert", "Rating data to atomic files OUT/<name of OUT>.inter (.item, .user)."
    )
    parser.usage = "recbole-dmf convert [FORMAT] SOURCE OUT [options]"
    parser.add_argument(
        "arguments",
        nargs="+",
        metavar="FORMAT SOURCE OUT",
        help=f"FORMAT is one of {', '.join(FORMATS)}; told from the source if left out",
    )
    parser.add_argument("--min-item-interactions", type=int, default=0, metavar="N")
    parser.add_argument("--min-user-interactions", type=int, default=0, metavar="N")
    parser.add_argument("--core", action="store_true", help="repeat both filters until stable")
    parser.add_argument(
        "--min-rating", type=float, metavar="X", help="leave out rows with a rating below X"
    )
    columns = parser.add_argument_group("only for FORMAT table")
    columns.add_argument("--user", metavar="COLUMN", help="default: user_id")
    columns.add_argument("--item", metavar="COLUMN", help="default: item_id")
    columns.add_argument("--rating", metavar="COLUMN", help="default: none, implicit data")
    columns.add_argument("--timestamp", metavar="COLUMN", help="default: none")
    columns.add_argument(
        "--timestamp-format", metavar="F", help="s, ms, us, ns, ISO8601 or a format as %%Y-%%m-%%d"
    )
    columns.add_argument("--columns", metavar="A,B,...", help="all columns of a headerless file")
    columns.add_argument("--separator", metavar="S", help="between fields, also several characters")
    columns.add_argument(
        "--decimal", metavar="S", help="before a rating's decimals, for instance ,"
    )
    columns.add_argument(
        "--drop-empty",
        action="store_true",
        default=None,
        help="leave out rows with an empty field, or with too few of them; how many is said",
    )
    return parser


def main(argv: list[str]) -> int:
    """The command `convert`; prints a summary and returns 0.

    Raises:
        UserError: what is wrong with the source or the options; then nothing is written.
    """
    options = _parser().parse(argv)
    if len(options.arguments) not in (2, 3):
        raise UserError("name a source and a folder to write: recbole-dmf convert SOURCE OUT.")
    *given, source_name, out_name = options.arguments
    source, out = Path(source_name), Path(out_name)
    format_ = given[0] if given else detect(source)
    if format_ not in FORMATS:
        raise UserError(f"unknown format {format_!r}; known are {', '.join(FORMATS)}.")
    for name in TABLE_OPTIONS:
        if getattr(options, name) is not None and format_ != "table":
            raise UserError(f"--{name.replace('_', '-')} is for tables, but this is {format_}.")
    atomic_file(out, "inter")  # before the long part
    if format_ == "ncf":
        filters = (options.min_item_interactions, options.min_user_interactions, options.core)
        if any(filters) or options.min_rating is not None:
            raise UserError(
                "filters would break the ready-made split of ncf files; leave them out."
            )
        print(*convert_ncf(source, out), sep="\n")
        return 0
    found = _read(format_, source, options)
    interactions, notes = cleaned(
        found.interactions,
        options.min_item_interactions,
        options.min_user_interactions,
        options.core,
    )
    for suffix, rows in found.tables.items():
        if len(rows) > 1:
            write_side_file(atomic_file(out, suffix), rows)
    path = write_interactions(out, interactions)
    print(describe(out.resolve().name, interactions), *notes, f"written to {path}", sep="\n")
    return 0


def _read(format_: str, source: Path, options: argparse.Namespace) -> sources.Source:
    leave_out = LeaveOut(options.min_rating, bool(options.drop_empty))
    has_ratings = options.rating is not None if format_ == "table" else format_ != "lists"
    if options.min_rating is not None and not has_ratings:
        raise UserError("--min-rating needs ratings; name their column with --rating=COLUMN.")
    if format_ == "table":
        return sources.Source(read_table(source, _columns(options), leave_out))
    if format_ == "lists":
        return sources.Source(lists(source))
    if format_ == "movielens":
        return sources.movielens(source, leave_out)
    return sources.amazon(source, leave_out)


def _columns(options: argparse.Namespace) -> Columns:
    names = options.columns.split(",") if options.columns else None
    return Columns(
        options.user or "user_id",
        options.item or "item_id",
        options.rating,
        options.timestamp,
        options.timestamp_format,
        tuple(names) if names else None,
        _separator(options.separator),
        options.decimal or ".",
    )


def _separator(text: str | None) -> str | None:
    """The separator as it is meant, with a tab as `\\t` or `tab` as well."""
    if text is None:
        return None
    separator = {"\\t": "\t", "tab": "\t"}.get(text, text)
    if not separator or not separator.isascii() or set(separator) & set('\r\n\0"'):
        raise UserError(f"--separator={text!r}: give one or more ASCII characters, no quote.")
    return separator
