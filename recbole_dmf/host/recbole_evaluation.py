"""RecBole's own splits, loaders and evaluation, for all `eval_args` but the paper's."""

import logging
from dataclasses import dataclass
from typing import Any

from recbole.data.dataset import Dataset as RecBoleDataset
from recbole.data.utils import data_preparation

from recbole_dmf.data.fingerprint import fingerprint
from recbole_dmf.errors import UserError
from recbole_dmf.options import Config

# What RecBole raises where it cannot use `eval_args`.
_CANNOT_SPLIT = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    TypeError,
    ValueError,
)


@dataclass
class RecBolePrepared:
    """A data set that RecBole has split, with its loaders; used as `prepare.Prepared` is.

    Attributes:
        train: RecBole's Dataset of the training interactions.
        loaders: {"train", "valid", "test": RecBole's loader}.
        readings: what the metrics of each phase are called: full, sampled or labeled.
        counts: users, items and interactions of each part.
        sha256: of the ids, the interactions and their split.
    """

    train: RecBoleDataset
    loaders: dict[str, Any]
    readings: dict[str, str]
    counts: dict[str, int]
    sha256: str
    candidates_sha256 = None  # RecBole draws them anew at every evaluation

    def train_loader(self, config: Config):
        """RecBole's loader of the training interactions."""
        return self.loaders["train"]

    def measure(self, trainer: Any, phase: str) -> dict[str, dict[str, float]]:
        """{reading: {metric: value}} of a phase, by RecBole's evaluation of the model as it is."""
        found = trainer.evaluate(self.loaders[phase], load_best_model=False, show_progress=False)
        return {self.readings[phase]: {name: float(value) for name, value in found.items()}}

    def per_user(self, config: Config, phase: str) -> None:
        """None: RecBole keeps no values of single users."""


def prepare_with_recbole(config: Config, dataset: RecBoleDataset) -> RecBolePrepared:
    """Split a data set and build the loaders as RecBole does.

    Raises:
        UserError: RecBole cannot split or rank with these `eval_args`.
    """
    if config["eval_args"]["order"] == "TO" and dataset.time_field not in dataset.inter_feat:
        raise UserError(
            f"eval_args.order is TO, but no {dataset.time_field} is read; give order: RO, or name "
            "the column in load_col."
        )
    try:
        loaders = dict(
            zip(("train", "valid", "test"), data_preparation(config, dataset), strict=True)
        )
    except UserError:
        raise
    except _CANNOT_SPLIT as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"RecBole cannot split or rank with eval_args {config['eval_args']}: {reason}"
        ) from error
    parts = {name: loader._dataset for name, loader in loaders.items()}
    counts = {"users": dataset.user_num - 1, "items": dataset.item_num - 1}
    counts |= {name: len(part.inter_feat) for name, part in parts.items()}
    if empty := [name for name in ("valid", "test") if not counts[name]]:
        raise UserError(
            f"the split {config['eval_args']['split']} leaves no interactions for "
            f"{' and '.join(empty)}: the epoch is chosen by validation, and test gives the result. "
            "Give both a part, for example {RS: [8, 1, 1]} or {LS: valid_and_test}."
        )
    fields = (dataset.uid_field, dataset.iid_field)
    columns = [
        part.inter_feat[field].numpy()
        for part in parts.values()
        for field in (*fields, config["RATING_FIELD"])
        if field in part.inter_feat.columns
    ]
    sha256 = fingerprint([dataset.field2id_token[field] for field in fields], columns)
    modes = config["eval_args"]["mode"]
    readings = {phase: _reading(str(modes[phase])) for phase in ("valid", "test")}
    logging.getLogger().info(f"RecBole's own split and evaluation: {config['eval_args']}")
    return RecBolePrepared(parts["train"], loaders, readings, counts, sha256)


def _reading(mode: str) -> str:
    return mode if mode in ("full", "labeled") else "sampled"
