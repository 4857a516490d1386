"""The settings of a data folder: RecBole's option names for its columns and its separator."""

from collections.abc import Iterator
from pathlib import Path

from recbole_dmf.data.header import check_separator
from recbole_dmf.datasets.lenient import Finding
from recbole_dmf.errors import UserError
from recbole_dmf.literals import load_yaml
from recbole_dmf.options import nearest


def read_settings(path: Path) -> tuple[dict, list[Finding]]:
    """The settings in a yaml file (none where there is no file), and what is wrong with it."""
    if not path.exists():
        return {}, []
    try:
        return load_yaml(path), []
    except UserError as error:
        mark = getattr(error.__cause__, "problem_mark", None)
        line = mark.line + 1 if mark else None
        remedy = "Settings are plain values, one `name: value` per line."
        return {}, [Finding("error", path.name, line, None, str(error).rstrip("."), remedy)]


def unknown_options(file: str, properties: dict, known: set[str] | None) -> Iterator[Finding]:
    """An error for each option that is not among the `known` ones; None checks nothing."""
    if known is None:
        return
    for option in properties:
        if option not in known:
            message = f"unknown option {option!r}{nearest(option, known)}"
            yield Finding("error", file, None, None, message, "Correct or remove it.")


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
