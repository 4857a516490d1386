"""From a model's scores to the three readings of each metric, for one phase."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from recbole_dmf.errors import UserError
from recbole_dmf.evaluation.candidates import Candidates
from recbole_dmf.evaluation.metrics import READINGS, expected_gain, gains, tied_gain

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
    """

    n_unseen: NDArray[np.int64]
    sampled_above: NDArray[np.int64]
    sampled_tied: NDArray[np.int64]
    full_above: NDArray[np.int64]
    full_tied: NDArray[np.int64]
    n_candidates: NDArray[np.int64]


class Phase:
    """Users, targets and candidates of validation or test, ready to be ranked.

    Args:
        candidates: of the phase.
        seen: CSR [n_users, n_items], non-zero at all interactions; the same for every phase.
        device: of the scores.
        n_earlier: int64 [n_users], see `data.history`, of each user's target; or None.
    """

    def __init__(
        self,
        candidates: Candidates,
        seen: sp.csr_matrix,
        device: torch.device | str,
        n_earlier: NDArray[np.int64] | None = None,
    ):
        self.candidates = candidates
        self.n_items = seen.shape[1]
        self.device = torch.device(device)
        rows = seen[candidates.user]
        self.n_unseen = self.n_items - 1 - np.diff(rows.indptr).astype(np.int64)
        self.n_candidates = (candidates.items >= 0).sum(axis=1)
        self.n_earlier = None if n_earlier is None else torch.from_numpy(n_earlier).to(self.device)
        size = max(1, _SCORES_PER_BATCH // self.n_items)
        self._batches = []
        for start in range(0, len(candidates.user), size):
            part = slice(start, min(start + size, len(candidates.user)))
            block = rows[part]
            row = np.repeat(np.arange(block.shape[0], dtype=np.int64), np.diff(block.indptr))
            self._batches.append(
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

    @torch.no_grad()
    def count(self, scores: Scores) -> Counts:
        """Rank the targets.

        Args:
            scores: maps int64 [batch] users to float [batch, n_items]; the tensor it returns is
                overwritten.

        Raises:
            UserError: a score is NaN or infinite.
        """
        parts = []
        for user, target, items, seen in self._batches:
            score = scores(user)
            if not torch.isfinite(score.sum()) and not torch.isfinite(score[:, 1:]).all():
                raise UserError(
                    "the model returns scores that are NaN or infinite; "
                    "try a smaller learning_rate.",
                    exit_code=3,
                )
            own = score.gather(1, target[:, None])
            candidate = score.gather(1, items.clamp(min=0)).masked_fill(items < 0, -torch.inf)
            score.view(-1)[seen] = -torch.inf
            score[:, 0] = -torch.inf
            parts.append(
                torch.stack(
                    [
                        (candidate > own).sum(1),
                        (candidate == own).sum(1),
                        (score > own).sum(1),
                        (score == own).sum(1),
                    ]
                )
            )
        stood = torch.cat(parts, dim=1).cpu().numpy() if parts else np.zeros((4, 0), np.int64)
        return Counts(self.n_unseen, stood[0], stood[1], stood[2], stood[3], self.n_candidates)


def per_user(counts: Counts, metric: str, k: int) -> dict[str, NDArray[np.float64]]:
    """One metric per user in each reading, float64 [n].

    `sampled` is the paper's (the drawn candidates), `expected` its exact mean over all draws of as
    many, `full` the ranking of all unseen items.
    """
    gain = gains(metric, k)
    values = (
        tied_gain(gain, counts.sampled_above, counts.sampled_tied),
        expected_gain(
            gain, counts.n_unseen, counts.full_above, counts.full_tied, counts.n_candidates
        ),
        tied_gain(gain, counts.full_above, counts.full_tied),
    )
    return dict(zip(READINGS, values, strict=True))


def summarise(counts: Counts, metrics: list[str], topk: list[int]) -> dict[str, dict[str, float]]:
    """Means over users: {reading: {"hit@10": ..., ...}}."""
    result: dict[str, dict[str, float]] = {reading: {} for reading in READINGS}
    for metric in metrics:
        for k in topk:
            for reading, values in per_user(counts, metric.lower(), k).items():
                result[reading][f"{metric.lower()}@{k}"] = float(values.mean())
    return result
