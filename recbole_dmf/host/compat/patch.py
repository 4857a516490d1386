"""Replacing attributes of other packages, and putting them back."""

from collections.abc import Callable

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


def all_of(*undo: Undo) -> Undo:
    def take_back():
        for one in undo:
            one()

    return take_back


class Instead:
    """A module with some of its functions replaced."""

    def __init__(self, module, **functions):
        vars(self).update(functions, _module=module)

    def __getattr__(self, name):
        return getattr(self._module, name)
