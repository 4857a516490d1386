"""Property files, RecBole's and ours, and the options that they make known."""

from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import recbole
from recbole.utils.argument_list import (
    dataset_arguments,
    evaluation_arguments,
    general_arguments,
    training_arguments,
)

from recbole_dmf.errors import UserError
from recbole_dmf.host.our_models import OUR_MODELS
from recbole_dmf.host.own_classes import family, own_path
from recbole_dmf.installation import properties_folder, property_names
from recbole_dmf.literals import load_yaml
from recbole_dmf.options import Config, clip, nearest

SHIPPED = properties_folder()
RECBOLE_PROPERTIES = Path(recbole.__file__).parent / "properties"


@lru_cache
def shipped_properties(kind: str, name: str) -> dict[str, Any]:
    """Our property file `<kind>/<name>.yaml`, or {} where there is none."""
    file = SHIPPED.joinpath(*filter(None, (kind, f"{name}.yaml")))
    return load_yaml(file) if file.is_file() else {}


def read_preset(name: str, model: str | None = None) -> dict[str, Any]:
    """The options of `preset/<name>.yaml`, the model's name among them.

    Args:
        name: of the preset.
        model: that was asked for; None: the preset's.

    Raises:
        UserError: there is no such preset, or it is one of another model.
    """
    names = property_names("preset")
    if name not in names:
        raise UserError(
            f"there is no preset {clip(repr(name))}{nearest(clip(str(name)), names)}; known: "
            f"{', '.join(names)}."
        )
    content = shipped_properties("preset", name)
    if model is not None and family(model) != content["model"]:
        raise UserError(f"the preset {name} is of {content['model']}, not of {model}.")
    return content


def read_protocol(name: str) -> dict[str, Any]:
    """The options of `protocol/<name>.yaml`.

    Raises:
        UserError: there is no such file.
    """
    names = property_names("protocol")
    if name not in names:
        raise UserError(
            f"there is no protocol {clip(repr(name))}{nearest(clip(str(name)), names)}; known: "
            f"{', '.join(names)}."
        )
    return shipped_properties("protocol", name)


@lru_cache
def _load_recbole_yaml(file: Path) -> dict[str, Any]:
    return load_yaml(file) if file.is_file() else {}


def recbole_properties(kind: str, name: str) -> dict[str, Any]:
    """RecBole's property file, a new dict each time, since Config changes what it is given."""
    return deepcopy(_load_recbole_yaml(RECBOLE_PROPERTIES / kind / f"{name}.yaml"))


def recbole_model_properties(model: str) -> dict[str, Any]:
    """RecBole's property file of one of its own models; {} for ours."""
    return {} if model in OUR_MODELS else recbole_properties("model", model)


def default_settings(model: str, dataset: str) -> dict[str, Any]:
    """Every option that a run of `model` on `dataset` knows, with its default.

    Options that RecBole lists without a default are None.
    """
    model = family(model)
    known = general_arguments + training_arguments + evaluation_arguments + dataset_arguments
    settings: dict[str, Any] = dict.fromkeys(known)
    sources = [
        recbole_properties("", "overall"),
        recbole_model_properties(model),
        recbole_properties("dataset", "sample"),
        recbole_properties("dataset", dataset),
        shipped_properties("", "protocol"),
        shipped_properties("model", model),
        shipped_properties("dataset", dataset),
    ]
    for source in sources:
        settings.update(source)
    settings.pop("model_settings", None)
    return settings


def strict_options(model: str) -> set[str]:
    """Options whose types are checked strictly: RecBole's general ones and ours."""
    model = family(model)
    sources = [
        recbole_properties("", "overall"),
        shipped_properties("", "protocol"),
        shipped_properties("model", model),
    ]
    return {name for source in sources for name in source}


def model_settings(config: Config) -> dict[str, Any]:
    """The options that make this model what it is: its property file's and the learner's.

    Of a class that the user wrote also the options that it alone knows.
    """
    model = family(config["model"])
    names = {"epochs", "learning_rate", "train_batch_size", "train_neg_sample_args"}
    names |= {*recbole_model_properties(model), *shipped_properties("model", model)}
    if own_path(config["model"]):
        known = default_settings(model, config["dataset"]).keys() | {
            "model",
            "model_class",
            "dataset",
        }
        names |= config.external_config_dict.keys() - known
    return {name: config[name] for name in sorted(names)}
