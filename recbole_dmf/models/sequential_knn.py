"""SequentialKNN: items that follow a user's latest ones in other users' sequences.

Sequential rules with a weight per step (Ludewig & Jannach, UMUAI 2018, Sec. 3, "SR"), a similarity
shrunk as in item-based kNN, and a decay over the user's own items (Garg et al., SIGIR 2019).
"""

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from recbole.utils import ModelType
from torch import Tensor

from recbole_dmf.models.fitted import FittedRecommender
from recbole_dmf.models.item_knn import largest_of_each_row
from recbole_dmf.models.sequential import HISTORY, history_of, moments, read_history
from recbole_dmf.options import Config, number

_PAIRS_PER_BLOCK = 4_000_000  # pairs of items that are summed up at once: some 100 MB


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


def similarities(followed: sp.csr_matrix, count: NDArray, shrink: float, k: int) -> sp.csr_matrix:
    """S_ij = followed_ij / (sqrt(count_i count_j) + shrink), the k largest of each row.

    Args:
        followed: CSR [n_items, n_items] from `steps`.
        count: int [n_items], interactions of each item.
        shrink: at least 0; pulls similarities down that rest on little.
        k: 0 keeps all.

    Returns:
        float32 CSR [n_items, n_items].
    """
    root = np.sqrt(count.astype(np.float64))
    row = np.repeat(np.arange(followed.shape[0]), np.diff(followed.indptr))
    value = followed.data / (root[row] * root[followed.indices] + shrink)
    arrays = (value.astype(np.float32), followed.indices, followed.indptr)
    result = sp.csr_matrix(arrays, followed.shape)
    return largest_of_each_row(result, k) if k else result


class SequentialKNN(FittedRecommender):
    """A user's score of an item: sum of its similarities to the user's latest items, with a decay.

    The options and their sources are in `properties/model/SequentialKNN.yaml`. Nothing is denser
    than the scores of one batch of users.

    Args:
        config: RecBole's Config.
        dataset: RecBole's Dataset of the training interactions.

    Raises:
        UserError: an option has a value that cannot be worked with.
    """

    type = ModelType.TRADITIONAL
    reads_order = True
    neighbours: sp.csr_matrix
    history_start: Tensor
    history_item: Tensor

    def __init__(self, config: Config, dataset: Any):
        super().__init__(config, dataset)
        self.window = int(number(config, "window", 1))
        self.step_decay = number(config, "step_decay", 1e-3, 1)
        self.backwards = number(config, "backwards", 0)
        self.shrink = number(config, "shrink", 0)
        self.k = int(number(config, "k", 0))
        self.recent_items = int(number(config, "recent_items", 1))
        self.recent_decay = number(config, "recent_decay", 1e-3, 1)
        read_history(self, dataset)
        self.neighbours = sp.csr_matrix((self.n_items, self.n_items), dtype=np.float32)
        self.other_parameter_name = [*HISTORY, "neighbours"]

    def fit_epoch(self) -> float:
        """Count; there is no second step. Returns 0."""
        start, item = self.history_start.cpu().numpy(), self.history_item.cpu().numpy()
        followed = steps(start, item, self.n_items, self.window, self.step_decay, self.backwards)
        count = np.bincount(item, minlength=self.n_items)
        self.neighbours = similarities(followed, count, self.shrink, self.k)
        return 0.0

    def n_stored(self) -> int:
        """Similarities of the neighbours."""
        return self.neighbours.nnz

    def _latest(self, interaction) -> sp.csr_matrix:
        """The latest items of a batch's users with their weights, CSR [n, n_items]."""
        user, known = moments(self, interaction)
        horizon = self.recent_items, self.recent_decay
        rows = history_of(self).latest(user, known, [horizon])
        arrays = (tensor.cpu().numpy() for tensor in (rows.value, rows.column, rows.start))
        return sp.csr_matrix(tuple(arrays), (len(user), self.n_items))

    def predict(self, interaction) -> Tensor:
        """Score of each pair of a batch, [batch]."""
        item = interaction[self.ITEM_ID].cpu().numpy()
        columns = self.neighbours.T.tocsr()[item]
        return self._tensor(np.asarray(self._latest(interaction).multiply(columns).sum(axis=1)))

    def full_sort_predict(self, interaction) -> Tensor:
        """Score of every item for each user of a batch, [batch * n_items]."""
        return self._tensor((self._latest(interaction) @ self.neighbours).toarray())

    def _tensor(self, score: NDArray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(score).reshape(-1)).to(self.device)
