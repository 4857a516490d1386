"""The sampled softmax of DMF: each positive among all the negatives of its batch."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from recbole_dmf.errors import UserError
from recbole_dmf.models import gradients
from recbole_dmf.models.gradients import sampled_softmax

OPTIONS = {
    "loss_type": "softmax",
    "similarity": "scaled_cosine",
    "interaction_matrix": "binary",
    "init": "xavier",
    "output_activation": "linear",
    "recent_items": [2, 5],
    "recent_decay": 0.5,
}


def arguments(n=7, m=9, width=4):
    generator = np.random.default_rng(1)
    shapes = (n,), (n, width), (m, width), (m,)
    arrays = [generator.normal(size=shape) * 3 for shape in shapes]
    known = generator.random((n, m)) < 0.3
    known[2] = True  # no negative is left
    pairs = tuple(torch.from_numpy(places.copy()) for places in known.nonzero())
    return [torch.from_numpy(array).requires_grad_() for array in arrays], known, pairs


@pytest.mark.parametrize("per_block", [1, 20, 10**6])
def test_the_loss_in_numpy(per_block, monkeypatch):
    monkeypatch.setattr(gradients, "_LOGITS_PER_BLOCK", per_block)
    tensors, known, pairs = arguments()
    own, p, q, beside = (tensor.detach().numpy() for tensor in tensors)
    other = np.where(known, -np.inf, p @ q.T + beside)
    expected = np.mean([logsumexp([a, *row]) - a for a, row in zip(own, other, strict=True)])
    assert sampled_softmax(*tensors, pairs).item() == pytest.approx(expected)


def test_the_gradient():
    tensors, _, pairs = arguments()
    assert torch.autograd.gradcheck(lambda *given: sampled_softmax(*given, pairs), tensors)


def test_nothing_beside_is_zeros_beside():
    (own, p, q, beside), _, pairs = arguments()
    found = sampled_softmax(own, p, q, None, pairs)
    expected = sampled_softmax(own, p, q, torch.zeros_like(beside), pairs)
    torch.testing.assert_close(found, expected)
    wanted = torch.autograd.grad(expected, (own, p, q))
    torch.testing.assert_close(torch.autograd.grad(found, (own, p, q)), wanted)


@pytest.mark.parametrize("popularity", [False, True])
@pytest.mark.parametrize("masking", [False, True])
@pytest.mark.parametrize("n", [2, 25])
def test_positives_are_set_against_every_negative(n, masking, popularity, ready):
    options = {**OPTIONS, "target_masking": masking, "popularity": popularity}
    _, prepared, model = ready(**options)
    model = model.double()
    feat = prepared.train.inter_feat
    rows = torch.randperm(len(feat), generator=torch.Generator().manual_seed(n))[:n]
    user, positive, n_earlier = (feat[k][rows] for k in ("user_id", "item_id", "n_earlier"))
    negative = torch.randint(1, 60, (2 * n,), generator=torch.Generator().manual_seed(n))
    label = torch.cat([torch.ones(n), torch.zeros(2 * n)]).double()
    item = torch.cat([positive, negative])
    found = model.loss(user, item, label, label, n_earlier)

    known, count = {}, np.zeros(model.n_items)
    for u, i in zip(feat["user_id"].tolist(), feat["item_id"].tolist(), strict=True):
        known.setdefault(u, set()).add(i)
        count[i] += 1
    q = model.normalise(model.encode_items()).detach().numpy()
    losses = []
    for j in range(n):  # a positive at a time
        u, i, known_by_then = user[j : j + 1], positive[j : j + 1], n_earlier[j : j + 1]
        p_1 = model.user_tower.first_layer(model.input_of_users, u)
        q_1 = model.item_tower.first_layer(model.input_of_items, i)
        if masking:
            p_1 = p_1 - model.user_tower.weight[i]
            q_1 = q_1 - model.item_tower.weight[u]
        p_1 = p_1 + model.recent_layer(u, known_by_then)
        p = model.normalise(model.user_tower.upper_layers(p_1))[0].detach().numpy()
        own_q = model.normalise(model.item_tower.upper_layers(q_1))[0].detach().numpy()
        others = [k for k in sorted(set(negative.tolist())) if k not in known[int(u)]]
        own, other = 10 * p @ own_q, 10 * q[others] @ p
        if popularity:
            own += 0.5 * np.log(1 + count[int(i)] - masking)
            other += 0.5 * np.log(1 + count[others])
        losses.append(logsumexp([own, *other]) - own)
    assert found.item() == pytest.approx(np.mean(losses), abs=1e-6)


def test_every_parameter_but_the_offset_learns(ready):
    _, prepared, model = ready(**OPTIONS, popularity=True)
    feat = prepared.train.inter_feat
    user, item, n_earlier = (feat[k][:40] for k in ("user_id", "item_id", "n_earlier"))
    label = torch.cat([torch.ones(40), torch.zeros(40)])
    model.loss(user, torch.cat([item, item.flip(0)]), label, label, n_earlier).backward()
    for name, parameter in model.named_parameters():
        if name == "offset":  # the same in every logit
            assert parameter.grad is None or parameter.grad == 0
        else:
            assert parameter.grad.abs().max() > 0, name


def test_a_plain_cosine_has_no_logit(ready):
    with pytest.raises(UserError, match="set similarity to scaled_cosine or dot"):
        ready(**{**OPTIONS, "similarity": "cosine"})


def test_lfm_has_no_softmax(ready):
    with pytest.raises(UserError, match="LFM has no softmax loss"):
        ready("LFM", loss_type="softmax")
