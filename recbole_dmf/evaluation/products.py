"""Scores that are inner products: of whole rows, or of blocks that stay in the cache."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BLOCK_USERS = 256
BLOCK_ITEMS = 4096  # with BLOCK_USERS users 4 MB of scores
_ROWS = 32


@dataclass(frozen=True)
class Products:
    """A model's scores, which are inner products of a user's and an item's vector.

    Attributes:
        users: maps int64 [n] users to float [n, factors].
        items: float [n_items, factors]; item 0 is padding.
    """

    users: Callable[[Tensor], Tensor]
    items: Tensor

    def __call__(self, user: Tensor) -> Tensor:
        """Scores of all items, [n, n_items]."""
        return whole_rows(self.users(user), self.items)


def n_rows(n: int) -> int:
    """Rows of a block of n users, a multiple of 32.

    Products of a handful of rows may round by the place of an item, so that equal vectors would
    not be level.
    """
    return n + -n % _ROWS


def padded(users: Tensor) -> Tensor:
    """Vectors of a block of users, [n, factors], and zeros up to `n_rows`."""
    return torch.nn.functional.pad(users, (0, 0, 0, n_rows(len(users)) - len(users)))


def whole_rows(users: Tensor, items: Tensor) -> Tensor:
    """Scores of all items, [n, n_items], from vectors of users and items."""
    few = len(users) < _ROWS
    return (padded(users) @ items.T)[: len(users)] if few else users @ items.T


def all_finite(score: Tensor) -> bool:
    """Whether no score is NaN or infinite; a finite sum says so in half the time."""
    return bool(torch.isfinite(score.sum()) or torch.isfinite(score).all())


class Blocks:
    """The items from 1 on in blocks of one size.

    Products of one shape round alike, so that equal vectors are level in whichever blocks they
    are. The last block therefore begins with items that the block before it has as well.

    Attributes:
        size: items of a block.
        first: number of each block's first item.
        n_repeated: items of the last block that the block before it has.
    """

    def __init__(self, n_items: int, size: int = BLOCK_ITEMS):
        self.size = max(1, min(size, n_items - 1))
        n_blocks = math.ceil((n_items - 1) / self.size)
        self.first = [1 + self.size * n for n in range(n_blocks)]
        self.n_repeated = n_blocks * self.size - (n_items - 1)
        if n_blocks:
            self.first[-1] -= self.n_repeated

    def __len__(self) -> int:
        return len(self.first)

    def score(self, block: int, users: Tensor, items: Tensor) -> Tensor:
        """Scores of one block, [size, rows]: sums and maxima over items are fast in columns.

        Args:
            block: its number.
            users: float [rows, factors], as `padded` makes them.
            items: float [n_items, factors].
        """
        first = self.first[block]
        return items[first : first + self.size] @ users.T

    def hide_repeated(self, block: int, score: Tensor) -> None:
        """Overwrite a block's scores of items that another block has by -inf."""
        if block == len(self) - 1:
            score[: self.n_repeated] = -torch.inf


class Pairs:
    """Pairs of a user and an item, in the order of the blocks that have their scores.

    Args:
        blocks: of all items.
        row: int [n], the user's row in a block of users.
        item: int [n]; pairs of an item below 1 are left out.
        rows: of the block, padding included.
        device: of the scores.

    Attributes:
        place: int64 [m], where a pair is among its block's scores, read row by row.
        given: int64 [m], where it is in the arguments.
    """

    def __init__(
        self,
        blocks: Blocks,
        row: NDArray[np.integer],
        item: NDArray[np.integer],
        rows: int,
        device: torch.device,
    ):
        order = np.argsort(item, kind="stable")
        order = order[np.searchsorted(item[order], 1) :]
        block = (item[order].astype(np.int64) - 1) // blocks.size
        column = item[order] - np.array(blocks.first, np.int64)[block]
        self._end = np.searchsorted(block, np.arange(len(blocks) + 1)).tolist()
        self.place = torch.from_numpy(column * rows + row[order]).to(device)
        self.given = torch.from_numpy(order).to(device)

    def of(self, block: int) -> slice:
        """Which pairs are in a block."""
        return slice(self._end[block], self._end[block + 1])

    def blocks(self) -> list[int]:
        """The blocks that have pairs."""
        return [n for n in range(len(self._end) - 1) if self._end[n] < self._end[n + 1]]
