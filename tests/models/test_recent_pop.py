import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from recbole_dmf.models.recent_pop import recent_counts

N_ITEMS = 5
# seconds that float32 cannot tell apart
events = st.lists(st.tuples(st.integers(1, N_ITEMS - 1), st.integers(0, 30)), max_size=30)
spans = st.lists(st.tuples(st.integers(-2, 32), st.integers(0, 20)), min_size=1, max_size=5)
BASE = 900_000_000.0


@given(events, spans)
def test_counts_are_those_of_the_days_before(rows, asked):
    item, time = (
        (np.array(column, np.int64) for column in zip(*rows, strict=True))
        if rows
        else (np.zeros((2, 0), np.int64))
    )
    order = np.argsort(time, kind="stable")
    key = np.sort(item[order] * (len(rows) + 1) + np.arange(len(rows)))
    high = np.array([moment for moment, _ in asked])
    low = high - np.array([length for _, length in asked])
    found = recent_counts(
        torch.from_numpy(time[order] + BASE),
        torch.from_numpy(key),
        torch.arange(N_ITEMS)[None],
        torch.from_numpy(low + BASE),
        torch.from_numpy(high + BASE),
    )
    expected = [
        [np.sum((item == i) & (time >= a) & (time <= b)) for i in range(N_ITEMS)]
        for a, b in zip(low, high, strict=True)
    ]
    assert found.tolist() == expected
