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
    pairs = np.asarray(user, np.int64) * (int(np.max(item, initial=0)) + 1) + item
    ordered = np.sort(pairs)
    repeated = ordered[1:][ordered[1:] == ordered[:-1]]
    keep = np.ones(len(pairs), dtype=bool)
    if len(repeated):  # sorting by time is dear, so only where it decides
        rows = np.flatnonzero(np.isin(pairs, repeated))
        time = rows if timestamp is None else np.asarray(timestamp)[rows]
        order = rows[np.lexsort((rows, time, pairs[rows]))]
        keep[order[:-1][pairs[order[:-1]] == pairs[order[1:]]]] = False
    return np.flatnonzero(keep)


def latest_first(user: NDArray, timestamp: NDArray | None) -> tuple[Indices, Indices]:
    """The rows of each user one after the other, each user's latest row first.

    Among equal timestamps (or without any) the row further down in the file is the later one.

    Args:
        user: int [n_rows].
        timestamp: float64 [n_rows], or None.

    Returns:
        int64 row numbers [n_rows] by user, and where in them each user starts [n_users].
    """
    rows = np.arange(len(user))
    time = rows if timestamp is None else np.asarray(timestamp)
    key = _as_one_number(user, time)
    if key is None:
        order = np.lexsort((-rows, -time, user))
    else:  # several times as fast
        order = np.argsort(key)
        ordered = key[order]
        level = ordered[1:] == ordered[:-1]
        tied = np.append(level, False) | np.append(False, level)
        order[tied] = order[tied][np.lexsort((-order[tied], ordered[tied]))]
    return order, np.flatnonzero(np.diff(user[order], prepend=-1) != 0)


def _as_one_number(user: NDArray, time: NDArray) -> NDArray | None:
    """Numbers that ascend by user, and for a user the later the lower; int64 [n_rows].

    None where times are no whole numbers, or too far apart.
    """
    if not len(time) or not np.isfinite(time).all():
        return None
    latest, span = int(time.max()), int(time.max()) - int(time.min()) + 1
    if max(abs(latest), span) >= 2**53 or span * (int(user.max()) + 1) >= 2**63:
        return None
    whole = time.astype(np.int64)
    return None if (whole != time).any() else np.asarray(user, np.int64) * span + (latest - whole)


def latest_rows(user: NDArray, timestamp: NDArray | None) -> tuple[Indices, Indices]:
    """Each user's latest row, and how many of the user's rows share its timestamp.

    Args:
        user: non-negative int [n_rows].
        timestamp: float64 [n_rows], or None.

    Returns:
        int64 [n_users] twice, by ascending number of the user.
    """
    order, starts = latest_first(user, timestamp)
    if timestamp is None:
        return order[starts], np.ones(len(starts), dtype=np.int64)
    time = np.asarray(timestamp)[order]
    counts = np.diff(np.append(starts, len(order)))
    level = time == np.repeat(time[starts], counts)
    return order[starts], np.add.reduceat(level, starts, dtype=np.int64)


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
    order, starts = latest_first(user, timestamp)
    sorted_user = user[order]
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
