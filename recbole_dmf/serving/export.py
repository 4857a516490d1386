"""A trained model's vectors and weights in formats that other programs read."""

import io
import json
from collections.abc import Callable
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from recbole_dmf.errors import UserError
from recbole_dmf.files import atomic_path, make_folder
from recbole_dmf.models.dmf import DMF
from recbole_dmf.serving.onnx_graph import user_tower_graph
from recbole_dmf.serving.recommend import Recommender, scores_as_dmf

ONNX_OPSET, ONNX_IR = 17, 8  # read by onnxruntime 1.12 and later
TOLERANCE = 1e-5  # of onnxruntime's vectors from torch's, relative to entries above 1
_CHECKED_USERS = 64
_PROTOBUF_LIMIT = 2**31 - 2**20


def npz(recommender: Recommender) -> bytes:
    """Vectors and ids, for `numpy.load(file, allow_pickle=False)`.

    Arrays: user_ids [n_users] and item_ids [n_items], text of fixed width; user_vectors
    [n_users, f] and item_vectors [n_items, f], float32, whose inner product is the score. Padding
    is left out.

    Raises:
        UserError: the model has no such vectors.
    """
    p, q = tower_vectors(recommender)
    stream = io.BytesIO()
    np.savez_compressed(
        stream,
        user_ids=recommender.users[1:].astype(np.str_),
        user_vectors=p,
        item_ids=recommender.items[1:].astype(np.str_),
        item_vectors=q,
    )
    return stream.getvalue()


def faiss(recommender: Recommender) -> bytes:
    """A FAISS IndexFlatIP over the item vectors; its row n is item_ids[n] of `npz`.

    Its search with a user's vector is the model's own ranking, seen items included.

    Raises:
        UserError: the model has no such vectors, or faiss is not installed.
    """
    library = _package("faiss", "faiss")
    _, q = tower_vectors(recommender)
    index = library.IndexFlatIP(q.shape[1])
    index.add(q)
    return library.serialize_index(index).tobytes()


def safetensors(recommender: Recommender) -> bytes:
    """The state dict and other learned tensors; model, data set and options (JSON) as metadata.

    Raises:
        UserError: what the model learned is not all in tensors, or safetensors is not installed.
    """
    library = _package("safetensors.torch", "safetensors")
    content = recommender.content
    other = {k: v for k, v in content["other_parameter"].items() if v is not None}
    no_tensors = [name for name, value in other.items() if not isinstance(value, torch.Tensor)]
    if no_tensors:
        raise UserError(
            f"{content['model']} keeps {', '.join(no_tensors)} in matrices that safetensors cannot "
            "hold; leave it out of --formats."
        )
    about = {name: content[name] for name in ("model", "dataset")}
    about["settings"] = json.dumps(content["settings"], sort_keys=True)
    state = {**other, **recommender.model.state_dict()}
    # Clones, since tensors must not share memory.
    return library.save({k: v.detach().cpu().contiguous().clone() for k, v in state.items()}, about)


def onnx(recommender: Recommender) -> bytes:
    """DMF's user tower, checked against torch by onnxruntime.

    Inputs: `items` int64 [batch, length], rows of item_ids of `npz`, and `ratings` float32
    [batch, length]; shorter rows are filled up with rating 0 (and any item). Output: `vector`
    float32 [batch, f], as user_vectors of `npz`. A model with `recent_items` has two more inputs:
    `latest` int64 [batch, n], the rows of the latest items, and `weight` float32 [batch, n], 1 for
    the last item, `recent_decay` for the one before it and so on. Where `recent_items` is a list,
    the items of its number h = 0, 1, ... stand in `latest` as row + h (n_items + 1).

    The graph is built node by node, so it does not depend on which exporter torch has.

    Raises:
        UserError: another model than DMF, onnx or onnxruntime is not installed, or the results
            differ.
    """
    library, runtime = _package("onnx", "onnx"), _package("onnxruntime", "onnx")
    if not isinstance(recommender.model, DMF) or not scores_as_dmf(type(recommender.model)):
        raise UserError(
            f"onnx holds DMF's user tower, which {recommender.content['model']} does not have; "
            "leave it out of --formats."
        )
    graph = user_tower_graph(recommender.model, library)
    model = library.helper.make_model(
        graph,
        opset_imports=[library.helper.make_opsetid("", ONNX_OPSET)],
        ir_version=ONNX_IR,
        producer_name="recbole-dmf",
    )
    if sum(len(tensor.raw_data) for tensor in graph.initializer) > _PROTOBUF_LIMIT:
        raise UserError("the user tower is larger than the 2 GB that an ONNX file can hold.")
    library.checker.check_model(model, full_check=True)
    content = model.SerializeToString()
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    users = np.arange(1, min(len(recommender.users), 1 + _CHECKED_USERS))
    found = session.run(["vector"], _known_users(recommender, users))[0]
    expected = tower_vectors(recommender)[0][users - 1]
    difference = float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))
    if not difference <= TOLERANCE:
        raise UserError(
            f"onnxruntime's user vectors differ from torch's by {difference:.1e}, more than "
            f"{TOLERANCE:g}; the ONNX file is not written."
        )
    return content


FORMATS: dict[str, tuple[str, Callable[[Recommender], bytes]]] = {
    "npz": ("vectors.npz", npz),
    "faiss": ("items.faiss", faiss),
    "safetensors": ("weights.safetensors", safetensors),
    "onnx": ("user_tower.onnx", onnx),
}


def export(recommender: Recommender, folder: Path, formats: list[str]) -> list[Path]:
    """Write the chosen formats into a folder; all of them or none.

    Raises:
        UserError: unknown format, a missing package, a model without what a format holds, or the
            folder cannot be written.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise UserError(
            f"--formats names {', '.join(map(repr, unknown)) or 'nothing'}; choose from "
            f"{', '.join(FORMATS)}."
        )
    contents = {}
    for name in dict.fromkeys(formats):
        file, write = FORMATS[name]
        contents[file] = write(recommender)
    folder = make_folder(folder)
    with ExitStack() as stack:  # all under temporary names first, renamed when all are written
        for file, content in contents.items():
            stack.enter_context(atomic_path(folder / file)).write_bytes(content)
    return [folder / file for file in contents]


def tower_vectors(recommender: Recommender) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Vectors of users and items without padding, float32 [n_users, f] and [n_items, f].

    Raises:
        UserError: the model has no such vectors.
    """
    p, q = (table[1:].cpu().float().numpy() for table in recommender.vectors())
    return np.ascontiguousarray(p), np.ascontiguousarray(q)


def _package(module: str, extra: str):
    try:
        return import_module(module)
    except ImportError as error:
        raise UserError(
            f"this format needs {module.split('.')[0]}, which cannot be imported ({error}); "
            f"pip install 'recbole-dmf[{extra}]'."
        ) from error


def _padded(rows: sp.csr_matrix) -> tuple[NDArray, NDArray]:
    """Columns (from 0) and values of each row, filled up with value 0."""
    length = np.diff(rows.indptr)
    row = np.repeat(np.arange(rows.shape[0]), length)
    place = np.arange(rows.nnz) - rows.indptr[row]
    items = np.zeros((rows.shape[0], max(1, length.max())), np.int64)
    values = np.zeros(items.shape, np.float32)
    items[row, place], values[row, place] = rows.indices - 1, rows.data
    return items, values


def _known_users(recommender: Recommender, users: NDArray) -> dict[str, NDArray]:
    """Inputs of the ONNX graph."""
    items, ratings = _padded(recommender.train[users])
    inputs = {"items": items, "ratings": ratings}
    if recommender.model.recent_items:
        rows = recommender.model.latest(torch.from_numpy(users))
        inputs["latest"], inputs["weight"] = _padded(rows.matrix())
    return inputs
