"""Our Adam against torch's."""

import copy

import pytest
import torch

from recbole_dmf.training.adam import EagerAdam


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_steps_and_state_are_torchs(dtype, weight_decay):
    ours = [torch.nn.Parameter(torch.randn(n, 3, dtype=dtype)) for n in (5, 2, 4)]
    theirs = copy.deepcopy(ours)
    options = {"lr": 0.1, "weight_decay": weight_decay, "fused": True}
    optimizers = EagerAdam(ours, **options), torch.optim.Adam(theirs, **options)
    hooked = []  # as `weight_average` does
    optimizers[0].register_step_post_hook(lambda *_: hooked.append(1))
    for step in range(6):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        if step % 2:  # as of a layer that a batch doesn't use, or not yet
            ours[2].grad = theirs[2].grad = None
        if step == 3:  # as of a resumed run
            optimizers[0].load_state_dict(copy.deepcopy(optimizers[1].state_dict()))
        for optimizer in optimizers:
            optimizer.param_groups[0]["lr"] /= 1.1
            optimizer.step()
        assert all(torch.equal(*pair) for pair in zip(ours, theirs, strict=True))
    assert len(hooked) == 6
    mine, wanted = (optimizer.state_dict() for optimizer in optimizers)
    assert mine["param_groups"] == wanted["param_groups"]
    for number, state in wanted["state"].items():
        assert all(torch.equal(mine["state"][number][name], value) for name, value in state.items())
    optimizers[0].zero_grad()
    assert all(parameter.grad is None for parameter in ours)


def test_a_closure_is_called():
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = EagerAdam([weight], lr=0.1, fused=True)
    for _ in range(2):
        before = weight.detach().clone()

        def closure():
            optimizer.zero_grad()
            loss = weight.sum()
            loss.backward()
            return loss

        assert optimizer.step(closure) == before.sum()
        assert (weight < before).all()
