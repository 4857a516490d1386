"""Gradients written by hand against autograd's of plain formulas."""

import pytest
import torch

from recbole_dmf.data import interactions
from recbole_dmf.models.gradients import pair_products, unit_vectors


@pytest.fixture(params=["scipy", "torch"])
def routines(request, monkeypatch):
    """SciPy's routines, or those that CUDA takes, on the CPU."""
    monkeypatch.setattr(interactions, "_on_cpu", lambda tensor: request.param == "scipy")


@pytest.mark.parametrize("user_given", [True, False])
@pytest.mark.parametrize("item_given", [True, False])
@pytest.mark.parametrize("k", [1, 3])
def test_pair_products_and_their_gradients(user_given, item_given, k, routines):
    p, q = (torch.randn(n, 4, dtype=torch.float64, requires_grad=True) for n in (7, 7 * k))
    user = torch.tensor([2, 0, 2, 6, 1, 2, 3]) if user_given else None
    item = torch.randint(5, (7 * k,)) if item_given else None

    def plain(p, q):
        p = p if user is None else p[user]
        q = q if item is None else q[item]
        return (p.repeat(k, 1) * q).sum(-1)

    torch.testing.assert_close(pair_products(p, q, user, item), plain(p, q))
    assert torch.autograd.gradcheck(lambda p, q: pair_products(p, q, user, item), (p, q))


def test_unit_vectors_and_their_gradient():
    h = torch.randn(7, 4, dtype=torch.float64, requires_grad=True)
    plain = h / h.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(unit_vectors(h), plain)
    assert torch.autograd.gradcheck(unit_vectors, (h,))


def test_unit_vectors_of_zero_are_zero():
    h = torch.zeros(2, 3, requires_grad=True)
    unit_vectors(h).sum().backward()
    assert h.grad.abs().max() == 0
    assert unit_vectors(h).abs().max() == 0
