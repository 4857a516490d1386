"""Counts in blocks of users and items against those over whole rows."""

from itertools import chain

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_dmf.errors import UserError
from recbole_dmf.evaluation.block_counts import user_blocks
from recbole_dmf.evaluation.candidates import draw_candidates
from recbole_dmf.evaluation.evaluate import Phase
from recbole_dmf.evaluation.products import Blocks, Pairs, Products
from recbole_dmf.models.scores import scores_of


def in_blocks(phase, n_users, n_items):
    """The phase with blocks of that size in place of the usual ones."""
    phase._blocks = Blocks(phase.n_items, n_items)
    phase._user_blocks = user_blocks(
        phase.candidates, phase._seen, phase._blocks, phase.device, n_users
    )
    return phase


def random_phases(generator, n_users, n_items, share):
    """Twice the same phase; some users have no unseen item, so they have no candidates."""
    seen = generator.random((n_users, n_items)) < generator.choice([0.0, 0.3, 1.0], (n_users, 1))
    seen[:, 0] = False
    target = generator.integers(1, n_items, n_users)
    seen[np.arange(n_users), target] = True
    matrix = sp.csr_matrix(seen)
    user = generator.permutation(n_users)[: max(1, n_users - 1)]
    drawn = draw_candidates(matrix, user, target[user], generator, 5)
    warm = None if share is None else generator.random(n_items) < share
    return [Phase(drawn, matrix, "cpu", warm=warm) for _ in range(2)]


@given(
    seed=st.integers(0, 2**31),
    n_users=st.integers(1, 12),
    n_items=st.integers(2, 60),
    block=st.tuples(st.integers(1, 13), st.integers(1, 20)),
    share=st.none() | st.floats(0, 1),
    levels=st.integers(1, 3),
)
@settings(max_examples=300)
def test_blocks_count_as_whole_rows(seed, n_users, n_items, block, share, levels):
    """Small whole numbers, so that all products are exact and many are equal."""
    generator = np.random.default_rng(seed)
    by_rows, by_blocks = random_phases(generator, n_users, n_items, share)
    p, q = (
        torch.from_numpy(generator.integers(-levels, levels + 1, (n, 3)).astype(np.float32))
        for n in (n_users, n_items)
    )
    wanted = by_rows.count(lambda user: p[user] @ q.T)
    found = in_blocks(by_blocks, *block).count(Products(lambda user: p[user], q))
    for name, values in vars(wanted).items():
        np.testing.assert_array_equal(getattr(found, name), values)


@pytest.mark.parametrize("n_users", [1, 2, 3, 7])
@pytest.mark.parametrize("n_items", [129, 400, 4_001])
def test_equal_vectors_tie_for_few_users_of_a_small_catalogue(n_users, n_items):
    generator = torch.Generator().manual_seed(n_items)
    p, one = (torch.randn(n, 64, generator=generator) for n in (n_users, 1))
    phase = random_phases(np.random.default_rng(1), n_users, n_items, None)[0]
    counts = phase.count(Products(lambda user: p[user], one.repeat(n_items, 1)))
    np.testing.assert_array_equal(counts.full_tied, counts.n_unseen)


@pytest.mark.parametrize("factors", [1, 7, 64])
def test_equal_vectors_tie_in_whichever_blocks_they_are(factors):
    generator = torch.Generator().manual_seed(factors)
    n_users, n_items = 70, 1_003
    p, one = (torch.randn(n, factors, generator=generator) for n in (n_users, 1))
    phases = random_phases(np.random.default_rng(factors), n_users, n_items, 0.5)
    phase = in_blocks(phases[0], 32, 128)
    counts = phase.count(Products(lambda user: p[user], one.repeat(n_items, 1)))
    assert (counts.full_above == 0).all()
    np.testing.assert_array_equal(counts.full_tied, counts.n_unseen)
    np.testing.assert_array_equal(counts.sampled_tied, counts.n_candidates)
    np.testing.assert_array_equal(counts.warm_tied, counts.warm_unseen)


def test_a_small_catalogue_is_counted_in_rows():
    phase = random_phases(np.random.default_rng(1), 5, 40, None)[0]
    p = torch.ones(5, 2)
    phase.count(Products(lambda user: p[user], torch.ones(40, 2)))
    assert "_batches" in vars(phase)
    assert "_user_blocks" not in vars(phase)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_scores_that_are_not_finite_are_an_error_but_for_padding(bad):
    phase = in_blocks(random_phases(np.random.default_rng(2), 5, 40, None)[0], 3, 8)
    q = torch.ones(40, 2)
    q[0] = bad
    phase.count(Products(lambda user: torch.ones(len(user), 2), q))
    q[39] = bad
    with pytest.raises(UserError, match="NaN or infinite"):
        phase.count(Products(lambda user: torch.ones(len(user), 2), q))


@given(st.integers(2, 300), st.integers(1, 50))
def test_blocks_have_one_size_and_every_item_once(n_items, size):
    blocks = Blocks(n_items, size)
    items = [list(range(first, first + blocks.size)) for first in blocks.first]
    items[-1] = items[-1][blocks.n_repeated :]
    assert list(chain(*items)) == list(range(1, n_items))
    item = np.arange(n_items)[::-1]
    pairs = Pairs(blocks, np.zeros_like(item), item, 1, torch.device("cpu"))
    assert item[pairs.given.numpy()].tolist() == list(range(1, n_items))
    assert pairs.blocks() == list(range(len(blocks)))
    for n, first in enumerate(blocks.first):
        part = pairs.of(n)
        assert (pairs.place[part] + first).tolist() == item[pairs.given[part].numpy()].tolist()


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("DMF", {}),
        ("DMF", {"preset": "dmf-best"}),
        ("LFM", {}),
        ("EALS", {}),
        ("SASRec", {"max_length": 5, "hidden_size": 8}),
        ("BPR", {}),
        ("ItemPop", {}),
    ],
)
def test_a_trainer_counts_in_blocks_as_in_rows(ready, model, options):
    _, prepared, made = ready(model, **options)
    made.eval()
    phase = prepared.phases["test"]
    counts = []
    for _ in range(2):
        scores = scores_of(made, phase.n_items, phase.n_earlier)
        assert isinstance(scores, Products) == (model not in ("BPR", "ItemPop"))
        counts.append(phase.count(scores))
        in_blocks(phase, 7, 16)
    for name, values in vars(counts[0]).items():
        # A score next to the target's may be rounded to its other side.
        assert np.abs(getattr(counts[1], name) - values).sum() <= 2
