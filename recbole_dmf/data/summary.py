"""Facts about interactions that decide how they are split and how hard the test is."""

import numpy as np
import pandas as pd

from recbole_dmf.data.split import drop_duplicates

MILLISECONDS = 1e11  # as seconds, this is the year 5138; as milliseconds, 1973
_UNITS = (
    (1e17, 1e9, "nanoseconds"),
    (1e14, 1e6, "microseconds"),
    (MILLISECONDS, 1e3, "milliseconds"),
)


def keep_latest(users: np.ndarray, items: np.ndarray, times: np.ndarray | None) -> np.ndarray:
    """Which rows stay when each (user, item) pair keeps its latest row only.

    Args:
        users, items: non-negative integer codes [rows].
        times: float64 [rows], or None where no time is known.

    Returns:
        bool [rows]. Of rows with equal times, the last one in file order stays.
    """
    keys = users.astype(np.int64) * (int(items.max(initial=0)) + 1) + items
    keep = np.ones(len(keys), dtype=bool)
    ordered = np.sort(keys)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(twice) == 0:
        return keep
    rows = np.flatnonzero(pd.Series(keys).isin(twice).to_numpy())
    keep[rows] = False
    keep[
        rows[drop_duplicates(users[rows], items[rows], None if times is None else times[rows])]
    ] = True
    return keep


def latest_rows(users: np.ndarray, times: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Each user's latest row, and how many of the user's rows share its time.

    Args:
        users: codes 0..n-1, each of which occurs [rows].
        times: float64 [rows]; None if unknown: then the last row is the latest.

    Returns:
        rows int64 [n], of several latest ones the last, and counts int64 [n].
    """
    n_users = int(users.max()) + 1
    if times is None:
        times = np.arange(len(users), dtype=np.float64)
    last = np.full(n_users, -np.inf)
    np.maximum.at(last, users, times)
    rows = np.flatnonzero(times == last[users])
    latest = np.empty(n_users, dtype=np.int64)
    latest[users[rows]] = rows  # the last row is written last
    return latest, np.bincount(users[rows], minlength=n_users)


def cold_items(items: np.ndarray, rows: np.ndarray) -> int:
    """How many of the test rows `rows` have an item that occurs in no other row at all.

    The items of other users' test rows are not known in training either, and do not count.
    """
    known = np.bincount(items, minlength=1) - np.bincount(items[rows], minlength=items.max() + 1)
    return int((known[items[rows]] == 0).sum())


def in_seconds(times: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Timestamps [rows] in seconds, and what was changed: units are told by their size."""
    times, changes = times.copy(), []
    for start, scale, unit in _UNITS:
        rows = np.abs(times) >= start
        if rows.any():
            times[rows] /= scale
            changes.append(f"{rows.sum()} timestamps in {unit} became seconds")
    return times, changes
