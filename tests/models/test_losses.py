import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recbole_dmf.models.losses import (
    bpr_loss,
    clamp_score,
    cross_entropy,
    cross_entropy_with_logits,
    normalised_target,
    squared_loss,
)

MU = 1e-6
scores = st.lists(st.floats(-1, 1), min_size=1, max_size=20)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


@given(scores, st.integers(0, 2**31))
def test_equations_11_to_13_in_plain_numpy(values, seed):
    rating = np.random.default_rng(seed).integers(0, 6, len(values)).astype(float)
    y_hat = np.minimum(np.maximum(MU, np.array(values)), 1 - MU)  # Eq. (13), both sides
    y = rating / 5  # Eq. (12)
    expected = -np.mean(y * np.log(y_hat) + (1 - y) * np.log(1 - y_hat))
    found = cross_entropy(clamp_score(tensor(values), MU), normalised_target(tensor(rating), 5))
    assert abs(found.item() - expected) <= 1e-12 * max(1, abs(expected))


@given(st.lists(st.floats(-30, 30), min_size=1, max_size=20))
def test_logits_give_the_same_cross_entropy(values):
    y = tensor(np.linspace(0, 1, len(values)))
    logit = tensor(values)
    plain = -(y * torch.log(logit.sigmoid()) + (1 - y) * torch.log((-logit).sigmoid())).mean()
    torch.testing.assert_close(cross_entropy_with_logits(logit, y), plain, rtol=1e-10, atol=1e-12)


def test_squared_and_pairwise_loss_in_plain_numpy():
    a, b = np.array([0.1, 0.9]), np.array([0.0, 0.4])
    expected = np.mean((b - a) ** 2)  # Eq. (10)
    assert squared_loss(tensor(a), tensor(b)).item() == pytest.approx(expected, abs=1e-12)
    negative = np.array([[0.3, -2.0, 5.0], [1.0, 0.0, 0.9]])
    expected = np.mean(-np.log(1 / (1 + np.exp(-(a[:, None] - negative)))))
    assert bpr_loss(tensor(a), tensor(negative)).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("score", [0.0, 1.0, -1.0, MU, 1 - MU])
@pytest.mark.parametrize("y", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_finite_with_finite_gradient_at_the_ends(score, y, dtype):
    y_hat = torch.tensor([score], dtype=dtype, requires_grad=True)
    loss = cross_entropy(clamp_score(y_hat, MU), torch.tensor([y], dtype=dtype))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(y_hat.grad).all()


def test_gradients():
    y = torch.rand(6, dtype=torch.float64)
    inside = torch.rand(6, dtype=torch.float64).clamp(0.05, 0.95).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: cross_entropy(clamp_score(s, MU), y), inside)
    assert torch.autograd.gradcheck(lambda s: cross_entropy_with_logits(s, y), inside)
    assert torch.autograd.gradcheck(lambda s: squared_loss(s, y), inside)
    negative = torch.rand(6, 3, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(bpr_loss, (inside, negative))
