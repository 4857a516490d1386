import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recbole_dmf.data.history import UNKNOWN, History, count_earlier
from recbole_dmf.data.split import leave_one_out

rows = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 20)), min_size=1, max_size=60)


@given(rows, st.integers(0, 2**31), st.booleans())
def test_earlier_training_interactions_are_counted(interactions, seed, timed):
    user, time = (np.array(column) for column in zip(*interactions, strict=True))
    timestamp = time.astype(float) if timed else None
    split = leave_one_out(user, timestamp, seed)
    found = count_earlier(user, timestamp, split.train)
    moment = [(time[n] if timed else 0, n) for n in range(len(user))]
    for n in range(len(user)):
        if timed and time[n] == 0:
            assert found[n] == UNKNOWN
            continue
        earlier = [
            m
            for m in split.train
            if user[m] == user[n] and moment[m] < moment[n] and not (timed and time[m] == 0)
        ]
        assert found[n] == len(earlier)


def test_the_test_interaction_comes_after_all_of_its_user():
    user, time = np.repeat([1, 2], 5), np.tile([7.0, 9.0, 1.0, 2.0, 5.0], 2)
    split = leave_one_out(user, time, 3)
    assert count_earlier(user, time, split.train)[split.test].tolist() == [3, 3]


@pytest.fixture
def history():
    user = torch.tensor([1, 3, 1, 1, 3, 4])
    item = torch.tensor([5, 6, 7, 8, 9, 2])
    return History.of(user, item, torch.tensor([1, 0, 0, 2, 1, UNKNOWN]), n_users=5, n_items=11)


def dense(rows):
    out = np.zeros((len(rows), rows.n_columns))
    for n in range(len(rows)):
        part = slice(rows.start[n], rows.start[n + 1])
        out[n, rows.column[part]] = rows.value[part]
    return out


def row_of(entries):
    row = np.zeros(11)
    for item, value in entries.items():
        row[item] = value
    return row


def test_latest_items_of_all_users(history):
    found = dense(history.latest(None, None, [(2, 0.5)]))
    expected = [{}, {8: 1, 5: 0.5}, {}, {9: 1, 6: 0.5}, {}]  # user 4's time is not known
    np.testing.assert_array_equal(found, [row_of(entries) for entries in expected])


def test_latest_items_at_a_moment(history):
    user = torch.tensor([1, 1, 3, 1, 4, 0, 1])
    n_earlier = torch.tensor([0, 1, 1, 3, UNKNOWN, 0, 2])
    found = dense(history.latest(user, n_earlier, [(9, 0.5)]))
    expected = [{}, {7: 1}, {6: 1}, {8: 1, 5: 0.5, 7: 0.25}, {}, {}, {5: 1, 7: 0.5}]
    np.testing.assert_array_equal(found, [row_of(entries) for entries in expected])


def test_nobody_has_a_history():
    nothing = torch.empty(0, dtype=torch.int64)
    history = History.of(nothing, nothing, nothing, n_users=3, n_items=4)
    assert dense(history.latest(None, None, [(5, 0.9)])).sum() == 0
    assert dense(history.latest(torch.tensor([1, 2]), None, [(5, 0.9)])).shape == (2, 4)
