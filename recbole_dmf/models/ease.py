"""EASE, Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019.

RecBole's scores; the matrix that is inverted is as wide as the smaller of users and items.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from recbole.utils import ModelType
from torch import Tensor

from recbole_dmf.data.interactions import train_matrix, with_ones
from recbole_dmf.models.fitted import FittedRecommender
from recbole_dmf.options import Config, number

_FLOATS_PER_BLOCK = 20_000_000  # of dense rows


class EASE(FittedRecommender):
    """Linear autoencoder of a user's interactions whose diagonal is zero.

    With X the binary training interactions, P = (X^T X + reg_weight I)^-1 and B = I - P / diag(P)
    (Eq. 8 of the source), the scores are X B. By the push-through identity
    X P = (X X^T + reg_weight I)^-1 X, so with fewer users than items only an
    n_users x n_users matrix is inverted and nothing of shape items x items is made.

    Args:
        config: RecBole's Config; the option is `reg_weight`.
        dataset: RecBole's Dataset of the training interactions.

    Raises:
        UserError: `reg_weight` is not positive.
    """

    type = ModelType.TRADITIONAL
    weight: Tensor
    diagonal: Tensor

    def __init__(self, config: Config, dataset: Any):
        super().__init__(config, dataset)
        self.reg_weight = number(config, "reg_weight", 1e-12)
        self.matrix = with_ones(train_matrix(dataset))
        # X [n_users, m] and W [m, n_items] with scores X W, or M [n_users, n_users] and diag(P).
        n = min(self.n_users, self.n_items)
        self.register_buffer("weight", torch.zeros(n, n))
        self.register_buffer("diagonal", torch.ones(self.n_items))

    @property
    def by_users(self) -> bool:
        """Whether the inverse is over users: where they are fewer than the items."""
        return self.n_users < self.n_items

    def fit_epoch(self) -> float:
        """Invert; there is no second step. Returns 0."""
        x = self.matrix.astype(np.float64)
        inverse = _regularised_inverse(x if self.by_users else x.T.tocsr(), self.reg_weight)
        if self.by_users:
            diagonal = (1.0 - self._explained(x, inverse)) / self.reg_weight
        else:
            diagonal = np.diag(inverse).copy()
            inverse /= -diagonal
            np.fill_diagonal(inverse, 0.0)
        self.weight.copy_(torch.from_numpy(inverse))
        self.diagonal.copy_(torch.from_numpy(diagonal))
        return 0.0

    def n_stored(self) -> int:
        """Numbers of B, or of the inverse over users and the diagonal."""
        return self.weight.numel() + (self.n_items if self.by_users else 0)

    @staticmethod
    def _explained(x, inverse: NDArray) -> NDArray:
        """Diagonal of X^T (X X^T + reg_weight I)^-1 X, [n_items], in blocks of items."""
        columns = x.tocsc()
        size = max(1, _FLOATS_PER_BLOCK // x.shape[0])
        parts = []
        for start in range(0, x.shape[1], size):
            block = columns[:, start : start + size]
            parts.append(np.asarray(block.multiply(inverse @ block).sum(axis=0)).ravel())
        return np.concatenate(parts)

    def _scores(self, user: NDArray) -> NDArray:
        """float32 [n, n_items]."""
        rows, weight = self.matrix[user], self.weight.cpu().numpy()
        if not self.by_users:
            return rows @ weight  # X B
        return rows.toarray() - (self.matrix.T @ weight[user].T).T / self.diagonal.cpu().numpy()

    def predict(self, interaction) -> Tensor:
        """Score of each pair of a batch, [batch]."""
        user, item = (interaction[field].cpu().numpy() for field in (self.USER_ID, self.ITEM_ID))
        weight = self.weight.cpu().numpy()
        if self.by_users:
            columns = self.matrix.T.tocsr()[item]
            # scipy refuses to broadcast arrays that look into a tensor's memory
            own = np.asarray(self.matrix[user.copy(), item.copy()]).ravel()
            z = np.asarray(columns.multiply(weight[user]).sum(axis=1)).ravel()
            return self._tensor(own - z / self.diagonal.cpu().numpy()[item])
        product = self.matrix[user].multiply(weight[:, item].T)
        return self._tensor(np.asarray(product.sum(axis=1)))

    def full_sort_predict(self, interaction) -> Tensor:
        """Score of every item for each user of a batch, [batch * n_items]."""
        return self._tensor(self._scores(interaction[self.USER_ID].cpu().numpy()))

    def _tensor(self, score: NDArray) -> Tensor:
        score = np.ascontiguousarray(score, dtype=np.float32)
        return torch.from_numpy(score.reshape(-1)).to(self.device)


def _regularised_inverse(x, reg_weight: float) -> NDArray[np.float64]:
    """(X X^T + reg_weight I)^-1 of a sparse X [n, m], float64 [n, n]."""
    gram = (x @ x.T).toarray()
    gram[np.diag_indices_from(gram)] += reg_weight
    return np.linalg.inv(gram)
