"""Read `.user` and `.item` files: ids as those of the interactions, all else as RecBole does."""

import csv
import io
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_dmf.data.atomic import check_columns, header_lines
from recbole_dmf.data.further_columns import further_column
from recbole_dmf.data.header import check_separator, parse_header
from recbole_dmf.data.lines import check_text, listed, read_bytes
from recbole_dmf.errors import UserError

_logger = logging.getLogger(__name__)


def read_side(
    path: Path,
    id_field: str,
    further: Sequence[str],
    *,
    separator: str = "\t",
    seq_separator: str = " ",
) -> pd.DataFrame:
    """The features of users or items.

    Fields may be quoted, as for RecBole. A header line that is repeated, and a second line of an
    id, are left out, and a warning logged.

    Args:
        path: the `.user` or `.item` file.
        id_field: name of the column of the ids, of type token.
        further: names of the other columns to read.
        separator, seq_separator: RecBole's `field_separator` and `seq_separator`.

    Returns:
        A row per id in file order: the ids as str exactly as in the file (`007`, `NA`), then
        the further columns (see `further_column`).

    Raises:
        UserError: a damaged file, a missing column, a line with too few or too many fields, an
            empty id, or a text that is no number in a column of numbers, with its line.
    """
    path = Path(path)
    types, names, lines, rows = _good_rows(path, id_field, further, separator)
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    ids = np.array(columns[id_field], dtype=object)
    if (ids == "").any():
        row = int(np.argmax(ids == ""))
        raise UserError(
            f"{path}, line {lines[row]}, column {id_field}: the id is empty. Correct the value or "
            "remove the line."
        )
    first = np.flatnonzero(~pd.Series(ids).duplicated().to_numpy())
    if twice := len(ids) - len(first):
        _logger.warning(f"{path}: {twice} line(s) repeat an id; only the first of each is used.")
    frame = {id_field: pd.Series(ids[first], dtype=object)}
    index = np.array(lines)[first] - 2
    for name in further:
        codes, texts = pd.factorize(np.array(columns[name], dtype=object)[first])
        values = further_column(
            path, name, types[name], codes, texts, index, seq_separator, quotes=False
        )
        frame[name] = pd.Series(values, dtype=object if values.dtype == object else None)
    return pd.DataFrame(frame)


def _good_rows(
    path: Path, id_field: str, further: Sequence[str], separator: str
) -> tuple[dict[str, str], list[str], list[int], list[list[str]]]:
    """Types by name, names, and the lines and fields of the rows, all with as many as names."""
    check_separator(separator)
    data = read_bytes(path)
    fix = f"`recbole-dmf check {path.parent} --fix OUT` writes a mended copy."
    check_text(path, data, fix)
    header, _, body = data.partition(b"\n")
    header = header.rstrip(b"\r")
    fields = parse_header(path, header.decode(), separator)
    types = check_columns(path, fields, {id_field: "token"}, further)
    headers = {tuple(t.decode().split(separator)) for t in header_lines(header, separator)}
    rows: list[list[str]] = []
    lines: list[int] = []
    n_again = 0
    for line, record in csv_records(path, body.decode().rstrip("\r\n"), separator):
        if tuple(record) in headers:
            n_again += 1
            continue
        if len(record) != len(fields):
            raise UserError(
                f"{path}, line {line}: {len(record)} fields instead of {len(fields)}. Give every "
                f"line one field for each of {listed(types)}. {fix}"
            )
        rows.append(record)
        lines.append(line)
    if n_again:
        _logger.warning(f"{path}: {n_again} repeated header line(s) left out.")
    if not rows:
        raise UserError(f"{path}: a header and no rows. Write one line per id below it.")
    return types, list(types), lines, rows


def csv_records(path: Path, body: str, separator: str) -> list[tuple[int, list[str]]]:
    """(line, fields) of each record below the header; a quoted field may hold separators.

    Raises:
        UserError: a quote that is not closed.
    """
    reader = csv.reader(io.StringIO(body, newline=""), delimiter=separator, strict=True)
    found, line = [], 2
    try:
        for record in reader:
            found.append((line, record or [""]))
            line = reader.line_num + 2
    except csv.Error as error:
        raise UserError(
            f"{path}, line {line}: {error}. A field that starts with a quote has to end with one, "
            "and a quote inside of it is written twice."
        ) from None
    return found
