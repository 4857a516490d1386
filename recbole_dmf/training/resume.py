"""All that changes while a model trains, also what its state dict does not hold: for resume.pt."""

import random
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import nn

from recbole_dmf import __version__
from recbole_dmf.data.negatives import NegativeSampler
from recbole_dmf.errors import CannotResume
from recbole_dmf.run_folder import RESUME
from recbole_dmf.training.base import BaseTrainer

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


def learner_state(trainer: BaseTrainer, train_data, fresh: Noted) -> dict[str, Any]:
    """All that changes as `trainer` trains and the next epochs depend on.

    Args:
        trainer: between two epochs.
        train_data: RecBole's training loader.
        fresh: `note_attributes` of the model before the first epoch.
    """
    return {
        "state_dict": dict(trainer.model.state_dict()),
        "other_parameter": trainer.model.other_parameter(),
        "attributes": changed_attributes(trainer.model, fresh),
        "optimizers": {name: o.state_dict() for name, o in _optimizers(trainer).items()},
        "generators": [g.get_state() for g in _generators(train_data)],
        "average": None if trainer.average is None else trainer.average.state(),
        "own": trainer.own_state(),
    }


def load_learner_state(trainer: BaseTrainer, state: dict[str, Any], train_data) -> None:
    """Inverse of `learner_state`, before the first epoch."""
    if trainer.average is not None:
        trainer.average.load_state(state["average"])
    trainer.load_own_state(state["own"], train_data)
    trainer.model.load_state_dict(state["state_dict"])
    trainer.model.load_other_parameter(state["other_parameter"])
    set_attributes(trainer.model, state["attributes"], trainer.device)
    for name, optimizer in _optimizers(trainer).items():
        if name in state["optimizers"]:
            optimizer.load_state_dict(state["optimizers"][name])
    for generator, found in zip(_generators(train_data), state["generators"], strict=True):
        generator.set_state(found)


def _optimizers(trainer: BaseTrainer) -> dict[str, torch.optim.Optimizer]:
    """By attribute; of those with several names the most telling one."""
    found = {k: v for k, v in vars(trainer).items() if isinstance(v, torch.optim.Optimizer)}
    others = [v for k, v in found.items() if k != "optimizer"]
    return {k: v for k, v in found.items() if k != "optimizer" or not any(v is o for o in others)}


def _generators(train_data) -> list[torch.Generator]:
    """Those that RecBole's loader shuffles and draws negatives with."""
    sampler = train_data._sampler
    drawing = [sampler.generator] if isinstance(sampler, NegativeSampler) else []
    return [train_data.generator, *drawing]


def check_resumable(
    state: dict[str, Any],
    names: set[str],
    folder: Path,
    data_sha256: str,
    environment: dict[str, Any],
) -> list[str]:
    """Check that a run can continue from what its resume.pt holds.

    Args:
        state: of resume.pt.
        names: that it has to hold.
        folder: of the run.
        data_sha256: of the data set as it is now.
        environment: versions, device and threads as they are now.

    Returns:
        What is different and does not stop it, for the log.

    Raises:
        CannotResume: damaged, of another version, other data or another device.
    """
    if missing := names.difference(state):
        raise CannotResume(f"{folder / RESUME} is damaged: it lacks {', '.join(sorted(missing))}.")
    if state["version"] != __version__:
        raise CannotResume(
            f"{folder} cannot be resumed: recbole-dmf {state['version']} began it, and this is "
            f"{__version__}. Go on with that version, or start a new run."
        )
    if state["data_sha256"] != data_sha256:
        raise CannotResume(
            f"{folder} cannot be resumed: the interactions or their split are no longer those "
            "that it was begun with. Put the data set's files back, or start a new run."
        )
    notes = []
    for name, now in environment.items():
        before = state["environment"].get(name)
        if before != now and name == "device":
            raise CannotResume(f"{folder} was made on {before}, not on {now}; resume it there.")
        if before != now:
            notes.append(
                f"{name} was {before}, is {now}: the last digits may differ from those of a "
                "run that was not stopped."
            )
    return notes
