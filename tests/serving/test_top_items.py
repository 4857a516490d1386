"""The best items by blocks against a textbook ranking and against whole rows."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_dmf.evaluation.products import Blocks
from recbole_dmf.serving import top_items
from recbole_dmf.serving.recommend import Recommender
from recbole_dmf.serving.top_items import top_k, top_k_of_products, users_per_block


def no_check(score):
    pass


def textbook(score, left_out, k):
    """(row, item, value) by a stable sort of each row without item 0 and those left out."""
    found = []
    for row, values in enumerate(score):
        items = [i for i in range(1, len(values)) if not left_out[row, i]]
        items.sort(key=lambda item: -values[item])  # stable: equal ones by their number
        found += [(row, item, values[item]) for item in items[:k]]
    return found


@given(
    seed=st.integers(0, 2**31),
    n_users=st.integers(1, 9),
    n_items=st.integers(2, 90),
    size=st.sampled_from([1, 3, 7, 8, 16, 32, 100]),
    k=st.integers(1, 100),
    share=st.sampled_from([0.0, 0.2, 0.9, 1.0]),
    levels=st.integers(1, 4),
)
@settings(max_examples=300)
def test_blocks_rank_as_a_textbook_does(seed, n_users, n_items, size, k, share, levels):
    """Small whole numbers, so that all products are exact and many are equal."""
    generator = np.random.default_rng(seed)
    p, q = (
        generator.integers(-levels, levels + 1, (n, 3)).astype(np.float32)
        for n in (n_users, n_items)
    )
    left_out = generator.random((n_users, n_items)) < share
    if n_users > 1:
        left_out[0] = True  # a user who has seen everything
    found = top_k_of_products(
        torch.from_numpy(p),
        torch.from_numpy(q),
        k,
        sp.csr_matrix(left_out),
        Blocks(n_items, size),
        no_check,
    )
    wanted = textbook(p @ q.T, left_out, k)
    assert list(zip(*(part.tolist() for part in found), strict=True)) == wanted


@pytest.mark.parametrize(("size", "k"), [(64, 10), (128, 100), (256, 1)])
def test_blocks_rank_as_whole_rows(size, k):
    generator = torch.Generator().manual_seed(4)
    p, q = (torch.randn(n, 16, generator=generator) for n in (50, 2_001))
    q[1::7] = q[1]  # equal vectors in every block
    left_out = sp.random(50, 2_001, 0.05, "csr", random_state=1)
    score = p @ q.T
    score[:, 0] = -torch.inf
    score[left_out.nonzero()] = -torch.inf
    row, column, value = top_k(score, k)
    blocks = Blocks(len(q), size)
    found = top_k_of_products(p, q, k, left_out, blocks, no_check)
    np.testing.assert_array_equal(found[0], row)
    np.testing.assert_array_equal(found[1], column)
    np.testing.assert_allclose(found[2], value, rtol=1e-5)


@pytest.mark.parametrize("n_users", [1, 2, 5, 31, 256])
@pytest.mark.parametrize("factors", [1, 7, 64])
def test_equal_vectors_are_level_in_whichever_blocks_they_are(n_users, factors):
    generator = torch.Generator().manual_seed(factors)
    p, one = (torch.randn(n, factors, generator=generator) for n in (n_users, 1))
    q = one.repeat(1_003, 1)
    nothing = sp.csr_matrix((n_users, len(q)))
    row, item, value = top_k_of_products(p, q, 300, nothing, Blocks(len(q), 128), no_check)
    assert row.tolist() == np.repeat(np.arange(n_users), 300).tolist()
    assert item.tolist() == list(range(1, 301)) * n_users
    assert (value == value.reshape(n_users, 300)[:, :1].repeat(300, axis=1).reshape(-1)).all()


def test_few_users_at_once_where_k_is_large():
    assert users_per_block(1) == users_per_block(100) == 256
    assert users_per_block(1_000_000) == 4
    assert users_per_block(10**8) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["DMF-cosine", "DMF-dot", "DMF-recent", "LFM", "EALS"])
@pytest.mark.parametrize("exclude_seen", [True, False])
def test_recommendations_by_blocks_are_those_by_rows(name, exclude_seen, load, monkeypatch):
    recommender = load(name)
    users = recommender.users[1:]
    rows = [recommender.recommend(users, k, exclude_seen) for k in (7, 10_000)]
    small = Recommender(recommender.content)
    small._blocks = Blocks(len(small.items), 32)
    used = []
    of_products = top_items.top_k_of_products
    monkeypatch.setattr(
        "recbole_dmf.serving.recommend.top_k_of_products",
        lambda *given: used.append(1) or of_products(*given),
    )
    monkeypatch.setattr("recbole_dmf.serving.recommend.users_per_block", lambda k: 11)
    for k, wanted in zip((7, 10_000), rows, strict=True):
        found = small.recommend(users, k, exclude_seen)
        pd.testing.assert_frame_equal(found.drop(columns="item_id"), wanted.drop(columns="item_id"))
        # Items whose scores differ by rounding alone may change places.
        assert (found["item_id"] == wanted["item_id"]).mean() > 0.95
    assert len(used) == 2 * 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["DMF-cosine", "DMF-dot", "LFM", "EALS"])
def test_items_with_one_vector_are_level_for_one_user_as_well(name, load, monkeypatch):
    recommender = Recommender(load(name).content)
    q = recommender.model.item_vectors()
    monkeypatch.setattr(recommender.model, "item_vectors", lambda: q[1:2].repeat(len(q), 1))
    for user in recommender.users[1:]:
        found = recommender.recommend(user, 1_000, exclude_seen=False)
        assert found["item_id"].tolist() == recommender.items[1:].tolist()
