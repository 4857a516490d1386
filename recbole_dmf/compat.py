"""What RecBole 1.2.1 needs today to run on current libraries: one function per workaround.

Each function says which line of RecBole it answers and returns a function that takes it back.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import torch
from scipy.sparse import dok_matrix

from recbole_dmf.errors import UserError
from recbole_dmf.literals import literal

Undo = Callable[[], None]


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


def own_checkpoints_load() -> Undo:
    """trainer/trainer.py:583 loads its pickled checkpoint; torch >= 2.6 refuses that by default.

    Files that this process wrote itself are trusted, all others are loaded with weights only.
    """
    import recbole.trainer.trainer as module

    written: set[str] = set()

    class Torch:
        """torch, with `save` and `load` that remember whose file it is."""

        def __getattr__(self, name):
            return getattr(torch, name)

        def save(self, content, file, **kwargs):
            written.add(str(Path(file).resolve()))
            torch.save(content, file, **kwargs)

        def load(self, file, **kwargs):
            trusted = str(Path(file).resolve()) in written
            return torch.load(file, weights_only=not trusted, **kwargs)

    return replace(module, "torch", Torch())


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
    """torch/_compile.py:39 imports torch._dynamo for the first optimizer: 2 s and 100 MB.

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


WORKAROUNDS = (
    options_are_literals,
    foreign_command_line_is_ignored,
    data_path_is_honoured,
    missing_data_set_is_explained,
    own_checkpoints_load,
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
