"""Models whose score is the inner product of a user's and an item's vector."""

from typing import Any

from torch import Tensor

from recbole_dmf.evaluation.products import whole_rows


class InnerProducts:
    """What such a model has in front of RecBole's class.

    A subclass defines `user_vectors` and `item_vectors`.
    """

    ITEM_ID: str

    def user_vectors(self, interaction: Any) -> Tensor:
        """Vectors of the users of a batch, [batch, factors]."""
        raise NotImplementedError

    def item_vectors(self) -> Tensor:
        """Vectors of all items, [n_items, factors]."""
        raise NotImplementedError

    def predict(self, interaction: Any) -> Tensor:
        """Score of each pair of a batch, shape [batch]."""
        q = self.item_vectors()[interaction[self.ITEM_ID]]
        return (self.user_vectors(interaction) * q).sum(dim=-1)

    def full_sort_predict(self, interaction: Any) -> Tensor:
        """Score of each user of a batch with every item, shape [batch * n_items]."""
        return whole_rows(self.user_vectors(interaction), self.item_vectors()).view(-1)


def scores_are_products(model: Any) -> bool:
    """Whether a model scores as `InnerProducts` does; a class that derives from one may not."""
    return getattr(type(model), "full_sort_predict", None) is InnerProducts.full_sort_predict
