"""eALS: element-wise alternating least squares with popularity-weighted missing data.

He et al., "Fast Matrix Factorization for Online Recommendation with Implicit Feedback", SIGIR 2016.
Equation numbers are that paper's. A score is the inner product of a user and an item vector; the
objective weighs every observed entry by w and every missing entry of item i by s_i.

The users are independent given the items, so a coordinate of all users is updated at once, and the
other way round. An iteration costs O(nnz K + (users + items) K^2); nothing dense of shape
users x items is ever made.
"""

import math
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from recbole_dmf.data.interactions import max_rating, train_matrix
from recbole_dmf.errors import UserError
from recbole_dmf.models.fitted import FittedRecommender
from recbole_dmf.models.inner_products import InnerProducts
from recbole_dmf.options import Config, number

TARGETS = ("binary", "rating")
_ENTRIES_PER_BLOCK = 8192  # gathered vectors of a block stay in the processor's cache


def item_weights(counts: NDArray, w0: float, alpha: float) -> NDArray[np.float64]:
    """Weight s_i of an item's missing entries, Eq. (8); they sum to w0.

    Args:
        counts: [n_items] training interactions of each item.
        w0: total weight of the missing data, at least 0.
        alpha: 0 weighs all items alike; 1 in proportion to popularity.

    Returns:
        float64 [n_items]. Items without interactions get 0, also where alpha is 0.
    """
    counts = np.asarray(counts, dtype=np.float64)
    powers = np.zeros_like(counts)
    np.power(counts, alpha, out=powers, where=counts > 0)
    total = powers.sum()
    return w0 * powers / total if total > 0 else powers  # Eq. (8)


def observed_targets(
    ratings: NDArray, target: str = "binary", largest: float | None = None
) -> NDArray:
    """What the observed entries are fitted to: 1, or rating / max_rating.

    Args:
        ratings: [nnz], floating point.
        target: one of `TARGETS`.
        largest: upper end of the rating scale, `max_rating`; None takes the largest rating present.

    Returns:
        [nnz] in the dtype of `ratings`.

    Raises:
        UserError: unknown target, or a maximum that is not positive.
    """
    if target == "binary":
        return np.ones_like(ratings)
    if target != "rating":
        raise UserError(f"target '{target}' is not one of {', '.join(TARGETS)}; choose one.")
    if largest is None:
        largest = float(ratings.max(initial=0.0))
    if not (largest > 0 and math.isfinite(largest)):
        raise UserError(
            f"target: rating needs a positive max_rating, not {largest}; "
            "set max_rating to the upper end of the rating scale, or use target: binary."
        )
    return ratings / np.asarray(largest, dtype=ratings.dtype)


def objective(
    R: sp.csr_matrix, U: NDArray, V: NDArray, s: NDArray, reg: float, w: float = 1.0
) -> float:
    """Eq. (7): sum_obs w (r - y)^2 + sum_missing s_i y^2 + reg (|U|^2 + |V|^2).

    The missing part is the sum over all entries, <U^T U, V^T diag(s) V>, less the observed ones.

    Args:
        R: [n_users, n_items] targets of the observed entries, without duplicates.
        U: [n_users, K]. V: [n_items, K].
        s: [n_items] from `item_weights`.
        reg: L2 weight. w: weight of an observed entry.
    """
    rows = np.repeat(np.arange(R.shape[0]), np.diff(R.indptr))
    y = _predictions(rows, R.indices, U, V).astype(np.float64)
    U, V, s = (a.astype(np.float64, copy=False) for a in (U, V, s))
    observed = w * np.square(R.data - y).sum() - (s[R.indices] * np.square(y)).sum()
    missing_and_observed = np.vdot(U.T @ U, (V.T * s) @ V)
    return float(observed + missing_and_observed + reg * (np.vdot(U, U) + np.vdot(V, V)))


def update_users(
    R: sp.csr_matrix, U: NDArray, V: NDArray, s: NDArray, reg: float, w: float = 1.0
) -> NDArray:
    """One sweep over the coordinates of all user vectors, Eq. (12) and Algorithm 1, lines 4-11.

    Args:
        R: [n_users, n_items] targets of the observed entries, without duplicates.
        U: [n_users, K]. V: [n_items, K], of the same dtype, float32 or float64.
        s: [n_items] from `item_weights`.
        reg: L2 weight. w: weight of an observed entry, above 0.

    Returns:
        The new U, [n_users, K], in U's dtype. Users without interactions keep their vector.
    """
    ones = np.ones(len(U), dtype=U.dtype)
    s = s.astype(U.dtype)
    return _sweep(
        R, U, V, S=(V.T * s) @ V, row_missing=ones, row_gap=ones, column_gap=w - s, reg=reg, w=w
    )


def update_items(
    Rt: sp.csr_matrix, U: NDArray, V: NDArray, s: NDArray, reg: float, w: float = 1.0
) -> NDArray:
    """One sweep over the coordinates of all item vectors, Eq. (13) and Algorithm 1, lines 13-20.

    Args:
        Rt: [n_items, n_users], the transposed targets as CSR.
        U, V, s, reg, w: as for `update_users`.

    Returns:
        The new V, [n_items, K], in V's dtype. Items without interactions keep their vector.
    """
    s = s.astype(V.dtype)
    ones = np.ones(len(U), dtype=V.dtype)
    return _sweep(Rt, V, U, S=U.T @ U, row_missing=s, row_gap=w - s, column_gap=ones, reg=reg, w=w)


def _predictions(rows: NDArray, columns: NDArray, X: NDArray, Y: NDArray) -> NDArray:
    """Inner product of X[rows[n]] and Y[columns[n]] for every n, [nnz]."""
    result = np.empty(len(rows), dtype=X.dtype)
    for start in range(0, len(rows), _ENTRIES_PER_BLOCK):
        block = slice(start, start + _ENTRIES_PER_BLOCK)
        np.einsum("nk,nk->n", X[rows[block]], Y[columns[block]], out=result[block])
    return result


def _sweep(
    R: sp.csr_matrix,
    X: NDArray,
    Y: NDArray,
    *,
    S: NDArray,
    row_missing: NDArray,
    row_gap: NDArray,
    column_gap: NDArray,
    reg: float,
    w: float,
) -> NDArray:
    """Coordinate descent over all rows of X while Y is fixed; users and items alike.

    In an entry's column c and row r, w - s_i is row_gap[r] * column_gap[c], and the sum over all
    entries of a row is row_missing[r] * (x_r S). With e = w r - (w - s_i) y per observed entry,
    Eq. (12) and (13) become Newton's step on one coordinate,

        x_f += (sum_obs e y_f - row_missing (x S)_f - reg x_f)
               / (sum_obs (w - s_i) y_f^2 + row_missing S_ff + reg)

    so only e changes from one coordinate to the next. The first sum is a sparse matrix-vector
    product (the fastest segment sum measured); the other one is the same for every coordinate of
    X, so all K come from one product.
    """
    dtype = X.dtype
    w, reg = dtype.type(w), dtype.type(reg)
    lengths = np.diff(R.indptr)
    columns = R.indices.astype(np.intp)  # gathers by intp are twice as fast as by int32
    rows = np.repeat(np.arange(R.shape[0]), lengths)
    e = w * R.data.astype(dtype) - row_gap[rows] * column_gap[columns] * _predictions(
        rows, columns, X, Y
    )
    E = sp.csr_matrix((e, R.indices, R.indptr), shape=R.shape, copy=False)
    e = E.data  # a view that stays one, whatever the constructor did
    pattern = sp.csr_matrix((np.ones_like(e), R.indices, R.indptr), shape=R.shape)

    curvature = row_gap[:, None] * (pattern @ (column_gap[:, None] * np.square(Y)))
    curvature = np.ascontiguousarray((curvature + row_missing[:, None] * np.diag(S) + reg).T)
    # Without regularisation a coordinate may not matter at all; then any value is a minimum.
    limits = np.finfo(dtype)
    movable = (lengths > 0) & (curvature > limits.tiny / limits.eps)

    Xt = X.T.copy()  # coordinates as rows, so that each one is contiguous
    Yt = np.ascontiguousarray(Y.T)
    gathered = np.empty_like(e)
    for f in range(len(Xt)):
        gradient = E @ Yt[f] - row_missing * (S[f] @ Xt) - reg * Xt[f]
        step = np.zeros_like(gradient)
        np.divide(gradient, curvature[f], out=step, where=movable[f])
        Xt[f] += step  # Eq. (12), (13)
        np.take(column_gap * Yt[f], columns, out=gathered, mode="clip")
        gathered *= np.repeat(row_gap * step, lengths)
        e -= gathered
    return np.ascontiguousarray(Xt.T)


def _training_matrix(config: Config, dataset, target: str) -> sp.csr_matrix:
    """Targets of the training interactions, float32 CSR [n_users, n_items] in RecBole's ids."""
    rating_field = config["RATING_FIELD"]
    if target == "rating" and rating_field not in dataset.inter_feat:
        raise UserError(
            f"EALS: target: rating needs the field '{rating_field}', which the interactions lack; "
            "load it (load_col, RATING_FIELD) or use target: binary."
        )
    ratings = train_matrix(dataset)
    values = observed_targets(ratings.data, target, max_rating(dataset))
    return sp.csr_matrix((values, ratings.indices, ratings.indptr), ratings.shape)


class EALS(InnerProducts, FittedRecommender):
    """Matrix factorisation trained by `fit_epoch` instead of gradients; one call, one iteration.

    Options: `embedding_size` (K), `w0` and `alpha` (Eq. 8), `reg_weight` (sums over entries, as in
    the paper's code, so it does not scale with the batch), `target` (binary | rating), `init_std`,
    and `max_rating` (for target: rating; from the data where not given).

    The vectors are the float32 buffers `user_embedding` [n_users, K] and `item_embedding`
    [n_items, K]. Users and items without training interactions, the padding id 0 among them, have
    zero vectors: they stay out of every sum, and cold items are exactly level at score 0.
    """

    def __init__(self, config: Config, dataset: Any):
        super().__init__(config, dataset)
        factors = number(config, "embedding_size", 1)
        if factors != int(factors):
            raise UserError(f"EALS: option embedding_size is {factors!r}; give a whole number.")
        init_std = number(config, "init_std", 1e-12)
        self.reg_weight = number(config, "reg_weight", 0)
        w0, alpha = number(config, "w0", 0), number(config, "alpha", 0)

        self.by_user = _training_matrix(config, dataset, config["target"])
        self.by_item = self.by_user.T.tocsr()
        user_counts, item_counts = (np.diff(m.indptr) for m in (self.by_user, self.by_item))
        self._item_weights = item_weights(item_counts, w0, alpha)
        for name, counts in (("user_embedding", user_counts), ("item_embedding", item_counts)):
            vectors = torch.randn(len(counts), int(factors)) * init_std
            vectors[torch.from_numpy(counts == 0)] = 0.0  # never updated, so they stay zero
            self.register_buffer(name, vectors)

    def fit_epoch(self) -> float:
        """One iteration: all users, then all items. Returns the objective after it."""
        U, V = self.user_embedding.cpu().numpy(), self.item_embedding.cpu().numpy()
        s, reg = self._item_weights, self.reg_weight
        U = update_users(self.by_user, U, V, s, reg)
        V = update_items(self.by_item, U, V, s, reg)
        self.user_embedding.copy_(torch.from_numpy(U))
        self.item_embedding.copy_(torch.from_numpy(V))
        return objective(self.by_user, U, V, s, reg)

    def user_vectors(self, interaction):
        """Vectors of the users of a batch, [batch, factors]."""
        return self.user_embedding[interaction[self.USER_ID]]

    def item_vectors(self):
        """Vectors of all items, [n_items, factors]."""
        return self.item_embedding
