"""Operations of a training step whose gradients are written by hand, since autograd's are slow."""

import torch
from torch import Tensor

from recbole_dmf.data.interactions import Rows

NORM_EPSILON = 1e-12
_LOGITS_PER_BLOCK = 1_000_000  # 4 MB, which stay in the cache
_PAIRS_PER_CHUNK = 8192  # their vectors stay in the cache between gathering and multiplying


def unit_and_norm(h: Tensor) -> tuple[Tensor, Tensor]:
    """`unit_vectors` and the norms, infinite for 0, [n, factors] and [n, 1]; no gradient."""
    norm = torch.linalg.vector_norm(h, dim=-1, keepdim=True)
    norm.masked_fill_(norm < NORM_EPSILON, torch.inf)
    return h / norm, norm


def unit_slope(grad: Tensor, unit: Tensor, norm: Tensor) -> Tensor:
    """The gradient of h from that of `unit_and_norm(h)`'s unit vectors, [n, factors]."""
    along = (grad * unit).sum(dim=-1, keepdim=True)
    return torch.addcmul(grad, unit, along, value=-1).div_(norm)


class _UnitVectors(torch.autograd.Function):
    """`unit_vectors`, with a gradient of a third of autograd's operations."""

    @staticmethod
    def forward(ctx, h):
        unit, norm = unit_and_norm(h)
        ctx.save_for_backward(unit, norm)
        return unit

    @staticmethod
    def backward(ctx, grad):
        return unit_slope(grad, *ctx.saved_tensors)


def unit_vectors(h: Tensor) -> Tensor:
    """h / ||h||, and 0 for h = 0 (a dead ReLU tower, an item without interactions), [n, factors].

    The gradient at 0, where there is none, is 0. Divided by a small number in place of the norm it
    would be larger than all others together, and what it reaches would no longer learn with Adam.
    """
    return _UnitVectors.apply(h)


class _PairProducts(torch.autograd.Function):
    """`pair_products` whose gradients are sparse products, without a row per pair."""

    @staticmethod
    def forward(ctx, p, q, user, item):
        ctx.save_for_backward(p, q, user, item)
        items = item.view(-1, len(user))
        products = p.new_empty(items.shape)
        size = max(1, _PAIRS_PER_CHUNK // max(1, len(items)))
        for start in range(0, len(user), size):
            part = slice(start, start + size)
            rows = p.index_select(0, user[part])
            columns = q.index_select(0, items[:, part].reshape(-1))
            products[:, part] = columns.view(-1, *rows.shape).mul_(rows).sum(dim=-1)
        return products.view(-1)

    @staticmethod
    def backward(ctx, grad):
        p, q, user, item = ctx.saved_tensors
        n, k = len(user), len(item) // len(user)
        row = torch.arange(n + 1, dtype=torch.int32, device=user.device)
        weight = grad.view(k, n).T.reshape(-1)
        pairs = Rows(row * k, item.int().view(k, n).T.reshape(-1), weight, len(q))
        of_q = pairs.transposed().matmul(p.index_select(0, user))
        users = Rows(row, user.int(), weight.new_ones(n), len(p))
        return users.transposed().matmul(pairs.matmul(q)), of_q, None, None


def pair_products(p: Tensor, q: Tensor, user: Tensor | None, item: Tensor | None) -> Tensor:
    """Inner products of pairs of rows; pair j is row user[j % n] of p and row item[j] of q.

    Args:
        p, q: [n_p, factors], [n_q, factors].
        user: int64 [n], None for all rows of p.
        item: int64 [k * n], None for all rows of q.

    Returns:
        [k * n].
    """
    if user is None and item is None:
        return (p * q.view(-1, *p.shape)).sum(dim=-1).view(-1)
    user, item = (
        torch.arange(len(rows), device=rows.device) if ids is None else ids
        for rows, ids in ((p, user), (q, item))
    )
    return _PairProducts.apply(p, q, user, item)


class _Softmax(torch.autograd.Function):
    """`sampled_softmax` in blocks of positives, its gradient made with the loss."""

    @staticmethod
    def forward(ctx, own, p, q, beside, row, column):
        of_own, of_p, of_q = torch.empty_like(own), torch.empty_like(p), torch.zeros_like(q)
        of_beside = None if beside is None else torch.zeros_like(beside)
        total = own.new_zeros((), dtype=torch.float64)
        size = max(1, _LOGITS_PER_BLOCK // max(1, len(q)))
        starts = torch.arange(0, len(own) + size, size, device=row.device)
        pairs = torch.searchsorted(row, starts).tolist()
        for number, start in enumerate(range(0, len(own), size)):
            part, known = slice(start, start + size), slice(*pairs[number : number + 2])
            weight = p[part] @ q.T if beside is None else torch.addmm(beside, p[part], q.T)
            weight[row[known] - start, column[known]] = -torch.inf
            top = torch.maximum(weight.amax(dim=1), own[part])
            weight.sub_(top[:, None]).exp_()
            mine = own[part] - top
            normaliser = weight.sum(dim=1) + mine.exp()
            total += (normaliser.log() - mine).sum()
            of_own[part] = mine.exp() / normaliser - 1
            share = normaliser.reciprocal()[:, None]
            torch.mm(weight, q, out=of_p[part]).mul_(share)
            of_q.addmm_(weight.T, p[part] * share)
            if of_beside is not None:
                of_beside.addmv_(weight.T, share[:, 0])
        slopes = own.new_zeros(0) if of_beside is None else of_beside, of_own, of_p, of_q
        ctx.save_for_backward(*(slope.div_(len(own)) for slope in slopes))
        return (total / len(own)).to(own.dtype)

    @staticmethod
    def backward(ctx, grad):
        of_beside, *slopes = (grad * slope for slope in ctx.saved_tensors)
        return *slopes, of_beside if ctx.needs_input_grad[3] else None, None, None


def sampled_softmax(
    own: Tensor, p: Tensor, q: Tensor, beside: Tensor | None, known: tuple[Tensor, Tensor]
) -> Tensor:
    """Mean cross-entropy of each positive among itself and the negatives, shape [].

    Not in the paper: where Eq. (11) weighs every pair alone, this moves a positive to the top of
    a long list. Wu et al., "On the Effectiveness of Sampled Softmax Loss for Item
    Recommendation", TOIS 2024.

    Args:
        own: float [n], logits of the positives.
        p: float [n, factors], q: float [m, factors], m > 0; p q^T + `beside` are the logits of the
            positives' users with the negatives.
        beside: float [m]; None: zeros.
        known: row and column, int64 each, of those logits that are not counted; rows ascend.
    """
    return _Softmax.apply(own, p, q, beside, *known)
