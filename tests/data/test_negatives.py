import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_dmf.data import negatives
from recbole_dmf.data.negatives import NegativeSampler
from recbole_dmf.errors import UserError


def matrix(seed, n_users=12, n_items=40, density=0.4):
    dense = np.random.default_rng(seed).random((n_users, n_items)) < density
    dense[:, 0] = False
    dense[:, 1] = False
    return dense, sp.csr_matrix(dense)


@pytest.mark.parametrize("limit", [2**30, 0], ids=["bitmap", "sorted keys"])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), distribution=st.sampled_from(["uniform", "popularity"]))
def test_never_a_training_item_never_padding(limit, seed, distribution):
    dense, train = matrix(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(negatives, "_BITMAP_LIMIT", limit)
        sampler = NegativeSampler(train, seed, distribution)
    pairs = torch.cartesian_prod(torch.arange(12), torch.arange(40))
    assert (sampler.is_positive(*pairs.T).view(12, 40).numpy() == dense).all()
    if distribution == "popularity" and ((dense.sum(0) > 0) <= dense).all(1).any():
        return  # a user has every item that popularity can draw
    user = torch.arange(12).repeat(20)
    drawn = sampler.sample(user, 3)
    assert drawn.shape == (3, 240)
    assert drawn.min() >= 1
    assert not dense[user.expand_as(drawn), drawn].any()


def test_uniform_over_the_unseen_items():
    dense, train = matrix(1)
    drawn = NegativeSampler(train, 0).sample(torch.zeros(40_000, dtype=torch.long), 1)
    unseen = np.setdiff1d(np.flatnonzero(~dense[0]), [0])
    counts = np.bincount(drawn.view(-1), minlength=40)[unseen]
    expected = 40_000 / len(unseen)
    assert ((counts - expected) ** 2 / expected).sum() < len(unseen) + 5 * np.sqrt(2 * len(unseen))


def test_popularity_follows_the_counts():
    train = sp.csr_matrix(np.array([[0, 0, 0, 0]] + [[0, 1, 0, 0]] * 9 + [[0, 0, 1, 0]] * 4))
    drawn = NegativeSampler(train, 0, "popularity", alpha=0.5).sample(torch.zeros(50_000).long(), 1)
    counts = np.bincount(drawn.view(-1), minlength=4)
    assert counts[0] == counts[3] == 0
    assert counts[1] / counts.sum() == pytest.approx(3 / 5, abs=0.02)


def test_recbole_layout_and_own_generator():
    _, train = matrix(2)
    users = np.array([3, 5, 7])
    torch.manual_seed(0)
    before = torch.get_rng_state()
    flat = NegativeSampler(train, 9).set_phase("train").sample_by_user_ids(users, None, 4)
    assert torch.equal(torch.get_rng_state(), before)
    again = NegativeSampler(train, 9).sample(torch.from_numpy(users), 4)
    assert (flat.dtype, again.dtype) == (torch.int64, torch.int32)
    assert torch.equal(flat.view(4, 3), again.long())
    other = NegativeSampler(train, 10).sample(torch.arange(12), 4).view(-1)[:12]
    assert not torch.equal(other.long(), flat)


def test_user_with_every_item_is_an_error():
    train = sp.csr_matrix(np.array([[0, 1, 1], [0, 1, 0]]))
    with pytest.raises(UserError, match="every one of the 2 items"):
        NegativeSampler(train, 0)


def test_unknown_distribution_is_an_error():
    with pytest.raises(UserError, match="uniform, popularity"):
        NegativeSampler(matrix(0)[1], 0, "gaussian")


def test_elsewhere_the_draws_begin_anew():
    sampler = NegativeSampler(matrix(3)[1], 5)
    users = torch.arange(12)
    first = sampler.sample(users, 4)
    assert sampler.to("cpu") is sampler
    assert not torch.equal(sampler.sample(users, 4), first)
    moved = sampler.to("cpu:0")  # another name, so another device
    assert torch.equal(moved.sample(users, 4), first)
