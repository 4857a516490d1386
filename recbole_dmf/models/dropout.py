"""Dropout whose random bits cost a quarter: four of its decisions are made with 64 of them."""

import torch
import torch.nn.functional as F
from torch import Tensor

_STEPS = 1 << 16  # a decision's random numbers


def dropout(x: Tensor, p: float) -> Tensor:
    """Each value 0 with probability p, else divided by 1 - p, as `torch.nn.functional.dropout`.

    On a processor p is rounded to a multiple of 2^-16, since torch's random bits are slower there
    than all else that happens to an activation.

    Args:
        x: float, any shape.
        p: in [0, 1).
    """
    if not p or not x.is_cpu:
        return F.dropout(x, p)
    n_dropped = min(round(p * _STEPS), _STEPS - 1)
    words = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None)
    bits = words.view(torch.int16)[: x.numel()].view(x.shape)
    kept = bits.ge(n_dropped - _STEPS // 2).to(x.dtype)
    return x * kept.mul_(_STEPS / (_STEPS - n_dropped))
