"""Interactions from tables with named columns: CSV, TSV, Parquet and data frames."""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_dmf.data.header import SEPARATORS
from recbole_dmf.data.lines import bad_numbers, listed
from recbole_dmf.datasets.archives import FREE_SIZE, MAX_RATIO, Member, blocks, members, stream
from recbole_dmf.datasets.gather import Gatherer, Interactions, as_texts
from recbole_dmf.errors import UserError

ROWS = 250_000
UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}


@dataclass(frozen=True)
class Columns:
    """Names of the columns to read; None where there is none.

    time_format: a unit (s, ms, us, ns), a strptime format, `ISO8601`, or None for numbers.
    all: the names of all columns of a file without a header.
    """

    user: str = "user_id"
    item: str = "item_id"
    rating: str | None = None
    time: str | None = None
    time_format: str | None = None
    all: tuple[str, ...] | None = None

    @property
    def used(self) -> list[str]:
        names = (self.user, self.item, self.rating, self.time)
        return [name for name in names if name is not None]


def read_table(source: Path, columns: Columns) -> Interactions:
    """Interactions of a CSV, TSV or Parquet file, CSV and TSV also gzipped or alone in a zip.

    Raises:
        UserError: the file, a column, or a value in some row cannot be used.
    """
    found = members(source)
    if source.is_dir() or len(found) != 1:
        raise UserError(
            f"{source}: name one table (.csv, .tsv or .parquet), not {len(found)} files."
        )
    ((name, member),) = found.items()
    if Path(name).suffix.lower() == ".parquet":
        return from_frame(_parquet(source, columns), columns, str(source))
    first = next(blocks(member))[1].partition(b"\n")[0].decode("utf-8", "replace")
    separator = max(SEPARATORS, key=first.count)
    try:
        fields = next(csv.reader([first.strip("\r")], delimiter=separator))
    except csv.Error as error:
        raise UserError(f"{member.place}, line 1: not a table: {error}.") from None
    names = list(columns.all) if columns.all else fields
    _check_names(names, columns, member.place)
    if len(fields) != len(names):
        raise UserError(
            f"{member.place}, line 1: {len(fields)} fields, but --columns names {len(names)}. "
            "Name every column of the file."
        )
    gatherer, start = Gatherer(), 0
    for frame in _chunks(member, separator, names, columns):
        gatherer.add(*_parts(frame, columns, _place(member.place, start)))
        start += len(frame)
    return gatherer.result(member.place)


def _chunks(
    member: Member, separator: str, names: list[str], columns: Columns
) -> Iterator[pd.DataFrame]:
    """The used columns as texts, ids as categoricals.

    All columns are parsed, and a header as if it were a row: only then does the C parser notice
    every line that is longer than the first one.
    """
    used = {names.index(name): name for name in columns.used}
    ids = {names.index(name) for name in (columns.user, columns.item)}
    skip = 0 if columns.all else 1
    try:
        with stream(member) as file:
            for frame in pd.read_csv(
                file,
                sep=separator,
                names=list(range(len(names))),
                header=None,
                dtype={k: "category" if k in ids else "str" for k in range(len(names))},
                na_filter=False,
                index_col=False,
                chunksize=ROWS,
                low_memory=False,
            ):
                frame = frame[list(used)].rename(columns=used).iloc[skip:]
                skip = 0
                if len(frame):
                    yield frame
    except UnicodeDecodeError as error:
        raise UserError(
            f"{member.place}: byte {error.object[error.start]:#04x} is not valid UTF-8. "
            "Save the table as UTF-8."
        ) from None
    except ValueError as error:  # ParserError is a ValueError, and names the line
        raise UserError(
            f"{member.place}: not a table: {error}. Give every line as many fields as the header."
        ) from None


def _parquet(source: Path, columns: Columns) -> pd.DataFrame:
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise UserError(
            f"{source}: reading Parquet needs pyarrow. Run `pip install 'pyarrow<22'` "
            "(newer ones need numpy 2, which RecBole does not work with), "
            "or save the table as CSV."
        ) from None
    if int(pyarrow.__version__.split(".")[0]) < 15:
        raise UserError(
            f"pyarrow {pyarrow.__version__} runs code that is hidden in a Parquet file "
            "(CVE-2023-47248). Run `pip install 'pyarrow>=15,<22'`."
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
            return file.read(columns.used).to_pandas()
    except UserError:
        raise
    except Exception as error:  # pyarrow has many exception types of its own
        raise UserError(f"{source} is not a Parquet file: {error}. Write it again.") from None


def from_frame(frame: pd.DataFrame, columns: Columns, place: str) -> Interactions:
    """Interactions of a data frame.

    Args:
        frame: ids as str or int; ratings as numbers; times as numbers or datetimes.
        place: what to call it in messages.

    Raises:
        UserError: a missing column, or a value that cannot be used, with its row (from 1).
    """
    _check_names([str(name) for name in frame.columns], columns, place)
    if len(frame) == 0:
        raise UserError(f"{place}: no rows. Give at least one interaction.")
    gatherer = Gatherer()
    gatherer.add(*_parts(frame, columns, _place(place, 0)))
    return gatherer.result(place)


def _place(name: str, start: int) -> Callable[[int], str]:
    return lambda row: f"{name}, row {start + row + 1}"


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
    ratings = None if columns.rating is None else _numbers(frame[columns.rating], place, "rating")
    times = None
    if columns.time is not None:
        times = _times(frame[columns.time], columns.time_format, place)
    return users, items, ratings, times, place


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
    remedy = "Correct or remove it."
    if role == "timestamp":
        remedy = "Say how it is written, for instance --timestamp-format=%Y-%m-%d."
    value = str(texts.iloc[row])[:60]
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
