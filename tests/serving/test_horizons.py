"""Several rows of latest items in what is made from a checkpoint."""

import numpy as np
import pytest
import torch

from conftest import history_of, random_rows, write_inter
from recbole_dmf import load, run_recbole
from recbole_dmf.serving.export import export
from recbole_dmf.serving.recommend import Recommender
from recbole_dmf.training.trainer import RunTrainer

OPTIONS = {
    "recent_items": [1, 3, 8],
    "recent_decay": [1.0, 0.5, 0.75],
    "preceding_items": 2,
    "target_masking": True,
    "init": "xavier",
    "output_activation": "linear",
    "learning_rate": 0.01,
    "epochs": 2,
}


@pytest.fixture(scope="module")
def recommender(train_on, tmp_path_factory):
    base = tmp_path_factory.mktemp("horizons")
    folder = train_on(base, write_inter(base / "data", random_rows()), "DMF", OPTIONS)
    return Recommender.load(folder)


def test_a_known_users_history_gets_that_users_scores(recommender):
    for number in (1, 9, 30):
        history = history_of(recommender, number)
        new = recommender.recommend(history=history, k=1000, exclude_seen=False)
        score = recommender.scores(np.array([number]))[0].numpy()
        place = {item: n for n, item in enumerate(recommender.items)}
        expected = score[[place[item] for item in new["item_id"]]]
        np.testing.assert_allclose(new["score"], expected, atol=1e-5)


def test_what_is_loaded_has_the_vectors_of_the_run(tmp_path, monkeypatch):
    kept = []
    original = RunTrainer.load_best
    monkeypatch.setattr(
        RunTrainer, "load_best", lambda self: kept.append(self.model) or original(self)
    )
    data = write_inter(tmp_path / "data", random_rows())
    places = {"data_path": str(data), "checkpoint_dir": str(tmp_path / "runs")}
    outcome = run_recbole("DMF", "tiny", config_dict={**places, **OPTIONS})
    [trained] = kept
    trained.eval()
    for loaded in (load(outcome["folder"])[1], Recommender.load(outcome["folder"]).model):
        assert loaded.preceding.input.rows.value.sum() > 0
        for found, expected in zip(loaded.eval().vectors(), trained.vectors(), strict=True):
            assert torch.equal(found, expected)


def test_the_order_of_a_history_matters(recommender):
    history = history_of(recommender, 4)
    turned = dict(reversed(history.items()))
    one, other = (
        recommender.recommend(history=h, k=1000, exclude_seen=False).set_index("item_id")["score"]
        for h in (history, turned)
    )
    assert (one - other[one.index]).abs().max() > 1e-3


def test_the_users_tower_outside_torch(recommender, tmp_path):
    pytest.importorskip("onnx", reason="ONNX needs the extra `onnx`")
    runtime = pytest.importorskip("onnxruntime", reason="ONNX needs the extra `onnx`")
    export(recommender, tmp_path, ["onnx"])
    session = runtime.InferenceSession(str(tmp_path / "user_tower.onnx"))
    p = recommender.vectors()[0].numpy()
    place = {item: n for n, item in enumerate(recommender.items[1:])}
    for number in (1, 9, 30):
        history = history_of(recommender, number)
        rows = [place[item] for item in history]
        latest, weight = [], []
        for h, (items, decay) in enumerate(recommender.model.horizons):
            for age, row in enumerate(rows[::-1][:items]):
                latest.append(row + h * len(recommender.items))
                weight.append(decay**age)
        inputs = {
            "items": np.array([rows]),
            "ratings": np.array([list(history.values())], np.float32),
            "latest": np.array([latest]),
            "weight": np.array([weight], np.float32),
        }
        np.testing.assert_allclose(session.run(None, inputs)[0][0], p[number], atol=1e-5)


def test_the_checkpoint_keeps_every_horizon(recommender):
    state = recommender.content["state_dict"]
    assert state["recent_weight"].shape == (3 * len(recommender.items), 64)
    assert torch.equal(state["recent_weight"], recommender.model.recent_weight)
