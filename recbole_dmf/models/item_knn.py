"""ItemKNN and UserKNN over sparse blocks: RecBole's scores without its loops over pairs."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from recbole.utils import ModelType
from torch import Tensor

from recbole_dmf.data.interactions import MATRICES, train_matrix, with_ones
from recbole_dmf.errors import UserError
from recbole_dmf.models.fitted import FittedRecommender
from recbole_dmf.options import Config, choice, number

METHODS = ("item", "user")
EPSILON = 1e-6  # in RecBole's denominator
_PRODUCTS_PER_BLOCK = 20_000_000  # multiplications, an upper bound of a block's entries


def discount_frequent(vectors: sp.csr_matrix, discount: float) -> sp.csr_matrix:
    """Rows whose inner product weighs a shared feature by (number of rows that have it)^-discount.

    For items the features are the users: one who has interacted with everything says little.

    Args:
        vectors: [n, n_features].
        discount: 0 leaves the vectors as they are.
    """
    if not discount:
        return vectors
    count = np.maximum(np.bincount(vectors.indices, minlength=vectors.shape[1]), 1)
    weight = (count ** (-discount / 2.0)).astype(vectors.dtype)
    return sp.csr_matrix(
        (vectors.data * weight[vectors.indices], vectors.indices, vectors.indptr), vectors.shape
    )


def nearest_neighbours(
    vectors: sp.csr_matrix, k: int, shrink: float = 0.0, asymmetry: float = 0.5
) -> sp.csr_matrix:
    """The k most similar other rows of each row, by the asymmetric cosine of Aiolli (2013).

    The similarity of row j to row i is v_i v_j / (|v_i|^2a |v_j|^2(1-a) + shrink + 1e-6), with
    a = `asymmetry`; a = 0.5 is the cosine. Of equally similar rows at the k-th place the lower
    number is taken. Products are made in blocks of rows, so memory stays bounded.

    Args:
        vectors: float32 CSR [n, n_features], entries not negative.
        k: at least 1.
        shrink: at least 0; pulls similarities down that rest on little.
        asymmetry: 0 to 1.

    Returns:
        float32 CSR [n, n] with sorted indices; row i holds the similarities of i's neighbours,
        at most k and none of them 0.
    """
    squares = np.asarray(vectors.power(2).sum(axis=1)).ravel()
    own, other = squares**asymmetry, squares ** (1.0 - asymmetry)
    transposed = vectors.T.tocsr()
    parts = []
    for start, stop in _blocks(vectors):
        products = (vectors[start:stop] @ transposed).tocsr()
        products.sort_indices()
        row = np.repeat(np.arange(start, stop), np.diff(products.indptr))
        scale = own[row] * other[products.indices] + np.float32(shrink + EPSILON)
        products.data *= 1.0 / scale
        products.data[row == products.indices] = 0.0  # nothing is its own neighbour
        parts.append(largest_of_each_row(products, k))
    return sp.vstack(parts, format="csr")


def _blocks(vectors: sp.csr_matrix) -> Iterator[tuple[int, int]]:
    """Ranges of rows whose products with all rows are bounded in number."""
    feature_count = np.bincount(vectors.indices, minlength=vectors.shape[1]).astype(np.float64)
    pattern = sp.csr_matrix((np.ones(vectors.nnz), vectors.indices, vectors.indptr), vectors.shape)
    total = np.cumsum(pattern @ feature_count)
    start = 0
    while start < len(total):
        limit = (total[start - 1] if start else 0.0) + _PRODUCTS_PER_BLOCK
        stop = max(start + 1, int(np.searchsorted(total, limit, side="right")))
        yield start, stop
        start = stop


def largest_of_each_row(matrix: sp.csr_matrix, k: int) -> sp.csr_matrix:
    """The k largest entries of each row, without zeros; at a tie the lower column is kept."""
    keep = matrix.data > 0
    for row in np.flatnonzero(np.diff(matrix.indptr) > k):
        part = slice(matrix.indptr[row], matrix.indptr[row + 1])
        value = matrix.data[part]
        bound = np.partition(value, len(value) - k)[len(value) - k]
        above = value > bound
        tied = np.flatnonzero(value == bound)[: k - np.count_nonzero(above)]
        above[tied] = True
        keep[part] &= above
    kept = np.concatenate([[0], np.cumsum(keep)])
    return sp.csr_matrix(
        (matrix.data[keep], matrix.indices[keep], kept[matrix.indptr]), shape=matrix.shape
    )


class ItemKNN(FittedRecommender):
    """A user's score of an item: the sum of its similarities to the user's own items.

    With `knn_method: user` it is the sum of the similarities of the user's neighbours who have the
    item. The options and their sources are in `properties/model/ItemKNN.yaml`; with RecBole's
    options alone the scores are those of RecBole's ItemKNN.

    Args:
        config: RecBole's Config.
        dataset: RecBole's Dataset of the training interactions.

    Raises:
        UserError: an option has a value that cannot be worked with.
    """

    type = ModelType.TRADITIONAL
    neighbours: sp.csr_matrix

    def __init__(self, config: Config, dataset: Any):
        super().__init__(config, dataset)
        self.by_item = choice(config, "knn_method", METHODS) == "item"
        self.k = int(number(config, "k", 1))
        self.shrink = number(config, "shrink", 0)
        self.asymmetry = number(config, "asymmetry", 0, 1)
        self.frequency_discount = number(config, "frequency_discount", 0)
        self.matrix = train_matrix(dataset)
        if choice(config, "interaction_matrix", MATRICES) == "binary":
            self.matrix = with_ones(self.matrix)
        elif config["RATING_FIELD"] not in dataset.inter_feat.columns:
            raise UserError(
                "interaction_matrix: rating needs ratings, which the interactions lack; "
                "load the field (load_col, RATING_FIELD) or use interaction_matrix: binary."
            )
        n = self.n_items if self.by_item else self.n_users
        self.neighbours = sp.csr_matrix((n, n), dtype=np.float32)
        self.other_parameter_name = ["neighbours"]

    def fit_epoch(self) -> float:
        """Find the neighbours; there is no second step. Returns 0."""
        vectors = self.matrix.T.tocsr() if self.by_item else self.matrix
        vectors = discount_frequent(vectors, self.frequency_discount)
        self.neighbours = nearest_neighbours(vectors, self.k, self.shrink, self.asymmetry)
        return 0.0

    def n_stored(self) -> int:
        """Similarities of the neighbours."""
        return self.neighbours.nnz

    def _factors(self) -> tuple[sp.csr_matrix, sp.csr_matrix]:
        """A [n_users, m] and B [n_items, m] with scores A B^T."""
        if self.by_item:
            return self.matrix, self.neighbours
        return self.neighbours, self.matrix.T.tocsr()

    def predict(self, interaction) -> Tensor:
        """Score of each pair of a batch, [batch]."""
        of_users, of_items = self._factors()
        user, item = (interaction[field].cpu().numpy() for field in (self.USER_ID, self.ITEM_ID))
        return self._tensor(np.asarray(of_users[user].multiply(of_items[item]).sum(axis=1)))

    def full_sort_predict(self, interaction) -> Tensor:
        """Score of every item for each user of a batch, [batch * n_items]."""
        of_users, of_items = self._factors()
        user = interaction[self.USER_ID].cpu().numpy()
        return self._tensor((of_users[user] @ of_items.T).toarray())

    def _tensor(self, score: NDArray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(score).reshape(-1)).to(self.device)
