import copy
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from recbole.data.interaction import Interaction

from recbole_dmf.data import interactions
from recbole_dmf.data.interactions import (
    Rows,
    SparseInput,
    WholeRows,
    interaction_matrix,
    max_rating,
    train_matrix,
    with_ones,
)


@pytest.fixture
def matrix():
    generator = np.random.default_rng(0)
    dense = generator.integers(1, 6, (20, 15)) * (generator.random((20, 15)) < 0.3)
    dense[4] = 0
    return sp.csr_matrix(dense.astype(np.float64))


def test_ratings_are_kept_and_unknown_is_zero():
    y = interaction_matrix(np.array([1, 2]), np.array([2, 1]), np.array([1.0, 5.0]), (3, 4))
    assert y.toarray().tolist() == [[0, 0, 0, 0], [0, 0, 1, 0], [0, 5, 0, 0]]  # Eq. (2)
    y = interaction_matrix(np.array([1, 2]), np.array([2, 1]), None, (3, 4))
    assert y.toarray().tolist() == [[0, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0]]  # Eq. (1)


def sparse_input(matrix, dtype=torch.float32):
    rows = Rows.of(matrix, "cpu")
    rows.value = rows.value.to(dtype)
    return SparseInput(rows, rows.transposed())


@pytest.fixture(params=["scipy", "torch"])
def routines(request, monkeypatch):
    """SciPy's routines, or those that CUDA takes, on the CPU."""
    monkeypatch.setattr(interactions, "_on_cpu", lambda tensor: request.param == "scipy")


@pytest.mark.parametrize("ids", [None, [], [4], [19, 3, 4, 3], list(range(1, 18))])
def test_sparse_product_and_gradient_are_the_dense_ones(matrix, ids, routines):
    rows = sparse_input(matrix, torch.float64)
    weight = torch.randn(15, 6, dtype=torch.float64, requires_grad=True)
    ids = None if ids is None else torch.tensor(ids, dtype=torch.long)
    dense = torch.from_numpy(matrix.toarray())[slice(None) if ids is None else ids]
    weighting = torch.randn(dense.shape[0], 6, dtype=torch.float64)

    product = rows.matmul(weight, ids)
    (gradient,) = torch.autograd.grad((product * weighting).sum(), weight)
    np.testing.assert_allclose(product.detach(), (dense @ weight).detach(), atol=1e-12)
    np.testing.assert_allclose(gradient, dense.T @ weighting, atol=1e-12)


@pytest.mark.parametrize("width", [1, 9, 10, 40])  # of a block; the matrix has 20 rows, 15 columns
def test_blocks_of_columns_give_the_same_products(matrix, width, monkeypatch):
    monkeypatch.setattr(interactions, "_BLOCK", width)
    monkeypatch.setattr(interactions, "_WORTH", 0)
    for part in (matrix, matrix.T.tocsr()):
        rows, whole = Rows.of(part, "cpu"), WholeRows.of(part, "cpu")
        for dtype in (torch.float32, torch.float64):  # as after a model's `double`
            rows.value, whole.value = rows.value.to(dtype), whole.value.to(dtype)
            dense = torch.randn(part.shape[1], 6, dtype=dtype)
            torch.testing.assert_close(whole.matmul(dense), rows.matmul(dense))
        assert (whole._blocks is None) == (part.shape[1] <= 2 * width)
        few = torch.tensor([3, 0])
        assert torch.equal(whole.take(few).column, rows.take(few).column)


def test_a_sparse_matrix_is_not_cut_into_blocks(matrix, monkeypatch):
    monkeypatch.setattr(interactions, "_BLOCK", 2)
    whole = WholeRows.of(matrix, "cpu")
    whole.matmul(torch.randn(15, 6, dtype=torch.float64))
    assert whole._blocks is None


@pytest.mark.slow
def test_no_dense_block_of_inputs():
    """A batch costs memory in proportion to its ratings, not to batch x items."""
    wide = sp.random(50, 200_000, density=1e-5, format="csr", random_state=0)
    product = sparse_input(wide).matmul(torch.ones(200_000, 2), torch.arange(20))
    assert product.shape == (20, 2)


@pytest.fixture
def dataset():
    """What the functions read of a RecBole Dataset of three interactions, one of them twice."""
    feat = {"u": [1, 2, 1, 2], "i": [2, 1, 2, 3], "r": [4.0, 2.0, 1.0, 3.0], "t": [9, 1, 5, 2]}
    columns = {name: torch.tensor(values) for name, values in feat.items()}
    return SimpleNamespace(
        inter_feat=Interaction(columns),
        uid_field="u",
        iid_field="i",
        time_field="t",
        user_num=3,
        item_num=4,
        config={"RATING_FIELD": "r", "max_rating": None},
    )


def test_one_training_matrix_for_all_who_ask(dataset):
    matrix = train_matrix(dataset)
    assert matrix.toarray().tolist() == [[0, 0, 0, 0], [0, 0, 4, 0], [0, 2, 0, 3]]  # the latest
    assert train_matrix(dataset) is matrix
    other = copy.copy(dataset)
    other.inter_feat = Interaction({k: v[1:2] for k, v in dataset.inter_feat.interaction.items()})
    assert train_matrix(other).toarray().tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 2, 0, 0]]
    assert with_ones(matrix).toarray().tolist() == [[0, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 1]]
    assert matrix.max() == 4  # the ones are another matrix


def test_the_scale_is_the_data_sets_then_the_options_then_the_datas(dataset):
    assert max_rating(dataset) == 4
    dataset.config["max_rating"] = 5
    assert max_rating(dataset) == 5
    dataset.max_rating = 10.0
    assert max_rating(dataset) == 10
    dataset.config["RATING_FIELD"] = "stars"
    assert max_rating(dataset) == 1
    dataset.inter_feat = Interaction(dict(dataset.inter_feat.interaction))
    assert train_matrix(dataset).max() == 1
