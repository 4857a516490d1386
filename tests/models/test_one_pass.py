"""A small batch's loss and gradients in one pass against autograd's of `DMF.forward`."""

import pytest
import torch

from dmf_in_numpy import batch
from recbole_dmf.models import one_pass as module
from recbole_dmf.models.dmf import DMF, pair_loss
from recbole_dmf.models.one_pass import one_pass, takes_one_pass

LAYERS = [[4], [6, 4], [7, 6, 4]]


def pairs(model, n, k=3):
    """User, item, rating, label of k n pairs, the first n of them positives."""
    generator = torch.Generator().manual_seed(n)
    user = torch.randint(1, model.n_users, (n,), generator=generator)
    item = torch.randint(1, model.n_items, (k * n,), generator=generator)
    rating = torch.randint(1, 6, (k * n,), generator=generator).double()
    return user, item, rating, (torch.arange(k * n) < n).double()


def gradients(model):
    return [parameter.grad.clone() for parameter in model.parameters()]


def plain(model, user, item, rating, label):
    """Loss and gradients pair by pair, as the paper has them."""
    model.zero_grad()
    similarity = model(user.repeat(len(item) // len(user)), item)
    loss = pair_loss(model, similarity, rating * label, label)
    loss.backward()
    return loss.detach(), gradients(model)


@pytest.mark.parametrize("n", [1, 4, 30, 400])  # few rows, some of them several times, all of them
@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"loss_type": "ce", "interaction_matrix": "binary"},
        {"first_layer_activation": "relu", "output_activation": "linear"},
    ],
)
def test_loss_and_gradients_are_those_of_the_pairs(ready, n, layers, options):
    options = {"user_layers": layers, "item_layers": layers[-1:], "init": "xavier", **options}
    model = ready(**options)[2].double()
    instances = pairs(model, n)
    assert takes_one_pass(model, instances[1])
    expected, wanted = plain(model, *instances)
    model.zero_grad()
    loss = one_pass(model, 1.0, *instances)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    for found, want in zip(gradients(model), wanted, strict=True):
        torch.testing.assert_close(found, want, rtol=1e-9, atol=1e-12)


def test_scores_beyond_the_clamp_have_no_slope(ready):
    narrow = {"user_layers": [6, 2], "item_layers": [6, 2]}
    model = ready(init="xavier", output_activation="linear", mu=0.2, **narrow)[2].double()
    instances = pairs(model, 30)
    similarity = model(instances[0].repeat(3), instances[1])
    assert (similarity < 0.2).any()  # Eq. (13)
    assert (similarity > 0.8).any()
    assert ((similarity > 0.2) & (similarity < 0.8)).any()
    expected, wanted = plain(model, *instances)
    model.zero_grad()
    torch.testing.assert_close(one_pass(model, 1.0, *instances), expected)
    for found, want in zip(gradients(model), wanted, strict=True):
        torch.testing.assert_close(found, want, rtol=1e-9, atol=1e-12)


def test_dead_towers_are_no_trouble(ready):
    model = ready()[2]
    with torch.no_grad():
        model.user_tower.hidden[-1].weight.zero_()
        model.user_tower.hidden[-1].bias.fill_(-1.0)
    loss = one_pass(model, 1.0, *pairs(model, 4))
    assert torch.isfinite(loss)
    assert all(torch.isfinite(gradient).all() for gradient in gradients(model))


def test_gradients_are_weighted_and_added_up(ready):
    model = ready(init="xavier")[2].double()
    instances = pairs(model, 4)
    _, once = plain(model, *instances)
    model.zero_grad()
    loss = one_pass(model, 0.5, *instances)
    assert torch.equal(loss, one_pass(model, 0.25, *instances))
    for found, want in zip(gradients(model), once, strict=True):
        torch.testing.assert_close(found, 0.75 * want)


@pytest.mark.parametrize(
    "options",
    [
        {"similarity": "scaled_cosine"},
        {"similarity": "dot"},
        {"loss_type": "square"},
        {"loss_type": "bpr"},
        {"target_masking": True},
        {"recent_items": 3},
        {"dropout_prob": 0.5},
        {"first_layer_bias": True},
    ],
)
def test_other_options_have_a_graph(ready, options):
    model = ready(**options)[2]
    assert not takes_one_pass(model, batch(model)[1])


def test_large_batches_have_a_graph(ready, monkeypatch):
    model = ready()[2]
    item = batch(model)[1]
    assert takes_one_pass(model, item)
    monkeypatch.setattr(module, "SMALL", len(item) - 1)
    assert not takes_one_pass(model, item)


def test_a_loss_of_ones_own_is_not_passed_over(ready):
    model = ready()[2]
    item = batch(model)[1]

    class Own(DMF):
        def loss(self, *instances):
            return 2 * super().loss(*instances)

    model.__class__ = Own
    assert not takes_one_pass(model, item)
    assert not takes_one_pass(ready("LFM")[2], item)
