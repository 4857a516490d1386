"""What RecBole 1.2.1 needs today to run on current libraries: one function per workaround.

Each function says which line of RecBole it answers and returns a function that takes it back.
"""

import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from scipy.sparse import dok_matrix

from recbole_dmf.errors import UserError
from recbole_dmf.literals import literal

Undo = Callable[[], None]
CONVERT_CHECKPOINT = (
    "If RecBole wrote it and you trust where it comes from, make a plain one of it: "
    "recbole-dmf import-checkpoint FILE --output=FOLDER --trust-checkpoint"
)


def replace(owner, name: str, value) -> Undo:
    """Set an attribute of a class or module; the result puts the old one back."""
    missing = object()
    old = vars(owner).get(name, missing)
    setattr(owner, name, value)

    def undo():
        if old is missing:
            delattr(owner, name)
        else:
            setattr(owner, name, old)

    return undo


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


def _all_of(*undo: Undo) -> Undo:
    def take_back():
        for one in undo:
            one()

    return take_back


class Instead:
    """A module with some of its functions replaced."""

    def __init__(self, module, **functions):
        vars(self).update(functions, _module=module)

    def __getattr__(self, name):
        return getattr(self._module, name)


def own_checkpoints_load() -> Undo:
    """trainer/trainer.py:583 loads its pickled checkpoint; torch >= 2.6 refuses that by default.

    Files that this process wrote itself are trusted, all others are loaded with weights only.
    """
    import recbole.trainer.trainer as module

    written: set[str] = set()

    def save(content, file, **kwargs):
        written.add(str(Path(file).resolve()))
        torch.save(content, file, **kwargs)

    def load(file, **kwargs):
        trusted = str(Path(file).resolve()) in written
        return torch.load(file, weights_only=not trusted, **kwargs)

    return replace(module, "torch", Instead(torch, save=save, load=load))


def pretrained_files_run_no_code() -> Undo:
    """neumf.py:84, convncf.py:82, nais.py:127 and ract.py:75 load a file that an option names.

    torch unpickles it if TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD is set, as plain RecBole needs it to be.
    """
    from recbole.model.general_recommender import convncf, nais, neumf, ract

    def load(file, **kwargs):
        try:
            return torch.load(file, weights_only=True, **kwargs)
        except OSError as error:
            raise UserError(f"cannot read the pretrained model {file}: {error}.") from error
        except Exception as error:
            raise UserError(
                f"{file} is no file of plain tensors: it is damaged, or holds pickled objects. "
                f"{CONVERT_CHECKPOINT}"
            ) from error

    modules = (convncf, nais, neumf, ract)
    return _all_of(*(replace(module, "torch", Instead(torch, load=load)) for module in modules))


def embeddings_run_no_code() -> Undo:
    """ldiffrec.py:232 lets NumPy unpickle `item_emb.npy` in the data set's folder."""
    from recbole.model.general_recommender import ldiffrec

    def load(file, **kwargs):
        try:
            return np.load(file, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise UserError(f"{file} is no array of numbers that can be read: {error}.") from error

    return replace(ldiffrec, "np", Instead(np, load=load))


def caches_are_not_unpickled() -> Undo:
    """data/utils.py:61 and 122 unpickle a cached data set or its loaders wherever they find one."""
    import recbole.data.utils as module

    def load(file):
        raise UserError(
            f"{file.name} is RecBole's cache of a data set, a pickle, which is never loaded since "
            "that runs whatever code is in it. Delete it, or name another checkpoint_dir."
        )

    return _all_of(
        replace(module, "pickle", Instead(pickle, load=load)),
        replace(module, "load_split_dataloaders", lambda config: None),  # so they are made anew
    )


def load_trusted_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint as trainer/trainer.py:308 pickles it. Whatever code is in the file runs.

    Raises:
        UserError: it cannot be read, or is none of RecBole's.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"{path} cannot be read as a checkpoint of RecBole ({type(error).__name__}: {reason})."
        ) from error
    if not isinstance(content, dict) or not {"config", "state_dict"} <= set(content):
        raise UserError(f"{path} is no checkpoint of RecBole: it has no config or no state_dict.")
    return content


def grad_scaler_is_current() -> Undo:
    """trainer/trainer.py:235, 1440, 1453 use `torch.cuda.amp`, which warns on every epoch."""
    import recbole.trainer.trainer as module

    def scaler(enabled):
        return torch.amp.GradScaler("cuda", enabled=enabled)

    def autocast(enabled):
        return torch.autocast("cuda", enabled=enabled)

    return replace(module, "amp", SimpleNamespace(GradScaler=scaler, autocast=autocast))


def dok_matrix_updates() -> Undo:
    """lightgcn.py:111 (and six more models) call `dok_matrix._update`, gone since SciPy 1.13."""
    if hasattr(dok_matrix, "_update"):
        return lambda: None
    return replace(dok_matrix, "_update", lambda self, items: self._dict.update(items))


def no_stray_tensorboard() -> Undo:
    """trainer/trainer.py:91 opens ./log_tensorboard in the working folder for every trainer.

    The run's own writer goes into its folder; see `recbole_dmf.training.trainer`.
    """
    import recbole.trainer.trainer as module

    silent = SimpleNamespace(
        add_scalar=lambda *args, **kwargs: None, add_hparams=lambda *args, **kwargs: None
    )
    return replace(module, "get_tensorboard", lambda logger: silent)


def optimizers_leave_the_compiler_alone() -> Undo:
    """torch/_compile.py:39 imports torch._dynamo for the first optimizer: 1.4 s and 70 MB.

    It only marks the optimizers' methods as not to be compiled, and nothing here is compiled.
    """
    undo = []
    for method in vars(torch.optim.Optimizer).values():
        plain = getattr(method, "__wrapped__", None)
        if getattr(method, "__globals__", {}).get("__name__") == "torch._compile":
            undo.append(replace(plain, "__dynamo_disable", plain))

    def take_back():
        for put_back in undo:
            put_back()

    return take_back


@contextmanager
def anomaly_detection_stays() -> Iterator[None]:
    """sequential_recommender/sine.py:25 turns torch's anomaly detection on for the whole process.

    It is imported when a name is looked up that no general recommender has.
    """
    before = torch.is_anomaly_enabled()
    try:
        yield
    finally:
        torch.autograd.set_detect_anomaly(before)


WORKAROUNDS = (
    options_are_literals,
    foreign_command_line_is_ignored,
    data_path_is_honoured,
    missing_data_set_is_explained,
    own_checkpoints_load,
    pretrained_files_run_no_code,
    embeddings_run_no_code,
    caches_are_not_unpickled,
    grad_scaler_is_current,
    dok_matrix_updates,
    no_stray_tensorboard,
    optimizers_leave_the_compiler_alone,
)


def check_python() -> None:
    """RecBole 1.2.1 pins ray <= 2.6.3, which has no wheel for Python 3.12 and later.

    Raises:
        UserError: this Python is too old or too new.
    """
    if not (3, 10) <= sys.version_info[:2] < (3, 12):
        raise UserError(
            f"Python {sys.version_info[0]}.{sys.version_info[1]} cannot run RecBole 1.2.1; "
            "use Python 3.10 or 3.11."
        )
