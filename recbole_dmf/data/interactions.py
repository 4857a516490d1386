"""The interaction matrix Y, sparse by user and by item, and its product with a first layer."""

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from scipy.sparse import _sparsetools

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
    def of(cls, *arrays: NDArray, device: torch.device | str = "cpu") -> "_Rows":
        return cls(*(torch.from_numpy(array).to(device) for array in arrays))

    def matmul(self, dense: torch.Tensor) -> torch.Tensor:
        # The weighted sum of embedding rows is a sparse product; its forward pass is about three
        # times as fast on one core as MKL's sparse product. Its backward pass is not used.
        mode_sum, include_last_offset = 0, True
        return torch.embedding_bag(
            dense, self.column, self.start, False, mode_sum, False, self.value, include_last_offset
        )[0]


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
        self._all, self._all_transposed = (
            _Rows.of(m.indptr, m.indices, m.data, device=self.device)
            for m in (self.matrix, self.matrix.T.tocsr())
        )

    @property
    def shape(self) -> tuple[int, int]:
        return self.matrix.shape

    def matmul(self, weight: torch.Tensor, ids: torch.Tensor | None = None) -> torch.Tensor:
        """Product of the rows `ids` (all rows if None) with `weight`.

        Args:
            weight: [n_columns, width].
            ids: int64 [n], in any order.

        Returns:
            [n, width], differentiable in `weight`.
        """
        if ids is None:
            rows, transposed = self._all, self._all_transposed
        elif self.device.type == "cpu":
            rows, transposed = _slice(self.matrix, ids.numpy())
        else:
            rows, transposed = _slice_on_device(self._all, ids, self.shape[1])
        return _SparseMatmul.apply(weight, rows, transposed)


def distinct(ids: torch.Tensor, n_rows: int) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Which of `n_rows` rows to encode for the entries `ids` of a batch, int64 [n].

    Returns:
        The rows, None for all, and for each entry its place among them, None where they are the
        entries themselves.
    """
    if 8 * len(ids) < n_rows:  # repeats are rare, and finding them costs more
        return ids, None
    if len(ids) > 4 * n_rows:  # hardly a row is missing
        return None, ids
    found, place = torch.unique(ids, return_inverse=True)
    # Above half of the rows, the ready-made matrix and its transpose are cheaper than a slice.
    return (None, ids) if 2 * len(found) > n_rows else (found, place)


def _slice(matrix: sp.csr_matrix, ids: NDArray) -> tuple[_Rows, _Rows]:
    """The rows `ids` and their transpose, by SciPy's own routines.

    Through `matrix[ids]` and `.T.tocsr()` they take twice as long for a small batch.
    """
    start = np.zeros(len(ids) + 1, matrix.indptr.dtype)
    np.cumsum(matrix.indptr[ids + 1] - matrix.indptr[ids], out=start[1:])
    n_columns, n_entries = matrix.shape[1], start[-1]
    column, value = _entries(matrix, n_entries)
    _sparsetools.csr_row_index(
        len(ids), ids.astype(start.dtype), matrix.indptr, matrix.indices, matrix.data, column, value
    )
    transposed_start = np.empty(n_columns + 1, start.dtype)
    row, transposed_value = _entries(matrix, n_entries)
    _sparsetools.csr_tocsc(
        len(ids), n_columns, start, column, value, transposed_start, row, transposed_value
    )
    return _Rows.of(start, column, value), _Rows.of(transposed_start, row, transposed_value)


def _entries(matrix: sp.csr_matrix, n: int) -> tuple[NDArray, NDArray]:
    return np.empty(n, matrix.indices.dtype), np.empty(n, matrix.data.dtype)


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
