"""The items that are ranked: drawn once per (data set, split seed), the same for every model."""

import hashlib
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recbole_dmf.evaluation.metrics import N_CANDIDATES


@dataclass(frozen=True)
class Candidates:
    """One target and up to 100 distinct unseen items for each evaluated user.

    Attributes:
        user: int64 [n], internal user ids, ascending.
        target: int64 [n], the left-out item.
        items: int64 [n, 100], the candidates without the target; -1 fills rows of users with
            fewer unseen items.
        sha256: hexadecimal hash of the three arrays above.
    """

    user: NDArray[np.int64]
    target: NDArray[np.int64]
    items: NDArray[np.int64]
    sha256: str


def candidates_from(user: NDArray, target: NDArray, items: NDArray) -> Candidates:
    """Sort by user and attach the hash. Shapes [n], [n], [n, width]."""
    order = np.argsort(user, kind="stable")
    arrays = [np.ascontiguousarray(a[order], dtype="<i8") for a in (user, target, items)]
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.array(array.shape, dtype="<i8").tobytes())
        digest.update(array.tobytes())
    user, target, items = arrays
    return Candidates(user, target, items, digest.hexdigest())


def draw_candidates(
    seen: sp.csr_matrix,
    user: NDArray,
    target: NDArray,
    generator: np.random.Generator,
    n_candidates: int = N_CANDIDATES,
) -> Candidates:
    """Draw `n_candidates` distinct items per user among those in none of the user's interactions.

    Args:
        seen: [n_users, n_items], non-zero at every interaction of train, valid and test. Column 0
            is RecBole's padding item and is never drawn.
        user: int [n], users to evaluate, each at most once.
        target: int [n], their left-out items (which are in `seen`).
        generator: used for nothing else.

    Users with fewer unseen items get all of them (see `Candidates.items`).
    """
    n_items = seen.shape[1]
    order = np.argsort(user, kind="stable")
    user, target = np.asarray(user)[order], np.asarray(target)[order]
    items = np.full((len(user), n_candidates), -1, dtype=np.int64)
    for row, u in enumerate(user):
        taken = np.append(0, np.sort(seen.indices[seen.indptr[u] : seen.indptr[u + 1]]))
        n_unseen = n_items - len(taken)
        size = min(n_candidates, n_unseen)
        place = generator.choice(n_unseen, size=size, replace=False, shuffle=True)
        # The unseen item number `place` stands behind so many of those taken.
        skipped = np.searchsorted(taken - np.arange(len(taken)), place, side="right")
        items[row, :size] = place + skipped
    return candidates_from(user, target, items)
