"""DMF (Xue et al., IJCAI 2017) and the honest comparison around it, as a plugin for RecBole.

The public names are imported when they are first used: RecBole and torch take seconds to import,
and `--help` does not need them. No module of the package imports from here.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from recbole_dmf.version import __version__

if TYPE_CHECKING:
    from recbole_dmf.datasets.convert import to_atomic
    from recbole_dmf.experiments.named_models import compare
    from recbole_dmf.host.plugin import register
    from recbole_dmf.models.dmf import DMF
    from recbole_dmf.run import run_recbole
    from recbole_dmf.serving.load import load
    from recbole_dmf.serving.recommend import Recommender

__all__ = [
    "DMF",
    "Recommender",
    "__version__",
    "compare",
    "load",
    "register",
    "run_recbole",
    "to_atomic",
]

_MODULES = {
    "DMF": "models.dmf",
    "compare": "experiments.named_models",
    "load": "serving.load",
    "register": "host.plugin",
    "run_recbole": "run",
    "Recommender": "serving.recommend",
    "to_atomic": "datasets.convert",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'recbole_dmf' has no attribute '{name}'")
    return getattr(import_module(f"recbole_dmf.{_MODULES[name]}"), name)
