"""A run's model.pt: read without running any code in it, and checked."""

from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from recbole_dmf.errors import UserError
from recbole_dmf.run_folder import CHECKPOINT
from recbole_dmf.training.checkpoint import load_checkpoint

_KEYS = {
    "model": str,
    "dataset": str,
    "settings": dict,
    "users": list,
    "items": list,
    "train": sp.csr_matrix,
    "state_dict": dict,
    "other_parameter": dict,
}


def read_model_file(path: Path) -> dict[str, Any]:
    """The checked content of a run's checkpoint, tensors on the CPU.

    Args:
        path: the run's folder, or its model.pt.

    Raises:
        UserError: missing, damaged, not one of ours, or its parts do not fit together.
    """
    path = Path(path)
    if path.is_dir():
        path = path / CHECKPOINT
    content = load_checkpoint(path)
    wrong = [name for name, kind in _KEYS.items() if not isinstance(content.get(name), kind)]
    if wrong:
        raise UserError(
            f"{path} lacks {', '.join(wrong)}, or has them of the wrong type: it is no run's "
            "checkpoint, or an older version's; name a run's folder, or train again."
        )
    for name in ("USER_ID_FIELD", "ITEM_ID_FIELD"):
        if not isinstance(content["settings"].get(name), str):
            raise UserError(f"{path} is damaged: its setting {name} is no text; train again.")
    users, items, train = content["users"], content["items"], content["train"]
    good = all(isinstance(token, str) for token in (*users, *items))
    good = good and train.nnz > 0 and bool((np.isfinite(train.data) & (train.data > 0)).all())
    if not good or train.shape != (len(users), len(items)):
        raise UserError(
            f"{path} is damaged: its {len(users)} users and {len(items)} items do not fit its "
            f"{train.nnz} ratings of shape {train.shape}; train again."
        )
    train.sort_indices()
    content["train"] = train.astype(np.float32)
    return content
