"""The rows of what comes before an item, against plain NumPy."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from recbole_dmf.data.history import History
from recbole_dmf.errors import UserError
from recbole_dmf.models.batch_encoding import batch_vectors
from recbole_dmf.models.preceding_items import SHRINK, PrecedingItems

OPTIONS = {
    "recent_items": [2, 5],
    "recent_decay": 0.5,
    "preceding_items": 3,
    "preceding_decay": 0.6,
    "interaction_matrix": "binary",
    "similarity": "scaled_cosine",
    "target_masking": True,
    "init": "xavier",
    "output_activation": "linear",
}


def sequences(model):
    start, item = model.history_start.tolist(), model.history_item.tolist()
    return [item[a:b] for a, b in pairwise(start)]


def numpy_rows(of_users, n_items, longest, decay, left_out=None):
    """C by its definition, without the interaction `left_out` (user, place)."""
    rows, count = np.zeros((n_items, n_items)), np.zeros(n_items)
    for user, items in enumerate(of_users):
        for place, item in enumerate(items):
            count[item] += 1
            if (user, place) != left_out:
                for age, before in enumerate(items[:place][::-1][:longest]):
                    rows[item, before] += decay**age
    return rows / np.sqrt(count + SHRINK)[:, None]


def test_a_row_holds_what_came_before_the_items_interactions(ready):
    model = ready(**OPTIONS)[2].double()
    layer = model.preceding
    rows = numpy_rows(sequences(model), model.n_items, 3, 0.6)
    expected = rows @ layer.weight.detach().numpy()
    np.testing.assert_allclose(layer().detach(), expected, atol=1e-6)
    some = torch.tensor([7, 0, 3, 7])
    np.testing.assert_allclose(layer(some).detach(), expected[some], atol=1e-6)
    plain = model.item_tower.first_layer(model.input_of_items)
    torch.testing.assert_close(model.first_layer_of_items(), plain + layer())


def test_many_parts_are_one(ready, monkeypatch):
    from recbole_dmf.models import sequential

    model = ready(**OPTIONS)[2]
    monkeypatch.setattr(sequential, "_PAIRS_PER_BLOCK", 7)
    before = model.preceding().detach().clone()
    history = History(model.history_start, model.history_item, model.n_items)
    model.preceding.read(history)
    torch.testing.assert_close(model.preceding().detach(), before)


def test_a_training_pair_does_not_find_itself_in_its_items_row(ready):
    _, prepared, model = ready(**OPTIONS)
    model = model.double()
    feat = prepared.train.inter_feat
    of_users = sequences(model)
    user, item, n_earlier = (feat[name][:40] for name in ("user_id", "item_id", "n_earlier"))
    negative = item.roll(1)
    value = torch.cat([torch.ones(40), torch.zeros(40)]).double()
    _, q, _, q_of = batch_vectors(model, user, torch.cat([item, negative]), value, n_earlier)
    y = model.input_of_items.matmul(torch.eye(model.n_users).double())
    weights = model.item_tower.weight, model.preceding.weight
    for pair in range(40):
        u, j = int(user[pair]), int(item[pair])
        row = numpy_rows(of_users, model.n_items, 3, 0.6, (u, int(n_earlier[pair])))[j]
        y_column = y[j].clone()
        y_column[u] = 0
        l_1 = y_column @ weights[0] + torch.from_numpy(row) @ weights[1]
        expected = model.normalise(model.item_tower.upper_layers(l_1[None]))[0]
        torch.testing.assert_close(q[q_of[pair]], expected, atol=1e-5, rtol=1e-5)
        whole = model.normalise(model.encode_items(negative[pair : pair + 1]))[0]
        torch.testing.assert_close(q[q_of[40 + pair]], whole, atol=1e-5, rtol=1e-5)


def test_gradients_are_those_of_the_dense_way():
    torch.manual_seed(0)
    history = History(torch.tensor([0, 3, 3, 7]), torch.tensor([1, 2, 3, 3, 1, 4, 2]).int(), 5)
    layer = PrecedingItems(history, 2, 0.5, 4, "xavier").double()
    slope = torch.randn(5, 4).double()
    (layer() * slope).sum().backward()
    rows = numpy_rows([[1, 2, 3], [], [3, 1, 4, 2]], 5, 2, 0.5)
    np.testing.assert_allclose(layer.weight.grad, rows.T @ slope.numpy(), atol=1e-6)


def test_items_are_where_they_were_after_loading(ready):
    _, _, model = ready(**OPTIONS)
    _, _, other = ready(**OPTIONS)
    before = model.encode_items().detach().clone()
    nothing = torch.zeros_like(other.history_start), other.history_item[:0]
    other.preceding.read(History(*nothing, other.n_items))
    assert not torch.allclose(other.encode_items(), before)
    other.load_state_dict(model.state_dict())
    other.load_other_parameter(model.other_parameter())
    assert torch.equal(other.encode_items(), before)


def test_what_it_needs_is_said(ready):
    for missing in ({"recent_items": 0}, {"target_masking": False}):
        with pytest.raises(UserError, match="preceding_items needs recent_items"):
            ready(**{**OPTIONS, **missing})
    with pytest.raises(UserError, match="preceding_items"):
        ready(**{**OPTIONS, "preceding_items": -2})
    with pytest.raises(UserError, match="preceding_decay"):
        ready(**{**OPTIONS, "preceding_decay": 1.5})


def test_it_is_off_by_default(ready):
    assert ready(recent_items=2)[2].preceding is None
