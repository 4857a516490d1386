"""Several rows of latest items, against plain NumPy; one row's other tests are in test_dmf."""

import numpy as np
import pytest
import torch

from recbole_dmf.errors import UserError
from recbole_dmf.models.recent_items import read_horizons

HORIZONS = {"recent_items": [1, 3, 8], "recent_decay": [1.0, 0.5, 0.75]}
OPTIONS = {**HORIZONS, "init": "xavier", "output_activation": "linear", "target_masking": True}


def numpy_l_1(model, y_row, known) -> np.ndarray:
    """The first layer's output for a row of Y and the items known by then, the oldest first."""
    tower = model.user_tower.weight.detach().double().numpy()
    recent = model.recent_weight.detach().double().numpy()
    l_1 = y_row @ tower
    for h, (items, decay) in enumerate(model.horizons):
        weight = recent[h * model.n_items : (h + 1) * model.n_items]
        for age, item in enumerate(reversed(known[-items:])):
            l_1 = l_1 + decay**age * weight[item]
    return l_1


def known_items(model, user, n_earlier):
    start, end = model.history_start[user : user + 2].tolist()
    return model.history_item[start:end].tolist()[:n_earlier]


def test_each_horizon_has_weights_of_its_own(ready):
    model = ready(**OPTIONS)[2].double()
    assert model.recent_weight.shape == (3 * model.n_items, 64)
    rows = model.input_of_users.rows
    user = torch.tensor([1, 2, 3, 4, 5])
    n_earlier = torch.tensor([0, 1, 3, 10, -1])
    found = model.encode_users(user, n_earlier)
    for place, (u, n) in enumerate(zip(user.tolist(), n_earlier.tolist(), strict=True)):
        y_row = np.zeros(model.n_items)
        part = slice(int(rows.start[u]), int(rows.start[u + 1]))
        y_row[rows.column[part]] = rows.value[part]
        l_1 = numpy_l_1(model, y_row, known_items(model, u, max(0, n)))
        expected = model.user_tower.upper_layers(torch.from_numpy(l_1)[None])[0]
        torch.testing.assert_close(found[place], expected, atol=1e-12, rtol=1e-12)


def test_later_items_change_nothing_that_the_latest_items_say(ready):
    model = ready(**OPTIONS)[2]
    user, n_earlier = torch.tensor([3, 4]), torch.tensor([4, 6])
    before = model.recent_layer(user, n_earlier).detach().clone()
    for u, n in zip(user.tolist(), n_earlier.tolist(), strict=True):
        later = slice(int(model.history_start[u]) + n, int(model.history_start[u + 1]))
        model.history_item[later] = model.history_item[later] % 7 + 1
    assert torch.equal(model.recent_layer(user, n_earlier), before)
    last = model.history_start[user].long() + n_earlier - 1
    model.history_item[last] = model.history_item[last] % 7 + 1
    assert (model.recent_layer(user, n_earlier) != before).any(dim=1).all()


def test_a_target_is_in_no_row_of_its_own_latest_items(ready):
    _, prepared, model = ready(recent_items=[12, 2], recent_decay=0.9)
    feat = prepared.train.inter_feat
    rows = model.latest(feat["user_id"], feat["n_earlier"])
    row = torch.repeat_interleave(torch.arange(len(rows)), rows.start.diff())
    assert (rows.column % model.n_items != feat["item_id"][row]).all()


def test_a_list_of_one_is_the_number(ready):
    one, listed = (
        ready(init="xavier", recent_items=items, recent_decay=decay)[2]
        for items, decay in ((5, 0.8), ([5], [0.8]))
    )
    for a, b in zip(one.parameters(), listed.parameters(), strict=True):
        assert torch.equal(a, b)
    user, n_earlier = torch.tensor([1, 7, 7]), torch.tensor([2, 9, 4])
    assert torch.equal(one.encode_users(user, n_earlier), listed.encode_users(user, n_earlier))


def test_each_horizon_starts_like_a_layer_alone(ready):
    model = ready(**OPTIONS)[2]
    bound = (6 / (model.n_items + 64)) ** 0.5  # of Xavier's uniform distribution
    for part in model.recent_weight.detach().split(model.n_items):
        assert bound * 0.99 < part.abs().max() <= bound


@pytest.mark.parametrize("items", [[3, 0], [3, -1], [2.5], [True], -2, [[3]]])
def test_numbers_of_items_that_cannot_be_used(items):
    with pytest.raises(UserError, match="give a number of items"):
        read_horizons(items, 0.9)


def test_decays_that_cannot_be_used():
    with pytest.raises(UserError, match=r"must lie in \(0, 1\]"):
        read_horizons([5, 9], [0.5, 1.5])
    with pytest.raises(UserError, match="for each number of items, or one for all"):
        read_horizons([5, 9], [0.5, 0.6, 0.7])
    with pytest.raises(UserError, match="differ in length"):
        read_horizons(5, [0.5, 0.6])
    assert read_horizons([5, 9], 0.5) == [(5, 0.5), (9, 0.5)]
    assert read_horizons(0, 7) == read_horizons([], 7) == []


def test_options_of_other_types_are_named(ready):
    with pytest.raises(UserError, match="option 'recent_items' in the options expects"):
        ready(recent_items="5, 20")
    with pytest.raises(UserError, match="option 'recent_decay' in the options expects"):
        ready(recent_decay=True)
