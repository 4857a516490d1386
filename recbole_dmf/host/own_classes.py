"""Model classes that a user wrote: the names they run under, and where they are found again.

Files of a run name such a class as `module:qualname`. A module is imported when the user names it
in a call, never because a file does: importing runs its code.
"""

import importlib
import re
import sys
from typing import Any

from recbole.model.abstract_recommender import AbstractRecommender
from recbole.utils import get_model

from recbole_dmf.errors import UserError
from recbole_dmf.host.our_models import OUR_MODELS, model_module
from recbole_dmf.options import check_name, clip

_classes: dict[str, type] = {}


def model_class(name: str) -> type:
    """The user's, our or RecBole's class that runs under a name; the errors are RecBole's."""
    return _classes.get(name) or get_model(name)


def own_path(name: str) -> str | None:
    """`module:qualname` of a class that the user wrote; None for all others."""
    return _path(_classes[name]) if name in _classes else None


def family(name: str) -> str:
    """The model whose property files and trainer are those of `name`.

    For a class that the user wrote it is the nearest one in its method resolution order that is
    ours or RecBole's; itself where there is none.
    """
    for base in _classes[name].__mro__ if name in _classes else ():
        if base.__module__.startswith("recbole_dmf.") and base.__name__ in OUR_MODELS:
            return base.__name__
        if re.match(r"recbole\.model\.\w+_recommender\.", base.__module__):
            taken = base.__name__ in OUR_MODELS
            return f"RecBole{base.__name__}" if taken else base.__name__
    return name


def has_own(model: type, method: str) -> bool:
    """Whether a method is defined by code that is neither ours nor RecBole's."""
    for base in model.__mro__:
        if method in vars(base):
            return not base.__module__.startswith(("recbole_dmf.", "recbole.model."))
    return False


def add_class(model: Any) -> str:
    """Make a class known; returns the name that it runs under. A class of that name is replaced.

    Raises:
        UserError: it is no recommender's class, or the name is another model's.
    """
    if not isinstance(model, type) or not issubclass(model, AbstractRecommender):
        raise UserError(
            f"model is {clip(repr(model))}; give a model's name, or a class that derives from "
            "RecBole's GeneralRecommender or one of its models."
        )
    name = model.__name__
    check_name(name, "a model's name")
    try:
        there = getattr(model_module(name), name) if name in OUR_MODELS else get_model(name)
    except (ImportError, AttributeError, ValueError):
        there = None
    if there is model:
        _classes.pop(name, None)
        return name
    if there is not None:
        other = f" RecBole's own runs as RecBole{name}." if name in OUR_MODELS else ""
        raise UserError(
            f"the class {_path(model)} has the name of another model, {_path(there)}; give it a "
            f"name of its own.{other}"
        )
    _classes[name] = model
    return name


def import_class(path: str) -> str:
    """Import the class `module:qualname` that the user names; returns its name.

    Raises:
        UserError: it cannot be imported, or `add_class` refuses it.
    """
    module = path.partition(":")[0]
    try:
        importlib.import_module(module)
    except Exception as error:  # a module's code may raise anything
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"the module of the model {clip(path)} cannot be imported ({type(error).__name__}: "
            f"{reason}); write module:Class, with the module's folder on PYTHONPATH."
        ) from error
    return find_class(path)


def find_class(path: Any) -> str:
    """The name of the class `module:qualname`, which must have been imported.

    Raises:
        UserError: it is not there, or `add_class` refuses it.
    """
    for name, known in _classes.items():
        if _path(known) == path:
            return name
    module, _, qualname = str(path).partition(":")
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = vars(found).get(part) if isinstance(found, type | type(sys)) else None
    if found is None:
        raise UserError(
            f"the model is a class that you wrote, {clip(str(path))}, and it is not in this "
            f"process. {_remedy(module)}"
        )
    return add_class(found)


def _remedy(module: str) -> str:
    if module == "__main__":
        return (
            "It stood in the script or notebook that was run; put it into a module of its own, "
            "whose name the next run keeps, or define it here and pass it to "
            "run_recbole(model=...) first."
        )
    return (
        f"Import it first (`import {clip(module)}`), from Python; run_recbole takes "
        "--model=module:Class as well."
    )


def _path(model: type) -> str:
    return f"{model.__module__}:{model.__qualname__}"
