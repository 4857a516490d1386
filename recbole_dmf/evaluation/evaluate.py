"""From a model's scores to the readings of each metric, for one phase."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from recbole_dmf.errors import UserError
from recbole_dmf.evaluation.block_counts import UserBlock, count_in_blocks, user_blocks
from recbole_dmf.evaluation.candidates import Candidates
from recbole_dmf.evaluation.metrics import READINGS, WARM, expected_gain, gains, tied_gain
from recbole_dmf.evaluation.products import Blocks, Products, all_finite

Scores = Callable[[Tensor], Tensor]
_SCORES_PER_BATCH = 1_000_000  # 4 MB, which stay in the cache while they are counted


@dataclass(frozen=True)
class Counts:
    """Where each user's target stands; int64 [n] each, users as in the candidates.

    Attributes:
        n_unseen: items in none of the user's interactions.
        sampled_above, sampled_tied: candidates scored above and level with the target.
        full_above, full_tied: the same among all unseen items.
        n_candidates: candidates of the user, the target not counted.
        warm_unseen, warm_above, warm_tied: as n_unseen, full_above and full_tied, among the items
            with a training interaction; -1 where the target has none, or none are known.
    """

    n_unseen: NDArray[np.int64]
    sampled_above: NDArray[np.int64]
    sampled_tied: NDArray[np.int64]
    full_above: NDArray[np.int64]
    full_tied: NDArray[np.int64]
    n_candidates: NDArray[np.int64]
    warm_unseen: NDArray[np.int64]
    warm_above: NDArray[np.int64]
    warm_tied: NDArray[np.int64]


class Phase:
    """Users, targets and candidates of validation or test, ready to be ranked.

    Args:
        candidates: of the phase.
        seen: CSR [n_users, n_items], non-zero at all interactions; the same for every phase.
        device: of the scores.
        n_earlier: int64 [n_users], see `data.history`, of each user's target; or None.
        warm: bool [n_items], items with a training interaction; None: no warm reading.
        known: RecBole's Interaction of all that models that read the order have for input; None:
            the training interactions.

    Attributes:
        n_users: users that are ranked.
    """

    def __init__(
        self,
        candidates: Candidates,
        seen: sp.csr_matrix,
        device: torch.device | str,
        n_earlier: NDArray[np.int64] | None = None,
        warm: NDArray[np.bool_] | None = None,
        known: Any = None,
    ):
        self.known = known
        self.candidates = candidates
        self.n_users = len(candidates.user)
        self.n_items = seen.shape[1]
        self.device = torch.device(device)
        self._seen = seen  # not its rows of this phase, which would be a copy of nearly all
        n_seen = np.diff(seen.indptr)[candidates.user].astype(np.int64)
        self.n_unseen = self.n_items - 1 - n_seen
        self.n_candidates = (candidates.items >= 0).sum(axis=1)
        self.n_earlier = None if n_earlier is None else torch.from_numpy(n_earlier).to(self.device)
        is_warm = np.zeros(self.n_items, bool) if warm is None else warm
        self._target_is_warm = is_warm[candidates.target]
        self._warm_unseen = _count_unseen(seen, is_warm)[candidates.user]
        # Cold items are few, so they are ranked again and taken from the counts of all.
        cold = np.zeros(0, np.int64) if warm is None else np.flatnonzero(~warm[1:]) + 1
        self._cold = torch.from_numpy(cold).to(self.device)
        self._blocks = Blocks(self.n_items)

    @cached_property
    def _batches(self) -> list[tuple[Tensor, ...]]:
        """Users, targets, candidates and the places of seen items, for whole rows of scores."""
        candidates, batches = self.candidates, []
        size = max(1, _SCORES_PER_BATCH // self.n_items)
        for start in range(0, len(candidates.user), size):
            part = slice(start, min(start + size, len(candidates.user)))
            block = self._seen[candidates.user[part]]
            row = np.repeat(np.arange(block.shape[0], dtype=np.int64), np.diff(block.indptr))
            batches.append(
                tuple(
                    torch.from_numpy(a).to(self.device)
                    for a in (
                        candidates.user[part],
                        candidates.target[part],
                        candidates.items[part],
                        row * self.n_items + block.indices,
                    )
                )
            )
        return batches

    @cached_property
    def _user_blocks(self) -> list[UserBlock]:
        return user_blocks(self.candidates, self._seen, self._blocks, self.device)

    @torch.no_grad()
    def count(self, scores: Scores) -> Counts:
        """Rank the targets; by `Products` a large catalogue is ranked in blocks of items.

        Args:
            scores: maps int64 [batch] users to float [batch, n_items]; the tensor it returns is
                overwritten.

        Raises:
            UserError: a score is NaN or infinite.
        """
        if isinstance(scores, Products) and len(self._blocks) > 1:
            users, blocks = self._user_blocks, self._blocks
            counted = count_in_blocks(users, scores, blocks, self._cold, _check_finite)
        else:
            counted = self._count_in_rows(scores)
        warm = np.stack([self._warm_unseen, counted[2] - counted[4], counted[3] - counted[5]])
        warm[:, ~self._target_is_warm] = -1
        sampled_above, sampled_tied, full_above, full_tied = counted[:4]
        return Counts(
            self.n_unseen,
            sampled_above,
            sampled_tied,
            full_above,
            full_tied,
            self.n_candidates,
            warm[0],
            warm[1],
            warm[2],
        )

    def _count_in_rows(self, scores: Scores) -> NDArray[np.int64]:
        """Above and level among the candidates, all unseen items and the cold ones, [6, n]."""
        parts = []
        for user, target, items, seen in self._batches:
            score = scores(user)
            if not torch.isfinite(score.sum()):  # with padding, which may score anything
                _check_finite(score[:, 1:])
            own = score.gather(1, target[:, None])
            candidate = score.gather(1, items.clamp(min=0)).masked_fill(items < 0, -torch.inf)
            score.view(-1)[seen] = -torch.inf
            score[:, 0] = -torch.inf
            cold = score.index_select(1, self._cold)
            parts.append(
                torch.stack(
                    [
                        (candidate > own).sum(1),
                        (candidate == own).sum(1),
                        (score > own).sum(1),
                        (score == own).sum(1),
                        (cold > own).sum(1),
                        (cold == own).sum(1),
                    ]
                )
            )
        return torch.cat(parts, dim=1).cpu().numpy() if parts else np.zeros((6, 0), np.int64)


def _check_finite(score: Tensor) -> None:
    if not all_finite(score):
        raise UserError(
            "the model returns scores that are NaN or infinite; try a smaller learning_rate.",
            exit_code=3,
        )


def _count_unseen(seen: sp.csr_matrix, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many of the chosen items are unseen in each row, int64 [n_rows]; item 0 is padding."""
    entries = np.concatenate([[0], np.cumsum(chosen[seen.indices], dtype=np.int64)])
    return chosen[1:].sum() - np.diff(entries[seen.indptr])


def per_user(counts: Counts, metric: str, k: int) -> dict[str, NDArray[np.float64]]:
    """One metric per user in each reading, float64 [n].

    `sampled` is the paper's (the drawn candidates), `expected` its exact mean over all draws of as
    many, `full` the ranking of all unseen items. `warm` is as `expected`, with targets and
    candidates that have a training interaction: NaN for other targets, and absent where all are.
    """
    gain = gains(metric, k)
    n_drawn = counts.n_candidates
    values = (
        tied_gain(gain, counts.sampled_above, counts.sampled_tied),
        expected_gain(gain, counts.n_unseen, counts.full_above, counts.full_tied, n_drawn),
        tied_gain(gain, counts.full_above, counts.full_tied),
    )
    result = dict(zip(READINGS, values, strict=True))
    warm = counts.warm_unseen >= 0
    if warm.any():
        of_warm = (counts.warm_unseen, counts.warm_above, counts.warm_tied, n_drawn)
        result[WARM] = np.full(len(warm), np.nan)
        result[WARM][warm] = expected_gain(gain, *(column[warm] for column in of_warm))
    return result


def n_users(counts: Counts) -> dict[str, int]:
    """How many users each reading is a mean of."""
    ranked, warm = len(counts.n_unseen), int((counts.warm_unseen >= 0).sum())
    return dict.fromkeys(READINGS, ranked) | ({WARM: warm} if warm else {})


def summarise(counts: Counts, metrics: list[str], topk: list[int]) -> dict[str, dict[str, float]]:
    """Means over users: {reading: {"hit@10": ..., ...}}, of the readings as in `per_user`."""
    result: dict[str, dict[str, float]] = {reading: {} for reading in n_users(counts)}
    for metric in metrics:
        for k in topk:
            for reading, values in per_user(counts, metric.lower(), k).items():
                counted = values[counts.warm_unseen >= 0] if reading == WARM else values
                result[reading][f"{metric.lower()}@{k}"] = float(counted.mean())
    return result


def chosen_reading(readings: dict[str, dict[str, float]], wanted: str) -> dict[str, float]:
    """The metrics in a reading; RecBole's own evaluation has one reading alone."""
    return readings.get(wanted) or next(iter(readings.values()))
