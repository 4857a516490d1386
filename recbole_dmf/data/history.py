"""Each user's training items in the order of time, for an input of the latest ones."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recbole_dmf.data.interactions import Rows, row_starts

N_EARLIER = "n_earlier"  # a column of the interactions, see `count_earlier`
EXACT_TIME = "exact_time"  # another one: timestamps in float64, where RecBole's are in float32
UNKNOWN = -1


def count_earlier(
    user: NDArray, timestamp: NDArray | None, train: NDArray[np.int64]
) -> NDArray[np.int64]:
    """How many of its user's training interactions come before each interaction.

    By timestamp, among equals (or without timestamps) by row, as in `leave_one_out`.

    Args:
        user: int [n_rows].
        timestamp: float64 [n_rows], or None. 0 means unknown.
        train: row numbers of the training interactions.

    Returns:
        int64 [n_rows]; `UNKNOWN` where the timestamp is. Training interactions at an unknown time
        come before no other.
    """
    rows = np.arange(len(user))
    time = rows if timestamp is None else timestamp
    known = np.ones(len(user), bool) if timestamp is None else timestamp != 0
    counted = np.zeros(len(user), bool)
    counted[train] = True
    counted &= known
    order = np.lexsort((rows, time, user))
    before = np.cumsum(counted[order]) - counted[order]
    sorted_user = user[order]
    first = np.searchsorted(sorted_user, sorted_user)  # each user's first place
    result = np.empty(len(user), np.int64)
    result[order] = before - before[first]
    result[~known] = UNKNOWN
    return result


class History:
    """Each user's training items, the oldest first.

    Attributes:
        start: int32 [n_users + 1], the first item of each user.
        item: int32 [n_known], those at a known time.
    """

    def __init__(self, start: Tensor, item: Tensor, n_items: int):
        self.start, self.item, self.n_items = start, item, n_items

    @classmethod
    def of(
        cls, user: Tensor, item: Tensor, n_earlier: Tensor, n_users: int, n_items: int
    ) -> "History":
        """From the training interactions, int64 [n] each; an empty one where n_earlier is empty."""
        known = (n_earlier != UNKNOWN).nonzero().squeeze(1)
        user, item, n_earlier = user[known], item[known], n_earlier[known]
        start = row_starts(user.bincount(minlength=n_users))
        items = torch.empty(len(user), dtype=torch.int32, device=user.device)
        items[start[user] + n_earlier] = item.int()
        return cls(start, items, n_items)

    def latest(
        self,
        user: Tensor | None,
        n_earlier: Tensor | None,
        horizons: Sequence[tuple[int, float]],
    ) -> Rows:
        """The latest items as sparse rows: decay^0 for the last one, decay^1 for that before it ...

        Args:
            user: int64 [n]; None for all.
            n_earlier: int64 [n], how many of the user's items are known by then; None for all.
            horizons: (items at most, decay) of each part of a row; decay above 0, at most 1.

        Returns:
            [n, H * n_items]; horizon h has the columns from h * n_items.
        """
        first = self.start[:-1] if user is None else self.start[user]
        end = self.start[1:] if user is None else self.start[user + 1]
        if n_earlier is not None:
            end = first + n_earlier.clamp(min=0).int()
        longest, decay = (
            torch.tensor(values, device=end.device) for values in zip(*horizons, strict=True)
        )
        count = torch.minimum((end - first)[:, None], longest.int()).view(-1)  # by row and horizon
        start = row_starts(count)
        ages = torch.arange(int(start[-1]), device=count.device, dtype=torch.int32)
        ages = torch.repeat_interleave(start[1:], count) - 1 - ages
        end = end.repeat_interleave(len(horizons))
        column = self.item[torch.repeat_interleave(end, count) - 1 - ages]
        of_horizon = torch.arange(len(horizons), device=count.device).repeat(len(first))
        of_horizon = of_horizon.repeat_interleave(count)
        value = torch.pow(decay.float()[of_horizon], ages.float())
        column = column + self.n_items * of_horizon.int()
        return Rows(start[:: len(horizons)], column, value, len(horizons) * self.n_items)
