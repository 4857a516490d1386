"""Beyond the paper (its Sec. 5, auxiliary data): what comes before an item, an input beside Y."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recbole_dmf.data.history import History
from recbole_dmf.data.interactions import SparseInput, WholeRows, sparse_product
from recbole_dmf.errors import UserError
from recbole_dmf.models.sequential import history_of, steps
from recbole_dmf.models.towers import initialise
from recbole_dmf.options import Config, number

SHRINK = 10.0  # as in SequentialKNN's similarity: rows of items with few interactions stay short


class PrecedingItems(nn.Module):
    """The first layer of the items' side for rows of the items before each of their interactions.

    Item j's row is the sum, over the users i who have j, of i's latest items before j, as
    `History.latest` weighs them, by the root of j's interactions + 10. It says what SequentialKNN
    counts, so that an item with few users still is near those that are followed by it.

    Args:
        history: the training items of all users; one without items is replaced by `read`.
        longest: items before an interaction at most.
        decay: weight of an item over that of the next later one.
        width: of the layer.
        init: as in `Tower`.
    """

    share: Tensor

    def __init__(self, history: History, longest: int, decay: float, width: int, init: str):
        super().__init__()
        self.horizon = [(longest, decay)]
        self.weight = nn.Parameter(torch.empty(history.n_items, width))
        initialise(self.weight, init)
        self.read(history)

    def read(self, history: History) -> None:
        """Take the rows from the training items of all users; they are in no checkpoint."""
        start, item = history.start.cpu().numpy(), history.item.cpu().numpy()
        count = np.bincount(item, minlength=history.n_items)
        share = 1 / np.sqrt(count + SHRINK, dtype=np.float32)
        [(longest, decay)] = self.horizon
        followed = steps(start, item, history.n_items, longest, decay, backwards=0)
        followed.data *= share[followed.indices]
        by_preceding, by_item = (
            WholeRows.of(matrix, self.weight.device) for matrix in (followed, followed.T.tocsr())
        )
        self.input = SparseInput(by_item, by_preceding)
        self.input.cast(self.weight.dtype)
        self.register_buffer("share", torch.from_numpy(share).to(self.weight), persistent=False)

    def forward(self, item: Tensor | None = None) -> Tensor:
        """What the rows of items, int64 [n] (all if None), add to the first layer, [n, width]."""
        return self.input.matmul(self.weight, item)

    def of_pairs(self, history: History, user: Tensor, n_earlier: Tensor, item: Tensor) -> Tensor:
        """What training interactions themselves add to `forward` of their items, [n, width].

        Args:
            history: as was read.
            user, n_earlier, item: int64 [n], as in `History.latest`.
        """
        rows = history.latest(user, n_earlier, self.horizon)
        rows.value = rows.value.to(self.weight.dtype)
        return self.share[item][:, None] * sparse_product(rows, self.weight)

    def double(self):
        """The same in float64, inputs included."""
        self.input.cast(torch.float64)
        return super().double()


def preceding_layer(config: Config, model: Any, width: int) -> PrecedingItems | None:
    """The layer that the options ask for; None for none.

    Args:
        config: with `preceding_items` and `preceding_decay`.
        model: has had `read_history` where the options are right.
        width: of the layer.

    Raises:
        UserError: the options cannot be worked with, or need others.
    """
    if not config["preceding_items"]:
        return None
    longest = number(config, "preceding_items", 1)
    decay = number(config, "preceding_decay", 0.01, 1)
    if not config["recent_items"] or not config["target_masking"]:
        raise UserError(
            "preceding_items needs recent_items, which reads the same order, and target_masking: "
            "without it a training pair would find itself in its item's row; set both, or "
            "preceding_items to 0."
        )
    history = history_of(model)
    return PrecedingItems(history, int(longest), float(decay), width, config["init"])
