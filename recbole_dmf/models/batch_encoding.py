"""The similarities of a training batch in few operations: the speed bookkeeping of `dmf.py`.

A user or an item that a batch names several times goes through its tower once. The values are
those of `DMF.forward`, pair by pair, to rounding.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from recbole_dmf.models.gradients import pair_products, sampled_softmax
from recbole_dmf.models.sequential import history_of

if TYPE_CHECKING:
    from recbole_dmf.models.dmf import DMF, Tower

_ROUNDING = 1e-5  # relative; some ten times that of float32 sums


def distinct(ids: Tensor, n_rows: int) -> tuple[Tensor | None, Tensor | None]:
    """Which of `n_rows` rows to encode for the entries `ids` of a batch, int64 [n].

    Returns:
        The rows, None for all, and for each entry its place among them, None where they are the
        entries themselves.
    """
    if 8 * len(ids) < n_rows:  # repeats are rare, and finding them costs more
        return ids, None
    if len(ids) > 4 * n_rows:  # hardly a row is missing
        return None, ids
    found, place = torch.unique(ids, return_inverse=True)
    # Above half of the rows, the ready-made matrix and its transpose are cheaper than a slice.
    return (None, ids) if 2 * len(found) > n_rows else (found, place)


def batch_similarities(
    model: "DMF",
    user: Tensor,
    item: Tensor,
    value: Tensor | None = None,
    n_earlier: Tensor | None = None,
) -> Tensor:
    """Similarities of the pairs of a batch, [k * n], as `DMF.forward` defines them.

    Args:
        model, user, item, value, n_earlier: as in `batch_vectors`.
    """
    return pair_products(*batch_vectors(model, user, item, value, n_earlier))  # Eq. (8)


def batch_softmax(
    model: "DMF",
    user: Tensor,
    item: Tensor,
    label: Tensor,
    value: Tensor | None = None,
    n_earlier: Tensor | None = None,
) -> Tensor:
    """Cross-entropy of a batch's positives, each among all the batch's negatives, shape [].

    Items that a positive's user has in training are no negatives of it.

    Args:
        model, user, item, value, n_earlier: as in `batch_vectors`.
        label: float [k * n], as in `DMF.loss`, the positives first.
    """
    m = int(label.sum())
    p, q, p_of, q_of = batch_vectors(model, user, item, value, n_earlier)
    places = torch.arange(len(item), device=item.device) if q_of is None else q_of
    negatives = item[m:].unique()
    place_of = item.new_zeros(model.n_items)
    place_of[item[m:]] = places[m:]
    own_p = (p if p_of is None else p[p_of[:m]])[:m] * model.scale()
    own = (own_p * q[places[:m]]).sum(dim=-1)
    beside = None
    if model.popularity is not None:
        own = own + model.popularity(item[:m], None if value is None else label[:m])
        beside = model.popularity(negatives)
    known = _known(model, user[:m], negatives)
    return sampled_softmax(own, own_p, q[place_of[negatives]], beside, known)


def _known(model: "DMF", user: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
    """Where `items`, int64 [m], are training items of users, int64 [n]: rows and columns."""
    rows = model.input_of_users.rows.take(user)
    column_of = torch.full((model.n_items,), -1, device=user.device)
    column_of[items] = torch.arange(len(items), device=user.device)
    row = torch.arange(len(user), device=user.device).repeat_interleave(rows.start.diff())
    column = column_of[rows.column]
    return row[column >= 0], column[column >= 0]


def batch_vectors(
    model: "DMF",
    user: Tensor,
    item: Tensor,
    value: Tensor | None = None,
    n_earlier: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Normalised vectors of the pairs of a batch, each once.

    Args:
        model: whose towers encode.
        user: int64 [n]; pair j is of user j % n.
        item: int64 [k * n].
        value: float [k * n], the pairs' entries of Y (0 for negatives), which `target_masking`
            takes out of the input; None: nothing is taken out.
        n_earlier: int64 [n], as in `DMF.encode_users`.

    Returns:
        Vectors of users and of items, and each pair's place among them; None: in their order.
    """
    encoded, p_of = distinct(user, model.n_users)
    l_1 = model.user_tower.first_layer(model.input_of_users, encoded)
    if model.recent_items:  # an input of its own for each moment
        l_1 = l_1 if p_of is None else l_1.index_select(0, p_of)
        l_1, p_of = l_1 + model.recent_layer(user, n_earlier), None
    masked = own = None
    if value is not None:
        masked = value.nonzero().squeeze(1)
        own = _own_rows(model, masked, user, item, n_earlier)
        p_of = torch.arange(len(user), device=user.device) if p_of is None else p_of
        repeats = len(item) // len(user)
        p_of, user = p_of.repeat(repeats), user.repeat(repeats)
        value = value[masked]
    p, p_of = _latent(model.user_tower, l_1, p_of, masked, item, value)
    encoded, q_of = distinct(item, model.n_items)
    l_1 = model.first_layer_of_items(encoded)
    q, q_of = _latent(model.item_tower, l_1, q_of, masked, user, value, own)
    return model.normalise(p), model.normalise(q), p_of, q_of


def _own_rows(
    model: "DMF", masked: Tensor, user: Tensor, item: Tensor, n_earlier: Tensor | None
) -> Tensor | None:
    """What pairs add to the rows of what comes before their items, [masked, width]; None: nothing.

    Args:
        model, user, item, n_earlier: as in `batch_vectors`.
        masked: int64 [masked], the pairs.
    """
    if model.preceding is None or n_earlier is None:
        return None
    moment = masked % len(user)
    pairs = user[moment], n_earlier[moment], item[masked]
    return model.preceding.of_pairs(history_of(model), *pairs)


def _latent(
    tower: "Tower",
    l_1: Tensor,
    place: Tensor | None,
    masked: Tensor | None,
    target: Tensor,
    value: Tensor | None,
    own: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Latent vectors for a batch, of its masked pairs without the entry `target`.

    A repeated input goes through the tower once, each masked pair once more.

    Args:
        l_1: [n, width], of the inputs.
        place: int64 [batch], each entry's input; None: its own.
        masked: int64 [masked], those pairs; None: none.
        target: [batch].
        value: [masked], of the entries that are taken out.
        own: [masked, width], what else the masked pairs themselves have added to l_1.

    Returns:
        [n + masked, factors], and the places among them.
    """
    if masked is not None and value is not None:
        place = torch.arange(len(l_1), device=l_1.device) if place is None else place.clone()
        base = l_1.index_select(0, place[masked])
        corrected = tower.without_target(base, target[masked], value)
        if own is not None:
            corrected = _without_rounding(corrected - own, base)
        place[masked] = torch.arange(len(l_1), len(l_1) + len(masked), device=l_1.device)
        l_1 = torch.cat([l_1, corrected])
    return tower.upper_layers(l_1), place


def _without_rounding(rest: Tensor, whole: Tensor) -> Tensor:
    """`rest` with zeros where it is what rounding has left of a row that was taken away in parts.

    A vector is normalised later on, so that such a rest would become a random direction.

    Args:
        rest, whole: [n, width].
    """
    with torch.no_grad():
        left, before = (torch.linalg.vector_norm(x, dim=1, keepdim=True) for x in (rest, whole))
        remains = left > _ROUNDING * before
    return rest * remains
