"""Where RecBole does not know current versions of NumPy, pandas, SciPy and torch."""

import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from scipy.sparse import dok_matrix

from recbole_dmf.host.compat.patch import Instead, Undo, all_of, replace, silence

OLD_NAMES = {
    "bool": np.bool_,
    "int": np.int_,
    "float": np.float64,
    "complex": np.complex128,
    "object": np.object_,
    "str": np.str_,
    "long": np.int_,
    "unicode": np.str_,
}


def old_numpy_names_exist() -> Undo:
    """config/configurator.py:630, 631 and 635 read names that NumPy 2 removed, such as `np.float_`.

    What it sets is used: `np.float` in interaction.py:31 and metrics.py:90, `np.long` in layers.py.
    """
    from recbole.config import Config

    def compatibility_settings(self):
        vars(np).update(OLD_NAMES)

    return replace(Config, "compatibility_settings", compatibility_settings)


def missing_sequences_are_empty() -> Undo:
    """data/dataset/dataset.py:501 fills a column in place: of a copy with pandas 3."""
    import recbole.data.dataset.dataset as module

    original = module.Dataset._load_feat

    def read_csv(*args, **kwargs):
        frame = pd.read_csv(*args, **kwargs)
        sequences = [name for name in frame if str(name).endswith("_seq")]
        return frame.assign(**{name: frame[name].fillna("") for name in sequences})

    def load_feat(self, filepath, source):
        with warnings.catch_warnings():  # nothing is left to fill, and nothing to warn about
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", pd.errors.ChainedAssignmentError)
            return original(self, filepath, source)

    return all_of(
        replace(module, "pd", Instead(pd, read_csv=read_csv)),
        replace(module.Dataset, "_load_feat", load_feat),
    )


def sequences_have_lengths() -> Undo:
    """data/dataset/dataset.py:712, 792, 809 and 1217 call `agg(len)`, one number with pandas 3.

    pandas 2 still gives the lengths and warns.
    """
    import recbole.data.dataset.dataset as module

    def length(value):
        if isinstance(value, pd.Series):  # the module asks for no other length of a column
            return pd.Series([len(one) for one in value], value.index, dtype=np.int64)
        return len(value)

    return all_of(
        replace(module, "len", length),
        silence(r"using .* in Series\.agg", FutureWarning, r"recbole\.data\.dataset"),
    )


def tensors_own_their_values() -> Undo:
    """data/dataset/dataset.py:2202 makes tensors over a frame's memory, read-only with pandas 3.

    torch warns of them, and what is written into such a tensor changes the frame.
    """
    import recbole.data.dataset.dataset as module

    def owning(make):
        def tensor(value):
            locked = isinstance(value, np.ndarray) and not value.flags.writeable
            return make(value.copy() if locked else value)

        return tensor

    makers = {name: owning(getattr(torch, name)) for name in ("LongTensor", "FloatTensor")}
    return replace(module, "torch", Instead(torch, **makers))


def dok_matrix_updates() -> Undo:
    """lightgcn.py:111 (and six more models) call `dok_matrix._update`, gone since SciPy 1.13."""
    if hasattr(dok_matrix, "_update"):
        return lambda: None
    return replace(dok_matrix, "_update", lambda self, items: self._dict.update(items))


def sparse_tensors_are_current() -> Undo:
    """lightgcn.py:125, layers.py:1639 and seven more use a deprecated sparse.FloatTensor."""
    from recbole.model import general_recommender as models
    from recbole.model import layers

    def float_tensor(indices, values, *size):
        options = {
            "dtype": torch.float32,
            "check_invariants": False,
        }  # torch warns if it's left out
        options = {"dtype": torch.float32, "check_invariants": False}
        return torch.sparse_coo_tensor(indices, values, *size, **options)

    names = ("dgcf", "dmf", "gcmc", "lightgcn", "ncl", "ngcf", "sgl", "spectralcf")
    modules = (layers, *(sys.modules[f"{models.__name__}.{name}"] for name in names))
    sparse = Instead(torch.sparse, FloatTensor=float_tensor)
    return all_of(*(replace(module, "torch", Instead(torch, sparse=sparse)) for module in modules))


def grad_scaler_is_current() -> Undo:
    """trainer/trainer.py:235, 1440, 1453 use `torch.cuda.amp`, which warns on every epoch."""
    import recbole.trainer.trainer as module

    def scaler(enabled):
        return torch.amp.GradScaler("cuda", enabled=enabled)

    def autocast(enabled):
        return torch.autocast("cuda", enabled=enabled)

    return replace(module, "amp", SimpleNamespace(GradScaler=scaler, autocast=autocast))


def optimizers_leave_the_compiler_alone() -> Undo:
    """torch/_compile.py:39 imports torch._dynamo for the first optimizer: 1.4 s and 70 MB.

    It only marks the optimizers' methods as not to be compiled, and nothing here is compiled.
    """
    undo = []
    for method in vars(torch.optim.Optimizer).values():
        plain = getattr(method, "__wrapped__", None)
        if getattr(method, "__globals__", {}).get("__name__") == "torch._compile":
            undo.append(replace(plain, "__dynamo_disable", plain))
    return all_of(*undo)
