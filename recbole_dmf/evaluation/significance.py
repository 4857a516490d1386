"""Paired comparison of models, user by user.

Each model is set against the best other model. Two kinds of chance are kept apart: that in the
choice of users, by a test and an interval over each user's mean over the runs, and that in
training, by the range of the difference over the runs.

The opponent is picked by looking at the same figures, which makes the extreme pairs likelier than
chance, so Holm's correction runs over *all* pairs of models: that bounds the chance of any false
claim whichever pairs are then shown.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from recbole_dmf.errors import UserError

LEVEL = 0.05
CONFIDENCE = 0.95  # of an interval
_RESAMPLES = 2000
_SIGN_FLIPS = 20_000  # p is off by .003 at most around .05 (two standard errors)
_EXACT_USERS = 14  # 2 ** 14 signs are fewer than the above
_SIGNS_PER_BATCH = 4_000_000  # 32 MB
_DECIMALS = 12  # sums in another order differ by rounding; such differences count as zero


@dataclass(frozen=True)
class Comparison:
    """One model against another, over the same users.

    Attributes:
        model, other: names; `difference` is the mean of model - other, in metric units.
        low, high: 95 % bootstrap interval of `difference` over the users, not corrected.
        p_value: two-sided paired permutation test of the means over the users.
        p_holm: the same, corrected over all pairs of models.
        seed_low, seed_high: least and greatest difference of a run of the one model and a run of
            the other; both are `difference` where each has one run.
    """

    model: str
    other: str
    difference: float
    low: float
    high: float
    p_value: float
    p_holm: float
    seed_low: float
    seed_high: float

    @property
    def significant(self) -> bool:
        """More than chance in the users, and of the same sign whichever runs are compared."""
        return beyond_chance(self.p_holm, self.seed_low, self.seed_high)


def beyond_chance(p_holm: float, seed_low: float, seed_high: float) -> bool:
    """Whether a difference is more than chance in the users and in training.

    Args:
        p_holm: of the users, corrected.
        seed_low, seed_high: least and greatest difference over pairs of runs.
    """
    return bool(p_holm < LEVEL and (seed_low > 0 or seed_high < 0))


def mean_over_seeds(runs: Sequence[pd.Series], names: Sequence[str]) -> pd.Series:
    """Mean per user over the runs of one model.

    Args:
        runs: float [n_users] each, indexed by user; any order of users.
        names: what to call each run in a message, e.g. its file.

    Returns:
        float64 [n_users] in the order of the first run.

    Raises:
        UserError: no run, a user twice, other users than in the first run, or NaN.
    """
    if not runs:
        raise UserError("there is no run to compare; run the models first.")
    for run, name in zip(runs, names, strict=True):
        _check_users(run, name, runs[0], names[0])
    aligned = [run.reindex(runs[0].index).to_numpy(dtype=np.float64) for run in runs]
    return pd.Series(np.mean(aligned, axis=0), index=runs[0].index)


def _check_users(run: pd.Series, name: str, first: pd.Series, first_name: str) -> None:
    if run.index.has_duplicates:
        user = run.index[run.index.duplicated()][0]
        raise UserError(f"{name}: user_id '{user}' occurs twice; run this model again.")
    for these, those, here, there in (
        (run, first, name, first_name),
        (first, run, first_name, name),
    ):
        alone = these.index.difference(those.index)
        if len(alone):
            raise UserError(
                f"{here}: user_id '{alone[0]}' is not in {there} ({len(alone)} such users). Models "
                "can be compared only over the same users: run them on the same data and split."
            )
    if not np.isfinite(run.to_numpy(dtype=np.float64)).all():
        raise UserError(f"{name}: a metric of some user is not a finite number; run it again.")


def sign_flip_p(differences: ArrayLike, seed: int = 2020) -> NDArray[np.float64]:
    """Two-sided p-values of the paired permutation test that mean differences are zero.

    If two models are alike, each user's difference may as well have the other sign, so the mean is
    set against the means under random signs. All pairs of models share the signs, which makes one
    matrix product of the whole. Smucker et al. (CIKM 2007) recommend this test for differences of
    means; the signed-rank test is of another hypothesis and also rejects where differences are
    merely skewed around a mean of zero.

    Args:
        differences: float [n_users, n_pairs], finite.
        seed: of a generator of its own.

    Returns:
        float64 [n_pairs]: exact over all signs where at most `_EXACT_USERS` users differ, else
        from `_SIGN_FLIPS` random ones, at least 1 / (_SIGN_FLIPS + 1); 1 without a difference.
    """
    values = np.round(np.asarray(differences, dtype=np.float64), _DECIMALS)
    values = values[values.any(axis=1)]  # a sign does not change zero
    n_users = len(values)
    least = np.abs(values.sum(axis=0)) * (1 - 1e-9)  # equal sums in another order count as equal
    if n_users <= _EXACT_USERS:
        signs = 1.0 - 2.0 * (np.arange(2**n_users)[:, None] >> np.arange(n_users) & 1)
        return (np.abs(signs @ values) >= least).mean(axis=0)
    generator = np.random.default_rng(seed)
    size = max(1, _SIGNS_PER_BATCH // n_users)
    reached = np.zeros(values.shape[1], dtype=np.int64)
    for start in range(0, _SIGN_FLIPS, size):
        shape = (min(size, _SIGN_FLIPS - start), n_users)
        bits = np.frombuffer(generator.bytes(-(-shape[0] * n_users // 8)), np.uint8)
        signs = 1.0 - 2.0 * np.unpackbits(bits, count=shape[0] * n_users).reshape(shape)
        reached += (np.abs(signs @ values) >= least).sum(axis=0)
    return (reached + 1) / (_SIGN_FLIPS + 1)


def bootstrap_interval(
    difference: ArrayLike, seed: int = 2020, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean difference, resampling users.

    Args:
        difference: float [n_users], at least 2 users, finite.
        seed: of a generator of its own.
        confidence: of the two-sided interval.

    Returns:
        (low, high) in metric units.

    Raises:
        UserError: fewer than 2 users.
    """
    values = np.asarray(difference, dtype=np.float64)
    if len(values) < 2:
        raise UserError("an interval over users needs at least 2 users; test on more users.")
    interval = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=_RESAMPLES,
        confidence_level=confidence,
        method="percentile",
        batch=max(1, 2_000_000 // len(values)),  # bounds memory to some 16 MB per array
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def welch(
    first: ArrayLike, second: ArrayLike, exact: Sequence[bool] = (False, False)
) -> tuple[float, float, float, float]:
    """Difference of two means of runs with its 95 % interval and p by Welch's t test.

    It tells of chance in training alone: the users are the same.

    Args:
        first, second: float [n_runs].
        exact: whether each is of a deterministic model, of which one run is all.

    Returns:
        mean, low, high, p. Without a spread to judge by the interval is infinite and p is 1.
    """
    tables = [np.asarray(values, dtype=np.float64) for values in (first, second)]
    mean = float(tables[0].mean() - tables[1].mean())
    parts = []  # (squared standard error, degrees of freedom)
    for values, is_exact in zip(tables, exact, strict=True):
        if is_exact:
            continue
        if len(values) < 2:
            return mean, -np.inf, np.inf, 1.0
        parts.append((values.var(ddof=1) / len(values), len(values) - 1))
    square = float(sum(part for part, _ in parts))
    if square == 0:
        return mean, -np.inf, np.inf, 1.0
    freedom = square**2 / sum(part**2 / n for part, n in parts)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom) * np.sqrt(square))
    p_value = float(2 * stats.t.sf(abs(mean) / np.sqrt(square), freedom))
    return mean, mean - half, mean + half, p_value


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Holm's step-down correction (Holm 1979), in the order given.

    Args:
        p_values: float [n].

    Returns:
        float64 [n]: the i-th smallest (i from 0) times n - i, made non-decreasing, at most 1.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def compare_with_best_other(
    values: Mapping[str, pd.Series],
    run_means: Mapping[str, Sequence[float]] | None = None,
    seed: int = 2020,
    blocks: Mapping[str, Hashable] | None = None,
) -> dict[str, Comparison]:
    """Each model against the best other model by mean.

    Args:
        values: metric per user of each model, the mean over its runs, float [n_users] indexed by
            user, higher is better.
        run_means: of each model, the mean over users in each run; None: a run each.
        seed: of the test and the bootstrap.
        blocks: of each model; it is set against the best other of its own block alone. None: all
            models are of one block.

    Returns:
        A comparison for each model that has another in its block, in the order given.

    Raises:
        UserError: the models' users differ, or there are fewer than 2 users.
    """
    return compare_in_blocks(values, [blocks], run_means, seed)[0]


def compare_in_blocks(
    values: Mapping[str, pd.Series],
    divisions: Sequence[Mapping[str, Hashable] | None],
    run_means: Mapping[str, Sequence[float]] | None = None,
    seed: int = 2020,
) -> list[dict[str, Comparison]]:
    """`compare_with_best_other` for several divisions into blocks, each pair tested once.

    Args:
        values, run_means, seed: as there.
        divisions: `blocks` as there, one after another.
    """
    names = list(values)
    if len(names) < 2:
        return [{} for _ in divisions]
    first = values[names[0]]
    for name in names:
        _check_users(values[name], name, first, names[0])
    table = {name: values[name].reindex(first.index).to_numpy(np.float64) for name in names}
    pairs = list(combinations(names, 2))
    raw = sign_flip_p(np.column_stack([table[a] - table[b] for a, b in pairs]), seed)
    corrected = dict(zip(pairs, zip(raw, holm(raw), strict=True), strict=True))
    # rounded as the test does, so that equal models keep their order
    means = {name: round(float(table[name].mean()), _DECIMALS) for name in names}
    runs = run_means or {name: [float(table[name].mean())] for name in names}
    found: dict[tuple[str, str], Comparison] = {}

    def compare(name: str, other: str) -> Comparison:
        if (name, other) in found:
            return found[name, other]
        if (other, name) in found:
            return _swapped(found[other, name])
        difference = np.round(table[name] - table[other], _DECIMALS)
        pair = (name, other) if (name, other) in corrected else (other, name)
        p_value, p_holm = map(float, corrected[pair])
        low, high = bootstrap_interval(difference, seed)
        by_seed = np.round(np.subtract.outer(runs[name], runs[other]), _DECIMALS)
        found[name, other] = Comparison(
            name,
            other,
            float(difference.mean()),
            low,
            high,
            p_value,
            p_holm,
            float(by_seed.min()),
            float(by_seed.max()),
        )
        return found[name, other]

    results = []
    for blocks in divisions:
        result = {}
        for name in names:
            rivals = [n for n in names if n != name and (not blocks or blocks[n] == blocks[name])]
            if rivals:
                result[name] = compare(name, max(rivals, key=means.__getitem__))
        results.append(result)
    return results


def _swapped(c: Comparison) -> Comparison:
    return replace(
        c,
        model=c.other,
        other=c.model,
        difference=-c.difference,
        low=-c.high,
        high=-c.low,
        seed_low=-c.seed_high,
        seed_high=-c.seed_low,
    )
