import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from recbole_dmf.models import gradients
from recbole_dmf.models.sasrec import Block, attention, softmax_loss, windows


@pytest.fixture
def positions():
    generator = torch.Generator().manual_seed(3)
    h = torch.randn(7, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    items = torch.randn(9, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    return h, items, torch.tensor([0, 8, 3, 3, 1, 7, 2])


@pytest.mark.parametrize("block", [1, 20, 1_000_000])
def test_softmax_loss_and_its_gradient_are_torchs(positions, block, monkeypatch):
    monkeypatch.setattr(gradients, "_LOGITS_PER_BLOCK", block)
    h, items, target = positions
    expected = F.cross_entropy(h @ items.T, target)
    loss = softmax_loss(h, items, target, None)
    torch.testing.assert_close(loss, expected)
    wanted = torch.autograd.grad(3 * expected, (h, items))
    torch.testing.assert_close(torch.autograd.grad(3 * loss, (h, items)), wanted)


def test_softmax_loss_of_large_scores_is_finite(positions):
    h, items, target = positions
    loss = softmax_loss(1e4 * h, items, target, None)
    torch.testing.assert_close(loss, F.cross_entropy(1e4 * h @ items.T, target))


def test_sampled_softmax_loss_against_numpy(positions):
    h, items, target = positions
    negative = torch.tensor([0, 3, 5, 5, 8])
    score = (h @ items.T).detach().numpy()
    expected = []
    for row, own in zip(score, target.tolist(), strict=True):
        others = [row[j] for j in negative.tolist() if j != own]
        expected.append(np.log(np.exp([row[own], *others]).sum()) - row[own])
    loss = softmax_loss(h, items, target, negative)
    assert loss.item() == pytest.approx(np.mean(expected))
    arguments = (h, items)
    assert torch.autograd.gradcheck(lambda *x: softmax_loss(*x, target, negative), arguments)


def test_attention_is_torchs_where_nothing_is_dropped():
    torch.manual_seed(0)
    parts = [torch.randn(2, 2, 5, 3, dtype=torch.float64) for _ in range(3)]
    expected = F.scaled_dot_product_attention(*parts, is_causal=True)
    torch.testing.assert_close(attention(*parts, 1e-9), expected)  # rounds to no dropout


def test_attention_with_dropout_sees_no_later_item():
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 1, 6, 3) for _ in range(3))
    torch.manual_seed(1)
    before = attention(query, key, value, 0.5)
    key[..., 4:, :], value[..., 4:, :] = 9.0, -9.0
    torch.manual_seed(1)
    assert torch.equal(attention(query, key, value, 0.5)[..., :4, :], before[..., :4, :])


@given(st.lists(st.integers(0, 25), min_size=1, max_size=8), st.integers(1, 6), st.integers(0, 99))
def test_every_target_is_in_one_window(lengths, max_length, seed):
    generator = torch.Generator().manual_seed(seed)
    sequence, begin, count = windows(torch.tensor(lengths), max_length, generator)
    assert ((count >= 1) & (count <= max_length)).all()
    covered = [
        (s, place)
        for s, b, n in zip(sequence.tolist(), begin.tolist(), count.tolist(), strict=True)
        for place in range(b, b + n)
    ]
    assert sorted(covered) == [(s, p) for s, n in enumerate(lengths) for p in range(n)]


def test_attention_against_numpy():
    torch.manual_seed(0)
    block = Block(4, 2, 0.5).double().eval()
    x = torch.randn(1, 3, 4, dtype=torch.float64)

    def norm(values, layer):
        mean, spread = values.mean(-1, keepdims=True), values.var(-1, keepdims=True)
        unit = (values - mean) / np.sqrt(spread + layer.eps)
        return unit * layer.weight.detach().numpy() + layer.bias.detach().numpy()

    def linear(values, layer):
        return values @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()

    values = x[0].numpy()
    query, key, value = np.split(
        linear(norm(values, block.attention_norm), block.query_key_value), 3, -1
    )
    heads = []
    for part in (slice(0, 2), slice(2, 4)):
        score = query[:, part] @ key[:, part].T / np.sqrt(2)
        weight = np.exp(score) * np.tril(np.ones((3, 3)))
        heads.append(weight / weight.sum(-1, keepdims=True) @ value[:, part])
    values = values + linear(np.concatenate(heads, -1), block.out)
    inner = np.maximum(linear(norm(values, block.network_norm), block.inner), 0)
    expected = values + linear(inner, block.outer)
    np.testing.assert_allclose(block(x)[0].detach().numpy(), expected, rtol=1e-9)


def test_a_position_does_not_see_later_ones():
    torch.manual_seed(0)
    block = Block(8, 1, 0.0).eval()
    x = torch.randn(2, 6, 8)
    changed = x.clone()
    changed[:, 4:] = torch.randn(2, 2, 8)
    torch.testing.assert_close(block(changed)[:, :4], block(x)[:, :4])
