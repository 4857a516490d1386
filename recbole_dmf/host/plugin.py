"""Registers our models, trainers, data set and property files where RecBole looks them up."""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import recbole.data.dataset
import recbole.model.general_recommender
import recbole.trainer
from recbole.config import Config

from recbole_dmf.host import compat
from recbole_dmf.host.compat.patch import replace
from recbole_dmf.host.dataset import LeaveOneOutDataset
from recbole_dmf.host.option_layers import load_internal_config_dict
from recbole_dmf.host.our_models import OUR_MODELS, model_module, trainer_classes

_PREFIX = "recbole.model.general_recommender."
_undo: list[Callable[[], Any]] = []


def register() -> None:
    """Make RecBole find our models, trainers, data set and property files. Idempotent."""
    if _undo:
        return
    _undo.extend(workaround() for workaround in compat.WORKAROUNDS)
    replacements: list[tuple[Any, str, Any]] = [
        (recbole.data.dataset, "Dataset", LeaveOneOutDataset),
        *((recbole.trainer, name, trainer) for name, trainer in trainer_classes().items()),
        (Config, "_load_internal_config_dict", load_internal_config_dict),
        *(
            (recbole.model.general_recommender, name, getattr(model_module(name), name))
            for name in OUR_MODELS
        ),
    ]
    _undo.extend(replace(*replacement) for replacement in replacements)
    _undo.extend(_replace_module(_PREFIX + name.lower(), model_module(name)) for name in OUR_MODELS)


def _replace_module(full_name: str, module: ModuleType) -> Callable[[], Any]:
    """Put a module in place of another; returns what puts the other back."""
    old = sys.modules.get(full_name)
    sys.modules[full_name] = module

    def put_back() -> None:
        if old is None:
            del sys.modules[full_name]
        else:
            sys.modules[full_name] = old

    return put_back


def unregister() -> None:
    """Put everything back as `register` found it."""
    while _undo:
        _undo.pop()()
