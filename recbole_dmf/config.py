"""Files, options and preset -> checked settings."""

import json
import logging
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from recbole_dmf.errors import UserError
from recbole_dmf.evaluation.metrics import METRICS
from recbole_dmf.host.config import DERIVED, make_config
from recbole_dmf.host.dataset import is_our_split
from recbole_dmf.host.lookup import find_model
from recbole_dmf.host.own_classes import add_class, find_class, import_class, own_path
from recbole_dmf.host.plugin import register
from recbole_dmf.host.properties import (
    default_settings,
    read_preset,
    read_protocol,
    strict_options,
)
from recbole_dmf.literals import load_yaml
from recbole_dmf.options import Config, check_name, check_options, clip, merged

# Options of RecBole's models that need the files of earlier runs -> (their names, how to get them).
_PRETRAINED = {
    ("use_pretrain", True): (
        ("mf_pretrain_path", "mlp_pretrain_path"),
        "train NeuMF once with mlp_train: False and once with mf_train: False, and name the "
        "model.pt of each; or take the model NeuMFp, which trains both parts by itself",
    ),
    ("train_method", "after_pretrain"): (
        ("pre_model_path",),
        "name the file of a pretrained BPR as RecBole's ConvNCF asks for it",
    ),
    ("train_stage", "critic_pretrain"): (
        ("pre_model_path",),
        "train with train_stage: actor_pretrain first, and name its model.pt",
    ),
    ("train_stage", "finetune"): (
        ("pre_model_path",),
        "train with train_stage: critic_pretrain first, and name its model.pt",
    ),
}
# Where things are and what is shown: not what a run's figures depend on.
_NO_MATTER = {"data_path", "checkpoint_dir", "show_progress", "state"}


def build_config(
    model: str | type | None,
    dataset: str | None,
    config_file_list: Sequence[str] | None = None,
    config_dict: dict[str, Any] | None = None,
) -> Config:
    """Check all options and build RecBole's Config from them.

    Args:
        model: name, a class that the user wrote, or its `module:qualname`, which is imported;
            None: it stands in the options, which name only classes that are imported.
        dataset: name; None: it stands in the options.
        config_file_list: YAML files of options, later ones win.
        config_dict: options, which win over the files; see `options.merged`.

    Raises:
        UserError: an unknown option, a wrong type or value, an unknown model.
    """
    register()
    layers = {str(file): load_yaml(Path(file)) for file in config_file_list or []}
    layers["the options"] = config_dict or {}
    options = merged(*layers.values())
    model = _model_of(model, options)
    if options.get("preset") is not None:
        options = merged(read_preset(options["preset"], model), options)
    if options.get("protocol") is not None:
        options = merged(read_protocol(options["protocol"]), options)
    model = _named("model", model or options.get("model"), "DMF")
    dataset = _named("dataset", dataset or options.get("dataset"), "ml-100k")
    check_name(dataset, "a data set's name (give its folder with --data_path)")
    find_model(model)
    defaults = {**default_settings(model, dataset), "model": model, "dataset": dataset}
    defaults["model_class"] = None
    if path := own_path(model):
        defaults |= _options_of_its_own(path, options, defaults)
        options["model_class"] = path
    for source, content in layers.items():
        check_options(content, defaults, strict_options(model), source)
    config = make_config(model, dataset, options)
    _check_needs(config)
    if uses_our_split(config):
        _check_split(config)
        _check_metrics(config)
    return config


def _model_of(model: str | type | None, options: dict[str, Any]) -> str | None:
    """The model's name, where the call or the options say it; classes are made known."""
    path, named = options.pop("model_class", None), options.get("model")
    if model is None or model == named:
        return named if path is None else find_class(path)
    if isinstance(model, str):
        return import_class(model) if ":" in model else model
    return add_class(model)


def _options_of_its_own(
    path: str, options: Mapping[str, Any], defaults: Mapping[str, Any]
) -> dict[str, None]:
    """Options that only a class that the user wrote can know; any type."""
    own = [name for name in options if name not in defaults]
    if own:
        logging.getLogger().warning(
            f"options that {path} alone can know, and nothing here checks: "
            f"{', '.join(clip(str(name)) for name in own)}"
        )
    return dict.fromkeys(own)


def _named(what: str, name: Any, example: str) -> str:
    if not isinstance(name, (str, int)) or name == "":
        raise UserError(f"no {what} is given; add --{what}=NAME, for example --{what}={example}")
    return str(name)


def uses_our_split(config: Config) -> bool:
    """Whether the interactions are split and ranked as here, not as in RecBole."""
    return is_our_split(config["eval_args"])


def _check_needs(config: Config) -> None:
    """What RecBole would find missing when the data are read, or not at all."""
    if config["log_wandb"] and find_spec("wandb") is None:
        raise UserError(
            "log_wandb needs the package wandb; install it (pip install wandb), or leave log_wandb "
            "out. The run's folder has history.csv and a TensorBoard file in any case."
        )
    for (option, value), (names, how) in _PRETRAINED.items():
        known = set(names) <= config.final_config_dict.keys()
        missing = [name for name in names if not config[name]]
        if known and missing and config[option] == value:
            raise UserError(f"{option}: {value} needs {' and '.join(missing)}: {how}.")


def _check_split(config: Config) -> None:
    args = config["eval_args"]
    for key, only in (("order", "TO"), ("group_by", "user")):
        if args[key] != only:
            raise UserError(
                f"eval_args.{key} is {clip(repr(args[key]))}, but the split {args['split']['LS']} "
                f"leaves out each user's latest interactions; leave {key} at {only}, or name "
                "RecBole's own split as well, for example eval_args.split: {LS: valid_and_test}."
            )


def _check_metrics(config: Config) -> None:
    unknown = [m for m in config["metrics"] if m.lower() not in METRICS]
    if unknown:
        raise UserError(
            f"metrics {unknown} are not defined for one left-out item; "
            f"choose from {', '.join(METRICS)}, or another split in eval_args."
        )
    known = [f"{m.lower()}@{k}" for m in config["metrics"] for k in config["topk"]]
    if str(config["valid_metric"]).lower() not in known:
        raise UserError(
            f"valid_metric is {clip(repr(config['valid_metric']))}, but the metrics are "
            f"{', '.join(known)}."
        )


def replayable_settings(config: Config) -> dict[str, Any]:
    """All options of a run as plain values; given as a config file they repeat it."""
    chosen = {**config.internal_config_dict, **config.external_config_dict}
    settings = {k: config.final_config_dict.get(k, v) for k, v in chosen.items()}
    settings = {k: v for k, v in settings.items() if k not in DERIVED}
    settings["model"], settings["dataset"] = config["model"], config["dataset"]
    settings["data_path"] = str(Path(config["data_path"]).resolve().parent)
    return json.loads(json.dumps(settings))


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Which settings of a run differ in a way that its figures may depend on; '' for none."""
    names = (before.keys() | now.keys()) - _NO_MATTER
    changed = sorted(name for name in names if before.get(name) != now.get(name))
    shown = [f"{n} was {before.get(n)!r}, is {now.get(n)!r}" for n in changed[:3]]
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    return "; ".join(shown) + more
