"""Interactions from tables with named columns: CSV, TSV, Parquet, JSON lines, data frames."""

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_dmf.data.header import SEPARATORS
from recbole_dmf.data.lines import bad_numbers, listed
from recbole_dmf.datasets.archives import (
    FREE_SIZE,
    MAX_RATIO,
    Member,
    first_line,
    members,
    stream,
)
from recbole_dmf.datasets.gather import NOTHING, Gatherer, Interactions, LeaveOut, as_texts
from recbole_dmf.datasets.json_lines import first_record, records
from recbole_dmf.errors import UserError

ROWS = 250_000
UNIT_SEPARATOR = "\x1f"  # ASCII's own, which no text has
UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}


_BLOCKS = (
    "heads a block of lines, as in the Netflix Prize (`movie:`, then `user,rating,date`). Write "
    "one line per interaction first, for instance by "
    """`awk '/:$/ {sub(":", ""); m = $0; next} {print m "," $0}' FILE > table.csv`, """
    "and convert that with --columns=movie,user,rating,date --user=user --item=movie."
)


@dataclass(frozen=True)
class Columns:
    """Names of the columns to read; None where there is none.

    time_format: a unit (s, ms, us, ns), a strptime format, `ISO8601`, or None for numbers.
    all: the names of all columns of a file without a header.
    separator: between the fields of a text file; None: see `_separated`.
    decimal: the sign before the decimals of a rating written as text.
    """

    user: str = "user_id"
    item: str = "item_id"
    rating: str | None = None
    time: str | None = None
    time_format: str | None = None
    all: tuple[str, ...] | None = None
    separator: str | None = None
    decimal: str = "."

    @property
    def used(self) -> list[str]:
        names = (self.user, self.item, self.rating, self.time)
        return [name for name in names if name is not None]


def read_table(source: Path, columns: Columns, leave_out: LeaveOut = NOTHING) -> Interactions:
    """Interactions of a CSV, TSV, Parquet or JSON lines file, text also gzipped or alone in a zip.

    Raises:
        UserError: the file, a column, or a value in some row cannot be used.
    """
    found = members(source)
    if source.is_dir() or len(found) != 1:
        raise UserError(
            f"{source}: name one table (.csv, .tsv, .parquet or .jsonl), not {len(found)} files."
        )
    ((name, member),) = found.items()
    suffix = Path(name).suffix.lower()
    if suffix == ".parquet":
        return from_frame(_parquet(source, columns), columns, str(source), leave_out)
    first = first_line(member)
    if suffix in (".json", ".jsonl") or first.lstrip().startswith("{"):
        return _json_table(member, columns, leave_out)
    if re.fullmatch(r"[^,;\t]+:", first.strip()):
        raise UserError(f"{member.place}, line 1: {first[:60]!r} {_BLOCKS}")
    separator, fields = _separated(member.place, first, columns)
    names = list(columns.all) if columns.all else fields
    _check_names(names, columns, member.place)
    if len(fields) != len(names):
        raise UserError(
            f"{member.place}, line 1: {len(fields)} fields, but --columns names {len(names)}. "
            "Name every column of the file, or its separator with --separator."
        )
    gatherer, start = Gatherer(leave_out), 0
    for frame in _chunks(member, separator, names, columns):

        def place(row: int, start: int = start) -> str:
            return _row(member.place, start + row)

        _add(gatherer, frame, columns, place)
        start += len(frame)
    return gatherer.result(member.place)


def _separated(place: str, first: str, columns: Columns) -> tuple[str, list[str]]:
    """The separator and the fields of a table's first line.

    The separator is the one given, else the one under which the wanted columns are there (or, of a
    file without a header, as many fields as names), else the most frequent one.
    """

    def fields(separator: str) -> list[str]:
        if len(separator) > 1:
            return first.split(separator)
        return next(csv.reader([first], delimiter=separator))

    def fits(separator: str) -> bool:
        found = fields(separator)
        if columns.all:
            return len(found) == len(columns.all)
        return all(name in found for name in columns.used)

    try:
        if columns.separator:
            return columns.separator, fields(columns.separator)
        used = [s for s in ("::", *SEPARATORS) if s in first]
        good = [s for s in used if fits(s)] or used or ["\t"]
        separator = max(good, key=lambda s: len(fields(s)))
        return separator, fields(separator)
    except csv.Error as error:
        raise UserError(f"{place}, line 1: not a table: {error}.") from None


def _chunks(
    member: Member, separator: str, names: list[str], columns: Columns
) -> Iterator[pd.DataFrame]:
    """The used columns as texts, numbered from 0 in each chunk.

    All columns are parsed, and a header as if it were a row: only then does the C parser notice
    every line that is longer than the first one.
    """
    used = {names.index(name): name for name in columns.used}
    skip = 0 if columns.all else 1
    one = separator if len(separator) == 1 else UNIT_SEPARATOR  # pandas is slow with longer ones

    def change(block: bytes) -> bytes:
        return block if one == separator else block.replace(separator.encode(), one.encode())

    try:
        with stream(member, change) as file:
            for frame in pd.read_csv(
                file,
                sep=one,
                names=list(range(len(names))),
                header=None,
                dtype=object,
                na_filter=False,
                index_col=False,
                chunksize=ROWS,
                low_memory=False,
            ):
                frame = frame[list(used)].rename(columns=used).iloc[skip:]
                skip = 0
                if len(frame):
                    yield frame.reset_index(drop=True)
    except UnicodeDecodeError as error:
        raise UserError(
            f"{member.place}: byte {error.object[error.start]:#04x} is not valid UTF-8. "
            "Save the table as UTF-8."
        ) from None
    except ValueError as error:  # ParserError is a ValueError, and names the line
        raise UserError(
            f"{member.place}: not a table: {str(error).strip()}. Give every line as many fields as "
            "the header."
        ) from None


def _json_table(member: Member, columns: Columns, leave_out: LeaveOut) -> Interactions:
    """Interactions of a file with one JSON object per line; a missing key is an empty field."""
    first = first_record(member)
    if first is not None:
        _check_names(list(first), columns, member.place)
    gatherer = Gatherer(leave_out)
    for found, lines in records(member):

        def place(row: int, lines: list[int] = lines) -> str:
            return f"{member.place}, line {lines[row]}"

        rows = [[record.get(key) for key in columns.used] for record in found]
        frame = pd.DataFrame(rows, columns=columns.used, dtype=object)
        _add(gatherer, frame, columns, place)
    return gatherer.result(member.place)


def _parquet(source: Path, columns: Columns) -> pd.DataFrame:
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise UserError(
            f"{source}: reading Parquet needs pyarrow. Run "
            "`pip install 'pyarrow>=15'`, or save the table as CSV."
        ) from None
    if int(pyarrow.__version__.split(".")[0]) < 15:
        raise UserError(
            f"pyarrow {pyarrow.__version__} runs code that is hidden in a Parquet file "
            "(CVE-2023-47248). Run `pip install 'pyarrow>=15'`."
        )
    try:
        with ParquetFile(source) as file:
            names, n_rows = file.schema_arrow.names, file.metadata.num_rows
            if n_rows > MAX_RATIO * source.stat().st_size + FREE_SIZE // 4:
                raise UserError(
                    f"{source} claims {n_rows:,} rows, which no rating data of "
                    f"{source.stat().st_size >> 10} KB has. Write it again."
                )
            _check_names(names, columns, str(source))
            # Without pandas' own metadata, by which a column may become the index.
            table = file.read(columns.used)
            return table.to_pandas(ignore_metadata=True, integer_object_nulls=True)
    except UserError:
        raise
    except Exception as error:  # pyarrow has many exception types of its own
        raise UserError(f"{source} is not a Parquet file: {error}. Write it again.") from None


def from_frame(
    frame: pd.DataFrame, columns: Columns, place: str, leave_out: LeaveOut = NOTHING
) -> Interactions:
    """Interactions of a data frame.

    Args:
        frame: ids as str or int; ratings as numbers; times as numbers or datetimes.
        place: what to call it in messages.
        leave_out: rows to leave out.

    Raises:
        UserError: a missing column, or a value that cannot be used, with its row (from 1).
    """
    _check_names([str(name) for name in frame.columns], columns, place)
    if len(frame) == 0:
        raise UserError(f"{place}: no rows. Give at least one interaction.")
    gatherer = Gatherer(leave_out)
    frame = frame[columns.used].reset_index(drop=True)
    _add(gatherer, frame, columns, lambda row: _row(place, row))
    return gatherer.result(place)


def _row(place: str, row: int) -> str:
    return f"{place}, row {row + 1}"


def _add(
    gatherer: Gatherer, frame: pd.DataFrame, columns: Columns, place: Callable[[int], str]
) -> None:
    """Add the rows of a frame, numbered from 0, but for repeated headers and empty ones."""
    header = np.ones(len(frame), dtype=bool)
    for name in columns.used:
        header &= (frame[name] == name).to_numpy(dtype=bool)
    gatherer.n_headers += int(header.sum())
    keep = ~header
    if gatherer.leave_out.empty:
        empty = np.zeros(len(frame), dtype=bool)
        for name in columns.used:
            column = frame[name]
            empty |= column.isna().to_numpy(dtype=bool) | (column == "").to_numpy(dtype=bool)
        gatherer.n_empty += int((empty & keep).sum())
        keep &= ~empty
    rows = np.flatnonzero(keep)
    if not keep.all():
        frame = frame[keep].reset_index(drop=True)
    if len(frame):
        gatherer.add(*_parts(frame, columns, lambda row: place(int(rows[row]))))


def _check_names(names: list[str], columns: Columns, place: str) -> None:
    if len(set(columns.used)) < len(columns.used):
        raise UserError(f"{place}: the same column is named twice: {', '.join(columns.used)}.")
    for option, name in zip(
        ("user", "item", "rating", "timestamp"),
        (columns.user, columns.item, columns.rating, columns.time),
        strict=True,
    ):
        if name is not None and names.count(name) != 1:
            found = "no" if name not in names else "more than one"
            raise UserError(
                f"{place}: {found} column {name!r}; there are {listed(names)}. "
                f"Name it with --{option}=COLUMN, or all of a file without header with --columns."
            )


def _parts(frame: pd.DataFrame, columns: Columns, place: Callable[[int], str]) -> tuple:
    users, items = (
        _ids(frame[name], place, role)
        for name, role in ((columns.user, "user"), (columns.item, "item"))
    )
    ratings = None
    if columns.rating is not None:
        column = frame[columns.rating]
        if columns.decimal != "." and column.dtype == object:
            column = column.map(lambda v: _with_point(v, columns.decimal))
        ratings = _numbers(column, place, "rating")
    times = None
    if columns.time is not None:
        times = _times(frame[columns.time], columns.time_format, place)
    return users, items, ratings, times, place


def _with_point(value: object, decimal: str) -> object:
    """A number's text with a decimal point; a text that has one already becomes none."""
    if not isinstance(value, str):
        return value
    return f"{value} (--decimal={decimal})" if "." in value else value.replace(decimal, ".")


def _ids(column: pd.Series, place: Callable[[int], str], role: str) -> pd.Series:
    texts = as_texts(column.reset_index(drop=True), place, role)
    return texts.cat.remove_unused_categories()


def _numbers(column: pd.Series, place: Callable[[int], str], role: str) -> np.ndarray:
    try:
        if pd.api.types.is_numeric_dtype(column.dtype):
            return column.to_numpy(dtype=np.float64, na_value=np.nan)
        return column.to_numpy(dtype=object).astype(np.float64)
    except (ValueError, TypeError, OverflowError):
        texts = column.astype(str)
    row = int(np.argmax(bad_numbers(texts)))
    value = texts.iloc[row][:60]
    if not value:
        remedy = (
            "Correct or remove it; --drop-empty leaves out rows with an empty or missing field."
        )
    elif role == "timestamp":
        remedy = "Say how it is written, for instance --timestamp-format=%Y-%m-%d."
    elif "," in value:
        remedy = "If the comma stands before the decimals, say --decimal=,"
    else:
        remedy = "Correct or remove it."
    raise UserError(f"{place(row)}: the {role} {value!r} is not a finite number. {remedy}")


def _times(column: pd.Series, style: str | None, place: Callable[[int], str]) -> np.ndarray:
    """float64 seconds since 1970 (or whatever numbers there are, without a style)."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        dates = pd.DatetimeIndex(column)
    elif style is None or style in UNITS:
        return _numbers(column, place, "timestamp") / UNITS.get(style or "s", 1.0)
    else:
        texts = column.astype(str).astype("category")
        try:
            parsed = pd.to_datetime(texts.cat.categories, format=style, utc=True, errors="coerce")
        except (ValueError, TypeError) as error:
            raise UserError(
                f"--timestamp-format={style}: {error}. Use s, ms, us, ns, ISO8601 or a strptime "
                "format such as %Y-%m-%d."
            ) from None
        dates = parsed.take(texts.cat.codes.to_numpy())
    if (bad := np.asarray(dates.isna())).any():
        row = int(np.argmax(bad))
        raise UserError(
            f"{place(row)}: the timestamp {str(column.iloc[row])[:60]!r} is not of the form "
            f"{style or 'date and time'}. Correct it, or set --timestamp-format."
        )
    if dates.tz is not None:
        dates = dates.tz_convert("UTC").tz_localize(None)
    return dates.as_unit("us").asi8 / 1e6
