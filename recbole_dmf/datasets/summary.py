"""Facts about interactions that decide how they are split and how hard the test is."""

import numpy as np
import pandas as pd
from tabulate import tabulate

from recbole_dmf.data.split import latest_rows
from recbole_dmf.datasets.gather import Interactions

TABLE_1 = {  # users, items, ratings, density as printed in the paper
    "ml-100k": (944, 1683, 100000, 0.06294),
    "ml-1m": (6040, 3706, 1000209, 0.04468),
    "amazon-music": (844, 18813, 46468, 0.00292),
    "amazon-movie": (9582, 92221, 766759, 0.00087),
}
TABLE_1_ROWS = ("# of Users", "# of Items", "# of Ratings", "Rating Density")
MILLISECONDS = 1e11  # as seconds, this is the year 5138; as milliseconds, 1973
_UNITS = (
    (1e17, 1e9, "nanoseconds"),
    (1e14, 1e6, "microseconds"),
    (MILLISECONDS, 1e3, "milliseconds"),
)


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


def describe(name: str, interactions: Interactions) -> str:
    """The numbers of the paper's Table 1 and what decides how hard the test is."""
    users = pd.factorize(interactions.users.codes)[0]
    items = pd.factorize(interactions.items.codes)[0]
    n_users, n_items, n = int(users.max()) + 1, int(items.max()) + 1, len(users)
    ours: tuple = (n_users, n_items, n, n / (n_users * n_items))
    rows = [[*row] for row in zip(TABLE_1_ROWS, ours, strict=True)]
    header = ["", name]
    if name in TABLE_1:
        header.append("paper, Table 1")
        rows = [[*row, theirs] for row, theirs in zip(rows, TABLE_1[name], strict=True)]
    for row in rows:
        row[1:] = [
            f"{value:.5f}" if isinstance(value, float) else f"{value:,}" for value in row[1:]
        ]
    lines = [
        tabulate(
            rows, header, disable_numparse=True, colalign=("left", *["right"] * (len(header) - 1))
        )
    ]
    if interactions.ratings is not None:
        values, counts = np.unique(interactions.ratings, return_counts=True)
        most = np.sort(np.argsort(-counts, kind="stable")[:10])
        shown = ", ".join(f"{values[k]:g}: {counts[k]:,} ({counts[k] / n:.1%})" for k in most)
        lines.append(f"ratings  {shown}" + (", ..." if len(values) > len(most) else ""))
    test, level = latest_rows(users, interactions.times)
    if interactions.times is not None:
        first, last = (
            str(np.datetime64(int(time), "s")) if abs(time) < 1e11 else f"{time:g}"
            for time in (interactions.times.min(), interactions.times.max())
        )
        lines.append(f"times    {first} to {last} (UTC)")
        lines.append(
            f"tied     {(level > 1).sum():,} of {n_users:,} users have several latest items"
        )
    cold = cold_items(items, test)
    lines.append(f"cold     {cold:,} of {n_users:,} latest items occur in no other interaction")
    return "\n".join(lines)
