"""Read and validate RecBole atomic files before RecBole sees them.

An atomic file is a table in UTF-8 whose first line holds `name:type` fields, with type one of
token, token_seq, float and float_seq; the separator is a tab unless RecBole is told otherwise
(https://recbole.io/docs/user_guide/data/atomic_files.html).
"""

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_dmf.errors import UserError
from recbole_dmf.options import clip

FIELD_TYPES = ("token", "token_seq", "float", "float_seq")
EXACT_FLOAT = 2.0**53  # integers from here on have no float64 of their own

NEWLINE = b"\n"

_BLOCK = 1 << 24


@dataclass(frozen=True)
class Field:
    """One column of an atomic file: `name:type` in the header."""

    name: str
    type: str


def read_inter(
    path: Path,
    *,
    user_field: str = "user_id",
    item_field: str = "item_id",
    rating_field: str | None,
    time_field: str | None,
    separator: str = "\t",
    rating_range: tuple[float, float] | None = None,
) -> pd.DataFrame:
    """Read the interactions of an atomic file, or say what is wrong with it.

    Args:
        path: the `.inter` file.
        user_field, item_field: names of the id columns, both of type token.
        rating_field, time_field: names of the float columns to read; None where the file has none
            or they are not wanted.
        separator: one ASCII character, RecBole's `field_separator`.
        rating_range: (lowest, highest) rating of the scale; None checks only rating > 0.

    Returns:
        A row per line, in file order, with the wanted columns under their names: ids as str
        exactly as in the file (`007`, spaces, `NA`, quotes), rating and timestamp as float64.
        Row r is line r + 2 of the file.

    Raises:
        UserError: on the first problem, with file, line (the header is line 1), column and remedy.
    """
    path = Path(path)
    check_separator(separator)
    named = [n for n in (user_field, item_field, rating_field, time_field) if n is not None]
    if len(set(named)) < len(named):
        raise UserError(
            f"Two options name the same column of {path}: {', '.join(named)}. "
            "Give USER_ID_FIELD, ITEM_ID_FIELD, RATING_FIELD and TIME_FIELD different names."
        )
    data = read_bytes(path)
    fix = f"`recbole-dmf check {path.parent} --fix OUT` writes a mended copy."
    check_text(path, data, fix)
    if data.endswith((b"\n\n", b"\n\r\n")):  # blank lines at the end hold nothing
        data = data.rstrip(b"\r\n") + b"\n"
    body = data.find(NEWLINE) + 1 or len(data)
    fields = parse_header(path, data[:body].rstrip(b"\r\n").decode(), separator)
    wanted = {user_field: "token", item_field: "token"}
    wanted |= {name: "float" for name in (rating_field, time_field) if name is not None}
    _check_columns(path, fields, wanted)
    if body == len(data):
        raise UserError(
            f"{path}: a header and no interactions. Write one line per interaction below it."
        )
    names, parts, line = [field.name for field in fields], [], 2
    for start, end in line_blocks(data, body):
        parts.append(parse_rows(path, data[start:end], separator, names, wanted, fix, line))
        line += len(parts[-1])
    del data  # it can be large
    frame = pd.DataFrame(
        {
            name: _as_strings([part[name] for part in parts])
            if kind == "token"
            else np.concatenate([part[name].to_numpy() for part in parts])
            for name, kind in wanted.items()
        }
    )
    if rating_field is not None:
        _check_ratings(path, rating_field, frame[rating_field], rating_range)
    if time_field is not None:
        _check_times(path, time_field, frame[time_field])
    return frame


def check_separator(separator: str) -> None:
    """Raise UserError unless `separator` is one ASCII character that can separate fields."""
    if len(separator) != 1 or not separator.isascii() or separator in "\r\n\0:":
        raise UserError(
            f"field_separator {separator!r} is not supported: "
            "use a single ASCII character, by default a tab."
        )


def read_bytes(path: Path) -> bytes:
    """The bytes of a file; UserError where it is missing, a folder, unreadable or empty."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file. Put the interactions there as a RecBole atomic file "
            f"(first line `user_id:token<TAB>item_id:token<TAB>rating:float<TAB>timestamp:float`), "
            "or make it from raw files with `recbole-dmf convert SOURCE OUT`."
        ) from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder, not a file: name the file inside it.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}. Check the path and rights.") from None
    if not data or data.isspace():
        raise UserError(f"{path} is empty. Write a header line and one line per interaction.")
    return data


def parse_header(path: Path, header: str, separator: str) -> list[Field]:
    """The fields that a header line names; UserError on a wrong separator, type or name."""
    place = f"{path}, line 1"
    texts = header.split(separator)
    other = next((s for s in "\t,;| " if s != separator and s in header), None)
    if other is not None and (len(texts) == 1 or any(t.count(":") > 1 for t in texts)):
        raise UserError(
            f"{place}: the fields are separated by {other!r}, not by {separator!r}. "
            f"Set `field_separator: {other!r}`, or let `recbole-dmf check {path.parent} --fix OUT` "
            "write it with the right one."
        )
    fields: dict[str, Field] = {}
    for number, text in enumerate(texts, 1):
        name, colon, kind = text.partition(":")
        if not colon:
            raise UserError(
                f"{place}, column {number}: {_quoted(text)} has no type. Write `name:type` with "
                f"type one of {', '.join(FIELD_TYPES)}, for instance `user_id:token`."
            )
        if not name.strip() or kind not in FIELD_TYPES:
            wrong = f"unknown type {_quoted(kind)}" if name.strip() else "no name"
            raise UserError(
                f"{place}, column {number} ({_quoted(text)}): {wrong}. Write `name:type` with type "
                f"one of {', '.join(FIELD_TYPES)}."
            )
        if name in fields:
            raise UserError(
                f"{place}, column {number}: there are two columns named {_quoted(name)}. "
                "Rename or remove one."
            )
        fields[name] = Field(name, kind)
    return list(fields.values())


def line_blocks(data: bytes, start: int = 0) -> Iterator[tuple[int, int]]:
    """Consecutive (start, end) of whole lines of `data`, some ten MB each."""
    while start < len(data):
        end = data.find(NEWLINE, min(start + _BLOCK, len(data) - 1)) + 1 or len(data)
        yield start, end
        start = end


def count_fields(data: bytes, separator: str) -> np.ndarray:
    """Number of fields in each line of `data`: int32 [lines], 1 for a blank line."""
    counts = []
    for start, end in line_blocks(data):
        block = np.frombuffer(data, np.uint8, end - start, start)
        starts = np.concatenate([[0], np.flatnonzero(block == ord("\n")) + 1])
        starts = starts[starts < len(block)]
        counts.append(np.add.reduceat(block == ord(separator), starts, dtype=np.int32) + 1)
    return np.concatenate(counts)


def read_columns(
    data: bytes, separator: str, names: list[str], types: dict[str, str]
) -> pd.DataFrame:
    """Parse lines without a header into columns of the given pandas types, with no guessing.

    Nothing is taken for a missing value or a quote. `types` chooses the columns to read.
    """
    return pd.read_csv(
        io.BytesIO(NEWLINE + data),  # pandas would take U+FEFF off the very first id
        skiprows=1,
        sep=separator,
        header=None,
        names=names,
        usecols=list(types),
        dtype=types,
        quoting=csv.QUOTE_NONE,
        na_filter=False,
        skip_blank_lines=False,
        index_col=False,
        float_precision="round_trip",
        low_memory=False,  # or else category columns of many distinct texts take minutes
    )


def parse_rows(
    path: Path | str,
    data: bytes,
    separator: str,
    names: list[str],
    kinds: dict[str, str],
    fix: str = "",
    line: int = 1,
) -> pd.DataFrame:
    """Parse lines that all have to be good.

    Args:
        path: for messages, as the remedy `fix` and the number `line` of the first line of `data`.
        names: of all columns.
        kinds: 'token' or 'float' for the columns to read.

    Returns:
        A row per line: non-empty ids as categoricals of str, finite numbers as float64.

    Raises:
        UserError: for a line with too few or too many fields, an empty id, or a text instead of
            a finite number.
    """
    wrong = count_fields(data, separator) != len(names)
    if wrong.any():
        row = int(np.argmax(wrong))
        text = data.split(NEWLINE, row + 1)[row].rstrip(b"\r").decode()
        found = f"{text.count(separator) + 1} fields" if text else "a blank line"
        raise UserError(
            f"{path}, line {row + line}: {found} instead of {len(names)} fields, {_quoted(text)}. "
            f"Give every line one field for each of {listed(names)}. {fix}".rstrip()
        )
    types = {n: "category" if kind == "token" else "float64" for n, kind in kinds.items()}
    try:
        frame = read_columns(data, separator, names, types)
    except (ValueError, OverflowError):  # ParserError is a ValueError
        types = {name: "category" if kind == "token" else "str" for name, kind in kinds.items()}
        frame = read_columns(data, separator, names, types)
    for name, kind in kinds.items():
        column = frame[name]
        if kind == "token":
            bad, wrong_with_it = (column == "").to_numpy(), "the id is empty"
        elif column.dtype == np.float64:
            bad, wrong_with_it = ~np.isfinite(column.to_numpy()), "not a finite number"
        else:
            bad, wrong_with_it = bad_numbers(column), "not a finite number"
            column = frame[name] = column if bad.any() else column.astype("float64")
        if bad.any():
            row = int(np.argmax(bad))
            value = f"{_quoted(str(column.iloc[row]))} is " if kind == "float" else ""
            raise UserError(
                f"{path}, line {row + line}, column {name}: {value}{wrong_with_it}. "
                f"Correct the value or remove the line. {fix}".rstrip()
            )
    return frame


def bad_numbers(texts: pd.Series) -> np.ndarray:
    """Which of the texts are no finite number: bool [rows]."""
    values = pd.to_numeric(texts.astype(object), errors="coerce")
    return ~np.isfinite(np.asarray(values, dtype=np.float64))


def _quoted(text: str) -> str:
    return repr(clip(text, 60))


def listed(names: Iterable[str]) -> str:
    """The first of a file's names, short enough for a message."""
    shown = [clip(name, 60) for name in islice(names, 31)]
    return ", ".join(shown[:30]) + (", ..." if len(shown) > 30 else "")


def check_text(path: Path | str, data: bytes, fix: str = "", line: int = 1) -> None:
    """Raise UserError unless `data` is UTF-8 without byte-order mark, NUL bytes and lone CRs.

    Args:
        path: for messages, as the remedy `fix` and the number `line` of the first line.
    """

    def at(offset: int) -> str:
        return f"{path}, line {data.count(NEWLINE, 0, offset) + line}"

    if data.startswith(codecs.BOM_UTF8):
        raise UserError(
            f"{at(0)}: the file starts with a byte-order mark, which would become part of "
            f"the first column's name. Save it as UTF-8 without BOM. {fix}".rstrip()
        )
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UserError(f"{at(0)}: the file is in UTF-16. Save it as UTF-8.")
    if (offset := data.find(b"\0")) >= 0:
        raise UserError(
            f"{at(offset)}: a NUL byte. The file is damaged or not a text file; "
            f"write it again, or leave that line out. {fix}".rstrip()
        )
    if (bad := invalid_utf8(data)) is not None:
        raise UserError(
            f"{at(bad)}: byte {data[bad]:#04x} is not valid UTF-8, "
            f"perhaps Latin-1. Save the file as UTF-8. {fix}".rstrip()
        )
    if lone := re.search(rb"\r(?!\n)", data) if b"\r" in data else None:
        raise UserError(
            f"{at(lone.start())}: a carriage return that is not part of a line end. "
            f"End lines with a line feed. {fix}".rstrip()
        )


def invalid_utf8(data: bytes) -> int | None:
    """Offset of the first byte that is not valid UTF-8, or None."""
    if data.isascii():
        return None
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(data), _BLOCK):
        held = len(decoder.getstate()[0])
        try:
            decoder.decode(data[start : start + _BLOCK], final=start + _BLOCK >= len(data))
        except UnicodeDecodeError as error:
            return start - held + error.start
    return None


def _as_strings(columns: list[pd.Series]) -> np.ndarray:
    """Categorical columns one after the other: object [rows], one str for equal ids."""
    known: dict[str, str] = {}
    parts = []
    for column in columns:
        texts = [known.setdefault(text, text) for text in column.cat.categories]
        parts.append(np.array(texts, dtype=object)[column.cat.codes.to_numpy()])
    return np.concatenate(parts)


def _check_columns(path: Path, fields: list[Field], wanted: dict[str, str]) -> None:
    types = {field.name: field.type for field in fields}
    for name, kind in wanted.items():
        if name not in types:
            raise UserError(
                f"{path}, line 1: no column {name!r}; there are "
                f"{listed(repr(name) for name in types)}. "
                f"Rename one to `{name}:{kind}`, or set the option that names this column."
            )
        if types[name] != kind:
            raise UserError(
                f"{path}, line 1, column {name}: the type is {types[name]}, but has to be {kind}. "
                f"Write `{name}:{kind}` in the header."
            )


def _check_ratings(
    path: Path, name: str, column: pd.Series, rating_range: tuple[float, float] | None
) -> None:
    values = column.to_numpy()
    low, high = rating_range or (0.0, np.inf)
    bad = (values <= 0) | (values < low) | (values > high)
    if bad.any():
        row = int(np.argmax(bad))
        scale = f"the scale {low:g} to {high:g}" if rating_range else "ratings above 0"
        raise UserError(
            f"{path}, line {row + 2}, column {name}: {values[row]:g} is outside {scale}; "
            "0 stands for `no interaction` in the input matrix. "
            "Shift or correct the ratings; the highest of the scale is set by `max_rating`."
        )


def _check_times(path: Path, name: str, column: pd.Series) -> None:
    values = column.to_numpy()
    bad = np.abs(values) >= EXACT_FLOAT
    if bad.any():
        row = int(np.argmax(bad))
        raise UserError(
            f"{path}, line {row + 2}, column {name}: {values[row]:.0f} is too large to be held "
            "exactly, so that the order of events would be lost. Give seconds or milliseconds "
            f"since 1970; `recbole-dmf check {path.parent} --fix OUT` does it."
        )
