"""The header of an atomic file: `name:type` fields between separators."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from recbole_dmf.data.lines import check_text, quoted, read_bytes
from recbole_dmf.errors import UserError

FIELD_TYPES = ("token", "token_seq", "float", "float_seq")
SEPARATORS = "\t,;| "
KINDS = f"Write `name:type` with type one of {', '.join(FIELD_TYPES)}"


@dataclass(frozen=True)
class Field:
    """One column of an atomic file: `name:type` in the header."""

    name: str
    type: str


@dataclass(frozen=True)
class HeaderProblem:
    """What is wrong with the field at place `column` (from 1), or with all of them (None)."""

    column: int | None
    name: str
    message: str
    remedy: str


def examine_header(
    header: str, separator: str, types: Mapping[str, str] | None = None
) -> tuple[list[Field], str, list[HeaderProblem]]:
    """What a header line says, as far as it can be understood, and all that is wrong with it.

    Args:
        header: the first line without its end.
        separator: the one that the settings name.
        types: the type that columns of these names must have, where they are there.

    Returns:
        The fields (of type token where the type is missing or unknown, and two of a name that is
        there twice), the separator in use, and the problems.
    """
    problems: list[HeaderProblem] = []
    other = _other_separator(header, separator)
    if other is not None:
        message = f"the fields are separated by {other!r}, not by {separator!r}"
        problems.append(HeaderProblem(None, "", message, f"Set `field_separator: {other!r}`"))
        separator = separator if separator in header else other
    texts = header.split(separator)
    typed = any(":" in text for text in texts)
    if not typed:
        message = f"{quoted(texts[0])} has no type, nor has any other, or there is no header"
        problems.append(HeaderProblem(1, "", message, f"{KINDS}, for instance `user_id:token`."))
    fields: list[Field] = []
    known: set[str] = set()
    for number, text in enumerate(texts, 1):
        name, colon, kind = text.partition(":")
        must = (types or {}).get(name)
        wrong = None
        if not name.strip():
            wrong = "a column without a name", f"{KINDS}."
        elif not colon:
            wrong = (f"{quoted(text)} has no type", f"{KINDS}.") if typed else None
            kind = must or "token"
        elif kind not in FIELD_TYPES:
            wrong = f"unknown type {quoted(kind)}", f"{KINDS}."
        elif must is not None and kind != must:
            wrong = f"the type is {kind}, but has to be {must}", f"Write `{name}:{must}`."
        if wrong:
            problems.append(HeaderProblem(number, name, *wrong))
            kind = must or (kind if kind in FIELD_TYPES else "token")
        if name in known:
            message = f"there are two columns named {quoted(name)}"
            problems.append(HeaderProblem(number, name, message, "Rename or remove one."))
        known.add(name)
        fields.append(Field(name, kind))
    return fields, separator, problems


def _other_separator(header: str, separator: str) -> str | None:
    """The separator that the header has in place of `separator`, if so."""
    others = [s for s in SEPARATORS if s != separator and s in header]
    texts = header.split(separator)
    if not others or not (len(texts) == 1 or any(text.count(":") > 1 for text in texts)):
        return None
    return max(others, key=header.count)


def parse_header(path: Path, header: str, separator: str) -> list[Field]:
    """The fields that a header line names; UserError on a wrong separator, type or name."""
    fields, _, problems = examine_header(header, separator)
    for problem in problems:
        place = f"{path}, line 1" + (f", column {problem.column}" if problem.column else "")
        remedy = problem.remedy
        if problem.column is None:
            remedy += f", or let `recbole-dmf check {path.parent} --fix OUT` write it right."
        raise UserError(f"{place}: {problem.message}. {remedy}")
    return fields


def header_fields(path: Path, separator: str = "\t") -> list[Field]:
    """The columns of an atomic file.

    Raises:
        UserError: the file is missing or empty, or its header cannot be used.
    """
    path = Path(path)
    check_separator(separator)
    header = read_bytes(path, first_line=True).rstrip(b"\r\n")
    check_text(path, header, f"`recbole-dmf check {path.parent} --fix OUT` writes a mended copy.")
    return parse_header(path, header.decode(), separator)


def check_separator(separator: str) -> None:
    """Raise UserError unless `separator` is one ASCII character that can separate fields."""
    if len(separator) != 1 or not separator.isascii() or separator in "\r\n\0:":
        raise UserError(
            f"field_separator {separator!r} is not supported: "
            "use a single ASCII character, by default a tab."
        )
