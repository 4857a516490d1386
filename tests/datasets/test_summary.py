"""recbole_dmf.datasets.summary and the split's two rules, against loops over the rows."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recbole_dmf.data.split import drop_duplicates, latest_rows
from recbole_dmf.datasets.summary import cold_items

pairs = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=30
)


@given(pairs)
def test_rows_that_stay_and_latest_rows(rows):
    users, items, times = (np.array(column) for column in zip(*rows, strict=True))
    kept = drop_duplicates(users, items, times.astype(float))
    best = {}
    for row, (user, item, time) in enumerate(rows):
        if (user, item) not in best or time >= rows[best[user, item]][2]:
            best[user, item] = row
    assert kept.tolist() == sorted(best.values())

    codes = np.unique(users, return_inverse=True)[1]
    tested, level = latest_rows(codes, times.astype(float))
    for user in range(codes.max() + 1):
        mine = [row for row in range(len(rows)) if codes[row] == user]
        last = max(times[row] for row in mine)
        latest = [row for row in mine if times[row] == last]
        assert (tested[user], level[user]) == (latest[-1], len(latest))
    assert latest_rows(codes, None)[0].tolist() == [
        max(np.flatnonzero(codes == user)) for user in range(codes.max() + 1)
    ]
    others = np.delete(items, tested)
    assert cold_items(items, tested) == sum(item not in others for item in items[tested])
