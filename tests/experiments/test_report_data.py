"""The data files of a report say what its runs say."""

import json

import pandas as pd
import pytest

from comparison_folders import edit_json, make_folder
from recbole_dmf.evaluation.metrics import expected_gain, gains
from recbole_dmf.experiments.report import write_report


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "c", {"ItemPop": 1.0, "DMF": 2.0, "EALS": None})


@pytest.mark.slow
def test_tidy_results(folder):
    write_report(folder)
    table = pd.read_csv(folder / "results.csv", float_precision="round_trip")
    assert list(table) == ["dataset", "model", "seed", "phase", "metric", "reading", "value"]
    assert len(table) == 2 * 3 * (2 * 10 * 3 + 2 * 3)
    assert not table.duplicated(["model", "seed", "phase", "metric", "reading"]).any()
    run = next(folder.glob("runs/DMF-seed2"))
    per_user = pd.read_csv(run / "per_user.csv")
    stored = json.loads((run / "result.json").read_text())["metrics"]
    mine = table[(table["model"] == "DMF") & (table["seed"] == 2)]
    value = mine.set_index(["phase", "metric", "reading"])["value"]
    for reading in ("sampled", "expected", "full"):
        for metric in ("hit@10", "ndcg@10"):
            mean = per_user[f"{metric}_{reading}"].mean()
            assert value["test", metric, reading] == pytest.approx(mean, abs=1e-12)
            assert value["valid", metric, reading] == stored["valid"][reading][metric]
    at_3 = expected_gain(
        gains("ndcg", 3), per_user["n_unseen"], per_user["full_above"], per_user["full_tied"]
    )
    assert value["test", "ndcg@3", "expected"] == pytest.approx(at_3.mean(), abs=1e-12)
    assert value["test", "hit@1", "sampled"] == (per_user["sampled_above"] == 0).mean()


def test_curves_by_epoch(folder):
    write_report(folder)
    table = pd.read_csv(folder / "validation_curves.csv")
    mine = table[(table["model"] == "DMF") & (table["seed"] == 2)]
    history = pd.read_csv(folder / "runs" / "DMF-seed2" / "history.csv")
    assert mine["epoch"].tolist() == history["epoch"].tolist()
    name = "valid_ndcg@10_expected"
    assert mine[name].to_numpy() == pytest.approx(history[name].to_numpy())
    result = json.loads((folder / "runs" / "DMF-seed2" / "result.json").read_text())
    assert mine.loc[mine["kept"] == 1, "epoch"].tolist() == [result["best_epoch"]]


def test_costs_of_each_run(folder):
    edit_json(folder / "runs" / "DMF-seed3" / "result.json", best_epoch=None, peak_memory_mb=None)
    write_report(folder)
    table = pd.read_csv(folder / "costs.csv", index_col=["model", "seed"])
    stored = json.loads((folder / "runs" / "DMF-seed2" / "result.json").read_text())
    run = table.loc["DMF", 2]
    assert run["train_seconds"] == stored["seconds"]["train"]
    assert run["score_seconds"] == stored["seconds"]["score"]
    assert run["peak_memory_mb"] == stored["peak_memory_mb"]
    assert run["best_epoch"] == stored["best_epoch"]
    assert table.loc["DMF", 3][["best_epoch", "peak_memory_mb"]].isna().all()
    assert len(table) == 2 * 3


def test_what_each_run_comes_from(folder):
    path = folder / "runs" / "DMF-seed2" / "result.json"
    edit_json(path, command="run_recbole --model=DMF --seed=2", commit="abc")
    write_report(folder)
    lines = [json.loads(line) for line in (folder / "runs.jsonl").read_text().splitlines()]
    assert [(line["label"], line["seed"]) for line in lines] == [
        (label, seed) for label in ("ItemPop", "DMF") for seed in (1, 2, 3)
    ]
    stored, line = json.loads(path.read_text()), lines[4]
    assert (line["command"], line["commit"]) == ("run_recbole --model=DMF --seed=2", "abc")
    for name in ("settings", "versions", "candidates_sha256", "counts"):
        assert line[name] == stored[name]


def test_figures_of_each_user(folder):
    write_report(folder)
    table = pd.read_csv(folder / "users.csv.gz", index_col="user_id")
    metrics = ("hit@10", "ndcg@10")
    columns = [f"{metric} expected: {label}" for label in ("ItemPop", "DMF") for metric in metrics]
    assert list(table) == columns
    runs = [pd.read_csv(path, index_col="user_id") for path in folder.glob("runs/DMF*/*user.csv")]
    assert len(runs) == 3
    mean = sum(run["ndcg@10_expected"] for run in runs) / 3
    assert table["ndcg@10 expected: DMF"].to_numpy() == pytest.approx(mean.to_numpy(), rel=1e-5)


def test_runs_that_were_best_at_their_last_epoch_are_named(folder):
    assert "The last epoch was the best" not in write_report(folder).text
    for name in ("DMF-seed1", "DMF-seed3"):
        edit_json(folder / "runs" / name / "result.json", best_epoch=7)
    text = write_report(folder).text
    assert "The last epoch was the best of DMF (seed 1, 3): more epochs may give more." in text
