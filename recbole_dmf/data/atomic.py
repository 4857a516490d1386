"""Read and validate RecBole atomic files before RecBole sees them.

An atomic file is a table in UTF-8 whose first line holds `name:type` fields, with type one of
token, token_seq, float and float_seq; the separator is a tab unless RecBole is told otherwise
(https://recbole.io/docs/user_guide/data/atomic_files.html). `read_inter` is the one way in for
interactions: their id, rating and time columns are read and checked alike whatever else is read.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_dmf.data.further_columns import further_column
from recbole_dmf.data.header import Field, check_separator, parse_header
from recbole_dmf.data.lines import (
    NEWLINE,
    blocks_without,
    check_text,
    listed,
    parse_rows,
    read_bytes,
)
from recbole_dmf.errors import UserError

EXACT_FLOAT = 2.0**53  # integers from here on have no float64 of their own

_logger = logging.getLogger(__name__)


def read_inter(
    path: Path,
    *,
    user_field: str = "user_id",
    item_field: str = "item_id",
    rating_field: str | None,
    time_field: str | None,
    further: Sequence[str] = (),
    separator: str = "\t",
    seq_separator: str = " ",
    rating_range: tuple[float, float] | None = None,
    filtered: bool = False,
) -> pd.DataFrame:
    """Read the interactions of an atomic file, or say what is wrong with it.

    A header line that is repeated inside the table is left out, and a warning logged.

    Args:
        path: the `.inter` file.
        user_field, item_field: names of the id columns, both of type token.
        rating_field, time_field: names of the float columns to read; None where the file has none
            or they are not wanted.
        further: names of other columns, which are read as RecBole reads them (`further_column`).
        separator: one ASCII character, RecBole's `field_separator`.
        seq_separator: RecBole's, between the values of a `token_seq` or `float_seq`.
        rating_range: (lowest, highest) rating of the scale; None checks only rating > 0.
        filtered: rows will be filtered by value (RecBole's `val_interval`), so that the ratings
            are not checked yet; call `check_ratings` with those that are left.

    Returns:
        A row per interaction, in file order, with the wanted columns under their names: ids as str
        exactly as in the file (`007`, spaces, `NA`, quotes), rating and timestamp as float64. The
        index says where in the file a row is: row r is line r + 2.

    Raises:
        UserError: on the first problem, with file, line (the header is line 1), column and remedy.
    """
    path = Path(path)
    check_separator(separator)
    _check_names(path, (user_field, item_field, rating_field, time_field))
    wanted = {user_field: "token", item_field: "token"}
    wanted |= {name: "float" for name in (rating_field, time_field) if name is not None}
    types, parts, index = _read_parts(path, wanted, further, separator)
    columns = {}
    for name in parts[0]:
        if wanted.get(name) == "float":
            columns[name] = pd.Series(np.concatenate([part[name].to_numpy() for part in parts]))
            continue
        codes, texts = _joined([part[name] for part in parts])
        values = texts[codes]
        if name not in wanted:
            values = further_column(path, name, types[name], codes, texts, index, seq_separator)
        columns[name] = pd.Series(values, dtype=object if values.dtype == object else None)
    frame = pd.DataFrame(columns).set_axis(index, axis="index")
    if rating_field is not None and not filtered:
        check_ratings(path, frame[rating_field], rating_range)
    if time_field is not None:
        _check_times(path, frame[time_field])
    return frame


def _check_names(path: Path, names: Sequence[str | None]) -> None:
    named = [name for name in names if name is not None]
    if len(set(named)) < len(named):
        raise UserError(
            f"Two options name the same column of {path}: {', '.join(named)}. "
            "Give USER_ID_FIELD, ITEM_ID_FIELD, RATING_FIELD and TIME_FIELD different names."
        )


def _read_parts(
    path: Path, wanted: dict[str, str], further: Sequence[str], separator: str
) -> tuple[dict[str, str], list[pd.DataFrame], np.ndarray]:
    """The type of each column in the file, the rows block by block, and their numbers [rows]."""
    data = read_bytes(path)
    fix = f"`recbole-dmf check {path.parent} --fix OUT` writes a mended copy."
    check_text(path, data, fix)
    if data.endswith((b"\n\n", b"\n\r\n")):  # blank lines at the end hold nothing
        data = data.rstrip(b"\r\n") + b"\n"
    body = data.find(NEWLINE) + 1 or len(data)
    header = data[:body].rstrip(b"\r\n")
    fields = parse_header(path, header.decode(), separator)
    types = check_columns(path, fields, wanted, further)
    kinds = wanted | dict.fromkeys((name for name in further if name not in wanted), "text")
    names, parts, rows = [field.name for field in fields], [], []
    again: list[int] = []
    for start, end, row in blocks_without(data, header_lines(header, separator), body, again):
        part = parse_rows(path, data[start:end], separator, names, kinds, fix, row + 2)
        parts.append(part[list(kinds)])
        rows.append(np.arange(row, row + len(part)))
    if again:
        _logger.warning(
            f"{path}: the header is repeated on {len(again)} line(s), the first of them line "
            f"{again[0] + 2}; left out."
        )
    if not parts:
        raise UserError(
            f"{path}: a header and no interactions. Write one line per interaction below it."
        )
    return types, parts, np.concatenate(rows)


def header_lines(header: bytes, separator: str) -> set[bytes]:
    """The header line, with and without its types."""
    texts = header.decode().split(separator)
    return {header, separator.join(text.partition(":")[0] for text in texts).encode()}


def _joined(columns: list[pd.Series]) -> tuple[np.ndarray, np.ndarray]:
    """Categorical columns one after the other as codes [rows] and distinct texts, object."""
    known: dict[str, int] = {}
    parts = []
    for column in columns:
        places = [known.setdefault(text, len(known)) for text in column.cat.categories]
        parts.append(np.array(places, dtype=np.int64)[column.cat.codes.to_numpy()])
    return np.concatenate(parts), np.array(list(known), dtype=object)


def check_columns(
    path: Path, fields: list[Field], wanted: dict[str, str], further: Sequence[str]
) -> dict[str, str]:
    """The type of each column by name.

    Args:
        wanted: name -> type that columns must have.
        further: names of columns that have to be there.

    Raises:
        UserError: a column is missing or has another type.
    """
    types = {field.name: field.type for field in fields}
    for name in [*wanted, *further]:
        kind = wanted.get(name)
        if name not in types:
            raise UserError(
                f"{path}, line 1: no column {name!r}; there are "
                f"{listed(repr(name) for name in types)}. "
                + (
                    f"Rename one to `{name}:{kind}`, or set the option that names this column."
                    if kind
                    else "Correct load_col."
                )
            )
        if kind and types[name] != kind:
            raise UserError(
                f"{path}, line 1, column {name}: the type is {types[name]}, but has to be {kind}. "
                f"Write `{name}:{kind}` in the header."
            )
    return types


def check_ratings(
    path: Path, ratings: pd.Series, rating_range: tuple[float, float] | None = None
) -> None:
    """Raise UserError for a rating of 0 or less, or outside of the scale.

    Args:
        path: of the file, for the message.
        ratings: float, named as the column, with an index as that of `read_inter`: some rows may
            have been left out, but not numbered anew.
        rating_range: (lowest, highest) rating of the scale; None checks only rating > 0.
    """
    values = ratings.to_numpy(dtype=np.float64)
    low, high = rating_range or (0.0, np.inf)
    bad = (values <= 0) | (values < low) | (values > high)
    if not bad.any():
        return
    row = int(np.argmax(bad))
    place = f"{path}, line {ratings.index[row] + 2}, column {ratings.name}: {values[row]:g}"
    scale = f"the scale {low:g} to {high:g}" if rating_range else "ratings above 0"
    others = f" ({int(bad.sum())} such lines)" if bad.sum() > 1 else ""
    if values[row] > 0:
        raise UserError(
            f"{place} is outside {scale}{others}. Correct them, or `max_rating`, the highest of "
            "the scale."
        )
    raise UserError(
        f"{place} is outside {scale}{others}; 0 stands for `no interaction` in the input matrix. "
        "If it means that there is no rating, leave these lines out: by the option "
        f"`val_interval: {{{ratings.name}: '(0,inf)'}}`, by `recbole-dmf check {path.parent} "
        "--fix OUT --drop-unrated`, or by `recbole-dmf convert ... --min-rating=X`. "
        "Otherwise shift or correct the ratings."
    )


def _check_times(path: Path, times: pd.Series) -> None:
    values = times.to_numpy()
    bad = np.abs(values) >= EXACT_FLOAT
    if bad.any():
        row = int(np.argmax(bad))
        raise UserError(
            f"{path}, line {times.index[row] + 2}, column {times.name}: {values[row]:.0f} is too "
            "large to be held exactly, so that the order of events would be lost. Give seconds or "
            f"milliseconds since 1970; `recbole-dmf check {path.parent} --fix OUT` does it."
        )
