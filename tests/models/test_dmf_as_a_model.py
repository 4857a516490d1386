"""DMF as a RecBole model: its batches, initial weights, options and data."""

import numpy as np
import pytest
import torch

from conftest import random_rows
from dmf_in_numpy import batch, dense_y
from recbole_dmf.errors import UserError


def test_recbole_batches_give_the_same_loss(ready):
    model = ready(init="xavier")[2]
    from recbole.data.interaction import Interaction

    user, item, rating, label = batch(model.float())
    interaction = Interaction(
        {"user_id": user, "item_id": item, "rating": rating.float(), "label": label.float()}
    )
    expected = model.loss(user, item, rating.float(), label.float())
    torch.testing.assert_close(model.calculate_loss(interaction), expected)


def test_sparse_inputs_survive_double(ready):
    model = ready()[2].double()
    assert model.encode_users(torch.tensor([1, 2])).dtype == torch.float64


def test_initial_weights_are_the_papers(ready):
    model = ready(user_layers=[400, 300], item_layers=[400, 300])[2]
    for parameter in model.parameters():
        assert abs(parameter.mean().item()) < 2e-3  # Sec. 4.1
        assert parameter.std().item() == pytest.approx(0.01, rel=0.12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"user_layers": [64, 32]}, "make the last numbers equal"),
        ({"user_layers": []}, "widths of the tower's layers"),
        ({"user_layers": [64, -1], "item_layers": [64, -1]}, "widths of the tower's layers"),
        ({"user_layers": [64, 1.5]}, "widths of the tower's layers"),
        ({"loss_type": "bce"}, "choose one of nce, ce, square, bpr"),
        ({"similarity": "euclid"}, "cosine, scaled_cosine, dot"),
        ({"interaction_matrix": "01"}, "rating, binary"),
        ({"init": "zeros"}, "normal, xavier"),
        ({"output_activation": "gelu"}, "relu, linear"),
        ({"mu": 0.7}, "between 0 and 0.5"),
        ({"recent_items": -1}, "recent_items is -1; give a number of items"),
        ({"recent_items": 5, "recent_decay": 0}, r"recent_decay is 0; it must lie in \(0, 1\]"),
    ],
)
def test_bad_options(ready, options, message):
    with pytest.raises(UserError, match=message):
        ready(**options)


def test_implicit_data_runs_as_equation_1(tmp_path, ready):
    folder = tmp_path / "implicit" / "plays"
    folder.mkdir(parents=True)
    lines = ["user_id:token\titem_id:token\ttimestamp:float"]
    lines += [f"{u}\t{i}\t{t}" for u, i, _, t in random_rows()]
    (folder / "plays.inter").write_text("\n".join(lines) + "\n")
    _, _, model = ready(data_path=tmp_path / "implicit", dataset="plays")
    assert set(np.unique(dense_y(model))) == {0, 1}  # Eq. (1)
    assert model.max_rating == 1


def test_recbole_s_dmf_is_a_configuration_of_ours(ready):
    """The same losses and gradients from the same parameters: what time to quality rests on."""
    layers = [8, 6, 4]
    options = {
        "similarity": "dot",
        "loss_type": "nce",
        "user_layers": layers,
        "item_layers": layers,
    }
    ours = ready(**options)[2]
    sizes = {"user_embedding_size": 8, "item_embedding_size": 8, "inter_matrix_type": "rating"}
    hidden = {"user_hidden_size_list": layers[1:], "item_hidden_size_list": layers[1:]}
    theirs = ready("RecBoleDMF", **sizes, **hidden)[2]
    pairs = []
    for tower, linear, upper in (
        (ours.user_tower, theirs.user_linear, theirs.user_fc_layers),
        (ours.item_tower, theirs.item_linear, theirs.item_fc_layers),
    ):
        pairs.append((tower.weight, linear.weight, True))
        linears = [m for m in upper.modules() if isinstance(m, torch.nn.Linear)]
        for mine, other in zip(tower.hidden, linears, strict=True):
            pairs += [(mine.weight, other.weight, False), (mine.bias, other.bias, False)]
    with torch.no_grad():
        for mine, other, transposed in pairs:
            mine.normal_(0, 0.3)
            other.copy_(mine.T if transposed else mine)
    user, item, rating, label = batch(ours)
    interaction = {"user_id": user, "item_id": item, "rating": rating.float(), "label": label}
    interaction["label"] = label.float()
    found = ours.loss(user, item, rating.float(), label.float())
    expected = theirs.calculate_loss(interaction)
    torch.testing.assert_close(found, expected)
    found.backward()
    expected.backward()
    for mine, other, transposed in pairs:
        torch.testing.assert_close(mine.grad, other.grad.T if transposed else other.grad)
