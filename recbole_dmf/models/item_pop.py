"""ItemPop: every user is recommended the items with the most training interactions."""

from typing import Any

import torch
from recbole.utils import ModelType
from torch import Tensor

from recbole_dmf.models.fitted import FittedRecommender
from recbole_dmf.options import Config


class ItemPop(FittedRecommender):
    """Items in the order of their number of training interactions (Sec. 4.1, "ItemPop").

    RecBole's `Pop` counts an item once per batch, and sampled negatives too; this counts exactly.
    The float64 buffer `counts` [n_items] holds the numbers; the padding item has 0.

    Args:
        config: RecBole's Config.
        dataset: RecBole's Dataset of the training interactions.
    """

    type = ModelType.TRADITIONAL

    def __init__(self, config: Config, dataset: Any):
        super().__init__(config, dataset)
        item = dataset.inter_feat[self.ITEM_ID]
        self.register_buffer("counts", torch.bincount(item, minlength=self.n_items).double())

    def fit_epoch(self) -> float:
        """Nothing is left to learn. Returns 0."""
        return 0.0

    def predict(self, interaction) -> Tensor:
        """Training interactions of each pair's item, [batch]."""
        return self.counts[interaction[self.ITEM_ID]]

    def full_sort_predict(self, interaction) -> Tensor:
        """Training interactions of every item, once per user, [batch * n_items]."""
        return self.counts.repeat(len(interaction[self.USER_ID]))
