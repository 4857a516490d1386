"""Read an atomic file that may be damaged: whatever can be read, and all that is wrong with it."""

import codecs
import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_dmf.data.atomic import header_lines
from recbole_dmf.data.header import Field, examine_header
from recbole_dmf.data.lines import (
    bad_numbers,
    count_fields,
    find_lines,
    invalid_utf8,
    read_bytes,
    read_columns,
)
from recbole_dmf.data.side_files import csv_records
from recbole_dmf.errors import UserError
from recbole_dmf.options import clip

MAX_FINDINGS = 30  # of one header
SEVERITIES = ("error", "warning", "note")
_ESCAPED = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True)
class Finding:
    """One kind of problem in one file.

    severity: 'error' (a run fails), 'warning' (a run may mislead) or 'note'.
    line: the first line concerned (the header is line 1), None where no line is.
    count, lines: how many lines are concerned, and the first of them.
    """

    severity: str
    file: str
    line: int | None
    column: str | None
    message: str
    remedy: str
    count: int = 1
    lines: tuple[int, ...] = ()


@dataclass(frozen=True)
class ReadableRows:
    """The readable rows of an atomic file.

    columns: by name, numbers that were asked for as float64, all else as categoricals of str.
    lines: int64 [rows], each row's line in the file.
    n_lines: the lines below the header, with those that cannot be read.
    """

    fields: list[Field]
    columns: pd.DataFrame
    lines: np.ndarray
    n_lines: int


def repeated(
    severity: str,
    file: str,
    lines: Sequence[int] | np.ndarray,
    column: str | None,
    message: str,
    remedy: str,
) -> list[Finding]:
    """One finding for all of `lines`, or none where there are no lines."""
    if len(lines) == 0:
        return []
    first = tuple(int(line) for line in lines[:5])
    return [Finding(severity, file, first[0], column, message, remedy, len(lines), first)]


def read_lenient(
    path: Path, types: dict[str, str], separator: str = "\t", quotes: bool = False
) -> tuple[ReadableRows | None, list[Finding]]:
    """Read what can be read of an atomic file.

    Args:
        path: the file.
        types: the type that columns of these names must have, where they are there.
        separator: the one that the settings name; another one is recognised and reported.
        quotes: fields may be quoted, as in the files of users and items.

    Returns:
        The table without its unreadable lines (None where there is nothing to read), and the
        findings. A text that should be a number is reported and left out.
    """
    try:
        data = read_bytes(path)
    except UserError as error:
        return None, [Finding("error", path.name, None, None, str(error), "")]
    data, findings = _as_utf8(path.name, data)
    header, _, body = data.partition(b"\n")
    fields, used, more = _read_header(path.name, header.decode(), separator, types)
    findings += more
    if not body.strip(b"\n"):
        remedy = "Write one line per row below the header."
        return None, [*findings, Finding("error", path.name, 1, None, "no rows", remedy)]
    body = body.rstrip(b"\n") + b"\n"
    lines = np.arange(2, body.count(b"\n") + 2)
    if quotes and b'"' in body and b"\0" not in body:
        body, lines, more = _unquoted(path, body, used, len(fields))
        findings += more
    n_lines = len(lines)
    again = header_lines(header, used)
    body, lines, more = _readable_lines(path.name, body, used, len(fields), lines, again)
    findings += more
    if len(lines) == 0:
        return None, findings

    names = [field.name for field in fields]
    positions = [str(number) for number in range(len(names))]  # names may occur twice
    floats = {
        names.index(name) for name, kind in types.items() if kind == "float" and name in names
    }
    columns = read_columns(
        body, used, positions, {p: "str" if int(p) in floats else "category" for p in positions}
    )
    kept = [names.index(name) for name in dict.fromkeys(names)]
    columns = columns.iloc[:, kept].set_axis([names[number] for number in kept], axis=1)
    table = ReadableRows([fields[number] for number in kept], columns, lines, n_lines)
    return _drop_bad_values(path.name, table, types, findings)


def _as_utf8(file: str, data: bytes) -> tuple[bytes, list[Finding]]:
    """The text as UTF-8 with no byte-order mark and with line feeds alone."""
    findings = []
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        findings.append(Finding("error", file, 1, None, "UTF-16 text", "Save it as UTF-8."))
        data = data.decode("utf-16", "replace").encode()
    if data.startswith(codecs.BOM_UTF8):
        message = "a byte-order mark, which becomes part of the first column's name"
        findings.append(Finding("error", file, 1, None, message, "Save it as UTF-8 without BOM."))
        data = data[len(codecs.BOM_UTF8) :]
    n_lines, n_pairs, n_returns = data.count(b"\n"), data.count(b"\r\n"), data.count(b"\r")
    if lone := re.search(rb"\r(?!\n)", data) if n_returns else None:
        line = data.count(b"\n", 0, lone.start()) + 1
        message = "carriage returns that are not part of a line end"
        findings.append(Finding("error", file, line, None, message, "End lines with line feeds."))
    elif 0 < n_pairs < n_lines:
        message = f"mixed line ends: {n_pairs} lines end in CR LF, {n_lines - n_pairs} in LF"
        findings.append(Finding("warning", file, None, None, message, "Use line feeds throughout."))
    if n_returns:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if invalid_utf8(data) is not None:
        text = data.decode("utf-8", "surrogateescape")
        ends = np.array([match.start() for match in re.finditer("\n", text)])
        bad = [match.start() for match in _ESCAPED.finditer(text)]
        findings += repeated(
            "error",
            file,
            np.unique(np.searchsorted(ends, bad)) + 1,
            None,
            "text that is not UTF-8, probably Latin-1",
            "Save it as UTF-8.",
        )
        data = _ESCAPED.sub(lambda match: chr(ord(match[0]) - 0xDC00), text).encode()
    return data, findings


def _read_header(
    file: str, header: str, separator: str, types: dict[str, str]
) -> tuple[list[Field], str, list[Finding]]:
    """The fields with missing types filled in, the separator in use, and the findings."""
    fields, separator, problems = examine_header(header, separator, types)
    findings = [
        Finding("error", file, 1, clip(p.name, 60) or None, p.message, p.remedy)
        for p in problems[:MAX_FINDINGS]
    ]
    return fields, separator, findings


def _unquoted(
    path: Path, body: bytes, separator: str, n_fields: int
) -> tuple[bytes, np.ndarray, list[Finding]]:
    """A line without quotes for each record, the records' first lines, and what is wrong.

    A separator or line end inside of a text becomes a space.
    """
    findings: list[Finding] = []
    try:
        records = csv_records(path, body.decode(), separator)
        open_quote = any(
            len(record) != n_fields and "\n" in "".join(record) for _, record in records
        )
    except UserError:
        open_quote = True
    if open_quote:
        message = "a quote that is not closed, so that RecBole takes lines for one text"
        remedy = "Close it, and write a quote inside of a quoted text twice."
        findings.append(Finding("error", path.name, None, None, message, remedy))
        records = []
        for line, text in enumerate(body.decode().split("\n")[:-1], 2):
            record = next(csv.reader([text], delimiter=separator), [""])
            records.append((line, record if len(record) == n_fields else text.split(separator)))
    plain = (
        separator.join(re.sub(f"[\n{re.escape(separator)}]", " ", text) for text in record)
        for _, record in records
    )
    text = "".join(f"{line}\n" for line in plain)
    return text.encode(), np.array([line for line, _ in records]), findings


def _readable_lines(
    file: str, body: bytes, separator: str, n_fields: int, lines: np.ndarray, headers: set[bytes]
) -> tuple[bytes, np.ndarray, list[Finding]]:
    """The lines that have all fields, their numbers in the file, and what the others are."""
    counts = count_fields(body, separator)
    ends = np.flatnonzero(np.frombuffer(body, np.uint8) == ord("\n"))
    blank = np.diff(ends, prepend=-1) == 1
    damaged = np.zeros(len(lines), dtype=bool)
    damaged[np.searchsorted(ends, [match.start() for match in re.finditer(b"\0", body)])] = True
    again = np.zeros(len(lines), dtype=bool)
    again[np.searchsorted(ends, sorted(find_lines(body, headers, 0)))] = True
    short = (counts < n_fields) & ~blank & ~damaged
    long = (counts > n_fields) & ~damaged
    findings = []
    for bad, message in (
        (blank, "a blank line"),
        (short, f"fewer than the header's {n_fields} fields"),
        (long, f"more than the header's {n_fields} fields"),
        (damaged, "a NUL byte"),
    ):
        remedy = "Correct or remove the line."
        findings += repeated("error", file, lines[bad], None, message, remedy)
    message, remedy = "the header line again", "It is left out; remove the line."
    findings += repeated("warning", file, lines[again], None, message, remedy)
    good = ~(blank | short | long | damaged | again)
    if not good.all():
        texts = np.array(body.split(b"\n")[:-1], dtype=object)
        body = b"".join(text + b"\n" for text in texts[good])
    return body, lines[good], findings


def _drop_bad_values(
    file: str, table: ReadableRows, types: dict[str, str], findings: list[Finding]
) -> tuple[ReadableRows | None, list[Finding]]:
    """Leave out the rows without an id or with a text that should be a number."""
    good = np.ones(len(table.lines), dtype=bool)
    for name, kind in types.items():
        if name not in table.columns:
            continue
        column = table.columns[name]
        if kind == "float":
            bad = bad_numbers(column)
            table.columns[name] = column.where(~bad, "nan").astype("float64")
            message = "not a finite number"
        else:
            bad = (column == "").to_numpy()
            message = "an empty id"
        if bad.any():
            if kind == "float":
                message += f" ({column[bad].iloc[0][:40]!r})"
            remedy = "Correct the value or remove the line."
            findings += repeated("error", file, table.lines[bad], name, message, remedy)
            good &= ~bad
    if not good.any():
        return None, findings
    columns = table.columns if good.all() else table.columns[good].reset_index(drop=True)
    return ReadableRows(table.fields, columns, table.lines[good], table.n_lines), findings
