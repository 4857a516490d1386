"""The interaction matrix Y, sparse by user and by item, and its product with a first layer."""

import warnings

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

MATRICES = ("rating", "binary")


def interaction_matrix(
    user: NDArray, item: NDArray, rating: NDArray | None, shape: tuple[int, int]
) -> sp.csr_matrix:
    """Y with ratings (Eq. 2) or, where `rating` is None, ones (Eq. 1) at the given interactions.

    Args:
        user, item: int [n], each pair at most once.
        rating: float [n], positive; or None.
        shape: (n_users, n_items), RecBole's padding row and column 0 included.

    Returns:
        float32 CSR matrix with sorted indices.
    """
    value = np.ones(len(user)) if rating is None else rating
    matrix = sp.csr_matrix((value, (user, item)), shape=shape, dtype=np.float32)
    matrix.sort_indices()
    return matrix


def _csr_tensor(crow: torch.Tensor, col: torch.Tensor, value: torch.Tensor, size) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(crow, col, value, size=size, check_invariants=False)


def _torch_csr(matrix: sp.csr_matrix) -> torch.Tensor:
    # 32-bit indices are what MKL and cuSPARSE work on; scipy picks them up to 2^31 entries.
    crow, col, value = map(torch.from_numpy, (matrix.indptr, matrix.indices, matrix.data))
    return _csr_tensor(crow, col, value, matrix.shape)


class _SparseMatmul(torch.autograd.Function):
    """rows @ weight, with the dense gradient rows^T @ grad from a stored transpose."""

    @staticmethod
    def forward(ctx, weight, rows, rows_transposed):
        ctx.rows_transposed = rows_transposed
        return torch.sparse.mm(rows, weight)

    @staticmethod
    def backward(ctx, grad):
        return torch.sparse.mm(ctx.rows_transposed, grad.contiguous()), None, None


class SparseInput:
    """Rows of Y as the input of a tower (Eq. 7): `Y_i*` for users, `Y_*j` for items.

    No dense block of inputs is ever built: the work is linear in the ratings of the rows asked for.

    Args:
        matrix: CSR [n_rows, n_columns]; Y for the users' tower, its transpose for the items'.
        device: of the products.
        dtype: of the products.
    """

    def __init__(self, matrix: sp.csr_matrix, device: torch.device, dtype=torch.float32):
        numpy_dtype = {torch.float32: np.float32, torch.float64: np.float64}[dtype]
        self.matrix = sp.csr_matrix(matrix, dtype=numpy_dtype)
        self.device = torch.device(device)
        transposed = sp.csr_matrix(self.matrix.T)
        self._all = _torch_csr(self.matrix).to(device)
        self._all_transposed = _torch_csr(transposed).to(device)

    @property
    def shape(self) -> tuple[int, int]:
        return self.matrix.shape

    def matmul(self, weight: torch.Tensor, ids: torch.Tensor | None = None) -> torch.Tensor:
        """Product of the rows `ids` (all rows if None) with `weight`.

        Args:
            weight: [n_columns, width].
            ids: int64 [n], ascending and distinct.

        Returns:
            [n, width], differentiable in `weight`.
        """
        # Above half of the rows, the ready-made matrix and its transpose are cheaper than a slice.
        if ids is None or 2 * len(ids) > self.shape[0]:
            product = _SparseMatmul.apply(weight, self._all, self._all_transposed)
            return product if ids is None else product.index_select(0, ids)
        if self.device.type == "cpu":
            block = self.matrix[ids.numpy()]
            rows, rows_transposed = _torch_csr(block), _torch_csr(sp.csr_matrix(block.T))
        else:
            rows, rows_transposed = _slice_on_device(self._all, ids)
        return _SparseMatmul.apply(weight, rows, rows_transposed)


def _slice_on_device(matrix: torch.Tensor, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows `ids` of a CSR tensor and their transpose, without leaving the device."""
    crow, col, value = matrix.crow_indices(), matrix.col_indices(), matrix.values()
    counts = (crow[ids + 1] - crow[ids]).long()
    new_crow = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    row = torch.repeat_interleave(torch.arange(len(ids), device=ids.device), counts)
    entry = torch.arange(len(row), device=ids.device) + (crow[ids].long() - new_crow[:-1])[row]
    new_col, new_value = col[entry], value[entry]
    rows = _csr_tensor(new_crow.to(crow.dtype), new_col, new_value, (len(ids), matrix.shape[1]))
    order = torch.argsort(new_col, stable=True)
    per_column = torch.bincount(new_col, minlength=matrix.shape[1])
    column_start = torch.cat([per_column.new_zeros(1), per_column.cumsum(0)])
    transposed = _csr_tensor(
        column_start.to(crow.dtype),
        row[order].to(crow.dtype),
        new_value[order],
        (matrix.shape[1], len(ids)),
    )
    return rows, transposed
