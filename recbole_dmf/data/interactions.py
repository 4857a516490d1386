"""The interaction matrix Y, sparse by user and by item, and its product with a first layer."""

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
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


class _Rows:
    """CSR arrays as tensors: `start` int32 [n + 1], `column` int32 and `value` float [entries]."""

    def __init__(self, start: torch.Tensor, column: torch.Tensor, value: torch.Tensor):
        self.start, self.column, self.value = start, column, value

    @classmethod
    def of(cls, matrix: sp.csr_matrix, device: torch.device) -> "_Rows":
        arrays = (matrix.indptr, matrix.indices, matrix.data)
        return cls(*(torch.from_numpy(array).to(device) for array in arrays))

    def matmul(self, dense: torch.Tensor) -> torch.Tensor:
        # The weighted sum of embedding rows is a sparse product; its forward pass is about three
        # times as fast on one core as MKL's sparse product. Its backward pass is not used.
        return F.embedding_bag(
            self.column,
            dense,
            self.start,
            mode="sum",
            per_sample_weights=self.value,
            include_last_offset=True,
        )


class _SparseMatmul(torch.autograd.Function):
    """rows @ weight, with the dense gradient rows^T @ grad from a stored transpose."""

    @staticmethod
    def forward(ctx, weight, rows, transposed):
        ctx.transposed = transposed
        return rows.matmul(weight)

    @staticmethod
    def backward(ctx, grad):
        return ctx.transposed.matmul(grad.contiguous()), None, None


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
        self._all = _Rows.of(self.matrix, self.device)
        self._all_transposed = _Rows.of(sp.csr_matrix(self.matrix.T), self.device)

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
            rows = _Rows.of(block, self.device)
            transposed = _Rows.of(sp.csr_matrix(block.T), self.device)
        else:
            rows, transposed = _slice_on_device(self._all, ids, self.shape[1])
        return _SparseMatmul.apply(weight, rows, transposed)


def _slice_on_device(rows: _Rows, ids: torch.Tensor, n_columns: int) -> tuple[_Rows, _Rows]:
    """The rows `ids` and their transpose, without leaving the device."""
    first = rows.start[ids].long()
    counts = rows.start[ids + 1].long() - first
    start = _starts(counts)
    row = torch.repeat_interleave(torch.arange(len(ids), device=ids.device), counts)
    entry = torch.arange(len(row), device=ids.device) + (first - start[:-1])[row]
    column, value = rows.column[entry], rows.value[entry]
    order = torch.argsort(column, stable=True)
    transposed_start = _starts(torch.bincount(column, minlength=n_columns))
    return (
        _Rows(start.int(), column, value),
        _Rows(transposed_start.int(), row[order].int(), value[order]),
    )


def _starts(counts: torch.Tensor) -> torch.Tensor:
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])
