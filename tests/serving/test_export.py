import json
import sys

import numpy as np
import pytest
import torch

from conftest import history_of
from recbole_dmf.errors import UserError
from recbole_dmf.serving import export as module
from recbole_dmf.serving.export import export, tower_vectors

VARIANTS = [
    "DMF-cosine",
    "DMF-scaled",
    "DMF-dot",
    "DMF-binary",
    "DMF-relu",
    "DMF-deep",
    "DMF-bias",
    "DMF-recent",
]
WITH_VECTORS = [*VARIANTS, "LFM", "BPR", "EALS"]


@pytest.mark.parametrize("name", WITH_VECTORS)
def test_vectors_and_ids(name, load, tmp_path):
    recommender = load(name)
    assert export(recommender, tmp_path / "new" / "folder", ["npz"]) == [
        tmp_path / "new" / "folder" / "vectors.npz"
    ]
    with np.load(tmp_path / "new" / "folder" / "vectors.npz", allow_pickle=False) as found:
        arrays = dict(found)
    assert arrays["user_ids"].tolist() == recommender.users[1:].tolist()
    assert arrays["item_ids"].tolist() == recommender.items[1:].tolist()
    p, q = arrays["user_vectors"], arrays["item_vectors"]
    assert p.dtype == q.dtype == np.float32
    scores = recommender.scores(np.arange(1, len(recommender.users))).numpy()[:, 1:]
    np.testing.assert_allclose(p @ q.T, scores, rtol=1e-4, atol=1e-5)
    if name in ("DMF-cosine", "DMF-scaled", "DMF-binary", "DMF-deep", "LFM"):
        np.testing.assert_allclose(np.linalg.norm(p, axis=1), 1, atol=1e-6)
        rated = np.diff(recommender.train.T.tocsr().indptr)[1:] > 0
        np.testing.assert_allclose(np.linalg.norm(q[rated], axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("name", WITH_VECTORS)
def test_search_in_the_index_is_the_models_ranking(name, load, tmp_path):
    faiss = pytest.importorskip("faiss", reason="the index needs the extra `faiss`")
    recommender = load(name)
    export(recommender, tmp_path, ["npz", "faiss"])
    index = faiss.read_index(str(tmp_path / "items.faiss"))
    with np.load(tmp_path / "vectors.npz") as arrays:
        score, row = index.search(arrays["user_vectors"], 20)
        found = arrays["item_ids"][row]
    expected = recommender.recommend(recommender.users[1:], k=20, exclude_seen=False)
    best = expected["score"].to_numpy().reshape(-1, 20)
    size = max(1.0, np.abs(best).max())  # inner products of vectors of any length are not below 1
    np.testing.assert_allclose(score, best, rtol=0, atol=1e-6 * size)
    for n, user in enumerate(recommender.users[1:]):
        own = recommender.score(user, found[n])["score"].to_numpy()  # equal ones in any order
        np.testing.assert_allclose(own, best[n], rtol=0, atol=2e-6 * size)
        assert len(set(found[n])) == 20


@pytest.mark.parametrize("name", VARIANTS)
def test_user_tower_outside_torch(name, load, tmp_path):
    pytest.importorskip("onnx", reason="ONNX needs the extra `onnx`")
    runtime = pytest.importorskip("onnxruntime", reason="ONNX needs the extra `onnx`")
    recommender = load(name)
    export(recommender, tmp_path, ["onnx"])
    session = runtime.InferenceSession(str(tmp_path / "user_tower.onnx"))
    p, q = (table.numpy() for table in recommender.vectors())
    for number in range(1, len(recommender.users)):
        row = recommender.train[number]
        order = np.random.default_rng(number).permutation(row.nnz)
        inputs = {
            "items": np.append(row.indices[order] - 1, 7)[None].astype(np.int64),
            "ratings": np.append(row.data[order], 0)[None].astype(np.float32),
        }
        if name == "DMF-recent":
            start, item = (recommender.model.history_start, recommender.model.history_item)
            latest = item[start[number] : start[number + 1]].flip(0)[:3].numpy()
            inputs["latest"] = np.append(latest - 1, 7)[None].astype(np.int64)
            weight = np.append([1.0, 0.5, 0.25][: len(latest)], 0)
            inputs["weight"] = weight[None].astype(np.float32)
        vector = session.run(None, inputs)[0]
        size = max(1.0, np.abs(p).max())
        np.testing.assert_allclose(vector, p[number : number + 1], rtol=0, atol=1e-5 * size)
        history = history_of(recommender, number)
        best = recommender.recommend(history=history, k=1, exclude_seen=False)
        assert abs((vector @ q[1:].T).max() / best["score"][0] - 1) <= 2e-5
    nothing = {
        entry.name: np.zeros((2, 1), np.int64 if "int" in entry.type else np.float32)
        for entry in session.get_inputs()
    }
    assert np.isfinite(session.run(None, nothing)[0]).all()


def test_a_wrong_user_tower_is_not_written(load, tmp_path, monkeypatch):
    pytest.importorskip("onnx", reason="ONNX needs the extra `onnx`")
    pytest.importorskip("onnxruntime", reason="ONNX needs the extra `onnx`")
    monkeypatch.setattr(
        module, "tower_vectors", lambda r: (tower_vectors(r)[0] + 1e-4, tower_vectors(r)[1])
    )
    with pytest.raises(UserError, match=r"differ from torch's by 1\.0e-04"):
        export(load("DMF-cosine"), tmp_path / "out", ["npz", "onnx"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["DMF-scaled", "LFM", "BPR", "NeuMFp", "LightGCN", "ItemPop"])
def test_weights(name, load, tmp_path):
    library = pytest.importorskip("safetensors", reason="needs the extra `safetensors`")
    recommender = load(name)
    export(recommender, tmp_path, ["safetensors"])
    with library.safe_open(tmp_path / "weights.safetensors", "pt") as file:
        about = file.metadata()
        found = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    state = recommender.model.state_dict()
    assert state.keys() <= found.keys()
    assert all(torch.equal(found[key], state[key]) for key in state)
    assert (found.keys() > state.keys()) == (name == "LightGCN")  # its propagated vectors
    assert about["model"] == recommender.content["model"]
    assert json.loads(about["settings"]) == recommender.content["settings"]


@pytest.mark.parametrize(
    ("package", "form", "extra"),
    [
        ("faiss", "faiss", "faiss"),
        ("onnx", "onnx", "onnx"),
        ("onnxruntime", "onnx", "onnx"),
        ("safetensors.torch", "safetensors", "safetensors"),
    ],
)
def test_missing_package(package, form, extra, load, tmp_path, monkeypatch):
    pytest.importorskip(package, reason="only one package is to be missing")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf"recbole-dmf\[{extra}\]"):
        export(load("DMF-cosine"), tmp_path / "out", ["npz", form])
    assert not (tmp_path / "out").exists()
