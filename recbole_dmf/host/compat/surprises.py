"""Where RecBole surprises the program that uses it: options, command line, folders."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import torch

from recbole_dmf.errors import UserError
from recbole_dmf.host.compat.patch import Undo, replace
from recbole_dmf.literals import literal


def options_are_literals() -> Undo:
    """config/configurator.py:124 `eval`s every string option."""
    from recbole.config import Config

    def convert(self, config_dict):
        return {k: literal(v) if isinstance(v, str) else v for k, v in config_dict.items()}

    return replace(Config, "_convert_config_dict", convert)


def foreign_command_line_is_ignored() -> Undo:
    """config/configurator.py:158 reads `sys.argv` of whatever program runs."""
    from recbole.config import Config

    return replace(Config, "_load_cmd_line", lambda self: {})


def data_path_is_honoured() -> Undo:
    """config/configurator.py:330 drops the user's `data_path` for ml-100k."""
    from recbole.config import Config

    original = Config._set_default_parameters

    def set_default_parameters(self):
        original(self)
        if self.dataset == "ml-100k" and "data_path" in self.external_config_dict:
            folder = Path(self.external_config_dict["data_path"]) / self.dataset
            self.final_config_dict["data_path"] = str(folder)

    return replace(Config, "_set_default_parameters", set_default_parameters)


def missing_data_set_is_explained() -> Undo:
    """data/dataset/dataset.py:232 downloads from a bucket that denies access."""
    from recbole.data.dataset import Dataset

    def download(self):
        raise UserError(
            f"there is no data set '{self.dataset_name}': the folder {self.dataset_path} does not "
            f"exist. Put the atomic file there as {self.dataset_name}.inter (tab-separated, header "
            "`user_id:token  item_id:token  rating:float  timestamp:float`), or name the folder "
            "above it with --data_path. RecBole's own downloads are closed."
        )

    return replace(Dataset, "_download", download)


def no_stray_tensorboard() -> Undo:
    """trainer/trainer.py:91 opens ./log_tensorboard in the working folder for every trainer.

    The run's own writer goes into its folder; see `recbole_dmf.training.trainer`.
    """
    import recbole.trainer.trainer as module

    silent = SimpleNamespace(
        add_scalar=lambda *args, **kwargs: None, add_hparams=lambda *args, **kwargs: None
    )
    return replace(module, "get_tensorboard", lambda logger: silent)


def scores_keep_their_precision() -> Undo:
    """trainer/trainer.py:555 puts a model's scores into 32-bit ones, which torch refuses of 64-bit.

    A cast would level scores that differ.
    """
    import recbole.trainer.trainer as module
    from recbole.utils import EvaluatorType

    original = module.Trainer._neg_sample_batch_eval

    def neg_sample_batch_eval(self, batched_data):
        if self.config["eval_type"] != EvaluatorType.RANKING:
            return original(self, batched_data)
        interaction, row, positive_user, positive_item = batched_data
        if interaction.length <= self.test_batch_size:
            scores = self.model.predict(interaction.to(self.device))
        else:
            scores = self._spilt_predict(interaction, interaction.length)
        item = interaction[self.config["ITEM_ID_FIELD"]]
        shape = (int(positive_user[-1]) + 1, self.tot_item_num)
        table = torch.full(shape, -torch.inf, dtype=scores.dtype, device=self.device)
        table[row, item] = scores
        return interaction, table, positive_user, positive_item

    return replace(module.Trainer, "_neg_sample_batch_eval", neg_sample_batch_eval)


@contextmanager
def anomaly_detection_stays() -> Iterator[None]:
    """sequential_recommender/sine.py:25 turns torch's anomaly detection on for the whole process.

    Whoever imports it first has to do so within this; `host` does.
    """
    before = torch.is_anomaly_enabled()
    try:
        yield
    finally:
        torch.autograd.set_detect_anomaly(before)
