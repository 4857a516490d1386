"""A RecBole model's scores of all items."""

from collections.abc import Callable
from typing import Any

import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_dmf.data.history import N_EARLIER
from recbole_dmf.evaluation.products import Products
from recbole_dmf.models.inner_products import scores_are_products

_PAIRS_PER_CHUNK = 262_144


def scores_of(
    model: Any, n_items: int, n_earlier: Tensor | None = None
) -> Callable[[Tensor], Tensor]:
    """A function from int64 [n] users to scores of all items; `Products` where they are such.

    Args:
        model: a RecBole general recommender that isn't training.
        n_items: with RecBole's padding item.
        n_earlier: int64 [n_users], as in `data.history`, for models that know the order of time.
    """
    if not scores_are_products(model):
        return lambda user: all_scores(
            model, user, n_items, None if n_earlier is None else n_earlier[user]
        )

    def users(user: Tensor) -> Tensor:
        known = None if n_earlier is None else n_earlier[user]
        return model.user_vectors(_asked(model, user, known))

    return Products(users, model.item_vectors())


def all_scores(model: Any, user: Tensor, n_items: int, n_earlier: Tensor | None = None) -> Tensor:
    """Scores of every item for each user, [n, n_items], by pairs where the model has no other way.

    Args:
        model: a RecBole general recommender.
        user: int64 [n], on the model's device.
        n_items: with RecBole's padding item.
        n_earlier: int64 [n], as in `data.history`, for models that know the order of time.
    """
    asked = _asked(model, user, n_earlier)
    try:
        score = model.full_sort_predict(asked)
        return torch.as_tensor(score).view(len(user), n_items)
    except NotImplementedError:
        return _by_pairs(model, asked, n_items)


def _asked(model: Any, user: Tensor, n_earlier: Tensor | None) -> Interaction:
    return Interaction(
        {model.USER_ID: user} | ({} if n_earlier is None else {N_EARLIER: n_earlier})
    )


def _by_pairs(model: Any, asked: Interaction, n_items: int) -> Tensor:
    user = asked[model.USER_ID]
    item = torch.arange(n_items, device=user.device)
    rows = []
    for part in torch.arange(len(user)).split(max(1, _PAIRS_PER_CHUNK // n_items)):
        pairs = {
            name: column[part].repeat_interleave(n_items)
            for name, column in asked.interaction.items()
        }
        pairs[model.ITEM_ID] = item.repeat(len(part))
        rows.append(model.predict(Interaction(pairs)).view(len(part), n_items))
    return torch.cat(rows)
