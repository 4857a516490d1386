import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from recbole_dmf.errors import UserError
from recbole_dmf.evaluation.significance import (
    bootstrap_interval,
    compare_with_best_other,
    holm,
    mean_over_seeds,
    sign_flip_p,
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


def p_of(difference, seed=2020):
    return float(sign_flip_p(np.reshape(difference, (-1, 1)), seed)[0])


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=10))
def test_few_users_count_all_signs(difference):
    signs = list(itertools.product([1, -1], repeat=len(difference)))
    sums = np.abs([np.dot(s, difference) for s in signs])
    assert p_of(difference) == pytest.approx((sums >= abs(sum(difference))).mean(), abs=1e-15)


@pytest.mark.parametrize("n_users", [12, 200])
def test_p_is_that_of_scipy(n_users):
    rng = np.random.default_rng(4)
    a, b = rng.random(n_users), rng.random(n_users) + 2 / n_users
    theirs = stats.permutation_test(
        (a, b),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        n_resamples=20_000,
        vectorized=True,
        random_state=np.random.default_rng(5),
    ).pvalue
    exact = n_users < 15
    assert 0.01 < theirs < 0.99
    assert p_of(a - b) == pytest.approx(theirs, abs=1e-12 if exact else 0.015)


def test_many_users_come_near_the_normal_distribution():
    rng = np.random.default_rng(6)
    difference = rng.normal([0.0, 0.02, 0.03], size=(6040, 3))
    z = difference.sum(axis=0) / np.sqrt((difference**2).sum(axis=0))
    np.testing.assert_allclose(sign_flip_p(difference), 2 * stats.norm.sf(np.abs(z)), atol=0.015)


def test_pairs_get_the_p_that_each_has_alone_and_the_same_each_time():
    difference = np.random.default_rng(8).random((300, 4)) - [0.5, 0.52, 0.54, 0.56]
    together = sign_flip_p(difference)
    np.testing.assert_array_equal(together, sign_flip_p(difference))
    np.testing.assert_array_equal(together, [p_of(d) for d in difference.T])


def test_zeros_change_nothing():
    difference = np.random.default_rng(9).random(40) - 0.4
    assert p_of(np.concatenate([difference, np.zeros(500)])) == p_of(difference)


def test_rounding_noise_is_no_difference():
    assert p_of(np.full(100, 1e-16)) == 1.0


def test_identical_models():
    values = per_user(np.random.default_rng(1).random(200))
    result = compare_with_best_other({"A": values, "B": values.copy(), "C": values.copy()})
    assert [c.p_value for c in result.values()] == [1.0] * 3
    assert [c.p_holm for c in result.values()] == [1.0] * 3
    assert not any(c.significant for c in result.values())
    assert {(c.difference, c.low, c.high) for c in result.values()} == {(0.0, 0.0, 0.0)}


@pytest.mark.slow
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


def test_blocks_have_rivals_of_their_own():
    generator = np.random.default_rng(3)
    values = {name: per_user(generator.normal(k, 1, 40)) for k, name in enumerate("ABCD")}
    blocks = {"A": 0, "B": 0, "C": 1, "D": 2}
    within, of_all = (compare_with_best_other(values, blocks=b) for b in (blocks, None))
    assert {name: one.other for name, one in within.items()} == {"A": "B", "B": "A"}
    pair = compare_with_best_other({name: values[name] for name in "AB"})["A"]
    assert within["A"].difference == pair.difference
    assert within["A"].p_holm >= pair.p_holm  # corrected over the pairs of all blocks
    assert {name: one.other for name, one in of_all.items()} == dict(
        zip("ABCD", "DDDC", strict=True)
    )


def test_skewed_differences_with_mean_zero_get_no_marker():
    # nine users lose a little for each that gains much: ranks differ, means do not
    difference = np.tile([0.9] + [-0.1] * 9, 60)
    zero = per_user(np.zeros(600))
    result = compare_with_best_other({"A": per_user(difference), "B": zero})["A"]
    assert stats.wilcoxon(difference).pvalue < 0.002
    assert result.low < 0 < result.high
    assert result.p_value > 0.9
    assert not result.significant


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["zeros", "skewed", "counts"])
def test_false_positive_rate_of_one_pair_is_near_the_level(kind):
    rng = np.random.default_rng(7)
    draw = {
        "zeros": lambda n: rng.standard_normal(n) * (rng.random(n) < 0.6),
        "skewed": lambda n: rng.exponential(size=n) - 1,  # Wilcoxon rejects a third of these
        "counts": lambda n: rng.integers(0, 2, n) - rng.integers(0, 2, n),
    }[kind]
    differences = np.column_stack([draw(150) for _ in range(2000)])
    rejected = (sign_flip_p(differences) < 0.05).mean()
    assert 0.035 < rejected < 0.065


def test_a_difference_of_the_users_that_some_seed_turns_gets_no_marker():
    rng = np.random.default_rng(3)
    a, b = per_user(rng.random(900) + 0.1), per_user(rng.random(900))
    means = {"A": [0.60, 0.58, 0.62], "B": [0.50, 0.49, 0.51]}
    one = compare_with_best_other({"A": a, "B": b}, means)
    assert (one["A"].seed_low, one["A"].seed_high) == pytest.approx((0.07, 0.13))
    assert (one["B"].seed_low, one["B"].seed_high) == pytest.approx((-0.13, -0.07))
    assert one["A"].significant
    assert one["B"].significant
    turned = compare_with_best_other({"A": a, "B": b}, {"A": [0.8, 0.4], "B": [0.50]})["A"]
    assert turned.p_holm == one["A"].p_holm < 0.001
    assert not turned.significant


def test_without_runs_the_range_over_seeds_is_the_difference():
    one = compare_with_best_other({"A": per_user([0.5, 0.7]), "B": per_user([0.1, 0.2])})["A"]
    assert one.seed_low == one.seed_high == one.difference == pytest.approx(0.45)


@pytest.mark.slow
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
