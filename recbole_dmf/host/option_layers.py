"""The layers of options below a user's own: RecBole's, the protocol's, the data set's."""

from pathlib import Path
from typing import Any

from recbole.config import Config as RecBoleConfig
from recbole.utils import ModelType

from recbole_dmf.data.benchmark_files import find_parts, part_names
from recbole_dmf.data.header import header_fields
from recbole_dmf.errors import UserError
from recbole_dmf.host.our_models import OUR_MODELS
from recbole_dmf.host.own_classes import family
from recbole_dmf.host.properties import (
    default_settings,
    recbole_model_properties,
    recbole_properties,
    shipped_properties,
    strict_options,
)
from recbole_dmf.literals import load_yaml
from recbole_dmf.options import KEYS, Config, check_options, merged

RUNNABLE = (ModelType.GENERAL, ModelType.TRADITIONAL, ModelType.SEQUENTIAL)
_recbole_layers = RecBoleConfig._load_internal_config_dict


def load_internal_config_dict(self, model, model_class, dataset):
    """Config's layers (configurator.py:237): RecBole's defaults, then ours; the user's win.

    Protocol < model < data set; of a data set's options, what its files suggest < our shipped
    file < the one beside the data. Models of other kinds stay as RecBole has them.
    """
    name, model = model, family(model)
    _recbole_layers(self, model, model_class, dataset)
    if model_class.type not in RUNNABLE:
        return
    settings, given = self.internal_config_dict, self.external_config_dict
    if model in OUR_MODELS:
        _forget_namesake(settings, model)
    of_model = recbole_model_properties(model)
    protocol = shipped_properties("", "protocol")
    settings.update({k: v for k, v in protocol.items() if k not in of_model})
    settings.update(shipped_properties("model", model))
    for layer in _data_set_layers(settings, given, model, dataset):
        by_model = layer.get("model_settings", {})
        layer = {key: value for key, value in layer.items() if key != "model_settings"}
        of_this = (by_model.get(each, {}) for each in dict.fromkeys((model, name)))
        settings.update(merged(settings, layer, *of_this))
    given.update({name: merged(settings, given)[name] for name in KEYS if name in given})
    if model_class.type == ModelType.SEQUENTIAL:
        _leave_negatives_out(settings, given)


def _leave_negatives_out(settings: dict[str, Any], given: dict[str, Any]) -> None:
    """Sequential models with the loss CE take no negatives, and Config refuses to be told so."""
    if given.get("loss_type", settings.get("loss_type")) != "CE":
        return
    settings["train_neg_sample_args"] = None
    args = given.get("train_neg_sample_args")
    if isinstance(args, dict) and args.get("distribution") == "none":  # as a run's config.yaml says
        del given["train_neg_sample_args"]


def _forget_namesake(settings: dict[str, Any], model: str) -> None:
    """Take out the options of RecBole's model of the same name as ours."""
    namesake = recbole_properties("model", model)
    overall = recbole_properties("", "overall")
    for key in namesake:
        settings.pop(key, None)
    settings.update({key: overall[key] for key in namesake if key in overall})


def _data_set_layers(
    settings: dict[str, Any], given: dict[str, Any], model: str, dataset: str
) -> list[dict[str, Any]]:
    """The layers of a data set's options, the lowest first."""
    shipped = shipped_properties("dataset", dataset)
    if dataset == "ml-100k" and "data_path" not in given:  # RecBole's own copy is read
        return [shipped]
    folder = Path(given.get("data_path", settings["data_path"])) / dataset
    beside = _read_beside(folder, model, dataset)
    inferred = _inferred(folder, dataset, {**settings, **shipped, **beside, **given})
    if recbole_properties("dataset", dataset):
        del inferred["load_col"]
    return [inferred, shipped, beside]


def _header_names(path: Path, separator: str) -> list[str]:
    """Field names in the header of an atomic file; [] where reading the data will say why not."""
    try:
        return [field.name for field in header_fields(path, separator)]
    except UserError:
        return []


def _inferred(folder: Path, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """`load_col` and `benchmark_filename` as the files of a data set suggest them."""
    parts = settings.get("benchmark_filename") or find_parts(folder, name)
    if parts is not None:
        parts = part_names(parts)
    files = [f"{name}.{part}.inter" for part in parts or ()] or [f"{name}.inter"]
    headers = [_header_names(folder / file, str(settings["field_separator"])) for file in files]
    optional = [settings[key] for key in ("RATING_FIELD", "TIME_FIELD")]
    columns = [settings[key] for key in ("USER_ID_FIELD", "ITEM_ID_FIELD")]
    columns += [field for field in optional if all(field in fields for fields in headers)]
    unread = "inter" in (settings.get("unload_col") or {})  # all others are meant
    return {"benchmark_filename": parts, "load_col": {"inter": "*" if unread else columns}}


def _read_beside(folder: Path, model: str, name: str) -> dict[str, Any]:
    """The property file that lies beside a data set's files, checked; {} where there is none.

    Raises:
        UserError: not plain values, an unknown option, or a wrong type.
    """
    path = folder / f"{name}.yaml"
    if not path.is_file():
        return {}
    content = load_yaml(path)
    defaults, strict = default_settings(model, name), strict_options(model)
    settings = content.get("model_settings", {})
    if not isinstance(settings, dict) or not all(isinstance(v, dict) for v in settings.values()):
        raise UserError(f"{path}: model_settings must be written `MODEL: {{option: value}}`.")
    check_options(settings.get(model, {}), defaults, strict, f"{path}, model_settings of {model}")
    rest = {key: value for key, value in content.items() if key != "model_settings"}
    check_options(rest, defaults, strict, str(path))
    return content


def is_described(config: Config) -> bool:
    """Whether anybody has said what the data set's columns are."""
    name = config["dataset"]
    return (
        "load_col" in config.external_config_dict
        or bool(shipped_properties("dataset", name) or recbole_properties("dataset", name))
        or (Path(config["data_path"]) / f"{name}.yaml").is_file()
    )
