"""Where RecBole does not know current versions of SciPy and torch."""

from types import SimpleNamespace

import torch
from scipy.sparse import dok_matrix

from recbole_dmf.host.compat.patch import Undo, replace


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
