"""The bytes of a text file with separated fields: checked, cut into lines, parsed by column."""

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_dmf.errors import UserError
from recbole_dmf.options import clip

NEWLINE = b"\n"
BLOCK = 1 << 24
# pandas 3.1 reads numbers exactly by itself and warns of the option.
_IS_EXACT = tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1)
_EXACT = {} if _IS_EXACT else {"float_precision": "round_trip"}


def read_bytes(path: Path, first_line: bool = False) -> bytes:
    """The bytes of a file or of its first line.

    Raises:
        UserError: it is missing, a folder, unreadable or empty.
    """
    try:
        with path.open("rb") as file:
            data = file.readline() if first_line else file.read()
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
    if not data or (data.isspace() and not first_line):
        raise UserError(f"{path} is empty. Write a header line and one line per interaction.")
    return data


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
    for start in range(0, len(data), BLOCK):
        held = len(decoder.getstate()[0])
        try:
            decoder.decode(data[start : start + BLOCK], final=start + BLOCK >= len(data))
        except UnicodeDecodeError as error:
            return start - held + error.start
    return None


def line_blocks(data: bytes, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, int]]:
    """Consecutive (start, end) of whole lines of `data` up to `stop`, some ten MB each."""
    stop = len(data) if stop is None else stop
    while start < stop:
        end = data.find(NEWLINE, min(start + BLOCK, stop - 1), stop) + 1 or stop
        yield start, end
        start = end


def blocks_without(
    data: bytes, unwanted: set[bytes], start: int, found: list[int]
) -> Iterator[tuple[int, int, int]]:
    """(start, end, first row) of blocks of whole lines, as `line_blocks`, without some lines.

    Args:
        unwanted: texts of lines to leave out.
        start: the offset of row 0, just after a line end.
        found: gets the row of each line that is left out.
    """
    row = 0
    for stop in [*sorted(find_lines(data, unwanted, start)), len(data)]:
        for first, end in line_blocks(data, start, stop):
            yield first, end, row
            row += data.count(NEWLINE, first, end)
        if stop < len(data):
            found.append(row)
            row += 1
            start = data.find(NEWLINE, stop) + 1 or len(data)


def find_lines(data: bytes, lines: set[bytes], start: int) -> Iterator[int]:
    """Where in `data`, from a line's `start` on, there are lines equal to one of `lines`."""
    for line in lines - {b""}:
        at = data.find(line, start)
        while at >= 0:
            end = at + len(line)
            starts_line = at == 0 or data[at - 1 : at] == NEWLINE
            if (starts_line and data[end : end + 2] in (b"", b"\r\n")) or (
                starts_line and data[end : end + 1] == NEWLINE
            ):
                yield at
            at = data.find(line, end)


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
    """Parse lines without a header into columns, with no guessing.

    Nothing is taken for a missing value or a quote.

    Args:
        data: whole lines with as many fields as there are `names`.
        types: the columns to read, as "category" (of str), "str" or "float64".
    """
    # As objects: pandas 3 would make numbers of categories that look like some.
    frame = pd.read_csv(
        io.BytesIO(NEWLINE + data),  # pandas would take U+FEFF off the very first id
        skiprows=1,
        sep=separator,
        header=None,
        names=names,
        usecols=list(types),
        dtype={n: kind if kind == "float64" else object for n, kind in types.items()},
        quoting=csv.QUOTE_NONE,
        na_filter=False,
        skip_blank_lines=False,
        index_col=False,
        low_memory=False,
        **_EXACT,
    )
    for name, kind in types.items():
        if kind == "category":
            frame[name] = as_category(frame[name].to_numpy())
    return frame


def as_category(texts: np.ndarray) -> pd.Categorical:
    """Texts, object [rows], as a categorical whose categories are in order of appearance."""
    codes, distinct = pd.factorize(texts)
    return pd.Categorical.from_codes(codes, pd.Index(distinct, dtype=object))


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
        kinds: 'token', 'float', or 'text' for anything, for the columns to read.

    Returns:
        A row per line: non-empty ids as categoricals of str, finite numbers as float64, texts as
        categoricals.

    Raises:
        UserError: for a line with too few or too many fields, an empty id, or a text instead of
            a finite number.
    """
    wrong = count_fields(data, separator) != len(names)
    if wrong.any():
        row = int(np.argmax(wrong))
        text = _line(data, row)
        found = f"{text.count(separator) + 1} fields" if text else "a blank line"
        raise UserError(
            f"{path}, line {row + line}: {found} instead of {len(names)} fields, {quoted(text)}. "
            f"Give every line one field for each of {listed(names)}. {fix}".rstrip()
        )
    types = {n: "float64" if kind == "float" else "category" for n, kind in kinds.items()}
    try:
        frame = read_columns(data, separator, names, types)
    except (ValueError, OverflowError):  # ParserError is a ValueError
        types = {name: "str" if kind == "float" else "category" for name, kind in kinds.items()}
        frame = read_columns(data, separator, names, types)
    for name, kind in kinds.items():
        column = frame[name]
        if kind == "text":
            continue
        if kind == "token":
            bad, wrong_with_it = (column == "").to_numpy(), "the id is empty"
        elif column.dtype == np.float64:
            bad, wrong_with_it = ~np.isfinite(column.to_numpy()), "not a finite number"
        else:
            bad, wrong_with_it = bad_numbers(column), "not a finite number"
            column = frame[name] = column if bad.any() else column.astype("float64")
        if bad.any():
            row = int(np.argmax(bad))
            field = _line(data, row).split(separator)[names.index(name)]
            value = f"{quoted(field)} is " if kind == "float" else ""
            raise UserError(
                f"{path}, line {row + line}, column {name}: {value}{wrong_with_it}. "
                f"Correct the value or remove the line. {fix}".rstrip()
            )
    return frame


def _line(data: bytes, row: int) -> str:
    return data.split(NEWLINE, row + 1)[row].rstrip(b"\r").decode()


def bad_numbers(texts: pd.Series) -> np.ndarray:
    """Which of the texts are no finite number: bool [rows]."""
    values = pd.to_numeric(texts.astype(object), errors="coerce")
    return ~np.isfinite(np.asarray(values, dtype=np.float64))


def quoted(text: str) -> str:
    """A text of a file in quotes, short enough for a message."""
    return repr(clip(text, 60))


def listed(names: Iterable[str]) -> str:
    """The first of a file's names, short enough for a message."""
    shown = [clip(name, 60) for name in islice(names, 31)]
    return ", ".join(shown[:30]) + (", ..." if len(shown) > 30 else "")
