"""Ranking metrics of one relevant item per user, exact under ties and under sampling.

A ranking is summed up by two counts per user: `above`, the items scored above the target, and
`tied`, the items level with it. Every metric here is the mean of a gain over the ranks that these
counts allow, so nothing is drawn and id order plays no part.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from recbole_dmf.errors import UserError

Array = NDArray[np.float64]

READINGS = ("sampled", "expected", "full")
WARM = "warm"  # a fourth reading, of the users whose target has a training interaction
METRICS = ("hit", "ndcg", "mrr", "recall", "precision")
N_CANDIDATES = 100  # Sec. 4.1: "we randomly sample 100 items"
_USERS_PER_CHUNK = 50_000


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
def _log_factorials(n: int) -> NDArray[np.longdouble]:
    """log(0!) .. log(n!); in double precision their differences are off by 1e-10 at 100,000."""
    logs = np.log(np.maximum(np.arange(n + 1), 1).astype(np.longdouble))
    return np.cumsum(logs)


def _drawn(k: int, n: NDArray, marked: NDArray, draws: NDArray) -> Array:
    """Hypergeometric chance that 0..k-1 of `marked` among `n` items are drawn: [k, n_users]."""
    log_factorial = _log_factorials(int(n.max(initial=0)))

    def log_choose(n: NDArray, k: NDArray) -> NDArray[np.longdouble]:
        possible = (k >= 0) & (k <= n)
        k = np.where(possible, k, 0)
        value = log_factorial[n] - log_factorial[k] - log_factorial[n - k]
        return np.where(possible, value, -np.inf)

    x = np.arange(k)[:, None]
    log_probability = log_choose(marked, x) + log_choose(n - marked, draws - x)
    return np.exp((log_probability - log_choose(n, draws)).astype(np.float64))


def expected_gain(
    gain: Array,
    n_unseen: NDArray,
    above: NDArray,
    tied: NDArray,
    n_candidates: NDArray | int = N_CANDIDATES,
) -> Array:
    """Exact mean of the sampled metric over all draws of candidates, per user.

    With `above` items ahead the target's rank is X + 1, X hypergeometric. Breaking ties uniformly
    at random first and drawing then gives the same distribution as drawing first, so under ties it
    is the mean over the tied + 1 positions of the target. Choosing d of n items on the two sides of
    a position is choosing d + 1 of n + 1 with the position, so that summed over positions

        sum_(a = a1..a2) P(X = x | n, a, d) = (n+1)/(d+1) (P(H(a1) <= x) - P(H(a2+1) <= x)),

    H(m) the number of the first m among n + 1 items in a draw of d + 1.

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
    for start in range(0, len(above), _USERS_PER_CHUNK):
        rows = slice(start, start + _USERS_PER_CHUNK)
        result[rows] = _expected_gain(gain, n_unseen[rows], above[rows], tied[rows], draws[rows])
    return result


def _expected_gain(
    gain: Array, n_unseen: NDArray, above: NDArray, tied: NDArray, draws: NDArray
) -> Array:
    k = len(gain)
    result = gain @ _drawn(k, n_unseen, above, draws)
    level = tied > 0
    n, low, d = n_unseen[level] + 1, above[level], draws[level] + 1
    positions = tied[level] + 1
    lost = _drawn(k, n, low, d) - _drawn(k, n, low + positions, d)
    result[level] = gain @ np.cumsum(lost, axis=0) * (n / (d * positions))
    return result
