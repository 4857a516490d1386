"""RecentPop: what was popular in the last days before the moment.

Ji et al., "A Re-visit of the Popularity Baseline in Recommender Systems", SIGIR 2020.
"""

from typing import Any

import torch
from recbole.utils import ModelType
from torch import Tensor

from recbole_dmf.data.history import EXACT_TIME
from recbole_dmf.errors import UserError
from recbole_dmf.models.fitted import FittedRecommender
from recbole_dmf.models.sequential import (
    HISTORY,
    history_of,
    last_places,
    moments,
    read_history,
)
from recbole_dmf.options import Config, number

SECONDS_PER_DAY = 86_400.0


def recent_counts(
    time: Tensor, item_key: Tensor, item: Tensor, low: Tensor, high: Tensor
) -> Tensor:
    """Interactions of items at times from `low` to `high`, both included.

    Args:
        time: float64 [n], of all interactions, ascending.
        item_key: int64 [n], item * (n + 1) + place in `time`, ascending.
        item: int64 [batch, m] or [1, m].
        low, high: float64 [batch].

    Returns:
        int64 [batch, m].
    """
    first = torch.searchsorted(time, low)
    end = torch.searchsorted(time, high, right=True)
    row = item * (len(time) + 1)
    after, before = (torch.searchsorted(item_key, row + place[:, None]) for place in (end, first))
    return after - before


class RecentPop(FittedRecommender):
    """An item's number of training interactions in the last `days` before the moment.

    The moment is the time of the user's latest known interaction before the target, since a
    target's own time is not known when it is recommended. Nothing later is counted. A user of whom
    no earlier interaction is known gets the numbers over all times.

    Args:
        config: RecBole's Config; the option is `days`, timestamps are in seconds.
        dataset: RecBole's Dataset of the training interactions.

    Raises:
        UserError: `days` is not positive; in training, there are no timestamps.
    """

    type = ModelType.TRADITIONAL
    reads_order = True
    reads_time = True  # the interactions get the column `EXACT_TIME`
    history_start: Tensor
    history_item: Tensor
    history_time: Tensor
    time: Tensor
    item_key: Tensor

    def __init__(self, config: Config, dataset: Any):
        super().__init__(config, dataset)
        self.days = number(config, "days", 1e-6)
        read_history(self, dataset)
        feat = dataset.inter_feat
        time = feat[EXACT_TIME] if EXACT_TIME in feat.columns else torch.zeros(len(feat)).double()
        known = time != 0
        time, user, item = (
            column[known] for column in (time, feat[self.USER_ID], feat[self.ITEM_ID])
        )
        # The same order as that of the history: by user, then time, then row.
        order = torch.argsort(time, stable=True)
        by_user = order[torch.argsort(user[order], stable=True)]
        self.history_time = time[by_user].to(self.device)
        self.time = time[order].to(self.device)
        place = torch.arange(len(order))
        self.item_key = (item[order] * (len(order) + 1) + place).sort().values.to(self.device)
        self.other_parameter_name = [*HISTORY, "history_time", "time", "item_key"]

    def fit_epoch(self) -> float:
        """Nothing is left to learn. Returns 0."""
        if not len(self.time):
            raise UserError("RecentPop needs timestamps, which the interactions lack; use ItemPop.")
        return 0.0

    def n_stored(self) -> int:
        """The time of each interaction and its place under its item."""
        return len(self.time) + len(self.item_key)

    def _counts(self, interaction, item: Tensor) -> Tensor:
        """float64 [batch, m] for items [batch, m] or [1, m]."""
        first, end = last_places(history_of(self), *moments(self, interaction))
        known = end > first
        moment = torch.full(first.shape, torch.inf, dtype=torch.float64, device=first.device)
        moment[known] = self.history_time[end[known] - 1]
        low = torch.where(known, moment - self.days * SECONDS_PER_DAY, -torch.inf)
        return recent_counts(self.time, self.item_key, item, low, moment).double()

    def predict(self, interaction) -> Tensor:
        """Recent interactions of each pair's item, [batch]."""
        return self._counts(interaction, interaction[self.ITEM_ID][:, None])[:, 0]

    def full_sort_predict(self, interaction) -> Tensor:
        """Recent interactions of every item for each user of a batch, [batch * n_items]."""
        return self._counts(interaction, torch.arange(self.n_items, device=self.device)[None]).view(
            -1
        )
