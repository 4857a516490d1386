"""Ranking metrics of one relevant item per user, exact under ties and under sampling.

A ranking is summed up by two counts per user: `above`, the items scored above the target, and
`tied`, the items level with it. Every metric here is the mean of a gain over the ranks that these
counts allow, so nothing is drawn and id order plays no part.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from recbole_dmf.errors import UserError

Array = NDArray[np.float64]

READINGS = ("sampled", "expected", "full")
METRICS = ("hit", "ndcg", "mrr", "recall", "precision")
N_CANDIDATES = 100  # Sec. 4.1: "we randomly sample 100 items"
_POINTS_PER_CHUNK = 500_000


def gains(metric: str, k: int) -> Array:
    """Gain of the target at ranks 1..k; 0 beyond.

    Args:
        metric: one of `METRICS`. With one relevant item, recall is hit and IDCG is 1.
        k: length of the ranked list, at least 1.

    Returns:
        float64 array of shape [k].
    """
    rank = np.arange(1, k + 1, dtype=np.float64)
    if metric in ("hit", "recall"):
        return np.ones(k)
    if metric == "ndcg":
        return 1.0 / np.log2(rank + 1.0)
    if metric == "mrr":
        return 1.0 / rank
    if metric == "precision":
        return np.full(k, 1.0 / k)
    raise UserError(
        f"metric '{metric}' is not one of {', '.join(METRICS)}; choose one of these in `metrics`."
    )


def _mean_over_ties(cumulative: Array, above: NDArray, tied: NDArray) -> Array:
    """Mean of a gain over the equally likely ranks above + 1 .. above + tied + 1.

    `cumulative[r]` is the sum of the gains of ranks 1..r; ranks past its end add nothing.
    """
    last = len(cumulative) - 1
    low = np.minimum(above, last)
    high = np.minimum(above + tied + 1, last)
    return (cumulative[high] - cumulative[low]) / (tied + 1.0)


def tied_gain(gain: Array, above: NDArray, tied: NDArray) -> Array:
    """Metric per user of a ranking in which `above` items lead and `tied` items are level.

    Args:
        gain: [k] from `gains`.
        above: int [n_users], items scored above the target.
        tied: int [n_users], other items with the target's score.

    Returns:
        float64 [n_users]: the mean gain over the ranks above + 1 .. above + tied + 1.
    """
    return _mean_over_ties(np.concatenate([[0.0], np.cumsum(gain)]), above, tied)


@lru_cache(maxsize=4)
def _log_factorials(n: int) -> Array:
    return gammaln(np.arange(n + 2, dtype=np.float64) + 1.0)


def _drawn_gain(gain: Array, n_unseen: NDArray, above: NDArray, draws: NDArray) -> Array:
    """Expected gain when `draws` of `n_unseen` items are drawn and `above` of them lead.

    The number X drawn from above is hypergeometric, and the target's rank is X + 1. Shapes [n].
    """
    log_factorial = _log_factorials(int(n_unseen.max()))

    def log_choose(n: NDArray, k: NDArray) -> Array:
        possible = (k >= 0) & (k <= n)
        k = np.where(possible, k, 0)
        value = log_factorial[n] - log_factorial[k] - log_factorial[n - k]
        return np.where(possible, value, -np.inf)

    x = np.arange(len(gain))[:, None]  # [k, 1]: items drawn from above
    log_probability = (
        log_choose(above[None, :], x)
        + log_choose((n_unseen - above)[None, :], draws[None, :] - x)
        - log_choose(n_unseen, draws)[None, :]
    )
    return gain @ np.exp(log_probability)


def expected_gain(
    gain: Array,
    n_unseen: NDArray,
    above: NDArray,
    tied: NDArray,
    n_candidates: NDArray | int = N_CANDIDATES,
) -> Array:
    """Exact mean of the sampled metric over all draws of candidates, per user.

    Breaking ties uniformly at random first and drawing then gives the same distribution as drawing
    first, so the mean over the tied + 1 possible positions of the target is exact.

    Args:
        gain: [k] from `gains`.
        n_unseen: int [n_users], items that can be drawn (the target not counted).
        above: int [n_users], unseen items scored above the target.
        tied: int [n_users], unseen items level with the target.
        n_candidates: items drawn without replacement, one number or int [n_users]; all of them
            where fewer are unseen.

    Returns:
        float64 [n_users].
    """
    n_unseen, above, tied = (np.asarray(a, dtype=np.int64) for a in (n_unseen, above, tied))
    draws = np.minimum(n_candidates, n_unseen)
    result = np.empty(len(above))
    ends = np.cumsum(tied + 1)
    start = 0
    while start < len(above):
        drawn_before = ends[start - 1] if start else 0
        stop = int(np.searchsorted(ends, drawn_before + _POINTS_PER_CHUNK, side="right"))
        stop = max(stop, start + 1)
        rows = slice(start, stop)
        repeats = tied[rows] + 1
        first = np.cumsum(repeats) - repeats
        offset = np.arange(repeats.sum()) - np.repeat(first, repeats)
        point_above = np.repeat(above[rows], repeats) + offset
        point_unseen = np.repeat(n_unseen[rows], repeats)
        point_draws = np.repeat(draws[rows], repeats)
        shape = (int(point_draws.max()) + 1, *[int(point_unseen.max()) + 1] * 2)
        keys, inverse = np.unique(
            np.ravel_multi_index((point_draws, point_unseen, point_above), shape),
            return_inverse=True,
        )
        d, n, a = np.unravel_index(keys, shape)
        values = _drawn_gain(gain, n, a, d)[inverse]
        result[rows] = np.add.reduceat(values, first) / repeats
        start = stop
    return result
