"""What usual habits of evaluation add to a model's figures.

Each habit is measured by itself, against the same trained models judged by this project's protocol
or, where a habit needs another one, against that one. A gain is a mean over draws of candidates,
per seed; its interval is over the seeds. All of them are functions of the counts that
`habit_counts` notes after each epoch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import integrate, stats

from recbole_dmf.evaluation.metrics import expected_gain, gains, tied_gain
from recbole_dmf.experiments.habit_counts import TargetCounts

K = 10
METRICS = ("hit", "ndcg")
CONFIDENCE = 0.95
NOT_SUMMED = "training items"  # another way than "with replacement" to draw, of which there is one
_REPEATS = 100  # draws where a figure is a mean over draws of one epoch
EXPLAINS = "together, best of seeds"  # what is set against the gap to the paper
BASE, ON_TEST, OWN_TARGET = "base", "epoch on test", "may be the target"

HABITS = {  # name: (what it is, what it is measured against)
    "epoch on test": ("the epoch with the best NDCG@10 on test is reported", BASE),
    "each at its best": ("HR and NDCG are each reported at their own best epoch on test", ON_TEST),
    "redrawn": ("the candidates are drawn anew at each evaluation", ON_TEST),
    "valid trained on": ("nothing is kept for validation, so its item is trained on", ON_TEST),
    "ties": ("items level with the target are ranked below it", BASE),
    OWN_TARGET: (
        "candidates are drawn from all items that the user has no training interaction with, the "
        "target, which does not compete with itself, and the validation item among them",
        BASE,
    ),
    "with replacement": ("they are drawn with replacement and count once", OWN_TARGET),
    "training items": ("candidates are drawn from all items but the target", BASE),
    "best of seeds": ("the best of the seeds is reported", BASE),
}


@dataclass(frozen=True)
class Gain:
    """What a habit adds: means over seeds and intervals of the mean, [2] each: HR@10, NDCG@10."""

    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


Figures = NDArray[np.float64]  # [2, n_draws, n_epochs]: HR@10 and NDCG@10, means over the users


def sampled(epochs: Sequence[TargetCounts], ties_lose: bool = False) -> Figures:
    """Figures by draw and epoch, the same draws at each epoch."""
    result = np.empty((2, len(epochs[0].drawn_above), len(epochs)))
    for place, counts in enumerate(epochs):
        tied = np.zeros_like(counts.drawn_tied) if ties_lose else counts.drawn_tied
        for number, metric in enumerate(METRICS):
            values = tied_gain(gains(metric, K), counts.drawn_above, tied)
            result[number, :, place] = values.mean(axis=-1)
    return result


def redrawn(epochs: Sequence[TargetCounts], generator: np.random.Generator) -> Figures:
    """As `sampled`, with candidates of their own at each epoch.

    Only how many candidates are above and level with the target matters, and that is
    hypergeometric.
    """
    n_draws = len(epochs[0].drawn_above)
    width = _width(epochs[0])
    result = np.empty((2, n_draws, len(epochs)))
    for place, counts in enumerate(epochs):
        shape = (n_draws, len(counts.above))
        above = generator.hypergeometric(counts.above, counts.n_unseen - counts.above, width, shape)
        others = counts.n_unseen - counts.above - counts.tied
        tied = generator.hypergeometric(counts.tied, others, width - above)
        for number, metric in enumerate(METRICS):
            result[number, :, place] = tied_gain(gains(metric, K), above, tied).mean(axis=-1)
    return result


def _width(counts: TargetCounts) -> NDArray[np.int64]:
    """Candidates of each user, int64 [n]."""
    return np.minimum(counts.n_unseen, 100)


def expected(counts: TargetCounts, with_training_items: bool = False) -> NDArray[np.float64]:
    """HR@10 and NDCG@10 of an epoch, their exact means over draws, [2].

    With `with_training_items`, candidates are drawn from all items but the target.
    """
    n, above, tied = counts.n_unseen, counts.above, counts.tied
    if with_training_items:
        n = n + counts.n_train + counts.n_valid
        above = above + counts.train_above + counts.valid_above
        tied = tied + counts.train_tied + counts.valid_tied
    return _exact(counts, n, above, tied)


def _exact(
    counts: TargetCounts, n: NDArray[np.int64], above: NDArray[np.int64], tied: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Means over draws of candidates from n items, of which some are above and level, [2]."""
    values = [expected_gain(gains(m, K), n, above, tied, _width(counts)) for m in METRICS]
    return np.mean(values, axis=1)


def own_target(counts: TargetCounts) -> NDArray[np.float64]:
    """HR@10 and NDCG@10, exact means over draws, [2], the target among those that are drawn from.

    So is the validation item. A candidate that is the target itself competes with nobody.
    """
    return _exact(counts, *_not_trained_on(counts))


def _not_trained_on(
    counts: TargetCounts,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The items that a user has no training interaction with; above and level with the target."""
    n = counts.n_unseen + counts.n_valid + 1  # the target
    return n, counts.above + counts.valid_above, counts.tied + counts.valid_tied


def with_replacement(
    counts: TargetCounts, generator: np.random.Generator, n_draws: int, ties_lose: bool = False
) -> NDArray[np.float64]:
    """HR@10 and NDCG@10, [2, n_draws], candidates drawn with replacement and counted once.

    They are drawn from the items of `own_target`.
    """
    n, above, tied = _not_trained_on(counts)
    level = above if ties_lose else above + tied
    result = np.empty((2, n_draws))
    for number in range(n_draws):
        places = generator.integers(0, n[:, None], (len(n), 100))
        places.sort(axis=1)
        first = np.ones(places.shape, bool)
        first[:, 1:] = places[:, 1:] != places[:, :-1]
        n_above = (first & (places < above[:, None])).sum(axis=1)
        n_tied = (first & (places < level[:, None])).sum(axis=1) - n_above
        result[:, number] = [tied_gain(gains(m, K), n_above, n_tied).mean() for m in METRICS]
    return result


def validated(epochs: Sequence[TargetCounts]) -> int:
    """Place of the epoch that validation chooses; the first of equal ones."""
    return int(np.argmax([counts.valid_ndcg for counts in epochs]))


def at_best(figures: Figures) -> NDArray[np.float64]:
    """Both metrics at each draw's epoch of the best NDCG@10, [2, n_draws]."""
    best = figures[1].argmax(axis=-1)
    return np.take_along_axis(figures, best[None, :, None], axis=-1)[..., 0]


def levels(
    epochs: Sequence[TargetCounts], seed: int, with_valid: Sequence[TargetCounts] | None
) -> dict[str, NDArray[np.float64]]:
    """HR@10 and NDCG@10 of one seed under the protocol and each habit, [2] each.

    Args:
        epochs: counts of each epoch.
        seed: of the drawing of candidates.
        with_valid: of the same seed, trained on the validation items as well; None: not measured.
    """
    generator = np.random.default_rng([seed, 0x4AB1])
    chosen = epochs[validated(epochs)]
    fixed, anew = sampled(epochs), redrawn(epochs, generator)
    exact = expected(chosen)
    place = validated(epochs)
    found = {
        "expected": exact,
        BASE: fixed[:, :, place].mean(axis=1),
        "epoch on test": at_best(fixed).mean(axis=1),
        "each at its best": fixed.max(axis=-1).mean(axis=1),
        "redrawn": at_best(anew).mean(axis=1),
        "ties": sampled([chosen], ties_lose=True)[:, :, 0].mean(axis=1),
    }
    # These three are measured against the exact mean, and moved to the base's draws.
    found[OWN_TARGET] = found[BASE] + own_target(chosen) - exact
    drawn = with_replacement(chosen, generator, _REPEATS).mean(axis=1)
    found["with replacement"] = found[BASE] + drawn - exact
    found["training items"] = found[BASE] + expected(chosen, with_training_items=True) - exact
    last = epochs
    if with_valid is not None:
        found["valid trained on"] = at_best(sampled(with_valid)).mean(axis=1)
        last = with_valid
    n_draws = fixed.shape[1]
    together = [with_replacement(counts, generator, n_draws, ties_lose=True) for counts in last]
    found["together"] = np.stack(together, axis=-1).max(axis=-1).mean(axis=1)
    return found


def draw_deviation(epochs: Sequence[TargetCounts]) -> NDArray[np.float64]:
    """Standard deviation of HR@10 and NDCG@10 over draws of candidates, [2], of the chosen epoch.

    A figure of one draw, such as the paper's, is as far from the mean over draws.
    """
    chosen = epochs[validated(epochs)]
    return sampled([chosen])[:, :, 0].std(axis=1, ddof=1)


def habit_gains(by_seed: Sequence[dict[str, NDArray[np.float64]]]) -> dict[str, Gain]:
    """The gain of each habit that was measured, from the `levels` of each seed.

    `best of seeds` is the mean gain of the best of as many seeds under a normal distribution with
    the seeds' standard deviation, with that deviation's interval: there is one best of them only.
    `sum` adds up all habits but `NOT_SUMMED`; `together` applies these in one protocol, per seed,
    and `together, best of seeds` takes the best seed of it.
    """
    found = {}
    for habit, (_, against) in HABITS.items():
        if habit in by_seed[0]:
            found[habit] = _mean([one[habit] - one[against] for one in by_seed])
    best = _best_of([one[BASE] for one in by_seed])
    summed = [habit for habit in found if habit != NOT_SUMMED]
    per_seed = [np.sum([one[h] - one[HABITS[h][1]] for h in summed], axis=0) for one in by_seed]
    found["best of seeds"] = best
    total = _mean(per_seed)
    found["sum"] = _added(total, best)
    together = [one["together"] - one[BASE] for one in by_seed]
    found["together"] = _mean(together)
    best = _best_of([one["together"] for one in by_seed])
    found[EXPLAINS] = _added(found["together"], best)
    return found


def _added(one: Gain, other: Gain) -> Gain:
    """The sum of two gains whose errors have nothing to do with each other."""
    mean = one.mean + other.mean
    below = np.hypot(one.mean - one.low, other.mean - other.low)
    above = np.hypot(one.high - one.mean, other.high - other.mean)
    return Gain(mean, mean - below, mean + above)


def _mean(values: Sequence[NDArray]) -> Gain:
    """Mean over the seeds with the interval of Student's t; from 2 seeds on."""
    table = np.array(values)
    half = stats.t.ppf((1 + CONFIDENCE) / 2, len(table) - 1) * stats.sem(table, axis=0)
    mean = table.mean(axis=0)
    return Gain(mean, mean - half, mean + half)


def _best_of(values: Sequence[NDArray]) -> Gain:
    table = np.array(values)
    n = len(table)
    deviation = table.std(axis=0, ddof=1)
    sides = stats.chi2.ppf([(1 + CONFIDENCE) / 2, (1 - CONFIDENCE) / 2], n - 1)
    low, high = (deviation * np.sqrt((n - 1) / side) for side in sides)
    return Gain(*(expected_best(n) * side for side in (deviation, low, high)))


def expected_best(n: int) -> float:
    """Mean of the greatest of n standard normal numbers."""
    density = stats.norm.pdf
    value, _ = integrate.quad(lambda x: n * x * density(x) * stats.norm.cdf(x) ** (n - 1), -9, 9)
    return float(value)
