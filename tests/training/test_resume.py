"""Stopped runs go on and end as those that were never stopped, bit for bit."""

import csv
import json
from pathlib import Path

import pytest
import torch

from conftest import random_rows, write_inter
from recbole_dmf import run_recbole
from recbole_dmf.training import trainer
from recbole_dmf.training.checkpoint import load_checkpoint

MODELS = {
    "DMF": {"learning_rate": 0.01, "init": "xavier"},
    "DMF once": {"sampling": "once", "similarity": "scaled_cosine", "target_masking": True},
    "LFM": {"learning_rate": 0.01},
    "EALS": {"embedding_size": 4},
    "NeuMFp": {"pretrain_epochs": 2, "epochs": 3},
    "ItemKNN": {},
    "ItemPop": {},
    "BPR": {},
    "LightGCN": {},
    "MultiVAE": {},
    "RecVAE": {},
    "SGL": {},
    "EASE": {},
}


class Stop(Exception):
    """What stops the training in these tests."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_inter(tmp_path_factory.mktemp("data"), random_rows())


@pytest.fixture
def start(data, tmp_path):
    def run(model, stop_before=None, resume=False, **options):
        """Train; `stop_before`: number of the epoch, from 1, that must not be begun."""
        chosen = {"epochs": 5, "stopping_step": 2, **MODELS.get(model, {}), **options}
        chosen |= {"data_path": str(data), "checkpoint_dir": str(tmp_path / "runs")}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(trainer, "WRITE_SHARE", 1e9)
            if stop_before:
                original = trainer.RunTrainer._write_state

                def write(self, epochs, *args, **kwargs):
                    original(self, epochs, *args, **kwargs)
                    if epochs + 1 == stop_before or kwargs.get("ended"):
                        raise Stop

                patch.setattr(trainer.RunTrainer, "_write_state", write)
            return run_recbole(model.split()[0], "tiny", config_dict=chosen, resume=resume)

    return run


def outcome(folder):
    """What must not depend on whether a run was stopped."""
    folder = Path(folder)
    result = json.loads((folder / "result.json").read_text())
    names = ("metrics", "best_epoch", "epochs_run", "candidates_sha256", "data_sha256")
    found = {name: result[name] for name in (*names, "settings")}
    found["stages"] = result.get("stages")
    for name in ("per_user.csv", "history.csv"):
        with open(folder / name, newline="") as file:
            found[name] = [
                {k: v for k, v in row.items() if "seconds" not in k} for row in csv.DictReader(file)
            ]
    content = load_checkpoint(folder / "model.pt")
    return found, {**content["state_dict"], "epoch": torch.tensor(content["epoch"])}


def assert_equal(one, other):
    assert one[0] == other[0]
    assert one[1].keys() == other[1].keys()
    for name, value in one[1].items():
        assert torch.equal(value, other[1][name]), name


@pytest.mark.parametrize("model", MODELS)
def test_a_stopped_run_ends_as_one_that_was_not(start, tmp_path, model):
    through = start(model)
    epochs = through["result"]["epochs_run"]
    stops = {epochs // 2 + 1, epochs}
    if model == "NeuMFp":
        stops = range(2, epochs + 2)
    for stop in stops:
        with pytest.raises(Stop):
            start(model, stop_before=stop)
        (unfinished,) = [p.parent for p in tmp_path.glob("runs/*/resume.pt")]
        found = start(model, resume=True)
        assert found["folder"] == str(unfinished)
        assert found["result"]["resumed_after"] == [stop - 1 if epochs > 1 else 1]
        assert_equal(outcome(through["folder"]), outcome(unfinished))
        assert {p.name for p in unfinished.iterdir()} == {
            p.name for p in Path(through["folder"]).iterdir()
        }
