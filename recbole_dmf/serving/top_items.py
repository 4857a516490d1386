"""The items with the highest scores, of whole rows of scores or of vectors, block by block."""

import math
from collections.abc import Callable

import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from recbole_dmf.evaluation.products import BLOCK_USERS, Blocks, Pairs, padded

Top = tuple[NDArray, NDArray, NDArray]
Entries = tuple[Tensor, Tensor, Tensor]  # row, column and value
_GROUP = 16  # items whose maximum is looked at before themselves
_ENTRIES_PER_BLOCK = 4_000_000


def users_per_block(k: int) -> int:
    """How many users to give `top_k_of_products` at once, so that k of each fit in memory."""
    return max(1, min(BLOCK_USERS, _ENTRIES_PER_BLOCK // k))


def top_k(score: Tensor, k: int) -> Top:
    """The k highest entries of each row above -inf, in descending order.

    Equal entries come in the order of their columns, also where k cuts through them.

    Args:
        score: float [n, m].
        k: at least 1.

    Returns:
        Row, column and value of each, sorted by row and place; fewer than k where a row has fewer.
    """
    bound = score.topk(min(k, score.shape[1]), dim=1, sorted=False).values.amin(1, keepdim=True)
    chosen = (score >= bound) & (score > -math.inf)  # k of each row, and all level with the last
    row, column = chosen.nonzero(as_tuple=True)
    return _numbers(_first_k((row, column, score[chosen]), k, len(score)))


def top_k_of_products(
    users: Tensor,
    items: Tensor,
    k: int,
    left_out: sp.csr_matrix,
    blocks: Blocks,
    check: Callable[[Tensor], None],
) -> Top:
    """As `top_k` of the inner products of users and items, without item 0 and those left out.

    Only entries above the k-th best so far are taken out of a block; the bound is renewed whenever
    as many have come as there are already. Items come in ascending order, so that of equal
    entries the first stay.

    Args:
        users: float [n, factors].
        items: float [n_items, factors]; n_items at least 2.
        k: at least 1.
        left_out: CSR [n, n_items], non-zero at what is no answer.
        blocks: of the items.
        check: is given every block's scores, [size, n].
    """
    n, vectors, pairs = len(users), padded(users), left_out.tocoo()
    hidden = Pairs(blocks, pairs.row, pairs.col, len(vectors), items.device)
    bound = vectors.new_full((len(vectors),), math.inf)  # nothing is above it in padding
    found: list[Entries] = []
    n_new = 0
    for block, first in enumerate(blocks.first):
        score = blocks.score(block, vectors, items)
        check(score)
        blocks.hide_repeated(block, score)
        score.view(-1)[hidden.place[hidden.of(block)]] = -math.inf
        if block == 0:
            bound[:n] = _below_kth(score, k)[:n]
        row, column, value = _above(score, bound)
        found.append((row, column + first, value))
        n_new += len(row)
        if block == 0 or block == len(blocks) - 1 or n_new >= k * n:
            row, column, value = (torch.cat(part) for part in zip(*found, strict=True))
            found = [_first_k((row, column, value), k, n)]
            bound[:n], n_new = _kth(found[0], k, n), 0
    return _numbers(found[0])


def _groups(score: Tensor) -> Tensor:
    """Some items at a time, [m / size, size, n] of [m, n]."""
    return score.view(-1, math.gcd(_GROUP, len(score)), score.shape[1])


def _below_kth(score: Tensor, k: int) -> Tensor:
    """Something just below the k-th best of each column, float [n]: k groups have a better one."""
    best = _groups(score).amax(1)
    if len(best) < k:
        return score.new_full((score.shape[1],), -math.inf)
    return best.topk(k, dim=0).values[-1].nextafter(score.new_tensor(-math.inf))


def _above(score: Tensor, bound: Tensor) -> Entries:
    """All entries above their row's bound, by ascending columns in each row.

    Args:
        score: float [m, n], a row of the result to a column.
        bound: float [n].
    """
    groups = _groups(score)
    group, row = (groups.amax(1) > bound).nonzero(as_tuple=True)
    members = groups[group, :, row]
    hit, member = (members > bound[row, None]).nonzero(as_tuple=True)
    return row[hit], group[hit] * groups.shape[1] + member, members[hit, member]


def _first_k(found: Entries, k: int, n: int) -> Entries:
    """The k highest of n rows each, by row and place; of equal ones those that come first."""
    row, column, value = found
    order = _falling(value).argsort(stable=True)
    order = order[row[order].argsort(stable=True)]
    order = order[_places(row[order], n) < k]
    return row[order], column[order], value[order]


def _falling(value: Tensor) -> Tensor:
    """Integers that fall as floats rise: they are sorted in a tenth of the time."""
    whole = {4: torch.int32, 8: torch.int64}[value.element_size()]
    bits = (value + 0.0).view(whole)  # the sum has no negative zero, whose bits are others
    return ~torch.where(bits < 0, bits ^ torch.iinfo(whole).max, bits)


def _places(row: Tensor, n: int) -> Tensor:
    """The place of each entry among those of its row of n, from 0, int64; `row` ascends."""
    start = torch.searchsorted(row, torch.arange(n, device=row.device))
    return torch.arange(len(row), device=row.device) - start[row]


def _kth(best: Entries, k: int, n: int) -> Tensor:
    """The k-th highest entry of each of n rows; -inf where there are fewer."""
    row, _, value = best
    last = _places(row, n) == k - 1
    return value.new_full((n,), -math.inf).index_put((row[last],), value[last])


def _numbers(found: Entries) -> Top:
    row, column, value = (part.cpu().numpy() for part in found)
    return row, column, value
