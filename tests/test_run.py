"""Whole runs, from options to results on disk, on real RecBole."""

import csv
import json
import re

import numpy as np
import pytest
import torch
import yaml

from conftest import random_rows, write_inter
from recbole_dmf import run_recbole
from recbole_dmf.errors import UserError
from recbole_dmf.training.checkpoint import load_checkpoint

pytestmark = pytest.mark.slow

FAST = {"epochs": 2, "learning_rate": 0.01, "init": "xavier", "show_progress": False}


@pytest.fixture
def run(tiny, tmp_path):
    def start(model="DMF", **options):
        options = {"data_path": str(tiny), "checkpoint_dir": str(tmp_path / "runs"), **options}
        return run_recbole(model, "tiny", config_dict=options)

    return start


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_results_on_disk(run, tmp_path):
    from pathlib import Path

    found = run(**FAST)
    folder = Path(found["folder"])
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "config.yaml",
        "history.csv",
        "model.pt",
        "per_user.csv",
        "result.json",
        "run.log",
        "tensorboard",
    }
    result = json.loads((folder / "result.json").read_text())
    assert result == found["result"]
    assert result["model"] == result["label"] == "DMF"
    assert result["counts"] == {
        "users": 30,
        "items": result["counts"]["items"],
        "train": 300,
        "valid": 30,
        "test": 30,
    }
    history = read_csv(folder / "history.csv")
    assert [row["epoch"] for row in history] == ["1", "2"]
    best = max(history, key=lambda row: (float(row["valid_ndcg@10_expected"]), int(row["epoch"])))
    assert int(best["epoch"]) == result["best_epoch"]
    for reading in ("sampled", "expected", "full"):
        for name in ("hit@10", "ndcg@10"):
            value = result["metrics"]["valid"][reading][name]
            assert value == pytest.approx(float(best[f"valid_{name}_{reading}"]), abs=1e-12)
            per_user = [
                float(row[f"{name}_{reading}"]) for row in read_csv(folder / "per_user.csv")
            ]
            assert np.mean(per_user) == pytest.approx(result["metrics"]["test"][reading][name])
    content = load_checkpoint(folder / "model.pt")
    assert content["epoch"] == result["best_epoch"]
    assert found["test_result"] == result["metrics"]["test"]["sampled"]
    assert not list(tmp_path.rglob("*.tmp"))


def test_per_user_names_users_and_items_as_in_the_file(run):
    found = run(**FAST)
    rows = read_csv(f"{found['folder']}/per_user.csv")
    latest = {}
    for user, item, _, time in random_rows():
        if time > latest.get(user, ("", -1))[1]:
            latest[user] = (item, time)
    assert {row["user_id"]: row["item_id"] for row in rows} == {
        u: i for u, (i, _) in latest.items()
    }


@pytest.mark.parametrize("model", ["DMF", "BPR", "LightGCN", "EASE", "NeuMF", "ItemKNN", "Pop"])
def test_models_train_checkpoint_reload_and_test(run, model):
    found = run(model, **({**FAST} if model == "DMF" else {"epochs": 2}))
    result = found["result"]
    assert set(result["metrics"]) == {"valid", "test"}
    assert 0 <= result["metrics"]["test"]["expected"]["ndcg@10"] <= 1
    content = load_checkpoint(f"{found['folder']}/model.pt")
    assert content["model"] == model


def test_same_users_items_and_candidates_for_every_model(run):
    first, second = (
        run(model, **options)["result"]
        for model, options in (("DMF", FAST), ("BPR", {"epochs": 1}))
    )
    assert first["candidates_sha256"] == second["candidates_sha256"]
    assert first["counts"] == second["counts"]


@pytest.mark.parametrize("model", ["DMF", "BPR"])
def test_a_runs_config_repeats_it_to_the_last_digit(run, tmp_path, model):
    options = FAST if model == "DMF" else {"epochs": 2}
    first = run(model, **options, seed=11, split_seed=4)
    again = run_recbole(config_file_list=[f"{first['folder']}/config.yaml"])
    assert again["folder"] != first["folder"]
    for name in ("metrics", "best_epoch", "candidates_sha256", "settings", "seed"):
        assert again["result"][name] == first["result"][name]
    columns = [
        [
            {k: v for k, v in row.items() if "seconds" not in k}
            for row in read_csv(f"{r['folder']}/{n}")
        ]
        for r in (first, again)
        for n in ("per_user.csv", "history.csv")
    ]
    assert columns[:2] == columns[2:]
    states = [load_checkpoint(f"{r['folder']}/model.pt")["state_dict"] for r in (first, again)]
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])


def test_the_best_epoch_is_tested_not_the_last(run):
    found = run(epochs=4, learning_rate=0.05, init="xavier", stopping_step=4)
    history = read_csv(f"{found['folder']}/history.csv")
    scores = [float(row["valid_ndcg@10_expected"]) for row in history]
    result = found["result"]
    assert max(scores) == pytest.approx(
        result["metrics"]["valid"]["expected"]["ndcg@10"], abs=1e-12
    )


def test_epochs_are_counted_where_not_each_is_evaluated(run):
    found = run(epochs=5, eval_step=2)
    assert [row["epoch"] for row in read_csv(f"{found['folder']}/history.csv")] == ["2", "4"]
    assert found["result"]["epochs_run"] == 5
    assert found["result"]["epochs_evaluated"] == 2
    assert found["result"]["best_epoch"] in (2, 4)


def test_sampling_once_keeps_the_negatives(ready):
    from recbole_dmf.host import lookup

    for sampling, same in (("once", True), ("per_epoch", False)):
        config, prepared, model = ready(sampling=sampling)
        trainer = lookup.find_trainer(config)(config, model)
        loader = lookup.train_loader(config, prepared.train, prepared.sampler)
        trainer._train_epoch(loader, 0)
        first = trainer.negatives.clone()
        trainer._train_epoch(loader, 1)
        assert torch.equal(first, trainer.negatives) == same


def test_other_splits_run_with_recboles_own_evaluation(run):
    eval_args = {
        "split": {"RS": [0.8, 0.1, 0.1]},
        "order": "RO",
        "group_by": "user",
        "mode": "full",
    }
    found = run(
        "DMF", **FAST, eval_args=eval_args, metrics=["Recall", "GAUC"], valid_metric="Recall@10"
    )
    assert set(found["test_result"]) == {"recall@10", "gauc"}


def test_users_with_little_or_everything(tmp_path, caplog):
    rows = random_rows(n_users=12, n_items=60, per_user=10)
    items = sorted({row[1] for row in rows})
    rows += [("short", items[0], 3, 1), ("short", items[1], 3, 2)]
    rows += [("eager", item, 4, n) for n, item in enumerate(items)]
    folder = write_inter(tmp_path / "odd", rows)
    options = {"data_path": str(folder), "checkpoint_dir": str(tmp_path / "runs"), **FAST}
    found = run_recbole("DMF", "tiny", config_dict=options)
    log = (tmp_path / "runs" / found["folder"].rsplit("/", 1)[1] / "run.log").read_text()
    assert "1 user(s) with fewer than 3 interactions are trained on but not evaluated" in log
    assert "1 user(s) have interacted with every item and are not evaluated" in log
    assert "12 user(s) have fewer than 100 unseen items; all of them are ranked" in log
    users = {row["user_id"] for row in read_csv(f"{found['folder']}/per_user.csv")}
    assert users == {f"u{n}" for n in range(12)}


def test_interrupted_training_keeps_the_best_epoch(run, monkeypatch):
    from recbole_dmf.training import trainer

    original = trainer.RunTrainer._valid_epoch

    def interrupted(self, *args, **kwargs):
        if len(self.history) == 2:
            raise KeyboardInterrupt
        return original(self, *args, **kwargs)

    monkeypatch.setattr(trainer.RunTrainer, "_valid_epoch", interrupted)
    with pytest.raises(
        UserError, match=r"interrupted. The best epoch so far \(\d\) is in (.*)\."
    ) as e:
        run(**{**FAST, "epochs": 9})
    assert e.value.exit_code == 130
    path, resume = re.search(
        r" is in (.*)\.\n.*: run_recbole --resume=(.*)$", str(e.value)
    ).groups()
    assert load_checkpoint(path)["epoch"] in (1, 2)
    assert path == f"{resume}/model.pt"


def test_settings_are_complete_and_plain(run):
    found = run(**FAST)
    with open(f"{found['folder']}/config.yaml") as file:
        settings = yaml.safe_load(file)
    assert settings["model"] == "DMF"
    assert settings["learning_rate"] == 0.01
    assert settings["eval_args"]["split"] == {"LS": "latest_test_random_valid"}
    assert "device" not in settings


def test_runs_at_the_same_second_do_not_collide(run):
    assert len({run("Pop", epochs=1)["folder"] for _ in range(3)}) == 3
