"""Beyond the paper (its Sec. 5, auxiliary data): a user's latest items as an input beside Y."""

from typing import Any

import torch
from torch import Tensor, nn

from recbole_dmf.data.history import N_EARLIER, History
from recbole_dmf.data.interactions import Rows, sparse_product
from recbole_dmf.errors import UserError
from recbole_dmf.models.sequential import history_of, read_history
from recbole_dmf.models.towers import TwoTowerModel, initialise
from recbole_dmf.options import Config


class RecentItems(TwoTowerModel):
    """A two-tower model whose users' side also reads the items before an interaction.

    Attributes:
        recent_items: how many items before an interaction are read; 0: none.
        recent_decay: an item's entry over that of the next later one.
        recent_weight: [n_items, width], the first layer of that input.
    """

    recent_items: int = 0
    recent_weight: nn.Parameter

    def build_recent_layer(self, config: Config, dataset: Any, width: int) -> None:
        """Take the order of the training interactions where `recent_items` asks for it.

        Raises:
            UserError: `recent_items` or `recent_decay` cannot be worked with.
        """
        self.recent_items, self.recent_decay = config["recent_items"] or 0, config["recent_decay"]
        if not self.recent_items:
            return
        if self.recent_items < 0:
            raise UserError(
                f"recent_items is {self.recent_items}; give a number of items, or 0 for none."
            )
        if not 0 < self.recent_decay <= 1:
            raise UserError(f"recent_decay is {self.recent_decay}; it must lie in (0, 1].")
        self.recent_weight = nn.Parameter(torch.empty(self.n_items, width))
        initialise(self.recent_weight, config["init"])
        read_history(self, dataset)

    def check_order(self, n_earlier: Tensor | None) -> None:
        """Raise if training lacks the order of time: all of a user's items hold the target.

        Raises:
            UserError: `n_earlier` is needed and missing.
        """
        if self.recent_items and n_earlier is None:
            raise UserError(
                f"recent_items needs the column {N_EARLIER}, which only our data set class gives "
                "the interactions; set recent_items to 0."
            )

    def recent_layer(self, user: Tensor | None, n_earlier: Tensor | None) -> Tensor:
        """What the latest items add to the first layer's output, [n, width]."""
        return sparse_product(self.latest(user, n_earlier), self.recent_weight)

    def latest(
        self,
        user: Tensor | None = None,
        n_earlier: Tensor | None = None,
        history: History | None = None,
    ) -> Rows:
        """The input rows of the latest items, [n, n_items].

        Args:
            user: int64 [n]; None: all.
            n_earlier: int64 [n], how many of the user's items are known by then; None: all.
            history: of other users than those of the training; None: of these.
        """
        if history is None:
            history = history_of(self)
        rows = history.latest(user, n_earlier, self.recent_items, self.recent_decay)
        rows.value = rows.value.to(self.recent_weight.dtype)
        return rows
