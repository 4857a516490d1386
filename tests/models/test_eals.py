import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recbole.config import Config
from recbole.data import create_dataset
from recbole.data.interaction import Interaction

from recbole_dmf.errors import UserError
from recbole_dmf.models.eals import (
    EALS,
    item_weights,
    objective,
    observed_targets,
    update_items,
    update_users,
)


def dense_parts(R, s, w):
    """Weights and targets of all entries, [users, items]."""
    observed = np.zeros(R.shape, dtype=bool)
    observed[np.repeat(np.arange(R.shape[0]), np.diff(R.indptr)), R.indices] = True
    return np.where(observed, w, s[None, :]), R.toarray(), observed


def dense_objective(R, U, V, s, reg, w):
    weight, target, _ = dense_parts(R, s, w)
    return (weight * (target - U @ V.T) ** 2).sum() + reg * ((U**2).sum() + (V**2).sum())


def textbook_sweep(weight, target, X, Y, reg, skipped):
    """Row by row, coordinate by coordinate: the minimum of the dense objective along each."""
    X = X.copy()
    for r in range(len(X)):
        if skipped[r]:
            continue
        for f in range(X.shape[1]):
            rest = target[r] - Y @ X[r] + X[r, f] * Y[:, f]
            curvature = (weight[r] * Y[:, f] ** 2).sum() + reg
            if curvature > 0:
                X[r, f] = (weight[r] * rest * Y[:, f]).sum() / curvature
    return X


def textbook_iteration(R, U, V, s, reg, w):
    weight, target, observed = dense_parts(R, s, w)
    U = textbook_sweep(weight, target, U, V, reg, ~observed.any(axis=1))
    V = textbook_sweep(weight.T, target.T, V, U, reg, ~observed.any(axis=0))
    return U, V


def iteration(R, U, V, s, reg, w=1.0):
    U = update_users(R, U, V, s, reg, w)
    return U, update_items(R.T.tocsr(), U, V, s, reg, w)


def random_problem(seed, n_users, n_items, factors, density, w0, alpha, binary=False, std=0.5):
    rng = np.random.default_rng(seed)
    observed = rng.random((n_users, n_items)) < density
    ratings = np.ones(observed.shape) if binary else rng.integers(1, 6, observed.shape) / 5.0
    R = sp.csr_matrix(np.where(observed, ratings, 0.0))
    U, V = (rng.normal(0, std, (n, factors)) for n in (n_users, n_items))
    return R, U, V, item_weights(observed.sum(axis=0), w0, alpha)


problems = st.builds(
    random_problem,
    seed=st.integers(0, 2**32 - 1),
    n_users=st.integers(1, 12),
    n_items=st.integers(1, 12),
    factors=st.integers(1, 6),
    density=st.sampled_from([0.0, 0.1, 0.4, 0.9, 1.0]),  # low ones leave empty rows and columns
    w0=st.sampled_from([0.0, 0.01, 1.0, 10.0, 100.0]),
    alpha=st.sampled_from([0.0, 0.4, 1.0]),
    binary=st.booleans(),
    std=st.sampled_from([0.01, 0.5]),
)


def test_item_weights_by_hand():
    # f^0.5 = 1, 2, 3 of 6
    np.testing.assert_allclose(item_weights(np.array([1, 4, 0, 9]), 12, 0.5), [2, 4, 0, 6])


def test_item_weights_without_alpha_are_equal_for_all_trained_items():
    np.testing.assert_allclose(item_weights(np.array([1, 4, 0, 9]), 3, 0.0), [1, 1, 0, 1])


def test_item_weights_of_a_single_interaction():
    np.testing.assert_array_equal(item_weights(np.array([1, 0]), 5, 0.5), [5, 0])


def test_item_weights_of_no_interactions_are_zero():
    np.testing.assert_array_equal(item_weights(np.zeros(3), 10, 0.5), np.zeros(3))


def test_targets():
    ratings = np.array([1, 5, 4], dtype=np.float32)
    np.testing.assert_array_equal(observed_targets(ratings, "binary"), [1, 1, 1])
    assert observed_targets(ratings, "rating").dtype == np.float32
    np.testing.assert_allclose(observed_targets(ratings, "rating"), [0.2, 1, 0.8])
    np.testing.assert_allclose(observed_targets(ratings, "rating", 10), [0.1, 0.5, 0.4])
    np.testing.assert_allclose(observed_targets(ratings / 10, "rating"), [0.2, 1, 0.8])
    assert observed_targets(ratings, "rating", np.float64(10)).dtype == np.float32


@pytest.mark.parametrize(
    ("ratings", "target", "maximum"),
    [([1.0], "ratings", None), ([0.0], "rating", None), ([], "rating", None), ([1.0], "rating", 0)],
)
def test_bad_targets_are_user_errors(ratings, target, maximum):
    with pytest.raises(UserError, match="target"):
        observed_targets(np.array(ratings), target, maximum)


@given(problems, st.sampled_from([0.0, 0.01, 2.0]), st.sampled_from([0.5, 1.0, 3.0]))
@settings(deadline=None)
def test_objective_equals_the_dense_one(problem, reg, w):
    R, U, V, s = problem
    expected = dense_objective(R, U, V, s, reg, w)
    assert objective(R, U, V, s, reg, w) == pytest.approx(expected, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("w", [1.0, 2.5])
@pytest.mark.parametrize("reg", [0.01, 3.0])
@pytest.mark.parametrize(("w0", "alpha"), [(0.0, 0.5), (5.0, 0.0), (10.0, 0.75), (200.0, 1.0)])
@pytest.mark.parametrize("seed", range(3))
def test_updates_equal_textbook_coordinate_descent(seed, w0, alpha, reg, w):
    R, U, V, s = random_problem(seed, 15, 11, 5, 0.25, w0, alpha)
    expected_U, expected_V = U, V
    for _ in range(3):
        U, V = iteration(R, U, V, s, reg, w)
        expected_U, expected_V = textbook_iteration(R, expected_U, expected_V, s, reg, w)
        np.testing.assert_allclose(U, expected_U, rtol=0, atol=1e-8)
        np.testing.assert_allclose(V, expected_V, rtol=0, atol=1e-8)


@pytest.mark.slow
@given(problems)
@settings(deadline=None)
def test_updates_equal_textbook_on_any_matrix(problem):
    R, U, V, s = problem
    actual = iteration(R, U, V, s, 0.1)
    for one, other in zip(actual, textbook_iteration(R, U, V, s, 0.1, 1.0), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-8)


def test_last_coordinate_has_no_gradient_left():
    """Against autograd on the dense objective: nothing shared with the formulas under test."""
    R, U, V, s = random_problem(4, 20, 9, 4, 0.3, 8.0, 0.5)
    weight, target, observed = dense_parts(R, s, 1.0)
    U = update_users(R, U, V, s, 0.3)
    leaf = torch.tensor(U, requires_grad=True)
    residual = torch.tensor(target) - leaf @ torch.tensor(V).T
    ((torch.tensor(weight) * residual**2).sum() + 0.3 * (leaf**2).sum()).backward()
    trained = observed.any(axis=1)
    np.testing.assert_allclose(leaf.grad[trained, -1], 0, atol=1e-10)
    assert np.abs(leaf.grad[trained, 0].numpy()).max() > 1e-3


@pytest.mark.slow
@given(problems, st.sampled_from([0.0, 0.01, 1.0]))
@settings(deadline=None, max_examples=200)
def test_objective_never_rises(problem, reg):
    R, U, V, s = problem
    Rt = R.T.tocsr()
    before = dense_objective(R, U, V, s, reg, 1.0)
    for _ in range(4):
        U = update_users(R, U, V, s, reg)
        between = dense_objective(R, U, V, s, reg, 1.0)
        V = update_items(Rt, U, V, s, reg)
        after = dense_objective(R, U, V, s, reg, 1.0)
        slack = 1e-9 * (1.0 + before)
        assert between <= before + slack
        assert after <= between + slack
        before = after


def test_rows_without_interactions_keep_their_vectors():
    R, U, V, s = random_problem(1, 8, 8, 3, 0.5, 4.0, 0.5)
    R = sp.csr_matrix(R.toarray() * (np.arange(8) != 2)[:, None] * (np.arange(8) != 5))
    new_U, new_V = iteration(R, U, V, s, 0.1)
    np.testing.assert_array_equal(new_U[2], U[2])
    np.testing.assert_array_equal(new_V[5], V[5])
    assert (new_U[[0, 1, 3]] != U[[0, 1, 3]]).any(axis=1).all()


@pytest.mark.parametrize("w0", [0.0, 5.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("tiny", [False, True])
def test_coordinate_that_does_not_matter_is_kept(w0, dtype, tiny):
    R, U, V, s = random_problem(3, 8, 8, 3, 0.5, w0, 0.5)
    # without regularisation the step would be 0 / 0, or next to it
    V[:, 1] = np.sqrt(np.finfo(dtype).tiny) if tiny else 0.0
    new_U = update_users(R.astype(dtype), U.astype(dtype), V.astype(dtype), s, 0.0)
    np.testing.assert_array_equal(new_U[:, 1], U[:, 1].astype(dtype))
    assert np.isfinite(new_U).all()


def test_inputs_are_left_alone_and_the_dtype_is_kept():
    R, U, V, s = random_problem(2, 8, 6, 3, 0.5, 4.0, 0.5)
    R32, U32, V32 = R.astype(np.float32), U.astype(np.float32), V.astype(np.float32)
    copies = R32.data.copy(), U32.copy(), V32.copy()
    new_U, new_V = iteration(R32, U32, V32, s, 0.1)
    assert new_U.dtype == new_V.dtype == np.float32
    for now, then in zip((R32.data, U32, V32), copies, strict=True):
        np.testing.assert_array_equal(now, then)
    expected = iteration(R, U, V, s, 0.1)
    np.testing.assert_allclose(new_U, expected[0], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(new_V, expected[1], rtol=1e-3, atol=1e-4)


def test_nothing_of_shape_users_by_items_is_made():
    n = 300_000  # 360 GB as a dense float32 matrix
    rng = np.random.default_rng(0)
    R = sp.csr_matrix(
        (np.ones(1000, dtype=np.float32), (rng.permutation(n)[:1000], rng.permutation(n)[:1000])),
        shape=(n, n),
    )
    U, V = (rng.normal(0, 0.1, (n, 2)).astype(np.float32) for _ in range(2))
    s = item_weights(np.diff(R.tocsc().indptr), 10.0, 0.5)
    before = objective(R, U, V, s, 0.01)
    assert objective(R, *iteration(R, U, V, s, 0.01), s, 0.01) < before


# The model in RecBole

INTERACTIONS = [  # user, item, rating, timestamp; u3 and i9 occur in no training row
    ("u1", "i1", 5, 1),
    ("u1", "i2", 4, 2),
    ("u2", "i1", 3, 3),
    ("u2", "i3", 1, 4),
    ("u2", "i1", 2, 5),  # the same pair again, later: this one counts
    ("u3", "i9", 5, 6),
]
OPTIONS = {
    "embedding_size": 4,
    "w0": 2.0,
    "alpha": 0.5,
    "reg_weight": 0.1,
    "target": "binary",
    "init_std": 0.01,
    "load_col": {"inter": ["user_id", "item_id", "rating", "timestamp"]},
    "eval_args": {"split": {"RS": [5, 1, 0]}, "order": "TO", "group_by": "none"},
    "device": "cpu",
    "use_gpu": False,
}


@pytest.fixture
def build(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["test"])  # RecBole reads the command line
    folder = tmp_path / "tiny"
    folder.mkdir()
    lines = ["user_id:token\titem_id:token\trating:float\ttimestamp:float"]
    lines += ["\t".join(map(str, row)) for row in INTERACTIONS]
    (folder / "tiny.inter").write_text("\n".join(lines) + "\n")

    def build(**options):
        settings = {**OPTIONS, "data_path": str(tmp_path), **options}
        config = Config(model=EALS, dataset="tiny", config_dict=settings)
        train = create_dataset(config).build()[0]
        return EALS(config, train), train

    return build


def ids(dataset, field, tokens):
    return torch.tensor([dataset.token2id(field, token) for token in tokens])


@pytest.mark.slow
def test_model_trains_and_scores_in_recbole_ids(build):
    torch.manual_seed(1)
    model, dataset = build()
    losses = [model.fit_epoch() for _ in range(30)]
    assert all(isinstance(loss, float) for loss in losses)
    assert losses[-1] < losses[0]
    assert np.all(np.diff(losses) <= 1e-5 * losses[0])

    users, items = ids(dataset, "user_id", ["u1", "u2"]), ids(dataset, "item_id", ["i2", "i3"])
    seen = model.predict(Interaction({"user_id": users, "item_id": items}))
    unseen = model.predict(Interaction({"user_id": users, "item_id": items.flip(0)}))
    assert seen.shape == (2,)
    assert (seen > unseen).all()
    full = model.full_sort_predict(Interaction({"user_id": users}))
    assert full.shape == (2 * dataset.item_num,)
    torch.testing.assert_close(full.view(2, -1)[[0, 1], items], seen)


def test_padding_and_cold_ids_score_exactly_zero(build):
    model, dataset = build(alpha=0.0)
    model.fit_epoch()
    full = model.full_sort_predict(Interaction({"user_id": torch.arange(dataset.user_num)}))
    full = full.view(dataset.user_num, -1)
    cold = torch.cat([torch.tensor([0]), ids(dataset, "item_id", ["i9"])])
    assert (full[:, cold] == 0).all()
    assert (full[torch.cat([torch.tensor([0]), ids(dataset, "user_id", ["u3"])])] == 0).all()
    warm = ids(dataset, "user_id", ["u1", "u2"])
    assert (full[warm].abs().sum(dim=1) > 0).all()


def test_repeated_pairs_count_once_with_the_latest_rating(build):
    binary, dataset = build()
    rating, _ = build(target="rating", max_rating=5)
    user, item = dataset.token2id("user_id", "u2"), dataset.token2id("item_id", "i1")
    for model, expected in ((binary, 1.0), (rating, 0.4)):
        assert model.by_user.nnz == 4
        assert model.by_user[user, item] == pytest.approx(expected)


def test_state_dict_carries_the_model(build):
    model, dataset = build()
    model.fit_epoch()
    other, _ = build()
    other.load_state_dict(model.state_dict())
    everyone = Interaction({"user_id": torch.arange(dataset.user_num)})
    torch.testing.assert_close(
        other.full_sort_predict(everyone), model.full_sort_predict(everyone), rtol=0, atol=0
    )


@pytest.mark.slow
def test_optimiser_step_changes_nothing(build):
    model, _ = build()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    loss = model.calculate_loss(Interaction({}))
    loss.backward()
    optimiser.step()
    assert loss.item() == 0
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


@pytest.mark.parametrize(
    "options",
    [
        {"w0": -1},
        {"alpha": "much"},
        {"reg_weight": None},
        {"embedding_size": 0},
        {"embedding_size": 2.5},
        {"init_std": 0},
        {"target": "stars"},
        {"target": "rating", "max_rating": -5},
        {"target": "rating", "load_col": {"inter": ["user_id", "item_id", "timestamp"]}},
    ],
    ids=str,
)
def test_bad_options_are_user_errors(build, options):
    with pytest.raises(
        UserError, match=r"give a (whole )?number|choose one|max_rating|needs the field"
    ):
        build(**options)
