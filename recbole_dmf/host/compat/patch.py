"""Replacing attributes of other packages, and putting them back."""

import sys
import warnings
from collections.abc import Callable
from types import ModuleType

Undo = Callable[[], None]


def replace(owner, name: str, value) -> Undo:
    """Set an attribute of a class or module; the result puts the old one back."""
    missing = object()
    old = vars(owner).get(name, missing)
    setattr(owner, name, value)

    def undo():
        if old is missing:
            delattr(owner, name)
        else:
            setattr(owner, name, old)

    return undo


def replace_module(module: ModuleType) -> Undo:
    """Make `import` find this module under its name; the result puts the old one back."""
    name, old = module.__name__, sys.modules.get(module.__name__)
    sys.modules[name] = module

    def undo():
        if old is None:
            del sys.modules[name]
        else:
            sys.modules[name] = old

    return undo


def all_of(*undo: Undo) -> Undo:
    """Several replacements' undoing as one."""

    def take_back():
        for one in undo:
            one()

    return take_back


def silence(message: str, category: type[Warning], module: str) -> Undo:
    """Ignore a warning of the modules whose names match; all are patterns for `warnings`."""
    warnings.filterwarnings("ignore", message, category, module)
    entry = warnings.filters[0]

    def undo():
        if entry in warnings.filters:
            warnings.filters.remove(entry)

    return undo


class Instead:
    """A module with some of its functions replaced."""

    def __init__(self, module, **functions):
        vars(self).update(functions, _module=module)

    def __getattr__(self, name):
        return getattr(self._module, name)
