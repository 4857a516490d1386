"""Model checkpoints of plain tensors and plain values, loadable with `weights_only=True`."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from recbole_dmf.errors import UserError
from recbole_dmf.files import atomic_path
from recbole_dmf.version import __version__

FORMAT = 1
CONVERT_CHECKPOINT = (
    "If RecBole wrote it and you trust where it comes from, make a plain one of it: "
    "recbole-dmf import-checkpoint FILE --output=FOLDER --trust-checkpoint"
)
_MAX_SIDE = 10**8  # users or items
_SPARSE, _ARRAY, _TUPLE = "__scipy_sparse__", "__numpy__", "__tuple__"


def pack(value: Any) -> Any:
    """`value` with NumPy arrays and SciPy matrices as tensors, so that loading runs no code.

    Raises:
        UserError: a type that has no plain form.
    """
    if isinstance(value, np.generic) and value.dtype != object:
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, torch.Tensor):
        expanded = value.layout == torch.strided and 0 in value.stride() and value.numel()
        return value.contiguous() if expanded else value
    if sp.issparse(value):
        coo = value.tocoo()
        parts = [torch.from_numpy(np.ascontiguousarray(a)) for a in (coo.row, coo.col, coo.data)]
        return {_SPARSE: [value.format, list(value.shape), *parts]}
    if isinstance(value, np.ndarray) and value.dtype != object:
        return {_ARRAY: torch.from_numpy(np.ascontiguousarray(value))}
    if isinstance(value, dict):
        return {key: pack(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return {_TUPLE: [pack(item) for item in value]}
    if isinstance(value, list):
        return [pack(item) for item in value]
    raise UserError(
        f"a value of type {type(value).__name__} cannot be stored in a checkpoint that loads "
        "without running code."
    )


def unpack(value: Any) -> Any:
    """Inverse of `pack`.

    Raises:
        ValueError: a tensor or matrix that claims to be larger than its data.
    """
    return _unpack(value, {})


def _unpack(value: Any, done: dict[int, Any]) -> Any:
    """`done` holds what was unpacked by identity: a few bytes can say billions of references."""
    if isinstance(value, torch.Tensor) and value.layout == torch.strided:
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise ValueError("a tensor larger than its data")
        return value
    if not isinstance(value, list | dict):
        return value
    if id(value) not in done:
        done[id(value)] = _unpack_container(value, done)
    return done[id(value)]


def _unpack_container(value: list | dict, done: dict[int, Any]) -> Any:
    if isinstance(value, list):
        return [_unpack(item, done) for item in value]
    if set(value) == {_SPARSE}:
        kind, shape, row, col, data = value[_SPARSE]
        if max(shape) > _MAX_SIDE:
            raise ValueError(f"a matrix of {shape}")
        matrix = sp.coo_matrix((data.numpy(), (row.numpy(), col.numpy())), shape=tuple(shape))
        return matrix.asformat(kind)
    if set(value) == {_ARRAY}:
        return _unpack(value[_ARRAY], done).numpy()
    if set(value) == {_TUPLE}:
        return tuple(_unpack(item, done) for item in value[_TUPLE])
    return {key: _unpack(item, done) for key, item in value.items()}


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write `content` (tensors, arrays, plain values) atomically.

    The format and this package's version are added to it.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    content = pack({"format": FORMAT, "version": __version__, **content})
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:  # torch hides what the file system said
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint without running anything in it.

    Raises:
        UserError: missing, damaged, or not one of ours.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no checkpoint {path}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch also warns of what it then refuses
            content = unpack(torch.load(path, map_location=device, weights_only=True))
    except Exception as error:
        raise UserError(
            f"{path} cannot be read as a checkpoint of recbole-dmf (it is damaged, or holds "
            f"pickled objects, which are never loaded). {CONVERT_CHECKPOINT}"
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("format"), int):
        raise UserError(f"{path} is not a checkpoint of recbole-dmf.")
    if content["format"] != FORMAT:
        raise UserError(
            f"{path} is a checkpoint of format {content['format']}, which version "
            f"{__version__} of recbole-dmf cannot read (it reads format {FORMAT}); "
            f"install version {content.get('version', 'of that time')}, or train again."
        )
    return content
