"""Files that were damaged or edited by hand: what is wrong with them, by file, field and line."""

import json
import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recbole_dmf.errors import UserError

_MISSING = object()


def read_json(path: Path, what_to_do: str) -> dict[str, Any]:
    """The JSON object in a file; `what_to_do` ends the message where there is none."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {what_to_do}.") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {what_to_do}.") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON ({one_line(str(error))}); {what_to_do}.") from None
    return mapping(value, "(the whole file)", path)


def mapping(value: Any, field: str, path: Path | str) -> dict[str, Any]:
    """`value`, the content of `field` in the file `path`, if it is a mapping."""
    if not isinstance(value, dict):
        raise UserError(f"{path}: field '{field}' must be a JSON object; run this again.")
    return value


def field(about: Any, name: str, kind: type, path: Path, default: Any = _MISSING) -> Any:
    """about[name], if it is a `kind`; without a default it must be there."""
    value = mapping(about, name, path).get(name, default)
    if value is _MISSING:
        raise UserError(f"{path}: field '{name}' is missing; the file is damaged, run it again.")
    if not isinstance(value, kind) or isinstance(value, bool):
        raise UserError(
            f"{path}: field '{name}' is {one_line(repr(value), 60)}, not of type {kind.__name__}; "
            "the file is damaged, run it again."
        )
    return value


def read_csv(
    path: Path, text: Sequence[str], numbers: Sequence[str], optional: Sequence[str] = ()
) -> pd.DataFrame:
    """These columns of a CSV file; numbers must be finite, else the line is named.

    Args:
        path: of the file; one that ends in .gz is compressed.
        text, numbers: columns that must be there.
        optional: further columns of numbers, all of them or none.
    """
    try:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; delete this run's folder and run the model again."
        ) from None
    except (OSError, EOFError, zlib.error, ValueError) as error:  # ValueErrors: pandas' own
        raise UserError(
            f"{path}: cannot be read as CSV ({one_line(str(error))}); delete this run's folder "
            "and run the model again."
        ) from None
    if set(optional) & set(rows.columns):
        numbers = (*numbers, *optional)
    for name in (*text, *numbers):
        if name not in rows.columns:
            raise UserError(
                f"{path}: column '{name}' is missing; delete this run's folder and run the model "
                "again."
            )
    for name in numbers:
        value = pd.to_numeric(rows[name], errors="coerce").to_numpy(np.float64)
        bad = np.flatnonzero(~np.isfinite(value))
        if len(bad):
            raise UserError(
                f"{path}, line {bad[0] + 2}: column '{name}' is '{rows[name].iloc[bad[0]]}', not a "
                "finite number; delete this run's folder and run the model again."
            )
        rows[name] = value
    return rows[[*text, *numbers]]


def is_number(value: Any) -> bool:
    """Whether `value` is a finite number; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def one_line(text: str, length: int = 300) -> str:
    """`text` without line breaks, cut off at `length` characters."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"
