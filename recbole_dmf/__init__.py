"""DMF (Xue et al., IJCAI 2017) and the honest comparison around it, as a plugin for RecBole."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recbole_dmf.models.dmf import DMF
    from recbole_dmf.plugin import register
    from recbole_dmf.run import run_recbole
    from recbole_dmf.serving.load import load
    from recbole_dmf.serving.recommend import Recommender

__all__ = ["DMF", "Recommender", "load", "register", "run_recbole"]
__version__ = "0.1.0"

_HOME = {
    "DMF": "models.dmf",
    "load": "serving.load",
    "register": "plugin",
    "run_recbole": "run",
    "Recommender": "serving.recommend",
}


def __getattr__(name: str):
    # RecBole and torch take seconds to import; `--help` must not wait for them.
    if name not in _HOME:
        raise AttributeError(f"module 'recbole_dmf' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"recbole_dmf.{_HOME[name]}"), name)
