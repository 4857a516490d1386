"""Beyond the paper: how popular an item is, as a term beside the similarity.

A cosine says nothing of an item's popularity, which is most of what is known where the data are
sparse. The term is one more dimension of the vectors, so their inner product stays the score.
"""

import torch
from torch import Tensor, nn

WEIGHT_START = 0.5


class Popularity(nn.Module):
    """w log(1 + n_j), n_j the training interactions of item j, w learned.

    Args:
        count: float [n_items], n_j; not kept in checkpoints, which have the training matrix.
    """

    count: Tensor

    def __init__(self, count: Tensor):
        super().__init__()
        self.register_buffer("count", count, persistent=False)
        self.weight = nn.Parameter(torch.tensor(WEIGHT_START))

    def of_count(self, count: Tensor) -> Tensor:
        """The term for items with so many interactions, float [n] -> [n]."""
        return self.weight * count.log1p()

    def forward(self, item: Tensor, own: Tensor | None = None) -> Tensor:
        """The term of items, int64 [n] -> [n].

        Args:
            own: float [n], 1 where the item's count is to be without the pair's own interaction;
                None: nowhere.
        """
        count = self.count[item]
        return self.of_count(count if own is None else count - own)
