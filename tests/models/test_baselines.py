"""ItemPop, ItemKNN, EASE, LFM and NeuMFp against their formulas, and against RecBole's."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from conftest import ML_100K, random_rows, write_inter
from recbole_dmf.config import build_config
from recbole_dmf.errors import UserError
from recbole_dmf.host import lookup
from recbole_dmf.host.compat.older import IS_OLDER
from recbole_dmf.models import item_knn
from recbole_dmf.models.item_knn import EPSILON, discount_frequent, nearest_neighbours
from recbole_dmf.prepare import prepare
from recbole_dmf.training.algorithm1 import DMFTrainer
from scoring import all_pairs, all_scores

# ItemPop


def test_item_pop_counts_training_interactions(ready):
    _, prepared, model = ready("ItemPop")
    item = prepared.train.inter_feat[model.ITEM_ID].numpy()
    expected = np.array([(item == i).sum() for i in range(model.n_items)])
    assert expected.sum() == prepared.counts["train"]
    np.testing.assert_array_equal(all_scores(model), np.tile(expected, (model.n_users, 1)))
    assert model.fit_epoch() == 0.0


# ItemKNN


@pytest.fixture(scope="module")
def ml_100k():
    """A function (model, **options) -> that model, fitted to the training part of ml-100k."""
    options = {"data_path": str(ML_100K.parents[1]), "use_gpu": False}
    config = build_config("ItemKNN", "ml-100k", None, options)
    prepared = prepare(config, lookup.load_dataset(config))

    def make(name, **chosen):
        config = build_config(name, "ml-100k", None, {**options, **chosen})
        model = lookup.find_model(name)(config, prepared.train)
        if name in ("EASE", "ItemKNN"):
            model.fit_epoch()
        return model

    return make


METHODS = ["item"] if IS_OLDER else ["item", "user"]  # that RecBole has


def similarities(model):
    """W of either class with the neighbours of n in row n."""
    if hasattr(model, "neighbours"):
        return model.neighbours.toarray()
    w = model.w.toarray()
    return w if getattr(model, "method", "item") == "user" else w.T


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shrink", [0.0, 10.0])
def test_item_knn_scores_as_recbole(ml_100k, method, shrink):
    options = {"k": 2000, "shrink": shrink, "knn_method": method}
    ours, recboles = ml_100k("ItemKNN", **options), ml_100k("RecBoleItemKNN", **options)
    torch.testing.assert_close(all_scores(ours), all_scores(recboles), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_item_knn_takes_the_same_neighbours_as_recbole(ml_100k, method):
    """Except among equally similar ones at the last place, where RecBole's choice is arbitrary."""
    k = 30
    options = {"k": k, "knn_method": method}
    ours, recboles = ml_100k("ItemKNN", **options), ml_100k("RecBoleItemKNN", **options)
    w, expected = similarities(ours), similarities(recboles)
    np.testing.assert_allclose(np.sort(w, 1), np.sort(expected, 1), rtol=1e-5)
    everything = similarities(ml_100k("ItemKNN", **{**options, "k": 2000}))
    ranked = np.sort(everything, axis=1)[:, ::-1]
    clear = ranked[:, k - 1] > ranked[:, k] * (1 + 1e-5)
    assert clear.sum() > 500
    np.testing.assert_allclose(w[clear], expected[clear], rtol=1e-5)
    if method == "item":
        torch.testing.assert_close(
            all_scores(ours)[:, clear], all_scores(recboles)[:, clear], rtol=1e-4, atol=1e-5
        )


def test_item_knn_pairs_score_as_full_rows(ml_100k):
    for method in ("item", "user"):
        model = ml_100k("ItemKNN", knn_method=method)
        user = torch.arange(50).repeat_interleave(20)
        item = torch.arange(1000) % model.n_items
        pairs = model.predict({model.USER_ID: user, model.ITEM_ID: item})
        torch.testing.assert_close(pairs, all_scores(model)[user, item], rtol=1e-5, atol=1e-6)


def dense_neighbours(x, k, shrink, asymmetry):
    """The k most similar rows of each row, one pair at a time."""
    n = len(x)
    w = np.zeros((n, n))
    squares = (x**2).sum(1)
    for i in range(n):
        for j in range(n):
            if i != j:
                scale = squares[i] ** asymmetry * squares[j] ** (1 - asymmetry)
                w[i, j] = x[i] @ x[j] / (scale + shrink + EPSILON)
        order = sorted(range(n), key=lambda j: (-w[i, j], j))
        w[i, order[k:]] = 0
    return w


@settings(deadline=None, max_examples=60)
@given(
    x=arrays(np.int8, st.tuples(st.integers(1, 7), st.integers(1, 6)), elements=st.integers(0, 3)),
    k=st.integers(1, 8),
    shrink=st.sampled_from([0.0, 1.0, 7.5]),
    asymmetry=st.sampled_from([0.0, 0.5, 1.0]),
    block=st.sampled_from([1, 5, 10**6]),
)
def test_neighbours_by_pairs(x, k, shrink, asymmetry, block):
    before = item_knn._PRODUCTS_PER_BLOCK
    item_knn._PRODUCTS_PER_BLOCK = block
    try:
        found = nearest_neighbours(sp.csr_matrix(x, dtype=np.float64), k, shrink, asymmetry)
    finally:
        item_knn._PRODUCTS_PER_BLOCK = before
    assert (found.data > 0).all()
    assert np.diff(found.indptr).max() <= k
    expected = dense_neighbours(x.astype(float), len(x), shrink, asymmetry)
    np.testing.assert_allclose(
        np.sort(found.toarray(), 1),
        np.sort(dense_neighbours(x.astype(float), k, shrink, asymmetry), 1),
        rtol=1e-6,
    )
    dense = found.toarray()
    np.testing.assert_allclose(dense[dense > 0], expected[dense > 0], rtol=1e-6)


def test_equally_similar_neighbours_come_by_number():
    x = sp.csr_matrix(np.ones((5, 1), dtype=np.float32))
    found = nearest_neighbours(x, 2).toarray() > 0
    expected = [[0, 1, 1, 0, 0], [1, 0, 1, 0, 0], [1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 0, 0, 0]]
    np.testing.assert_array_equal(found, expected)


def test_frequent_features_are_discounted():
    x = np.array([[1, 1, 0], [0, 1, 2], [0, 1, 1.0]])
    found = discount_frequent(sp.csr_matrix(x), 1.0).toarray()
    counts = np.array([1, 3, 2])
    np.testing.assert_allclose(found @ found.T, (x / counts) @ x.T)
    np.testing.assert_array_equal(discount_frequent(sp.csr_matrix(x), 0.0).toarray(), x)


def test_item_knn_on_ratings(ready):
    _, prepared, model = ready("ItemKNN", interaction_matrix="rating", k=5)
    feat = prepared.train.inter_feat
    y = np.zeros((model.n_users, model.n_items))
    y[feat[model.USER_ID], feat[model.ITEM_ID]] = feat["rating"]
    model.fit_epoch()
    w = model.neighbours.toarray()
    np.testing.assert_allclose(all_scores(model), y @ w.T, rtol=1e-5, atol=1e-6)
    cosine = dense_neighbours(y.T, model.n_items, 0, 0.5)
    np.testing.assert_allclose(w[w > 0], cosine[w > 0], rtol=1e-5)


# EASE


@pytest.mark.slow
@pytest.mark.parametrize("reg_weight", [1.0, 250.0])
def test_ease_scores_as_recbole(ml_100k, reg_weight):
    ours, recboles = (ml_100k(name, reg_weight=reg_weight) for name in ("EASE", "RecBoleEASE"))
    assert ours.by_users
    torch.testing.assert_close(all_scores(ours), all_scores(recboles), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("n_users", [20, 300])
def test_ease_is_the_formula_whichever_side_is_smaller(ready, tmp_path, n_users):
    rows = random_rows(n_users=n_users, n_items=60)
    _, _, model = ready("EASE", write_inter(tmp_path, rows), reg_weight=3.0)
    assert model.by_users == (n_users < 60)
    model.fit_epoch()
    x = model.matrix.toarray().astype(np.float64)
    p = np.linalg.inv(x.T @ x + 3.0 * np.eye(x.shape[1]))
    b = -p / np.diag(p)
    np.fill_diagonal(b, 0.0)
    np.testing.assert_allclose(all_scores(model), x @ b, atol=1e-4)
    pairs = model.predict(all_pairs(model)).view(model.n_users, -1)
    np.testing.assert_allclose(pairs, x @ b, atol=1e-4)


@pytest.mark.parametrize("name", ["ItemKNN", "EASE", "EALS"])
def test_models_without_gradients_are_fitted_by_the_trainer_recbole_finds(ready, name):
    config, _, model = ready(name)
    before = all_scores(model).clone()
    trainer = lookup.find_trainer(config)(config, model)
    trainer._train_epoch(None, 0)
    assert not torch.equal(all_scores(model), before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k is 0; give a number of at least 1"),
        ({"shrink": -1.0}, "shrink is -1.0"),
        ({"asymmetry": 1.5}, "between 0 and 1"),
        ({"frequency_discount": -0.5}, "frequency_discount"),
        ({"knn_method": "both"}, "item, user"),
        ({"interaction_matrix": "01"}, "rating, binary"),
    ],
)
def test_bad_item_knn_options(ready, options, message):
    with pytest.raises(UserError, match=message):
        ready("ItemKNN", **options)


# LFM


@pytest.mark.parametrize("init", ["normal", "xavier"])
def test_lfm_is_the_cosine_of_one_layer(ready, init):
    _, _, model = ready("LFM", embedding_size=7, factors=5, init=init)
    values = {name: p.detach().double().numpy() for name, p in model.named_parameters()}
    p = values["user_input"] @ values["user_layer.weight"].T  # Eq. (5), line 1
    q = values["item_input"] @ values["item_layer.weight"].T
    norms = np.linalg.norm(p, axis=1)[:, None] * np.linalg.norm(q, axis=1)
    model.eval()
    np.testing.assert_allclose(all_scores(model), p @ q.T / norms, atol=1e-5)  # Eq. (8)
    pairs = model.predict(all_pairs(model)).view(model.n_users, -1)
    np.testing.assert_allclose(pairs, p @ q.T / norms, atol=1e-5)
    assert values["user_input"].std() == pytest.approx(0.01, rel=0.3)


def test_lfm_loss_is_equation_12(ready):
    _, _, model = ready("LFM")
    model.double()
    user, item = torch.tensor([1, 2, 3, 4]), torch.tensor([5, 6, 7, 8])
    rating, label = torch.tensor([4.0, 2, 5, 5]).double(), torch.tensor([1.0, 1, 0, 0]).double()
    y_hat = np.clip(model(user, item).detach().numpy(), 1e-6, 1 - 1e-6)  # Eq. (13)
    y = np.array([4, 2, 0, 0]) / 5
    expected = -np.mean(y * np.log(y_hat) + (1 - y) * np.log(1 - y_hat))  # Eq. (12)
    assert model.loss(user, item, rating, label).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", ["LFM", "NeuMFp"])
def test_negatives_come_from_the_fast_trainer(ready, name):
    config = ready(name)[0]
    assert issubclass(lookup.find_trainer(config), DMFTrainer)
