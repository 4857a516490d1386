"""What changes while a model trains and its state dict does not hold: generators, attributes."""

import random
import zlib
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import nn

_NOTED = (int, float, torch.Tensor, np.ndarray, sp.spmatrix, sp.sparray)
Noted = dict[str, tuple[Any, int]]


def random_states() -> dict[str, Any]:
    """States of the generators that all libraries share."""
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),  # noqa: NPY002 (RecBole's models draw from it)
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_states(states: dict[str, Any]) -> None:
    """Inverse of `random_states`."""
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])


def note_attributes(model: nn.Module) -> Noted:
    """Numbers, tensors and arrays that are attributes of a model or its parts, as they are now."""
    noted = {}
    for prefix, module in model.named_modules():
        for name, value in vars(module).items():
            if name != "training" and isinstance(value, _NOTED):
                noted[f"{prefix}.{name}"] = (value, _version(value))
    return noted


def _version(value: Any) -> int:
    """A number that changes when a tensor or an array is changed in place."""
    if isinstance(value, torch.Tensor):
        return value._version
    if isinstance(value, np.ndarray) and value.dtype != object:
        return zlib.crc32(np.ascontiguousarray(value).data)
    return 0


def changed_attributes(model: nn.Module, fresh: Noted) -> dict[str, Any]:
    """Those of `note_attributes` that are not what they were in `fresh`."""
    changed = {}
    for key, (value, version) in note_attributes(model).items():
        before, version_before = fresh.get(key, (None, 0))
        same = value == before if isinstance(value, (int, float)) else value is before
        if not same or version != version_before:
            changed[key] = value.detach() if isinstance(value, torch.Tensor) else value
    return changed


def set_attributes(model: nn.Module, values: dict[str, Any], device: torch.device) -> None:
    """Put back what `changed_attributes` found; tensors go to `device`."""
    modules = dict(model.named_modules())
    for key, value in values.items():
        prefix, _, name = key.rpartition(".")
        setattr(modules[prefix], name, value.to(device) if torch.is_tensor(value) else value)
