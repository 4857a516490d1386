"""The paper's loss of a small batch and its gradients, made together and without autograd.

A small batch's products take less time than recording and replaying their graph. `batch_encoding`
and `pair_loss` are the same loss for every option and every size.
"""

from typing import Any

import torch
from torch import Tensor

from recbole_dmf.data.interactions import SparseInput
from recbole_dmf.models.batch_encoding import distinct
from recbole_dmf.models.dmf import DMF, Tower, pair_target
from recbole_dmf.models.gradients import unit_and_norm, unit_slope
from recbole_dmf.models.losses import cross_entropy

SMALL = 4096  # pairs; beyond, the graph costs little, and here a row is held for each pair


def takes_one_pass(model: Any, item: Tensor) -> bool:
    """Whether `one_pass` knows the model's loss and is the faster way for a batch of `item`."""
    return (
        type(model) is DMF  # a subclass may encode, normalise or weigh in its own way
        and len(item) <= SMALL
        and item.is_cpu
        and model.similarity == "cosine"
        and model.loss_type in ("ce", "nce")
        and not (model.recent_items or model.target_masking)
        and not any(
            tower.dropout_prob or tower.bias is not None
            for tower in (model.user_tower, model.item_tower)
        )
    )


@torch.no_grad()
def one_pass(
    model: DMF, weight: float, user: Tensor, item: Tensor, rating: Tensor, label: Tensor
) -> Tensor:
    """`model.loss` of a batch where `takes_one_pass`, shape [].

    Its gradients times `weight` are added to the parameters'.

    Args:
        user, item, rating, label: as of `DMF.loss`.
    """
    users, items = model.user_tower, model.item_tower
    given_p, p_of = _inputs(model.input_of_users, user)
    given_q, q_of = _inputs(model.input_of_items, item)
    outputs_p, outputs_q = _layers(users, given_p), _layers(items, given_q)
    (unit_p, norm_p), (unit_q, norm_q) = map(unit_and_norm, (outputs_p[-1], outputs_q[-1]))
    p = unit_p if p_of is None else unit_p.index_select(0, p_of)
    q = unit_q if q_of is None else unit_q.index_select(0, q_of)
    q = q.view(-1, *p.shape)
    similarity = (q * p).sum(dim=-1)  # Eq. (8)
    y_hat = similarity.clamp(model.mu, 1 - model.mu)  # Eq. (13)
    y = pair_target(model, rating * label, label).view(y_hat.shape).to(y_hat.dtype)
    slope = (y_hat - y).div_((1 - y_hat).mul_(y_hat)).mul_(y_hat == similarity)
    slope = slope.mul_(weight / y.numel()).unsqueeze_(-1)
    of_p, of_q = (slope * q).sum(dim=0), (slope * p).view(-1, p.shape[1])
    if p_of is not None:
        of_p = torch.zeros_like(unit_p).index_add_(0, p_of, of_p)
    if q_of is not None:
        of_q = torch.zeros_like(unit_q).index_add_(0, q_of, of_q)
    _add_gradients(users, given_p, outputs_p, unit_slope(of_p, unit_p, norm_p))
    _add_gradients(items, given_q, outputs_q, unit_slope(of_q, unit_q, norm_q))
    return cross_entropy(y_hat, y)  # Eq. (11), (12)


def _inputs(given: SparseInput, ids: Tensor) -> tuple[SparseInput, Tensor | None]:
    """The inputs to encode, and each entry's place among them; None: in their order."""
    encoded, place = distinct(ids, len(given.rows))
    return given.take(encoded), place


def _layers(tower: Tower, given: SparseInput) -> list[Tensor]:
    """The output of each layer, activations included."""
    outputs = [given.rows.matmul(tower.weight)]  # Eq. (5), line 1
    for number, layer in enumerate(tower.hidden):
        _activate(tower, number, outputs[-1])
        outputs.append(torch.addmm(layer.bias, outputs[-1], layer.weight.t()))  # Eq. (5), 2 and 3
    _activate(tower, len(tower.hidden), outputs[-1])
    return outputs


def _activate(tower: Tower, number: int, output: Tensor) -> None:
    if _has_relu(tower, number):
        output.relu_()


def _has_relu(tower: Tower, number: int) -> bool:
    """Whether a layer ends in one."""
    if number == 0:
        return tower.first_activation is torch.relu
    return number < len(tower.hidden) or tower.output_activation is torch.relu


def _add_gradients(tower: Tower, given: SparseInput, outputs: list[Tensor], grad: Tensor) -> None:
    """Add to the parameters' gradients what `grad`, that of the last output, makes them."""
    for number in reversed(range(len(outputs))):
        if _has_relu(tower, number):
            grad = torch.ops.aten.threshold_backward(grad, outputs[number], 0)
        if number:
            layer = tower.hidden[number - 1]
            _add(layer.bias, grad.sum(dim=0))
            _add(layer.weight, grad.t() @ outputs[number - 1])
            grad = grad @ layer.weight
    _add(tower.weight, given.gradient(grad))


def _add(parameter: Tensor, gradient: Tensor) -> None:
    parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
