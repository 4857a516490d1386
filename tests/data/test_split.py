import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import ML_100K, SHARED, needs_shared
from recbole_dmf.data.history import count_earlier
from recbole_dmf.data.split import drop_duplicates, latest_first, leave_one_out, leave_two_out

rows = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 40)), min_size=1, max_size=60)


@given(rows, st.integers(0, 2**31))
def test_parts_are_disjoint_complete_and_latest(interactions, seed):
    user, time = (np.array(column) for column in zip(*interactions, strict=True))
    split = leave_one_out(user, time.astype(float), seed)
    parts = [split.train, split.valid, split.test]
    assert sorted(np.concatenate(parts)) == list(range(len(user)))
    for u in set(user):
        own = np.flatnonzero(user == u)
        if len(own) < 3 or time[own].max() == 0:
            assert (u in split.short_users) == (len(own) < 3)
            assert (u in split.untimed_users) == (len(own) >= 3)
            assert set(own) <= set(split.train)
            continue
        test = [row for row in split.test if user[row] == u]
        valid = [row for row in split.valid if user[row] == u]
        latest = own[time[own] == time[own].max()]
        assert test == [latest[-1]]
        assert len(valid) == 1
        assert valid[0] != test[0]


@given(rows, st.booleans())
def test_the_last_two_are_left_out_in_the_order_of_time(interactions, timed):
    user, time = (np.array(column) for column in zip(*interactions, strict=True))
    time = time.astype(float) if timed else None
    split = leave_two_out(user, time)
    with_random = leave_one_out(user, time, 0)
    for part in ("test", "short_users", "untimed_users", "tied"):
        assert np.array_equal(getattr(split, part), getattr(with_random, part))
    assert sorted([*split.train, *split.valid, *split.test]) == list(range(len(user)))
    order = np.lexsort((np.arange(len(user)), np.zeros(len(user)) if time is None else time))
    expected = [
        [row for row in order if user[row] == user[test] and row != test][-1] for test in split.test
    ]
    assert split.valid.tolist() == sorted(expected)


times = st.one_of(
    st.integers(0, 5).map(float),
    st.integers(-(2**62), 2**62).map(float),
    st.floats(0, 5, allow_nan=False),
    st.sampled_from([0.0, -0.0, np.inf, -np.inf, 2.0**53, 1e18]),
)


@given(st.lists(st.tuples(st.integers(0, 3), times), max_size=40), st.booleans())
def test_the_latest_come_first_whatever_the_times_are(interactions, timed):
    user = np.array([u for u, _ in interactions], dtype=np.int64)
    time = np.array([t for _, t in interactions], dtype=np.float64) if timed else None
    order, starts = latest_first(user, time)
    by_hand = sorted(
        range(len(user)), key=lambda row: (user[row], 0 if time is None else -time[row], -row)
    )
    assert order.tolist() == by_hand
    assert user[order[starts]].tolist() == sorted(set(user.tolist()))


def test_nothing_trained_on_is_later_than_the_validation_of_the_last_two():
    frame, _ = latest_by_hand(ML_100K)
    user, time = frame.user.factorize()[0], frame.time.to_numpy(np.float64)
    split = leave_two_out(user, time)
    assert len(split.valid) == 943
    n_earlier = count_earlier(user, time, split.train)
    of_train = np.bincount(user[split.train])
    assert (n_earlier[split.valid] == of_train[user[split.valid]]).all()
    assert (n_earlier[split.test] == of_train[user[split.test]]).all()


def test_without_timestamps_the_last_row_is_the_latest():
    split = leave_one_out(np.array([1, 1, 1, 2, 2, 2]), None, 0)
    assert split.test.tolist() == [2, 5]
    assert split.tied == 0


def test_a_seed_draws_the_same_everywhere():
    """Published figures depend on it: another draw would be another validation set."""
    split = leave_one_out(np.repeat([1, 2, 3], [4, 5, 6]), None, seed=7)
    assert split.valid.tolist() == [0, 5, 13]


def test_validation_is_uniform_over_the_other_interactions_and_depends_on_the_seed():
    user = np.repeat(np.arange(3000), 5)
    time = np.tile([3.0, 9.0, 1.0, 2.0, 5.0], 3000)
    split = leave_one_out(user, time, 1)
    counts = np.bincount(split.valid % 5, minlength=5)
    assert counts[1] == 0
    assert (abs(counts[[0, 2, 3, 4]] - 750) < 5 * np.sqrt(3000 * 0.25 * 0.75)).all()
    assert leave_one_out(user, time, 1).valid.tolist() == split.valid.tolist()
    assert leave_one_out(user, time, 2).valid.tolist() != split.valid.tolist()


@given(st.lists(st.tuples(*[st.integers(0, 3)] * 3), max_size=40))
def test_the_latest_of_each_pair_stays(interactions):
    columns = list(zip(*interactions, strict=True)) or [(), (), ()]
    user, item, time = (np.array(column, dtype=float) for column in columns)
    frame = pd.DataFrame({"u": user, "i": item, "t": time})
    expected = frame.sort_values("t", kind="stable").drop_duplicates(["u", "i"], keep="last")
    assert drop_duplicates(user, item, time).tolist() == sorted(expected.index)


def latest_by_hand(path):
    frame = pd.read_csv(path, sep="\t", dtype={0: str, 1: str})
    frame.columns = ["user", "item", "rating", "time"]
    test = {}
    for row, (user, time) in enumerate(zip(frame.user, frame.time, strict=True)):
        if user not in test or time >= test[user][0]:
            test[user] = (time, row)
    return frame, {user: row for user, (time, row) in test.items() if time > 0}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "n_users"),
    [
        pytest.param(ML_100K, 943, id="ml-100k"),
        pytest.param(
            SHARED / "ml-1m" / "ml-1m.inter", 6040, id="ml-1m", marks=needs_shared("ml-1m")
        ),
    ],
)
def test_latest_interaction_is_right_for_every_user(path, n_users):
    frame, expected = latest_by_hand(path)
    user = frame.user.factorize()[0]
    split = leave_one_out(user, frame.time.to_numpy(np.float64), 2020)
    found = dict(zip(frame.user.iloc[split.test], split.test, strict=True))
    assert len(found) == n_users
    assert found == expected


def test_users_with_several_latest_interactions_are_counted():
    user = np.repeat([1, 2, 3], 3)
    time = np.array([5, 5, 1, 5, 4, 4, 0, 0, 0])
    split = leave_one_out(user, time, 0)
    assert split.tied == 1
    assert split.untimed_users.tolist() == [3]
    frame, _ = latest_by_hand(ML_100K)
    split = leave_one_out(frame.user.factorize()[0], frame.time.to_numpy(np.float64), 0)
    assert split.tied == 415


def test_float32_timestamps_would_be_wrong():
    frame, expected = latest_by_hand(ML_100K)
    coarse = frame.time.to_numpy(np.float32).astype(np.float64)
    split = leave_one_out(frame.user.factorize()[0], coarse, 2020)
    time = frame.time.to_numpy()
    wrong = sum(
        time[row] < time[expected[user]]
        for user, row in zip(frame.user.iloc[split.test], split.test, strict=True)
    )
    assert wrong > 100
