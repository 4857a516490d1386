import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_dmf.models.sequential import steps
from recbole_dmf.models.sequential_knn import similarities

N_ITEMS = 8
sequences = st.lists(
    st.lists(st.integers(1, N_ITEMS - 1), max_size=7, unique=True), min_size=1, max_size=6
)


def flat(lists):
    start = np.cumsum([0, *map(len, lists)])
    return start, np.array([item for items in lists for item in items], np.int64)


@given(sequences, st.integers(1, 5), st.sampled_from([0.5, 1.0]), st.sampled_from([0.0, 0.5]))
def test_steps_are_those_counted_by_hand(lists, window, decay, backwards):
    expected = np.zeros((N_ITEMS, N_ITEMS))
    for items in lists:
        for i, first in enumerate(items):
            for step, later in enumerate(items[i + 1 : i + 1 + window]):
                expected[first, later] += decay**step
                expected[later, first] += backwards * decay**step
    found = steps(*flat(lists), N_ITEMS, window, decay, backwards)
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-6)
    assert found.nnz <= 2 * window * sum(map(len, lists))


def test_long_sequences_are_summed_in_blocks(monkeypatch):
    lists = [[1, 2, 3, 4, 5, 6], [2, 1, 3]]
    whole = steps(*flat(lists), N_ITEMS, 4, 0.9, 0.5)
    monkeypatch.setattr("recbole_dmf.models.sequential._PAIRS_PER_BLOCK", 2)
    np.testing.assert_allclose(
        steps(*flat(lists), N_ITEMS, 4, 0.9, 0.5).toarray(), whole.toarray(), rtol=1e-6
    )


@pytest.mark.parametrize("k", [0, 2])
def test_similarities_against_numpy(k):
    start, item = flat([[1, 2, 3, 4], [2, 3, 1], [5, 1]])
    followed = steps(start, item, N_ITEMS, 3, 0.9, 0.5)
    count = np.bincount(item, minlength=N_ITEMS)
    expected = followed.toarray() / (np.sqrt(np.outer(count, count)) + 10)
    if k:
        for row in expected:
            row[np.argsort(-row, kind="stable")[k:]] = 0
    np.testing.assert_allclose(similarities(followed, count, 10, k).toarray(), expected, rtol=1e-6)
