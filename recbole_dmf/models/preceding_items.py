"""Beyond the paper (its Sec. 5, auxiliary data): what comes before an item, an input beside Y."""

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from recbole_dmf.data.history import History
from recbole_dmf.data.interactions import SparseInput, WholeRows, sparse_product
from recbole_dmf.errors import UserError
from recbole_dmf.models.sequential import history_of
from recbole_dmf.models.towers import initialise
from recbole_dmf.options import Config, number

SHRINK = 10.0  # as in SequentialKNN's similarity: rows of items with few interactions stay short
_PLACES_PER_PART = 1_000_000  # interactions whose rows are in memory at a time


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
        count = torch.bincount(history.item.cpu(), minlength=history.n_items).float()
        share = (count + SHRINK).rsqrt()
        rows = sp.diags(share.numpy()) @ _summed_by_item(history, self.horizon)
        rows = rows.astype(self.weight.detach().cpu().numpy().dtype)
        device = self.weight.device
        by_item, by_preceding = (WholeRows.of(_sorted(m), device) for m in (rows, rows.T))
        self.input = SparseInput(by_item, by_preceding)
        self.register_buffer("share", share.to(self.weight), persistent=False)

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
        for rows in (self.input.rows, self.input.transposed):
            rows.value = rows.value.double()
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


def _summed_by_item(history: History, horizon: list[tuple[int, float]]) -> sp.csr_matrix:
    """The rows of latest items before each interaction, summed by its item, [n_items, n_items]."""
    counts = history.start.diff()
    user = torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
    place = torch.arange(len(user), device=user.device)
    n_earlier = place - history.start[user]
    total = sp.csr_matrix((history.n_items, history.n_items), dtype=np.float32)
    for part in place.split(_PLACES_PER_PART):
        latest = history.latest(user[part], n_earlier[part], horizon)
        arrays = (a.cpu().numpy() for a in (latest.value, latest.column, latest.start))
        rows = sp.csr_matrix(tuple(arrays), shape=(len(part), history.n_items))
        item = history.item[part].cpu().numpy()
        ones = np.ones(len(part), np.float32)
        by_item = sp.csr_matrix((ones, (item, np.arange(len(part)))), (history.n_items, len(part)))
        total = total + by_item @ rows
    return total


def _sorted(matrix: sp.spmatrix) -> sp.csr_matrix:
    found = sp.csr_matrix(matrix)
    found.sort_indices()
    found.indices, found.indptr = found.indices.astype(np.int32), found.indptr.astype(np.int32)
    return found
