import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from recbole_dmf.errors import UserError
from recbole_dmf.evaluation.significance import (
    bootstrap_interval,
    compare_with_best_other,
    holm,
    mean_over_seeds,
    wilcoxon_p,
)


def per_user(values, users=None):
    users = [str(u) for u in range(len(values))] if users is None else users
    return pd.Series(np.asarray(values, dtype=float), index=users)


def test_holm_worked_example():
    # sorted .005 .01 .03 .04, times 4 3 2 1 = .02 .03 .06 .04, made non-decreasing
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])


def test_holm_of_nothing_and_of_one():
    assert holm([]).shape == (0,)
    np.testing.assert_allclose(holm([0.2]), [0.2])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_lies_between_raw_and_bonferroni_and_keeps_order(p):
    p = np.array(p)
    corrected = holm(p)
    assert (corrected >= p).all()
    assert (corrected <= np.minimum(1, p * len(p))).all()
    assert (np.diff(corrected[np.argsort(p, kind="stable")]) >= 0).all()


def test_wilcoxon_agrees_with_counting_all_signs():
    difference = np.array([1.0, -2.0, 3.0, 4.0, 5.0, 6.0])  # rank sum of the negatives is 2
    signs = np.array(np.meshgrid(*[[0, 1]] * 6)).reshape(6, -1)
    rank_sums = np.arange(1, 7) @ signs
    exact = 2 * (rank_sums <= 2).mean()
    assert wilcoxon_p(difference) == pytest.approx(exact)


def test_zeros_are_ranked_but_not_counted():
    # by hand, after Pratt: n = 60 of which 30 zeros; the others have ranks 31..60, all positive
    difference = np.concatenate([np.zeros(30), np.arange(1.0, 31.0)])
    ranks = np.arange(31, 61)
    z = (ranks.sum() / 2) / np.sqrt((ranks**2).sum() / 4)
    assert wilcoxon_p(difference) == pytest.approx(2 * norm.sf(z))


def test_rounding_noise_is_no_difference():
    assert wilcoxon_p(np.full(100, 1e-16)) == 1.0


def test_identical_models():
    values = per_user(np.random.default_rng(1).random(200))
    result = compare_with_best_other({"A": values, "B": values.copy(), "C": values.copy()})
    assert [c.p_value for c in result.values()] == [1.0] * 3
    assert [c.p_holm for c in result.values()] == [1.0] * 3
    assert not any(c.significant for c in result.values())
    assert {(c.difference, c.low, c.high) for c in result.values()} == {(0.0, 0.0, 0.0)}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.floats(-0.1, 0.1))
def test_swapped_direction_is_symmetric(seed, shift):
    rng = np.random.default_rng(seed)
    a, b = per_user(rng.random(60)), per_user(rng.random(60) + shift)
    one = compare_with_best_other({"A": a, "B": b})["A"]
    two = compare_with_best_other({"B": b, "A": a})["A"]
    back = compare_with_best_other({"A": a, "B": b})["B"]
    assert one.p_holm == two.p_holm == back.p_holm
    assert one.difference == pytest.approx(two.difference)
    assert (one.low, one.high) == pytest.approx((two.low, two.high))
    assert (one.low, one.high) == pytest.approx((-back.high, -back.low))
    assert one.significant == back.significant


def test_planted_difference_is_found_whatever_the_order_of_users():
    rng = np.random.default_rng(3)
    base = rng.random(900)
    better = per_user(base + 0.03 + 0.1 * rng.standard_normal(900)).sample(frac=1, random_state=1)
    worse = per_user(base + 0.1 * rng.standard_normal(900))
    result = compare_with_best_other({"worse": worse, "better": better, "noise": worse - 0.2})
    assert result["better"].other == "worse"
    assert result["better"].significant
    assert result["better"].low < 0.03 < result["better"].high
    assert result["noise"].other == "better"
    assert result["noise"].significant
    assert result["noise"].difference < 0


def test_skewed_differences_with_mean_zero_get_no_marker():
    # nine users lose a little for each that gains much: ranks differ, means do not
    difference = np.tile([0.9] + [-0.1] * 9, 60)
    zero = per_user(np.zeros(600))
    result = compare_with_best_other({"A": per_user(difference), "B": zero})["A"]
    assert result.p_holm < 0.001
    assert result.low < 0 < result.high
    assert not result.significant


def test_false_positive_rate_of_one_pair_is_near_the_level():
    rng = np.random.default_rng(7)
    rejected = 0
    for _ in range(1000):
        difference = rng.standard_normal(80) * (rng.random(80) < 0.6)  # 40 % zeros
        rejected += wilcoxon_p(difference) < 0.05
    assert 0.03 < rejected / 1000 < 0.07


def test_any_false_claim_among_six_equal_models_is_within_the_level():
    # the opponents are picked after the fact; a correction over 5 comparisons gives about 0.10
    rng = np.random.default_rng(11)
    claims = 0
    for _ in range(200):
        models = {name: per_user(rng.standard_normal(60)) for name in "ABCDEF"}
        claims += any(c.p_holm < 0.05 for c in compare_with_best_other(models).values())
    assert claims / 200 < 0.08


def test_interval_of_the_mean_covers_it():
    rng = np.random.default_rng(5)
    covered = 0
    for seed in range(200):
        low, high = bootstrap_interval(rng.standard_normal(60) + 1.0, seed)
        covered += low < 1.0 < high
    assert 0.89 < covered / 200 <= 0.99


def test_interval_needs_two_users():
    with pytest.raises(UserError, match="2 users"):
        bootstrap_interval([0.1])


def test_single_model_has_no_comparison():
    assert compare_with_best_other({"A": per_user([0.1, 0.2])}) == {}


def test_mean_over_seeds_matches_users():
    one = per_user([1.0, 0.0], ["u1", "u2"])
    two = per_user([0.5, 0.0], ["u2", "u1"])
    mean = mean_over_seeds([one, two], ["one.csv", "two.csv"])
    assert mean.to_dict() == {"u1": 0.5, "u2": 0.25}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (per_user([1, 1, 1]), r"two\.csv: user_id '2' is not in one\.csv"),
        (per_user([1]), r"one\.csv: user_id '1' is not in two\.csv"),
        (per_user([1, 1], ["0", "0"]), r"two\.csv: user_id '0' occurs twice"),
        (per_user([1, np.nan]), r"two\.csv: .*not a finite number"),
    ],
)
def test_users_that_do_not_match(other, message):
    one = per_user([1, 0])
    with pytest.raises(UserError, match=message):
        mean_over_seeds([one, other], ["one.csv", "two.csv"])
    with pytest.raises(UserError, match=message):
        compare_with_best_other({"one.csv": one, "two.csv": other})


def test_mean_over_no_runs():
    with pytest.raises(UserError, match="no run"):
        mean_over_seeds([], [])
