"""RecBole's own pickled checkpoints: read as the plain content of a model.pt."""

from pathlib import Path
from typing import Any

import torch
from recbole.config import Config
from recbole.utils import init_seed

from recbole_dmf.data.interactions import train_matrix
from recbole_dmf.errors import UserError
from recbole_dmf.host import lookup, plugin, properties
from recbole_dmf.host.compat.pickles import load_trusted_checkpoint
from recbole_dmf.host.rebuild import rebuild
from recbole_dmf.literals import not_plain
from recbole_dmf.models.scores import all_scores

# A name that means our model here, for the built-in one that RecBole trains under it.
_BUILT_IN = {"DMF": "RecBoleDMF", "EASE": "RecBoleEASE", "ItemKNN": "RecBoleItemKNN"}
_PROBED_USERS = 8


def read_foreign_checkpoint(path: Path, data_path: Path | None = None) -> dict[str, Any]:
    """The content of a plain checkpoint for the model in RecBole's file. Runs the file's code.

    Args:
        path: as RecBole's trainer saves it; only ever a file that is trusted.
        data_path: folder above the data set; by default where it was in training.

    Raises:
        UserError: no checkpoint of a general recommender, the data set is missing or another one,
            or the model needs more than a plain checkpoint holds.
    """
    plugin.register()
    saved = load_trusted_checkpoint(path)
    config = saved["config"]
    if not isinstance(config, Config):
        raise UserError(f"{path} is no checkpoint of RecBole: its config is of another type.")
    name, dataset_name = config["model"], config["dataset"]
    own_options = {*properties.shipped_properties("model", name), "split_seed"}
    ours = own_options <= set(config.final_config_dict)
    name = name if ours else _BUILT_IN.get(name, name)
    folder = Path(config["data_path"])
    if data_path is not None:
        folder = data_path / dataset_name
    elif dataset_name == "ml-100k" and not folder.is_dir():
        folder = properties.RECBOLE_PROPERTIES.parent / "dataset_example" / dataset_name
    config.final_config_dict.update(
        model=name, data_path=str(folder), device=torch.device("cpu"), save_dataset=False
    )
    init_seed(config["seed"], config["reproducibility"])  # a random split is the one of training
    dataset = lookup.load_dataset(config)
    train = dataset.build()[0]
    matrix = train_matrix(train).copy()
    if (matrix.data <= 0).any():  # RecBole scales the lowest rating to 0 by default
        matrix.data[:] = 1.0
    plain = {k: v for k, v in config.final_config_dict.items() if not_plain(v) is None}
    content = {
        "model": name,
        "dataset": dataset_name,
        "settings": {**plain, "max_rating": float(matrix.data.max())},
        "users": dataset.field2id_token[dataset.uid_field].tolist(),
        "items": dataset.field2id_token[dataset.iid_field].tolist(),
        "train": matrix,
        "epoch": int(saved.get("epoch", -1)) + 1,
        "state_dict": dict(saved["state_dict"]),
        "other_parameter": saved.get("other_parameter") or {},
    }
    _check_same_scores(config, train, content)
    return content


def _check_same_scores(config: Config, train, content: dict[str, Any]) -> None:
    """Raise unless the model scores as before from the plain content alone."""
    name = content["model"]
    model: Any = lookup.find_model(name)(config, train)
    try:
        model.load_state_dict(content["state_dict"])
    except RuntimeError as error:
        raise UserError(
            f"the checkpoint's parameters do not fit {train.user_num} users and "
            f"{train.item_num} items: this is not the data set that it was trained on "
            f"({' '.join(str(error).split())[:200]})."
        ) from error
    model.load_other_parameter(content["other_parameter"])
    before, now = (_scores(m.eval(), train) for m in (model, rebuild(content)))
    if not torch.allclose(before, now, rtol=1e-4, atol=1e-5, equal_nan=True):
        raise UserError(
            f"{name} gives other scores from a plain checkpoint: it needs more of the data set "
            "than the training interactions, or its ratings were scaled; train it here instead."
        )


def _scores(model: Any, train) -> torch.Tensor:
    """Scores of all items for the first few users."""
    user = torch.arange(1, min(train.user_num, 1 + _PROBED_USERS))
    with torch.no_grad():
        return all_scores(model, user, train.item_num)
