import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom

from recbole_dmf.errors import UserError
from recbole_dmf.evaluation import metrics
from recbole_dmf.evaluation.metrics import (
    METRICS,
    expected_gain,
    gains,
    tied_gain,
)


def one(function, *counts):
    return function(*(np.array([c]) for c in counts))[0]


@pytest.mark.parametrize(("metric", "rank"), list(itertools.product(METRICS, range(1, 13))))
def test_gain_of_a_rank_is_the_textbook_metric(metric, rank):
    hit = rank <= 10
    expected = {
        "hit": float(hit),
        "recall": float(hit),
        "ndcg": hit / math.log2(rank + 1),
        "mrr": hit / rank,
        "precision": hit / 10,
    }[metric]
    found = one(lambda a, t: tied_gain(gains(metric, 10), a, t), rank - 1, 0)
    assert found == pytest.approx(expected, abs=1e-15)


def test_unknown_metric_names_the_known_ones():
    with pytest.raises(UserError, match="hit, ndcg"):
        gains("auc", 10)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 12))
def test_ties_are_the_mean_over_all_orders(above, tied, k):
    gain = gains("ndcg", k)
    ranks = range(above + 1, above + tied + 2)
    expected = np.mean([gain[r - 1] if r <= k else 0.0 for r in ranks])
    found = one(lambda a, t: tied_gain(gain, a, t), above, tied)
    assert found == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("metric", ["hit", "ndcg"])
def test_expected_is_the_enumeration_of_all_draws_and_tie_orders(metric):
    k, n_candidates = 2, 3
    gain = gains(metric, k)
    for n_unseen in range(1, 7):
        for above in range(n_unseen + 1):
            for tied in range(n_unseen - above + 1):
                items = ["a"] * above + ["t"] * tied + ["b"] * (n_unseen - above - tied)
                size = min(n_candidates, n_unseen)
                values = [
                    one(lambda a, t: tied_gain(gain, a, t), draw.count("a"), draw.count("t"))
                    for draw in itertools.combinations(items, size)
                ]
                found = one(
                    lambda n, a, t: expected_gain(gain, n, a, t, n_candidates),
                    n_unseen,
                    above,
                    tied,
                )
                assert found == pytest.approx(np.mean(values), abs=1e-12)


def test_expected_is_the_mean_of_ten_thousand_draws():
    generator = np.random.default_rng(7)
    n_unseen, above, tied, draws = 1500, 120, 25, 10_000
    for metric in ("hit", "ndcg"):
        gain = gains(metric, 10)
        table = generator.multivariate_hypergeometric(
            [above, tied, n_unseen - above - tied], 100, size=draws
        )
        sampled = tied_gain(gain, table[:, 0], table[:, 1])
        exact = one(lambda n, a, t, g=gain: expected_gain(g, n, a, t), n_unseen, above, tied)
        error = sampled.std() / math.sqrt(draws)
        assert abs(sampled.mean() - exact) < 4 * error


def test_constant_scorer_scores_chance():
    n_unseen = np.array([100, 101, 1500, 3600])
    zero = np.zeros_like(n_unseen)
    assert tied_gain(gains("hit", 10), zero, np.full(4, 100)).tolist() == [10 / 101] * 4
    expected = expected_gain(gains("hit", 10), n_unseen, zero, n_unseen)
    np.testing.assert_allclose(expected, 10 / 101, rtol=1e-11)


def test_few_unseen_items_are_all_drawn():
    found = one(lambda n, a, t: expected_gain(gains("ndcg", 10), n, a, t), 7, 3, 0)
    assert found == pytest.approx(1 / math.log2(5))


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(1, 400), st.floats(0, 1), st.floats(0, 1)), min_size=1))
def test_expected_is_a_mean_of_gains_and_falls_with_better_rivals(cases):
    n_unseen = np.array([n for n, _, _ in cases])
    above = np.array([int(share * n) for n, share, _ in cases])
    tied = np.array([int(s * (n - a)) for (n, _, s), a in zip(cases, above, strict=True)])
    hit = expected_gain(gains("hit", 10), n_unseen, above, tied)
    ndcg = expected_gain(gains("ndcg", 10), n_unseen, above, tied)
    assert (hit >= -1e-12).all()
    assert (hit <= 1 + 1e-9).all()
    assert (ndcg <= hit + 1e-12).all()
    alone = expected_gain(gains("hit", 10), n_unseen, above, np.zeros_like(tied))
    worst = expected_gain(gains("hit", 10), n_unseen, above + tied, np.zeros_like(tied))
    assert (worst - 1e-9 <= hit).all()
    assert (hit <= alone + 1e-9).all()


def by_position(gain, n_unseen, above, tied, n_candidates):
    """The textbook path in exact fractions: every position of the target, every number drawn."""
    draws = min(n_candidates, n_unseen)
    total = 0
    for position in range(above, above + tied + 1):
        for x in range(min(len(gain), draws + 1)):
            if draws - x <= n_unseen - position:
                ways = math.comb(position, x) * math.comb(n_unseen - position, draws - x)
                total += Fraction(gain[x]) * ways
    return float(total / math.comb(n_unseen, draws) / (tied + 1))


@settings(max_examples=60)
@given(st.integers(1, 250), st.floats(0, 1), st.floats(0, 1), st.integers(1, 120))
def test_ties_are_the_mean_over_positions(n_unseen, share, tied_share, n_candidates):
    above = int(share * n_unseen)
    tied = int(tied_share * (n_unseen - above))
    gain = gains("ndcg", 10)
    found = one(lambda n, a, t: expected_gain(gain, n, a, t, n_candidates), n_unseen, above, tied)
    exact = by_position(gain, n_unseen, above, tied, n_candidates)
    assert found == pytest.approx(exact, abs=1e-13)


@pytest.mark.parametrize(
    ("n_unseen", "above", "tied"),
    [(3700, 12, 1), (18_813, 0, 1), (18_813, 500, 3), (92_221, 0, 1), (92_221, 3000, 20)],
)
def test_large_catalogues_lose_no_digits_that_matter(n_unseen, above, tied):
    gain = gains("ndcg", 10)
    found = one(lambda n, a, t: expected_gain(gain, n, a, t), n_unseen, above, tied)
    assert found == pytest.approx(by_position(gain, n_unseen, above, tied, 100), abs=1e-9)


def test_users_in_chunks_get_the_same(monkeypatch):
    n_unseen = np.arange(900, 940)
    above, tied = np.arange(40), np.arange(40) % 3 * 100
    whole = expected_gain(gains("ndcg", 10), n_unseen, above, tied)
    monkeypatch.setattr(metrics, "_USERS_PER_CHUNK", 7)
    pieces = expected_gain(gains("ndcg", 10), n_unseen, above, tied)
    np.testing.assert_allclose(pieces, whole, rtol=1e-15)
    assert len(expected_gain(gains("ndcg", 10), n_unseen[:0], above[:0], tied[:0])) == 0


def test_fewer_draws_than_the_list_is_long():
    """A hypergeometric draw of 3 among 40 unseen items, 20 of them above."""
    gain = gains("ndcg", 10)
    drawn = hypergeom(40, 20, 3).pmf(np.arange(4))
    found = expected_gain(gain, np.array([40]), np.array([20]), np.array([0]), 3)
    assert found[0] == pytest.approx(drawn @ gain[:4], rel=1e-12)


def test_counts_of_any_integer_type():
    counts = (np.array([255, 90]), np.array([0, 4]), np.array([255, 80]))
    narrow = (column.astype(np.uint8) for column in counts)
    gain = gains("hit", 10)
    np.testing.assert_array_equal(expected_gain(gain, *narrow), expected_gain(gain, *counts))
