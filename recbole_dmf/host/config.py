"""RecBole's Config and its seeds."""

from typing import Any

from recbole.config import Config as RecBoleConfig
from recbole.utils import init_seed

from recbole_dmf.errors import UserError
from recbole_dmf.host.own_classes import model_class, own_path
from recbole_dmf.options import Config, clip

# What Config adds by itself; not a run's own options.
DERIVED = ("MODEL_TYPE", "MODEL_INPUT_TYPE", "eval_type", "device", "single_spec", "local_rank")


def make_config(model: str, dataset: str, options: dict[str, Any]) -> Config:
    """RecBole's Config of checked options.

    Raises:
        UserError: RecBole cannot use them together.
    """
    try:
        found = model_class(model) if own_path(model) else model
        return RecBoleConfig(model=found, dataset=dataset, config_dict=options)
    except UserError:
        raise
    except Exception as error:  # RecBole checks little, and stumbles over what it cannot use
        reason = clip(" ".join(str(error).split()), 500)
        raise UserError(f"the options do not fit together: {reason}") from error


def set_seeds(config: Config) -> None:
    """Start all random generators anew from the run's seed."""
    init_seed(config["seed"], config["reproducibility"])
