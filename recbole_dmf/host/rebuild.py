"""A trained model from the content of its model.pt alone, without the data set's files."""

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from recbole.data.interaction import Interaction

from recbole_dmf.errors import UserError
from recbole_dmf.host import lookup, plugin
from recbole_dmf.host.own_classes import find_class


class Settings(dict):
    """Options as models ask RecBole's Config for them: by key or attribute, None if unknown."""

    def __missing__(self, key: str) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]


class TrainingData:
    """What models ask RecBole's Dataset of the training interactions for, from their matrix.

    Args:
        train: float32 CSR [n_users, n_items] of training ratings (ones where there are none).
        settings: options of the run.
    """

    user_feat = item_feat = None

    def __init__(self, train: sp.csr_matrix, settings: Settings):
        self.uid_field, self.iid_field = settings["USER_ID_FIELD"], settings["ITEM_ID_FIELD"]
        self.rating_field = settings["RATING_FIELD"]
        self.time_field, self.config = settings["TIME_FIELD"], settings
        self.user_num, self.item_num = train.shape
        self.inter_num = train.nnz
        self._train = train
        coo = train.tocoo()
        self.inter_feat = Interaction(
            {
                self.uid_field: torch.from_numpy(coo.row.astype(np.int64)),
                self.iid_field: torch.from_numpy(coo.col.astype(np.int64)),
                self.rating_field: torch.from_numpy(coo.data),
            }
        )

    def num(self, field: str) -> int:
        """Number of users or items, padding included."""
        return {self.uid_field: self.user_num, self.iid_field: self.item_num}[field]

    def inter_matrix(self, form: str = "coo", value_field: str | None = None):
        """Training interactions as a sparse matrix, ones or ratings."""
        matrix = self._train.copy()
        if value_field is None:
            matrix.data[:] = 1.0
        elif value_field != self.rating_field:
            raise KeyError(value_field)
        return matrix.asformat(form)

    def history_item_matrix(self, value_field: str | None = None, max_history_len=None):
        """Each user's items, their values and their number, padded with 0."""
        return _history(self.inter_matrix("csr", value_field), max_history_len)

    def history_user_matrix(self, value_field: str | None = None, max_history_len=None):
        """Each item's users, their values and their number, padded with 0."""
        return _history(self.inter_matrix("csr", value_field).T.tocsr(), max_history_len)


def _history(matrix: sp.csr_matrix, longest: int | None):
    length = np.diff(matrix.indptr)
    width = int(min(length.max(initial=0), longest or np.inf))
    row = np.repeat(np.arange(matrix.shape[0]), length)
    place = np.arange(matrix.nnz) - matrix.indptr[row]
    kept = place < width
    ids = np.zeros((matrix.shape[0], width), np.int64)
    value = np.zeros((matrix.shape[0], width), np.float32)
    ids[row[kept], place[kept]] = matrix.indices[kept]
    value[row[kept], place[kept]] = matrix.data[kept]
    counts = np.minimum(length, width).astype(np.int64)
    return torch.from_numpy(ids), torch.from_numpy(value), torch.from_numpy(counts)


def rebuild(content: dict[str, Any], device: torch.device | str = "cpu") -> torch.nn.Module:
    """The trained model of a model.pt's content (`serving.model_file`), ready to score.

    Raises:
        UserError: unknown device, the model's class is not there, or it needs more than a
            checkpoint holds.
    """
    plugin.register()
    path = content["settings"].get("model_class")
    name = content["model"] if path is None else find_class(path)
    model_class = lookup.find_model(name)
    settings = Settings(content["settings"], device=usable_device(device))
    try:
        with torch.random.fork_rng(devices=[]):
            model = model_class(settings, TrainingData(content["train"], settings))
        model.load_state_dict(content["state_dict"])
        model.load_other_parameter(on_device(content["other_parameter"], settings["device"]))
        return model.to(settings["device"]).eval()
    except UserError:
        raise
    except Exception as error:  # any of RecBole's models may ask the data set for anything
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"{name} cannot be rebuilt from its checkpoint ({type(error).__name__}: {reason}): the "
            "checkpoint is damaged, or the model needs more than the training interactions."
        ) from error


def on_device(values: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """The same values, tensors among them on `device`."""
    return {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in values.items()}


def usable_device(device: torch.device | str) -> torch.device:
    """The device of that name.

    Raises:
        UserError: no such device here.
    """
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        raise UserError(f"there is no device {str(device)!r} here; use cpu.") from error
    return found
