"""The training interactions as a sparse matrix, and its product with a tower's first layer."""

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from scipy.sparse import _sparsetools

from recbole_dmf.data.split import drop_duplicates

MATRICES = ("rating", "binary")
_BLOCK = 4096  # columns of a block; of 64 floats each they take 1 MB
_WORTH = 16  # entries of a row in a block, on average, from which on blocks are the faster way


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


def train_matrix(dataset: Any) -> sp.csr_matrix:
    """Ratings of a RecBole Dataset, ones where it has none, as CSR [n_users, n_items].

    Built at the first call and kept at the data set, so that whoever asks gets the same matrix: do
    not change it in place. Of a pair that occurs more than once the latest interaction stays.
    """
    feat = dataset.inter_feat
    for_feat, matrix = vars(dataset).get("_train_matrix", (None, None))
    if for_feat is feat:  # a copy of the data set may hold other interactions
        return matrix
    user, item = (feat[field].cpu().numpy() for field in (dataset.uid_field, dataset.iid_field))
    rating, time = (
        feat[field].cpu().numpy() if field in feat.columns else None
        for field in (dataset.config["RATING_FIELD"], dataset.time_field)
    )
    shape = (dataset.user_num, dataset.item_num)
    matrix = interaction_matrix(user, item, rating, shape)
    if matrix.nnz < len(user):
        kept = drop_duplicates(user, item, time)
        rating = None if rating is None else rating[kept]
        matrix = interaction_matrix(user[kept], item[kept], rating, shape)
    dataset._train_matrix = (feat, matrix)
    return matrix


def max_rating(dataset: Any) -> float:
    """max(R) of Eq. (12), the upper end of a RecBole Dataset's rating scale; 1 without ratings.

    The data set's attribute `max_rating`, else the option, else the largest training rating.
    """
    if dataset.config["RATING_FIELD"] not in dataset.inter_feat.columns:
        return 1.0
    given = getattr(dataset, "max_rating", None) or dataset.config["max_rating"]
    return float(given or train_matrix(dataset).data.max(initial=0.0) or 1.0)


def with_ones(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """The same entries, each of them 1 (Eq. 1); the pattern is shared, not copied."""
    ones = np.ones_like(matrix.data)
    return sp.csr_matrix((ones, matrix.indices, matrix.indptr), matrix.shape, copy=False)


class Rows:
    """A sparse matrix [n_rows, n_columns] by rows (CSR), as tensors of one device.

    Attributes:
        start: int32 [n_rows + 1], the first entry of each row.
        column: int32 [n_entries].
        value: float [n_entries].
    """

    def __init__(
        self, start: torch.Tensor, column: torch.Tensor, value: torch.Tensor, n_columns: int
    ):
        self.start, self.column, self.value, self.n_columns = start, column, value, n_columns

    @classmethod
    def of(cls, matrix: sp.csr_matrix, device: torch.device | str) -> "Rows":
        arrays = (matrix.indptr, matrix.indices, matrix.data)
        start, column, value = (torch.from_numpy(array).to(device) for array in arrays)
        return cls(start, column, value, matrix.shape[1])

    @classmethod
    def of_arrays(cls, start: NDArray, column: NDArray, value: NDArray, n_columns: int) -> "Rows":
        """As `Rows`, of NumPy's arrays, without a copy."""
        as_tensor = torch.from_numpy
        return cls(as_tensor(start), as_tensor(column), as_tensor(value), n_columns)

    def __len__(self) -> int:
        return len(self.start) - 1

    def matmul(self, dense: torch.Tensor) -> torch.Tensor:
        """Product with `dense`, [n_columns, width] -> [n_rows, width]; no gradient."""
        # The weighted sum of embedding rows is a sparse product; its forward pass is about three
        # times as fast on one core as MKL's sparse product. Its backward pass is not used.
        mode_sum, include_last_offset = 0, True
        return torch.embedding_bag(
            dense, self.column, self.start, False, mode_sum, False, self.value, include_last_offset
        )[0]

    def matrix(self) -> sp.csr_matrix:
        """The same for SciPy, inverse of `of`."""
        arrays = (tensor.cpu().numpy() for tensor in (self.value, self.column, self.start))
        return sp.csr_matrix(tuple(arrays), (len(self), self.n_columns))

    def take(self, ids: torch.Tensor) -> "Rows":
        """The rows `ids`, int64 [n] in any order."""
        if _on_cpu(ids):  # SciPy's matrix[ids] and torch's indexing take twice as long
            whole = [tensor.numpy() for tensor in (self.start, self.column, self.value)]
            row = ids.numpy().astype(np.int32)
            start = np.zeros(len(row) + 1, dtype=np.int32)
            np.cumsum(whole[0].take(row + 1) - whole[0].take(row), out=start[1:])
            column, value = (np.empty(start[-1], dtype=array.dtype) for array in whole[1:])
            _sparsetools.csr_row_index(len(row), row, *whole, column, value)
            return Rows.of_arrays(start, column, value, self.n_columns)
        first = self.start[ids]
        counts = self.start[ids + 1] - first
        _, entry = ranges(first, counts)
        return Rows(row_starts(counts), self.column[entry], self.value[entry], self.n_columns)

    def transposed(self) -> "Rows":
        """The transpose, each of its rows in ascending order of columns."""
        if _on_cpu(self.start):
            arrays = [tensor.numpy() for tensor in (self.start, self.column, self.value)]
            start = np.empty(self.n_columns + 1, dtype=np.int32)
            column, value = np.empty_like(arrays[1]), np.empty_like(arrays[2])
            _sparsetools.csr_tocsc(len(self), self.n_columns, *arrays, start, column, value)
            return Rows.of_arrays(start, column, value, len(self))
        rows = torch.arange(len(self), device=self.start.device, dtype=torch.int32)
        row = torch.repeat_interleave(rows, self.start.diff())
        order = torch.argsort(self.column, stable=True)
        counts = torch.bincount(self.column, minlength=self.n_columns)
        return Rows(row_starts(counts), row[order], self.value[order], len(self))


class WholeRows(Rows):
    """A matrix whose products are of all its rows, on a processor in blocks of columns.

    A block's rows of the dense factor stay in a core's cache while all rows of the matrix read
    them; without blocks each read of a large factor goes to the memory that all cores share.
    """

    _blocks: list[Rows] | None = None

    def matmul(self, dense: torch.Tensor) -> torch.Tensor:
        """As of `Rows`."""
        n_blocks = -(-self.n_columns // _BLOCK)
        worth = n_blocks > 2 and len(self.column) >= _WORTH * n_blocks * len(self)
        if not worth or not _on_cpu(dense):
            return super().matmul(dense)
        if self._blocks is None or self._blocks[0].value.dtype != self.value.dtype:
            self._blocks = self._cut(n_blocks)
        parts = zip(self._blocks, dense.split(_BLOCK), strict=True)
        block, part = next(parts)
        product = block.matmul(part)
        for block, part in parts:
            product += block.matmul(part)
        return product

    def _cut(self, n_blocks: int) -> list[Rows]:
        start, column, value = (t.numpy() for t in (self.start, self.column, self.value))
        row = np.repeat(np.arange(len(self), dtype=np.int32), np.diff(start))
        block = column // _BLOCK
        order = np.argsort(block, kind="stable")  # keeps the order of rows within a block
        ends = np.bincount(block, minlength=n_blocks).cumsum()
        blocks = []
        for number, entry in enumerate(np.split(order, ends[:-1])):
            first = np.searchsorted(row[entry], np.arange(len(self) + 1)).astype(np.int32)
            width = min(_BLOCK, self.n_columns - number * _BLOCK)
            within = column[entry] - np.int32(number * _BLOCK)
            blocks.append(Rows.of_arrays(first, within, value[entry], width))
        return blocks


def _on_cpu(tensor: torch.Tensor) -> bool:
    return tensor.device.type == "cpu"


def row_starts(counts: torch.Tensor) -> torch.Tensor:
    """The first entry of each row and the end, int32 [n + 1], of rows with so many entries each."""
    start = torch.zeros(len(counts) + 1, dtype=torch.int32, device=counts.device)
    torch.cumsum(counts, 0, dtype=torch.int32, out=start[1:])
    return start


def ranges(first: torch.Tensor, counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The numbers first[i], first[i] + 1, ... of each i, counts[i] of them, after those of i - 1.

    Args:
        first, counts: int [n].

    Returns:
        Of each number its i, and the number itself, int64 [sum of counts].
    """
    row = torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
    before = row_starts(counts)[:-1]
    return row, torch.arange(len(row), device=counts.device) + (first - before)[row]


class SparseInput:
    """Rows of Y as the input of a tower (Eq. 7): `Y_i*` for users, `Y_*j` for items.

    No dense block of inputs is ever built: the work is linear in the ratings of the rows asked for.

    Args:
        rows: Y for the users' tower, its transpose for the items'.
        transposed: the transpose of `rows`; None: made when a gradient needs it.
    """

    def __init__(self, rows: Rows, transposed: Rows | None = None):
        self.rows, self._transposed = rows, transposed

    def cast(self, dtype: torch.dtype) -> None:
        """Give the values another type, in place."""
        for rows in (self.rows, self._transposed):
            if rows is not None:
                rows.value = rows.value.to(dtype)

    def take(self, ids: torch.Tensor | None) -> "SparseInput":
        """The inputs `ids`, int64 [n] in any order; all if None."""
        return self if ids is None else SparseInput(self.rows.take(ids))

    @property
    def transposed(self) -> Rows:
        """The transpose of `rows`."""
        return self.rows.transposed() if self._transposed is None else self._transposed

    def matmul(self, weight: torch.Tensor, ids: torch.Tensor | None = None) -> torch.Tensor:
        """Product of the rows `ids` (all rows if None) with `weight`.

        Args:
            weight: [n_columns, width].
            ids: int64 [n], in any order.

        Returns:
            [n, width], differentiable in `weight`.
        """
        return _SparseMatmul.apply(weight, self.take(ids))

    def gradient(self, slope: torch.Tensor) -> torch.Tensor:
        """What `matmul` adds to the gradient of `weight`, rows^T @ slope, [n_columns, width].

        Args:
            slope: [n, width], the gradient of the product.
        """
        return self.transposed.matmul(slope.contiguous())


class _SparseMatmul(torch.autograd.Function):
    """rows @ weight, with a dense gradient."""

    @staticmethod
    def forward(ctx, weight, given):
        ctx.given = given
        return given.rows.matmul(weight)

    @staticmethod
    def backward(ctx, grad):
        return ctx.given.gradient(grad), None


def sparse_product(rows: Rows, weight: torch.Tensor) -> torch.Tensor:
    """rows @ weight, [n, width], differentiable in `weight`, [n_columns, width]."""
    return SparseInput(rows).matmul(weight)
