"""Adam as Algorithm 1's line 13 uses it."""

import inspect

import torch


class EagerAdam(torch.optim.Adam):
    """Fused Adam of parameters of one type on one device; torch's otherwise, in state and result.

    Torch's own, at the first step, imports its compiler; with
    `compat.optimizers_leave_the_compiler_alone` not to do so saves 1.4 s and 70 MB at the start.
    At each step it sorts the parameters by type and device, which takes as long as the update of a
    small model.
    """

    _plain_step = inspect.unwrap(torch.optim.Adam.step)

    @torch.no_grad()
    def step(self, closure=None):
        """As torch's, its hooks included."""
        groups = [
            (group, [p for p in group["params"] if p.grad is not None])
            for group in self.param_groups
        ]
        if closure is not None or any(p not in self.state for _, ps in groups for p in ps):
            return self._plain_step(closure)  # makes the state
        for group, learned in groups:
            states = [self.state[p] for p in learned]
            steps = [state["step"] for state in states]
            torch._foreach_add_(steps, 1)
            torch._fused_adam_(
                learned,
                [p.grad for p in learned],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                steps,
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )
        return None

    def zero_grad(self, set_to_none=True):
        """Forget all gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None
