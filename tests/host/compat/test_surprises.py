"""Each workaround beside RecBole's own behaviour: when that half fails, drop the workaround."""

import subprocess
import sys

import pytest
import recbole.trainer.trainer as trainer_module
import torch
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction

from recbole_dmf.errors import UserError
from recbole_dmf.host import lookup, plugin
from recbole_dmf.host.compat import surprises


def test_options_are_literals(apply, config):
    evil = "__import__('builtins').setattr(__import__('sys'), 'recbole_was_here', 1) or 5"
    try:
        assert config(seed=evil)["seed"] == 5  # RecBole evaluates it
        assert sys.recbole_was_here == 1
    finally:
        del sys.recbole_was_here
    apply(surprises.options_are_literals)
    assert config(wandb_project=evil)["wandb_project"] == evil
    assert not hasattr(sys, "recbole_was_here")
    assert config(topk="[3, 5]")["topk"] == [3, 5]


def test_foreign_command_line_is_ignored(apply, monkeypatch, config):
    monkeypatch.setattr(sys, "argv", ["other_program", "--seed=77"])
    assert config()["seed"] == 77  # RecBole takes it for its own
    apply(surprises.foreign_command_line_is_ignored)
    assert config()["seed"] == 2020


def test_data_path_is_honoured(apply, config):
    assert "dataset_example" in config(data_path="/elsewhere")["data_path"]  # RecBole drops it
    apply(surprises.data_path_is_honoured)
    assert config(data_path="/elsewhere")["data_path"] == "/elsewhere/ml-100k"
    assert "dataset_example" in config()["data_path"]


def test_missing_data_set_is_explained(apply, tmp_path, config):
    missing = config(dataset="my-shop", data_path=str(tmp_path))
    with pytest.raises(ValueError, match=r"nor .my-shop. a known dataset name"):
        Dataset(missing)
    apply(surprises.missing_data_set_is_explained)
    with pytest.raises(UserError, match=r"my-shop\.inter"):
        Dataset(missing)


def test_no_stray_tensorboard(apply, tmp_path, monkeypatch):
    import logging

    monkeypatch.chdir(tmp_path)
    trainer_module.get_tensorboard(logging.getLogger()).close()
    assert (tmp_path / "log_tensorboard").is_dir()  # RecBole's writer
    (tmp_path / "log_tensorboard").rename(tmp_path / "old")
    apply(surprises.no_stray_tensorboard)
    trainer_module.get_tensorboard(logging.getLogger()).add_scalar("a", 1, 0)
    assert not (tmp_path / "log_tensorboard").exists()


def test_scores_keep_their_precision(apply, tiny_config, model):
    """Two 64-bit scores that are one number in 32 bits."""
    scores = torch.tensor([1.0, 1.0 + 1e-12], dtype=torch.float64)
    bpr = model("BPR")
    bpr.predict = lambda pairs: scores
    trainer = trainer_module.Trainer(tiny_config(), bpr)
    trainer.tot_item_num = 5
    pairs = Interaction({"user_id": torch.tensor([1, 1]), "item_id": torch.tensor([4, 2])})
    batch = pairs, torch.tensor([0, 0]), torch.tensor([0]), torch.tensor([4])
    with pytest.raises(RuntimeError, match="dtypes match"):
        trainer._neg_sample_batch_eval(batch)
    apply(surprises.scores_keep_their_precision)
    _, table, *_ = trainer._neg_sample_batch_eval(batch)
    inf = float("inf")
    assert table.tolist() == [[-inf, -inf, 1.0 + 1e-12, -inf, 1.0]]


@pytest.mark.slow
@pytest.mark.parametrize(("package", "enabled"), [("recbole", True), ("recbole_dmf.host", False)])
def test_anomaly_detection_stays(package, enabled):
    """RecBole's own behaviour, without which nothing here is needed, and ours."""
    program = (
        f"import {package}, torch; from recbole.utils import get_model; get_model('SINE');"
        f"assert torch.is_anomaly_enabled() is {enabled}"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_looking_for_a_model_leaves_anomaly_detection_alone():
    plugin.register()
    before = torch.is_anomaly_enabled()
    assert lookup.find_model("SINE").__name__ == "SINE"
    assert torch.is_anomaly_enabled() == before
