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
from recbole_dmf.models.sequential import HISTORY, history_of, moments, read_history, steps
from recbole_dmf.options import Config, number


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
        return history_of(self).latest(user, known, [horizon]).matrix()

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
