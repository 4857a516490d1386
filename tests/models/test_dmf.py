"""DMF against the paper's equations in plain NumPy, and its fast paths against dense ones."""

import numpy as np
import pytest
import torch

from conftest import write_inter
from dmf_in_numpy import batch, dense_latest, dense_y, numpy_cosine, numpy_tower
from recbole_dmf import run_recbole
from recbole_dmf.errors import UserError

LAYERS = [[8], [12, 8], [16, 12, 8], [9, 10, 11, 8]]


@pytest.mark.parametrize("layers", LAYERS, ids=lambda layers: f"DMF-{len(layers)}")
@pytest.mark.parametrize("first", ["linear", "relu"])
@pytest.mark.parametrize("output", ["relu", "linear"])
@pytest.mark.parametrize("bias", [False, True])
def test_equations_5_to_8(ready, layers, first, output, bias):
    model = ready(
        user_layers=layers,
        item_layers=layers,
        first_layer_activation=first,
        output_activation=output,
        init="xavier",
        first_layer_bias=bias,
    )[2].double()
    if bias:
        for tower in (model.user_tower, model.item_tower):
            torch.nn.init.normal_(tower.bias)
    user, item, _, _ = batch(model)
    y = dense_y(model)
    kwargs = {"relu_first": first == "relu", "relu_last": output == "relu"}
    p = numpy_tower(model.user_tower, y[user], **kwargs)  # Eq. (7)
    q = numpy_tower(model.item_tower, y.T[item], **kwargs)  # Eq. (7)
    expected = numpy_cosine(p, q)
    np.testing.assert_allclose(model(user, item).detach(), expected, atol=1e-12)
    model.eval()
    interaction = {model.USER_ID: user, model.ITEM_ID: item}
    np.testing.assert_allclose(model.predict(interaction), expected, atol=1e-12)
    full = model.full_sort_predict(interaction).view(len(user), -1)
    np.testing.assert_allclose(full[np.arange(len(user)), item], expected, atol=1e-12)


@pytest.mark.parametrize("masking", [False, True])
@pytest.mark.parametrize("matrix", ["rating", "binary"])
@pytest.mark.parametrize("loss_type", ["nce", "ce"])
def test_equations_2_and_11_to_13(ready, masking, matrix, loss_type):
    model = ready(
        interaction_matrix=matrix, loss_type=loss_type, target_masking=masking, init="xavier"
    )[2].double()
    y = dense_y(model)
    values = set(np.unique(y))
    assert values == ({0, 1, 2, 3, 4, 5} if matrix == "rating" else {0, 1})  # Eq. (1), (2)
    user, item, value, label = batch(model)
    rating = torch.where(label > 0, torch.arange(len(label)).double() % 5 + 1, 3.0)
    if matrix == "rating":
        rating = torch.where(label > 0, value, 3.0)
    p, q = [], []
    for u, i in zip(user.tolist(), item.tolist(), strict=True):
        y_masked = y.copy()
        if masking:
            y_masked[u, i] = 0  # the slow way: every pair with an input of its own
        p.append(y_masked[u])
        q.append(y_masked[:, i])
    y_hat = numpy_cosine(
        numpy_tower(model.user_tower, np.array(p)), numpy_tower(model.item_tower, np.array(q))
    )
    y_hat = np.clip(y_hat, 1e-6, 1 - 1e-6)  # Eq. (13)
    target = label.numpy() if loss_type == "ce" else (rating * label).numpy() / 5
    expected = -np.mean(target * np.log(y_hat) + (1 - target) * np.log(1 - y_hat))  # Eq. (11), (12)
    found = model.loss(user, item, rating, label)
    assert abs(found.item() - expected) < 1e-12


@pytest.mark.parametrize("masking", [False, True])
def test_latest_items_are_an_input_of_the_users_tower(ready, masking):
    model = ready(
        recent_items=3, recent_decay=0.5, target_masking=masking, loss_type="ce", init="xavier"
    )[2].double()
    y = dense_y(model)
    user, item, rating, label = batch(model)
    n_earlier = torch.from_numpy(np.random.default_rng(0).integers(0, 9, len(user)))
    latest = dense_latest(model, user, n_earlier)
    p_inputs, q_inputs = y[user], y.T[item]
    if masking:
        p_inputs[np.arange(len(user)), item] = q_inputs[np.arange(len(user)), user] = 0
    tower = model.user_tower
    stacked = np.concatenate([tower.weight.detach(), model.recent_weight.detach()])
    l_1 = np.concatenate([p_inputs, latest], axis=1) @ stacked  # Eq. (5), line 1
    p = tower.upper_layers(torch.from_numpy(l_1)).detach().numpy()
    y_hat = np.clip(numpy_cosine(p, numpy_tower(model.item_tower, q_inputs)), 1e-6, 1 - 1e-6)
    expected = -np.mean(np.where(label > 0, np.log(y_hat), np.log(1 - y_hat)))  # Eq. (11)
    assert abs(model.loss(user, item, rating, label, n_earlier).item() - expected) < 1e-12

    from recbole.data.interaction import Interaction

    columns = {"user_id": user, "item_id": item, "rating": rating, "label": label}
    interaction = Interaction({**columns, "n_earlier": n_earlier})
    torch.testing.assert_close(model.calculate_loss(interaction).item(), expected)
    with pytest.raises(UserError, match="needs the column n_earlier"):
        model.loss(user, item, rating, label)
    if not masking:
        model.eval()
        full = model.full_sort_predict(interaction).view(len(user), -1)
        expected = numpy_cosine(p, numpy_tower(model.item_tower, y.T[item]))
        np.testing.assert_allclose(full[np.arange(len(user)), item], expected, atol=1e-12)
        np.testing.assert_allclose(model.predict(interaction), expected, atol=1e-12)


def test_an_interaction_is_never_an_input_of_its_own_prediction(ready):
    _, prepared, model = ready(recent_items=12)
    feat = prepared.train.inter_feat
    rows = dense_latest(model, feat["user_id"], feat["n_earlier"])
    assert (rows[np.arange(len(feat)), feat["item_id"]] == 0).all()
    for phase in prepared.phases.values():
        user = torch.from_numpy(phase.candidates.user)
        rows = dense_latest(model, user, phase.n_earlier[user])
        assert (rows[np.arange(len(user)), phase.candidates.target] == 0).all()
    assert (phase.n_earlier[user] == 10).all()  # of 12, all but validation and test


def test_the_order_needs_our_split(tiny, tmp_path):
    with pytest.raises(UserError, match="recent_items needs the order of time"):
        run_recbole(
            "DMF",
            "tiny",
            config_dict={
                "data_path": str(tiny),
                "checkpoint_dir": str(tmp_path / "runs"),
                "recent_items": 3,
                "eval_args": {"split": {"RS": [0.8, 0.1, 0.1]}, "order": "RO", "mode": "full"},
            },
        )


@pytest.mark.parametrize("similarity", ["cosine", "scaled_cosine", "dot"])
@pytest.mark.parametrize("loss_type", ["nce", "ce", "square", "bpr"])
@pytest.mark.parametrize("masking", [False, True])
def test_gradients(ready, similarity, loss_type, masking):
    model = ready(
        user_layers=[5, 4],
        item_layers=[5, 4],
        similarity=similarity,
        loss_type=loss_type,
        target_masking=masking,
        init="xavier",
    )[2].double()
    for tower in (model.user_tower, model.item_tower):  # away from the kinks of ReLU
        torch.nn.init.normal_(tower.hidden[0].bias)
    user, item, rating, label = batch(model, n=6)
    if loss_type == "bpr":  # the negatives belong to the positives' users
        user = user[:6].repeat(2)
    names, parameters = zip(*model.named_parameters(), strict=True)

    def loss(*values):
        swapped = dict(zip(names, values, strict=True))
        return torch.func.functional_call(
            _LossOf(model), {f"m.{k}": v for k, v in swapped.items()}, (user, item, rating, label)
        )

    values = [p.detach().clone().requires_grad_() for p in parameters]
    assert torch.autograd.gradcheck(loss, values, atol=1e-6, fast_mode=True)


class _LossOf(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.m = model

    def forward(self, *args):
        return self.m.loss(*args)


def test_scaled_cosine_and_dot_in_plain_numpy(ready):
    for similarity in ("scaled_cosine", "dot"):
        model = ready(similarity=similarity, init="xavier")[2].double()
        user, item, rating, label = batch(model)
        y = dense_y(model)
        p, q = numpy_tower(model.user_tower, y[user]), numpy_tower(model.item_tower, y.T[item])
        if similarity == "dot":
            logit = score = (p * q).sum(1)
        else:
            score = numpy_cosine(p, q)
            logit = 10 * score - 5
        y_hat = 1 / (1 + np.exp(-logit))
        target = rating.numpy() / 5
        expected = -np.mean(target * np.log(y_hat) + (1 - target) * np.log(1 - y_hat))
        assert abs(model.loss(user, item, rating, label).item() - expected) < 1e-6
        model.eval()
        found = model.predict({model.USER_ID: user, model.ITEM_ID: item})
        np.testing.assert_allclose(found, score, atol=1e-6)


def test_y_holds_the_training_interactions_alone(ready):
    _, prepared, model = ready()
    y = dense_y(model)
    for phase in prepared.phases.values():
        assert not y[phase.candidates.user, phase.candidates.target].any()
    assert (y > 0).sum() == prepared.counts["train"]
    assert not y[0].any()
    assert not y[:, 0].any()


@pytest.mark.parametrize("similarity", ["cosine", "scaled_cosine"])
def test_cold_items_and_dead_towers_score_zero_and_train_on(ready, similarity):
    model = ready(similarity=similarity)[2]
    cold = np.flatnonzero(dense_y(model)[:, 1:].sum(0) == 0) + 1
    with torch.no_grad():
        model.item_tower.weight.fill_(1.0)
        for parameter in model.item_tower.hidden.parameters():
            parameter.fill_(-1.0)  # ReLU of a negative sum: every item's vector is zero
    user, item, rating, label = batch(model, n=20)
    if len(cold):
        item[-1] = int(cold[0])
    loss = model.loss(user, item, rating.float(), label.float())
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    model.eval()
    assert model.predict({model.USER_ID: user, model.ITEM_ID: item}).abs().max() == 0


def test_items_with_equal_input_are_exactly_tied(tmp_path, ready):
    """Rounding in a matrix product must not break ties by id."""
    rows = [(f"u{u}", f"c{u}", 3, 10) for u in range(3, 40)]  # items that occur in test alone
    rows += [
        (f"u{u}", f"w{(u * k) % 50}", 1 + k % 5, k) for u in range(3, 40) for k in (1, 2, 3, 4)
    ]
    write_inter(tmp_path / "cold", dict.fromkeys(rows))
    for layers in ([64, 64], [33, 17]):
        _, _, model = ready(
            data_path=tmp_path / "cold", user_layers=layers, item_layers=layers, init="xavier"
        )
        torch.nn.init.normal_(model.item_tower.hidden[-1].bias)
        cold = np.flatnonzero(dense_y(model).sum(0) == 0)[1:]
        assert len(cold) >= 30
        model.eval()
        scores = model.full_sort_predict({model.USER_ID: torch.arange(model.n_users)})
        scores = scores.view(model.n_users, -1)[1:, cold]
        assert (scores == scores[:, :1]).all()


def test_vectors_follow_training(ready):
    model = ready(init="xavier")[2]
    model.eval()
    before = model.vectors()[0].clone()
    assert model.vectors()[0] is model.vectors()[0]
    model.train()
    with torch.no_grad():
        model.user_tower.weight += 0.1
    model.eval()
    assert not torch.equal(model.vectors()[0], before)
    state = {k: v.clone() for k, v in model.state_dict().items()}
    state["user_tower.weight"] -= 0.1
    model.load_state_dict(state)
    torch.testing.assert_close(model.vectors()[0], before)
