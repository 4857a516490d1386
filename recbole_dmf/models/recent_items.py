"""Beyond the paper (its Sec. 5, auxiliary data): a user's latest items as an input beside Y."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from recbole_dmf.data.history import N_EARLIER, History
from recbole_dmf.data.interactions import Rows, sparse_product
from recbole_dmf.errors import UserError
from recbole_dmf.models.sequential import history_of, read_history
from recbole_dmf.models.towers import TwoTowerModel, initialise
from recbole_dmf.options import Config


def read_horizons(given: Any, decay: Any) -> list[tuple[int, float]]:
    """(items, decay) of each row of latest items that the options ask for; [] for none.

    Args:
        given: `recent_items`, a number or a list of them.
        decay: `recent_decay`, the same.

    Raises:
        UserError: `recent_items` or `recent_decay` cannot be worked with.
    """
    if not given:
        return []
    items = given if isinstance(given, list) else [given]
    decays = decay if isinstance(decay, list) else [decay] * len(items)
    if any(not isinstance(n, int) or isinstance(n, bool) or n < 1 for n in items):
        raise UserError(
            f"recent_items is {given}; give a number of items, or 0 for none, or a list with one "
            "for each row of latest items, for example [5, 20, 50]."
        )
    if any(not isinstance(d, (int, float)) or not 0 < d <= 1 for d in decays):
        raise UserError(f"recent_decay is {decay}; it must lie in (0, 1].")
    if len(items) != len(decays):
        raise UserError(
            f"recent_items {given} and recent_decay {decay} differ in length; give a decay for "
            "each number of items, or one for all."
        )
    return list(zip(items, map(float, decays), strict=True))


class RecentItems(TwoTowerModel):
    """A two-tower model whose users' side also reads the items before an interaction.

    Attributes:
        recent_items, recent_decay: the options; recent_items 0: none.
        horizons: (items, decay) of each row of latest items: how many before an interaction are
            read, and an item's entry over that of the next later one.
        recent_weight: [H * n_items, width], the first layer of these H rows, one below the other.
    """

    recent_items: int | list[int] = 0
    horizons: Sequence[tuple[int, float]] = ()
    recent_weight: nn.Parameter

    def build_recent_layer(self, config: Config, dataset: Any, width: int) -> None:
        """Take the order of the training interactions where `recent_items` asks for it.

        Raises:
            UserError: as `read_horizons`.
        """
        self.recent_items, self.recent_decay = config["recent_items"] or 0, config["recent_decay"]
        self.horizons = read_horizons(self.recent_items, self.recent_decay)
        if not self.horizons:
            return
        self.recent_weight = nn.Parameter(torch.empty(len(self.horizons) * self.n_items, width))
        for part in self.recent_weight.detach().split(self.n_items):
            initialise(part, config["init"])
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
        """The input rows of the latest items, [n, H * n_items], as `History.latest`.

        Args:
            user: int64 [n]; None: all.
            n_earlier: int64 [n], how many of the user's items are known by then; None: all.
            history: of other users than those of the training; None: of these.
        """
        if history is None:
            history = history_of(self)
        rows = history.latest(user, n_earlier, self.horizons)
        rows.value = rows.value.to(self.recent_weight.dtype)
        return rows
