import numpy as np
import pytest
import torch

from recbole_dmf.errors import UserError
from recbole_dmf.models.dropout import dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_values_are_dropped_or_scaled(p):
    torch.manual_seed(4)
    x = torch.ones(401, 503, dtype=torch.float64, requires_grad=True)
    found = dropout(x, p)
    kept = (found != 0).double()
    rounded = round(p * 2**16) / 2**16
    torch.testing.assert_close(found, kept / (1 - rounded))
    spread = np.sqrt(p * (1 - p) / kept.numel())
    assert kept.mean().item() == pytest.approx(1 - p, abs=4 * spread)
    # A word of random bits makes four decisions: each of the four is as fair, and alone.
    four = kept.flatten()[: kept.numel() // 4 * 4].view(-1, 4)
    assert four.mean(dim=0).numpy() == pytest.approx(1 - p, abs=8 * spread)
    assert torch.corrcoef(four.T).fill_diagonal_(0).abs().max() < 5 / np.sqrt(len(four))
    (slope,) = torch.autograd.grad(found.sum(), x)
    torch.testing.assert_close(slope, found.detach())


def test_the_seed_decides():
    torch.manual_seed(4)
    first = dropout(torch.ones(7), 0.5), dropout(torch.ones(7), 0.5)
    torch.manual_seed(4)
    again = dropout(torch.ones(7), 0.5), dropout(torch.ones(7), 0.5)
    torch.testing.assert_close(first, again)


def test_nothing_is_dropped_at_0_and_never_all():
    assert torch.equal(dropout(torch.ones(9), 0.0), torch.ones(9))
    assert dropout(torch.ones(9), 1 - 1e-9).isfinite().all()


@pytest.mark.parametrize("options", [{}, {"loss_type": "softmax", "similarity": "scaled_cosine"}])
def test_dmf_drops_in_training_alone(options, ready):
    _, prepared, model = ready(init="xavier", dropout_prob=0.5, **options)
    feat = prepared.train.inter_feat
    user, item = feat["user_id"][:20], feat["item_id"][:20]
    label = torch.cat([torch.ones(20), torch.zeros(20)])

    def losses():
        return [float(model.loss(user, item.repeat(2), label, label)) for _ in range(2)]

    model.train()
    first, second = losses()
    assert first != second
    model.eval()
    first, second = losses()
    assert first == second
    model.user_tower.dropout_prob = model.item_tower.dropout_prob = 0.0
    model.train()
    assert losses() == [first, first]


@pytest.mark.parametrize("wrong", [-0.1, 1])
def test_a_wrong_probability_is_refused(wrong, ready):
    with pytest.raises(UserError, match=r"dropout_prob is .*; give a number between 0 and 0\.99"):
        ready(dropout_prob=wrong)
