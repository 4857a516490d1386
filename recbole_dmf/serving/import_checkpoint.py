"""`recbole-dmf import-checkpoint FILE`: RecBole's pickled checkpoint to a plain one."""

from pathlib import Path
from typing import Any

import torch
from recbole.config import Config
from recbole.utils import init_seed

from recbole_dmf import compat
from recbole_dmf.commands.arguments import parse_open
from recbole_dmf.errors import UserError
from recbole_dmf.evaluation.scores import all_scores
from recbole_dmf.files import make_folder
from recbole_dmf.host import lookup, plugin, properties
from recbole_dmf.literals import not_plain
from recbole_dmf.options import nearest
from recbole_dmf.run_folder import CHECKPOINT
from recbole_dmf.serving.rebuild import rebuild
from recbole_dmf.training.checkpoint import save_checkpoint

HELP = """\
usage: recbole-dmf import-checkpoint FILE --output=FOLDER --trust-checkpoint [--data_path=FOLDER]

Make a checkpoint of plain tensors from one that RecBole's trainer wrote (.pth), for recommend, for
export, and for options such as NeuMF's mf_pretrain_path. The data set's files are read again, for
the ids and the training interactions.

RecBole's checkpoints are pickles: loading one runs whatever code is in it, with all your rights.
Nothing in this package does that unless you say --trust-checkpoint here. Say it for files that you
wrote yourself, or had from somebody whose programs you would run.

  --output FOLDER       gets model.pt; is made if need be
  --trust-checkpoint    the file may run code
  --data_path FOLDER    folder above the data set, if it has moved
  --help, -h            this text
"""
# A name that means our model here, for the built-in one that RecBole trains under it.
_BUILT_IN = {"DMF": "RecBoleDMF", "EASE": "RecBoleEASE", "ItemKNN": "RecBoleItemKNN"}
_PROBED_USERS = 8


def import_checkpoint(path: Path, data_path: Path | None = None) -> dict[str, Any]:
    """The content of a plain checkpoint for the model in RecBole's file. Runs the file's code.

    Args:
        path: as RecBole's trainer saves it; only ever a file that is trusted.
        data_path: folder above the data set; by default where it was in training.

    Raises:
        UserError: no checkpoint of a general recommender, the data set is missing or another one,
            or the model needs more than a plain checkpoint holds.
    """
    plugin.register()
    saved = compat.load_trusted_checkpoint(path)
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
    matrix = lookup.rated_matrix(config, train)
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


def _check_same_scores(config, train, content: dict[str, Any]) -> None:
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
            f"{name} scores otherwise from a plain checkpoint: it needs more of the data set than "
            "the training interactions, or its ratings were scaled; train it here instead."
        )


def _scores(model: Any, train) -> torch.Tensor:
    """Scores of all items for the first few users."""
    user = torch.arange(1, min(train.user_num, 1 + _PROBED_USERS))
    with torch.no_grad():
        return all_scores(model, user, train.item_num)


def main_import_checkpoint(argv: list[str]) -> int:
    """`recbole-dmf import-checkpoint`; see `HELP`. Returns the exit code.

    Raises:
        UserError: what is wrong with the options or the file.
    """
    if not argv or {"--help", "-h"} & set(argv):
        print(HELP, end="")
        return 0
    name, *words = argv
    if name.startswith("-"):
        raise UserError("name the file first: recbole-dmf import-checkpoint FILE --output=FOLDER.")
    named, flags = ("output", "data_path"), ("trust_checkpoint",)
    given = parse_open(words, named, flags, {})
    for option in given.options:
        raise UserError(f"unknown option --{option}{nearest(option, (*named, *flags))}")
    path = Path(name)
    if not path.is_file():
        raise UserError(f"{path}: no such file.")
    if "trust_checkpoint" not in given.flags:
        raise UserError(
            f"{path} is not loaded: RecBole's checkpoints are pickles, and loading one runs "
            "whatever code is in it, with all your rights. If you wrote it yourself or trust whom "
            "you have it from, say so with --trust-checkpoint."
        )
    if not given.named.get("output"):
        raise UserError("no --output is given; name a folder to write.")
    data_path = given.named.get("data_path")
    content = import_checkpoint(path, Path(data_path) if data_path else None)
    target = make_folder(Path(given.named["output"])) / CHECKPOINT
    save_checkpoint(target, content)
    print(f"{content['model']} on {content['dataset']}: written to {target}")
    return 0
