"""What the models share that read each user's training items in the order of time."""

from typing import Any

import torch
from torch import Tensor

from recbole_dmf.data.history import N_EARLIER, History
from recbole_dmf.errors import UserError

HISTORY = ["history_start", "history_item"]  # attributes that a checkpoint keeps


def read_history(model: Any, dataset: Any) -> None:
    """Give a model its users' training items, the oldest first, as the attributes `HISTORY`.

    Args:
        model: a RecBole general recommender.
        dataset: RecBole's Dataset of the training interactions.

    Raises:
        UserError: the interactions lack the column that tells their order.
    """
    feat = dataset.inter_feat
    if N_EARLIER not in feat.columns:
        raise UserError(
            f"{type(model).__name__} needs the order of time, which the default split gives; leave "
            "eval_args.split out."
        )
    user, item, n_earlier = (feat[name] for name in (model.USER_ID, model.ITEM_ID, N_EARLIER))
    history = History.of(user, item, n_earlier, model.n_users, model.n_items)
    model.history_start = history.start.to(model.device)
    model.history_item = history.item.to(model.device)
    model.other_parameter_name = [*HISTORY]


def history_of(model: Any) -> History:
    """The history that `read_history` has given the model."""
    return History(model.history_start, model.history_item, model.n_items)


def moments(model: Any, interaction: Any) -> tuple[Tensor, Tensor | None]:
    """The users of a batch, and how many of their items are known by then; None: all.

    Returns:
        int64 [n] each.
    """
    if N_EARLIER not in interaction:
        return interaction[model.USER_ID], None
    return interaction[model.USER_ID], interaction[N_EARLIER]


def last_places(history: History, user: Tensor, n_earlier: Tensor | None) -> tuple[Tensor, Tensor]:
    """Where a user's known items begin and end in `history.item`, int64 [n] each.

    Args:
        user, n_earlier: int64 [n], as in `History.latest`.
    """
    first, end = history.start[user].long(), history.start[user + 1].long()
    if n_earlier is not None:
        end = torch.minimum(end, first + n_earlier.clamp(min=0))
    return first, end
