"""Where the targets stand, counted in blocks of users and items, for large catalogues."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from recbole_dmf.evaluation.candidates import Candidates
from recbole_dmf.evaluation.products import BLOCK_USERS, Blocks, Pairs, Products, n_rows, padded


@dataclass(frozen=True)
class UserBlock:
    """Some users with what is to be looked up in their scores.

    Attributes:
        place: int64 [n], where they are among the candidates' users.
        user: int64 [n].
        target, candidates, seen: their pairs.
        n_candidates: width of the candidates.
    """

    place: NDArray[np.int64]
    user: Tensor
    target: Pairs
    candidates: Pairs
    seen: Pairs
    n_candidates: int


def user_blocks(
    candidates: Candidates,
    seen: sp.csr_matrix,
    blocks: Blocks,
    device: torch.device,
    n_users: int = BLOCK_USERS,
) -> list[UserBlock]:
    """The users in the order of their targets, which are then in few blocks of items each.

    Args:
        candidates: of n users.
        seen: CSR [n_users, n_items].
        blocks: of the items.
        device: of the scores.
        n_users: of a block.
    """
    found = []
    order = np.argsort(candidates.target, kind="stable")
    for start in range(0, len(order), n_users):
        place = order[start : start + n_users]
        row, width = np.arange(len(place)), candidates.items.shape[1]
        rows = seen[candidates.user[place]].tocoo()
        shared = n_rows(len(place)), device
        found.append(
            UserBlock(
                place,
                torch.from_numpy(candidates.user[place]).to(device),
                Pairs(blocks, row, candidates.target[place], *shared),
                Pairs(blocks, row.repeat(width), candidates.items[place].reshape(-1), *shared),
                Pairs(blocks, rows.row, rows.col, *shared),
                width,
            )
        )
    return found


def count_in_blocks(
    users: list[UserBlock],
    scores: Products,
    blocks: Blocks,
    cold: Tensor,
    check: Callable[[Tensor], None],
) -> NDArray[np.int64]:
    """Rank the targets: how many items are above each and level with it.

    Args:
        users: as `user_blocks` makes them.
        scores: of the model.
        blocks: of the items.
        cold: int64 [n_cold], ascending.
        check: is given every block's scores, [size, n].

    Returns:
        int64 [6, n]: above and level among the candidates, all unseen items and the cold ones.
    """
    counted = np.zeros((6, sum(len(block.place) for block in users)), np.int64)
    in_block = np.searchsorted((cold.cpu().numpy() - 1) // blocks.size, np.arange(len(blocks) + 1))
    ends = in_block.tolist()
    for some in users:
        vectors = padded(scores.users(some.user))
        own = vectors.new_zeros(len(vectors))
        for n in some.target.blocks():
            _take(some.target, n, blocks.score(n, vectors, scores.items), own)
        candidate = vectors.new_full((len(own), some.n_candidates), -torch.inf)
        counts = torch.zeros((4, len(own)), dtype=torch.int64, device=own.device)
        for n, first in enumerate(blocks.first):
            score = blocks.score(n, vectors, scores.items)
            check(score)
            blocks.hide_repeated(n, score)
            _take(some.candidates, n, score, candidate.view(-1))
            score.view(-1)[some.seen.place[some.seen.of(n)]] = -torch.inf
            counts[:2] += _above_and_tied(score, own)
            if ends[n] < ends[n + 1]:
                of_cold = score.index_select(0, cold[ends[n] : ends[n + 1]] - first)
                counts[2:] += _above_and_tied(of_cold, own)
        counts = torch.cat([_above_and_tied(candidate.T.contiguous(), own), counts])
        counted[:, some.place] = counts[:, : len(some.place)].cpu().numpy()
    return counted


def _take(pairs: Pairs, block: int, score: Tensor, into: Tensor) -> None:
    """Copy the scores of a block's pairs to where the pairs were given."""
    part = pairs.of(block)
    into[pairs.given[part]] = score.view(-1)[pairs.place[part]]


def _above_and_tied(score: Tensor, own: Tensor) -> Tensor:
    """Scores above and level with the target's in each column, int64 [2, n].

    Args:
        score: float [m, n], m below 2 ** 24, up to which floats count exactly.
        own: float [n].
    """
    flag = torch.empty_like(score)  # comparing into floats is several times as fast as into bools
    above = torch.gt(score, own, out=flag).sum(0)
    tied = torch.eq(score, own, out=flag).sum(0)
    return torch.stack([above, tied]).long()
