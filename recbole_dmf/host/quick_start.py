"""RecBole's `load_data_and_model`, which cannot load a checkpoint on current torch."""

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

from recbole_dmf.errors import UserError
from recbole_dmf.host.compat.patch import Undo, replace
from recbole_dmf.training.checkpoint import load_checkpoint

PACKAGE = "recbole.quick_start"
_MODULE = f"{PACKAGE}.quick_start"


def load_data_and_model(model_file: str):
    """In the place of RecBole's function; says what loads the file instead.

    Raises:
        UserError: always.
    """
    path = Path(model_file)
    if path.is_dir():
        raise UserError(
            f"{path} is a folder; that of a finished run is loaded by "
            f"recbole_dmf.load({str(path)!r})."
        )
    if not path.is_file():
        raise UserError(f"{path}: no such file.")
    try:
        load_checkpoint(path)
    except UserError as error:
        raise UserError(
            f"{path} is not loaded: a checkpoint that RecBole's trainer wrote is a pickle, and "
            "loading one runs whatever code is in it. If you trust where it comes from, make a "
            f"plain one of it: recbole-dmf import-checkpoint {path} --output=FOLDER "
            "--trust-checkpoint; recbole_dmf.Recommender.load(FOLDER) then gives the model."
        ) from error
    raise UserError(
        f"{path} is a checkpoint of recbole-dmf; config, model, data set and loaders of its run "
        f"are loaded by recbole_dmf.load({str(path.parent)!r})."
    )


class _AfterImport(MetaPathFinder):
    """Replaces the function when RecBole's module is imported, which takes seconds (ray)."""

    def __init__(self, undo: list[Undo]):
        self.undo = undo

    def find_spec(self, fullname, path, target=None):
        spec = PathFinder.find_spec(fullname, path) if fullname == _MODULE else None
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                self.undo.append(replace(module, "load_data_and_model", load_data_and_model))

            spec.loader.exec_module = exec_module
        return spec


def load_data_and_model_is_explained() -> Undo:
    """quick_start/quick_start.py:250 unpickles a checkpoint; torch >= 2.6 refuses by default."""
    loaded = [sys.modules[name] for name in (PACKAGE, _MODULE) if name in sys.modules]
    undo = [replace(module, "load_data_and_model", load_data_and_model) for module in loaded]
    finder = _AfterImport(undo)
    sys.meta_path.insert(0, finder)

    def take_back() -> None:
        sys.meta_path.remove(finder)
        for put_back in undo:
            put_back()
        if PACKAGE in sys.modules:  # which has the function under its own name as well
            original = vars(sys.modules[_MODULE])["load_data_and_model"]
            vars(sys.modules[PACKAGE])["load_data_and_model"] = original

    return take_back
