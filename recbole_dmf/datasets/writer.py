"""Write atomic files: complete under their final name, or not at all."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_dmf.data.atomic import EXACT_FLOAT
from recbole_dmf.files import atomic_path, make_folder

_BLOCK = 1 << 20


def write_atomic(
    path: Path, header: Sequence[str], columns: Sequence[pd.Series], separator: str = "\t"
) -> None:
    """Write columns (categoricals of str, or float64) as an atomic file.

    Numbers are written so that they are read back exactly; no text may hold the separator or a
    line end.
    """
    make_folder(path.parent)
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(separator.join(header) + "\n")
        for start in range(0, len(columns[0]), _BLOCK):
            texts = [_texts(column.iloc[start : start + _BLOCK]) for column in columns]
            file.write("\n".join(map(separator.join, zip(*texts, strict=True))) + "\n")


def number_text(value: float) -> str:
    """The shortest text of a number that is read back exactly: 5, 3.5, 978300760."""
    whole = float(value).is_integer() and abs(value) < EXACT_FLOAT
    return str(int(value)) if whole else repr(float(value))


def _texts(column: pd.Series) -> list[str]:
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes, texts = column.cat.codes.to_numpy(), column.cat.categories.to_numpy(dtype=object)
    else:
        codes, values = pd.factorize(column.to_numpy())
        texts = np.array([number_text(value) for value in values], dtype=object)
    return texts[codes].tolist()
