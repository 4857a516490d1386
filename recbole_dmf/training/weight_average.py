"""Beyond the papers: a model is judged and kept with the average of its weights over its steps."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

WARM_UP = 10  # steps; the average follows the weights more closely in the first ones


class WeightAverage:
    """Exponential moving average of parameters, which is in their place between two epochs.

    Polyak & Juditsky, SIAM J. Control Optim. 1992; Morales-Brotons et al., TMLR 2024. After step
    n the average moves by 1 - min(decay, n / (n + 10)) of its distance from the weights.

    Args:
        parameters: of the model, on its device.
        decay: in (0, 1); the average is over about the last 1 / (1 - decay) steps.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float):
        self.decay = decay
        self.steps = 0
        self._shown: list[Tensor] = list(parameters)
        self._other = [parameter.detach().clone() for parameter in self._shown]

    @contextmanager
    def trained_weights(self) -> Iterator[None]:
        """The weights that are trained are the parameters within, the average without."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights after a step into the average."""
        self.steps += 1
        share = 1 - min(self.decay, self.steps / (self.steps + WARM_UP))
        torch._foreach_lerp_(self._other, self._shown, share)

    @torch.no_grad()
    def _exchange(self) -> None:
        for shown, other in zip(self._shown, self._other, strict=True):
            kept = shown.detach().clone()
            shown.copy_(other)
            other.copy_(kept)

    def state(self) -> dict[str, Any]:
        """What is not in the model between two epochs."""
        return {"steps": self.steps, "trained": self._other}

    def load_state(self, state: dict[str, Any]) -> None:
        """Inverse of `state`, between two epochs."""
        self.steps = state["steps"]
        for other, trained in zip(self._other, state["trained"], strict=True):
            other.copy_(trained)
