"""Metrics per user, computed anew from the counts in per_user.csv."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recbole_dmf.errors import UserError
from recbole_dmf.evaluation.metrics import (
    METRICS,
    WARM,
    expected_gain,
    gains,
    tied_gain,
)

MAX_K = 10  # of the plots and of results.csv
DEFAULT = ("hit@10", "ndcg@10")  # where a comparison does not say its metrics
COUNTS = ("n_unseen", "sampled_above", "sampled_tied", "full_above", "full_tied")
DRAWN = "n_candidates"
WARM_COUNTS = ("warm_unseen", "warm_above", "warm_tied")  # -1 where the target is cold
_LARGEST_COUNT = 10**8  # more items than any catalogue; guards memory against damaged files
_NAMES = {"hit": "HR", "ndcg": "NDCG", "mrr": "MRR", "recall": "Recall", "precision": "Precision"}
# (metric@k, reading) -> [n_users]; NaN in the warm reading where the target is cold
Values = dict[tuple[str, str], NDArray[np.float64]]


def metric_names(metrics: Sequence[str], topk: Sequence[int]) -> list[str]:
    """["hit@5", "ndcg@5", "hit@10", ...] of the options `metrics` and `topk`."""
    return list(dict.fromkeys(f"{metric.lower()}@{k}" for k in topk for metric in metrics))


def headline(metrics: Sequence[str]) -> list[str]:
    """The first K's first two metrics: those that are tested for significance.

    Args:
        metrics: from `metric_names`.
    """
    k = metrics[0].partition("@")[2]
    return [name for name in metrics if name.endswith(f"@{k}")][:2]


def shown_name(metric: str) -> str:
    """ "HR@10" for "hit@10"."""
    name, _, k = metric.partition("@")
    return f"{_NAMES[name]}@{k}"


def is_metric(name: str) -> bool:
    """Whether `name` is one of ours at some K, for example "hit@10"."""
    metric, _, k = name.partition("@")
    return metric in METRICS and re.fullmatch("[1-9][0-9]{0,5}", k) is not None


def values_per_user(rows: pd.DataFrame, path: Path, metrics: Sequence[str]) -> Values:
    """HR@K and NDCG@K for K = 1 to 10 and `metrics`, each in all readings.

    The warm reading is there if the rows have its counts and a target that is warm.

    Args:
        rows: the columns `COUNTS`, `DRAWN` and, if there, `WARM_COUNTS` of per_user.csv.
        path: of the file, for messages.
        metrics: such as "mrr@20".

    Raises:
        UserError: a count that cannot be, with its line.
    """
    _check_counts(rows, path)
    counts = {name: rows[name].to_numpy(np.int64) for name in (*COUNTS, DRAWN)}
    unseen, above, tied = (counts[n] for n in ("n_unseen", "full_above", "full_tied"))
    sampled = counts["sampled_above"], counts["sampled_tied"]
    at = {
        "sampled": lambda gain: tied_gain(gain, *sampled),
        "expected": lambda gain: expected_gain(gain, unseen, above, tied, counts[DRAWN]),
        "full": lambda gain: tied_gain(gain, above, tied),
    }
    if set(WARM_COUNTS) <= set(rows.columns):
        counts |= {name: rows[name].to_numpy(np.int64) for name in WARM_COUNTS}
        is_warm = counts["warm_unseen"] >= 0
        columns = [counts[name][is_warm] for name in (*WARM_COUNTS, DRAWN)]
        if is_warm.any():
            at[WARM] = lambda gain: _placed(expected_gain(gain, *columns), is_warm)
    discount = gains("ndcg", MAX_K)
    values: Values = {}
    for reading in at:
        hits = np.array([at[reading](gains("hit", k)) for k in range(1, MAX_K + 1)])
        # HR@k - HR@(k-1) is the probability of rank k, which NDCG weights
        at_rank = np.diff(hits, axis=0, prepend=0.0)
        ndcg = np.cumsum(at_rank * discount[:, None], axis=0)
        for k in range(1, MAX_K + 1):
            values[f"hit@{k}", reading] = hits[k - 1]
            values[f"ndcg@{k}", reading] = ndcg[k - 1]
        for name in metrics:
            metric, _, cut = name.partition("@")
            if (name, reading) not in values:
                values[name, reading] = at[reading](gains(metric, int(cut)))
    return values


def _placed(values: NDArray[np.float64], where: NDArray[np.bool_]) -> NDArray[np.float64]:
    """`values` at the places that are True, NaN at the others."""
    placed = np.full(len(where), np.nan)
    placed[where] = values
    return placed


def _check_counts(rows: pd.DataFrame, path: Path) -> None:
    wrong = _impossible(rows[[*COUNTS, DRAWN]])
    wrong |= rows["full_above"] + rows["full_tied"] > rows["n_unseen"]
    if set(WARM_COUNTS) <= set(rows.columns):
        warm = rows[list(WARM_COUNTS)]
        wrong |= _impossible(warm) & ~(warm == -1).all(axis=1)
        wrong |= warm["warm_above"] + warm["warm_tied"] > warm["warm_unseen"].clip(lower=0)
    if wrong.any():
        raise UserError(
            f"{path}, line {np.flatnonzero(wrong)[0] + 2}: counts must be whole numbers, 0 or "
            "more, and full_above + full_tied at most n_unseen, likewise the warm ones, which are "
            "-1 for a cold target; the file is damaged, run the model again."
        )


def _impossible(counts: pd.DataFrame) -> pd.Series:
    return ((counts < 0) | (counts > _LARGEST_COUNT) | (counts % 1 != 0)).any(axis=1)
