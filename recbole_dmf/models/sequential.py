"""What the models share that read each user's training items in the order of time."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from recbole_dmf.data.history import EXACT_TIME, N_EARLIER, UNKNOWN, History

HISTORY = ["history_start", "history_item"]  # attributes that a checkpoint keeps
HISTORY_TIME = "history_time"  # of models that read times as well, float64 as `history_item`
_PAIRS_PER_BLOCK = 4_000_000  # pairs of items that are summed up at once: some 100 MB


def read_history(model: Any, dataset: Any) -> None:
    """Give a model its users' training items, the oldest first, as the attributes `HISTORY`.

    They are empty where the interactions lack the order; a checkpoint then brings its own.

    Args:
        model: a RecBole recommender with USER_ID, ITEM_ID and device.
        dataset: RecBole's Dataset of the training interactions.
    """
    feat = dataset.inter_feat
    user, item = feat[model.USER_ID], feat[model.ITEM_ID]
    n_earlier = feat[N_EARLIER] if N_EARLIER in feat.columns else user.new_empty(0)
    history = History.of(user, item, n_earlier, dataset.user_num, dataset.item_num)
    model.history_start = history.start.to(model.device)
    model.history_item = history.item.to(model.device)
    model.other_parameter_name = [*HISTORY]


def history_of(model: Any) -> History:
    """The history that `read_history` has given the model."""
    return History(model.history_start, model.history_item, model.n_items)


@contextmanager
def with_known(model: Any, known: Any) -> Iterator[None]:
    """For a while, the users' items are those of other interactions than the training.

    What the model has learned or counted stays; a model that reads no order is left alone.

    Args:
        model: may have had `read_history`.
        known: RecBole's Interaction with the columns N_EARLIER and, where the model reads times,
            EXACT_TIME; None: the training stays.
    """
    kept = {name: value for name, value in vars(model).items() if name in (*HISTORY, HISTORY_TIME)}
    if known is None or not kept:
        yield
        return
    user, n_earlier = known[model.USER_ID], known[N_EARLIER]
    n_users = len(model.history_start) - 1
    history = History.of(user, known[model.ITEM_ID], n_earlier, n_users, model.n_items)
    if HISTORY_TIME in kept:
        timed = n_earlier != UNKNOWN
        place = history.start[user[timed]] + n_earlier[timed]
        time = torch.empty(len(history.item), dtype=torch.float64)
        time[place] = known[EXACT_TIME][timed]
        model.history_time = time.to(model.device)
    model.history_start = history.start.to(model.device)
    model.history_item = history.item.to(model.device)
    try:
        yield
    finally:
        vars(model).update(kept)


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


def latest_items(
    history: History, user: Tensor, n_earlier: Tensor | None, longest: int
) -> tuple[Tensor, Tensor]:
    """Each user's latest items, the oldest first, and their number.

    Args:
        user, n_earlier: int64 [n], as in `History.latest`.
        longest: items of a user at most, at least 1.

    Returns:
        int64 [n, width], padded with 0 behind, width at most `longest`; int64 [n].
    """
    first, end = last_places(history, user, n_earlier)
    length = (end - first).clamp(max=longest)
    return take(history.item, end - length, length), length


def take(items: Tensor, first: Tensor, length: Tensor) -> Tensor:
    """Rows items[first : first + length], padded with 0 behind.

    Args:
        items: int32 [n_known].
        first, length: int64 [n].

    Returns:
        int64 [n, longest].
    """
    width = int(length.max()) if len(length) else 0
    offset = torch.arange(width, device=items.device)
    place = first[:, None] + offset
    if not len(items):
        return torch.zeros_like(place)
    inside = offset < length[:, None]
    return torch.where(inside, items[place.clamp(max=len(items) - 1)].long(), 0)


def steps(
    start: NDArray, item: NDArray, n_items: int, window: int, decay: float, backwards: float
) -> sp.csr_matrix:
    """How much item j follows item i, sum over all sequences.

    A pair in which j stands s steps after i, s = 1 .. window, counts decay^(s - 1) for (i, j) and
    `backwards` times that for (j, i). At most 2 * window * len(item) entries are stored.

    Args:
        start: int [n_sequences + 1], the first item of each sequence.
        item: int [n_known], the sequences, the oldest first.
        n_items: with RecBole's padding item.
        window: at least 1.
        decay: above 0, at most 1.
        backwards: at least 0.

    Returns:
        float32 CSR [n_items, n_items] with sorted indices.
    """
    shape = (n_items, n_items)
    sequence = np.repeat(np.arange(len(start) - 1), np.diff(start))
    total = sp.csr_matrix(shape, dtype=np.float32)
    for step in range(1, min(window, len(item) - 1) + 1):
        pairs = np.flatnonzero(sequence[step:] == sequence[:-step])
        for low in range(0, len(pairs), _PAIRS_PER_BLOCK):
            part = pairs[low : low + _PAIRS_PER_BLOCK]
            weight = np.full(len(part), decay ** (step - 1), np.float32)
            total = total + sp.csr_matrix((weight, (item[part], item[part + step])), shape)
    if backwards:
        total = total + np.float32(backwards) * total.T.tocsr()
    total.sort_indices()
    return total
