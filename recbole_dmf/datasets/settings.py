"""The settings of a data folder: RecBole's option names for its columns and its separator."""

import difflib
from collections.abc import Iterator
from pathlib import Path

import yaml

from recbole_dmf.data.atomic import check_separator
from recbole_dmf.datasets.lenient import Finding
from recbole_dmf.errors import UserError
from recbole_dmf.literals import Loader, not_plain


def read_settings(path: Path) -> tuple[dict, list[Finding]]:
    """The settings in a yaml file (none where there is no file), and what is wrong with it."""
    if not path.exists():
        return {}, []
    try:
        properties = yaml.load(path.read_text(encoding="utf-8"), Loader=Loader)
    except (yaml.YAMLError, OSError, ValueError, TypeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        message = f"not a yaml file: {getattr(error, 'problem', None) or error}"
        remedy = "Correct the line; settings are written `name: value`."
        line = mark.line + 1 if mark else None
        return {}, [Finding("error", path.name, line, None, message, remedy)]
    if properties is None:
        return {}, []
    if not isinstance(properties, dict):
        remedy = "Write one `name: value` per line."
        return {}, [Finding("error", path.name, 1, None, "no settings", remedy)]
    if reason := not_plain(properties):
        remedy = "Settings are plain values."
        return {}, [Finding("error", path.name, None, None, f"no settings: {reason}", remedy)]
    return properties, []


def unknown_options(file: str, properties: dict, known: set[str] | None) -> Iterator[Finding]:
    """An error for each option that is not among the `known` ones; None checks nothing."""
    if known is None:
        return
    for option in properties:
        if option not in known:
            near = difflib.get_close_matches(str(option), known, n=1)
            remedy = f"Did you mean {near[0]}?" if near else "Remove it."
            yield Finding("error", file, None, None, f"unknown option {option!r}", remedy)


def column_names(properties: dict) -> tuple[dict[str, str], list[Finding]]:
    """Names of the columns in the roles 'user', 'item', 'rating' and 'time'."""
    options = {
        "user": ("USER_ID_FIELD", "user_id"),
        "item": ("ITEM_ID_FIELD", "item_id"),
        "rating": ("RATING_FIELD", "rating"),
        "time": ("TIME_FIELD", "timestamp"),
    }
    columns: dict[str, str] = {}
    findings = []
    for role, (option, default) in options.items():
        value = properties.get(option) or default
        if not isinstance(value, str) or value in columns.values():
            message = f"{option}: {value!r} is no name of a column of its own"
            findings.append(Finding("error", "settings", None, None, message, "Correct it."))
            value = default
        columns[role] = value
    return columns, findings


def separator_of(properties: dict) -> tuple[str, list[Finding]]:
    """The `field_separator`, a tab where it is unset or cannot be used."""
    separator = properties.get("field_separator", "\t")
    try:
        check_separator(str(separator))
    except UserError as error:
        return "\t", [Finding("error", "settings", None, None, str(error), "")]
    return str(separator), []
