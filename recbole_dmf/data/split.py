"""Leave-one-out splits, the paper's (Sec. 4.1) among them, exact in 64-bit timestamps."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]

MIN_INTERACTIONS = 3  # one each for test, validation and training


@dataclass(frozen=True)
class Split:
    """Row numbers of the interactions of each part, ascending, and the users not evaluated.

    Attributes:
        train, valid, test: int64 row numbers into the interactions given.
        short_users: ids of users with fewer than three interactions; all theirs are in `train`.
        untimed_users: ids of users all of whose timestamps are 0, which means unknown; all their
            interactions are in `train`.
        tied: number of evaluated users with several interactions at their latest timestamp.
    """

    train: Indices
    valid: Indices
    test: Indices
    short_users: Indices
    untimed_users: Indices
    tied: int


def drop_duplicates(user: NDArray, item: NDArray, timestamp: NDArray | None) -> Indices:
    """Rows that stay when each (user, item) pair keeps its latest interaction only.

    Among equal timestamps (or without any) the row further down in the file is the later one.

    Args:
        user, item: int [n_rows].
        timestamp: float64 [n_rows] in any unit, or None.

    Returns:
        int64 row numbers in file order.
    """
    rows = np.arange(len(user))
    pairs = np.asarray(user, np.int64) * (int(np.max(item, initial=0)) + 1) + item
    pairs.sort()
    if (pairs[1:] != pairs[:-1]).all():  # the usual case, at a fifth of the time
        return rows
    time = rows if timestamp is None else timestamp
    order = np.lexsort((rows, time, item, user))
    same_as_next = (np.diff(user[order]) == 0) & (np.diff(item[order]) == 0)
    return np.sort(order[np.concatenate([~same_as_next, [True]])]) if len(order) else rows


def leave_one_out(user: NDArray, timestamp: NDArray | None, seed: int) -> Split:
    """Latest interaction of each user for test, one random other one for validation.

    Test is the row with the greatest timestamp, and among equals (or without timestamps) the row
    furthest down in the file. Sec. 4.1. Users whose latest timestamp is 0, that
    is unknown, have no latest interaction and are left out of test and validation.

    Args:
        user: int [n_rows], one row per distinct (user, item) pair.
        timestamp: float64 [n_rows], or None.
        seed: of the validation draw.
    """
    generator = np.random.default_rng([seed, 0x5A11])
    return _split(user, timestamp, lambda counts: 1 + generator.integers(0, counts - 1))


def leave_two_out(user: NDArray, timestamp: NDArray | None) -> Split:
    """Latest interaction of each user for test, the one before it for validation.

    The parts hold what those of `leave_one_out` hold, and test is the same. A random validation
    interaction has later ones in training, a test interaction has none: what is chosen by the
    random one may use the future. Kang & McAuley, ICDM 2018, Sec. IV.

    Args:
        user, timestamp: as in `leave_one_out`.
    """
    return _split(user, timestamp, np.ones_like)


def _split(
    user: NDArray, timestamp: NDArray | None, valid_place: Callable[[Indices], Indices]
) -> Split:
    """The split whose validation is at a place among a user's interactions, the latest first.

    Args:
        user, timestamp: as in `leave_one_out`.
        valid_place: maps the evaluated users' numbers of interactions, int64 [n], to places from
            1 on; the test interaction is at place 0.
    """
    n_rows = len(user)
    rows = np.arange(n_rows)
    latest_first = (-rows,) if timestamp is None else (-rows, -np.asarray(timestamp))
    order = np.lexsort((*latest_first, user))
    sorted_user = user[order]
    starts = np.flatnonzero(np.concatenate([[True], np.diff(sorted_user) != 0])[:n_rows])
    counts = np.diff(np.append(starts, n_rows))
    long = counts >= MIN_INTERACTIONS
    timed = np.ones(len(starts), dtype=bool)
    tied = 0
    if timestamp is not None:
        latest = np.asarray(timestamp)[order]
        timed = latest[starts] != 0
        second = latest[np.minimum(starts + 1, n_rows - 1)]
        tied = int((long & timed & (second == latest[starts])).sum())
    kept = long & timed
    test = order[starts[kept]]
    valid = order[starts[kept] + valid_place(counts[kept])]
    in_train = np.ones(n_rows, dtype=bool)
    in_train[test] = in_train[valid] = False
    return Split(
        train=rows[in_train],
        valid=np.sort(valid),
        test=np.sort(test),
        short_users=sorted_user[starts[~long]].astype(np.int64),
        untimed_users=sorted_user[starts[long & ~timed]].astype(np.int64),
        tied=tied,
    )
