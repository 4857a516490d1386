"""Files that RecBole unpickles, and so runs whatever code is in them."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recbole_dmf.errors import UserError
from recbole_dmf.host.compat.patch import Instead, Undo, all_of, replace
from recbole_dmf.training.checkpoint import CONVERT_CHECKPOINT


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
    return all_of(*(replace(module, "torch", Instead(torch, load=load)) for module in modules))


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

    return all_of(
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
