"""Columns beside ids, ratings and times, as RecBole's reader gives them (dataset.py:427)."""

from pathlib import Path

import numpy as np

from recbole_dmf.data.lines import quoted
from recbole_dmf.errors import UserError

# What pandas takes for a missing value, and so RecBole:
# https://pandas.pydata.org/docs/reference/api/pandas.read_csv.html, na_values
MISSING = frozenset(
    [
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND"),
        *("1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    ]
)


def further_column(
    path: Path,
    name: str,
    kind: str,
    codes: np.ndarray,
    texts: np.ndarray,
    index: np.ndarray,
    seq_separator: str = " ",
    quotes: bool = True,
) -> np.ndarray:
    """The values of a column.

    Unlike RecBole's reader, an open quote does not swallow the lines that follow.

    Args:
        path, name: of the file and the column, for messages.
        kind: token, float, token_seq or float_seq.
        codes: int64 [rows], the place of each row's text in `texts`.
        texts: the distinct texts, object.
        index: int64 [rows]; row r of the file is line r + 2.
        seq_separator: between the values of a sequence.
        quotes: whether `texts` still have the quotes around them.

    Returns:
        [rows]: float64, NaN where missing, for float; else object: str or, where missing, NaN for
        token, and an array for each row of a sequence, empty where missing.

    Raises:
        UserError: a text that is no number in a float or float_seq column, with its line.
    """
    values = np.empty(len(texts), dtype=np.float64 if kind == "float" else object)
    for place, text in enumerate(texts):
        text = _unquoted(text) if quotes else text
        missing = text in MISSING
        try:
            if kind == "float":
                values[place] = np.nan if missing else _number(text)
            elif kind == "token":
                values[place] = np.nan if missing else text
            else:
                parts = [] if missing else [part for part in text.split(seq_separator) if part]
                values[place] = np.array(
                    parts if kind == "token_seq" else [_number(part) for part in parts]
                )
        except ValueError:
            line = int(index[np.argmax(codes == place)]) + 2
            raise UserError(
                f"{path}, line {line}, column {name}: {quoted(text)} does not fit the type {kind}. "
                "Correct the value, or leave the column out of load_col."
            ) from None
    return values[codes]


def _number(text: str) -> float:
    if "_" in text:  # a number for Python alone
        raise ValueError(text)
    return float(text)


def _unquoted(text: str) -> str:
    """A field without the quotes around it, and with one quote for two inside of them."""
    if len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1].replace('""', '"')
    return text
