"""A hash that two runs share exactly when they read the same interactions in the same order."""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


def fingerprint(ids: Iterable[Sequence[str]], columns: Iterable[NDArray]) -> str:
    """SHA-256 of a filtered and split data set.

    Args:
        ids: the users' and the items' tokens, in the order of their numbers.
        columns: of all parts, for example each part's users, items and ratings, one after another.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for tokens in ids:
        text = "".join(f"{len(token)}:{token}" for token in tokens)
        digest.update(f"{len(tokens)} {text}".encode())
    for column in columns:
        column = np.ascontiguousarray(column)
        digest.update(f"{column.dtype.str} {column.shape}".encode())
        digest.update(column.data)
    return digest.hexdigest()
