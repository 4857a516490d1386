"""Every count has one source: what is printed, stored and reported of a run is the same number."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from conftest import random_rows, write_inter
from recbole_dmf.cli import dispatch, guarded
from recbole_dmf.run import run_recbole
from recbole_dmf.training.checkpoint import load_checkpoint

ITEMS = sorted({row[1] for row in random_rows(n_users=12, n_items=60, per_user=10)})
ROWS = [
    *random_rows(n_users=12, n_items=60, per_user=10),
    *(("short", item, 3, 1) for item in ITEMS[:2]),
    *(("everything", item, 4, 1 + n) for n, item in enumerate(ITEMS)),
    *(("untimed", item, 4, 0) for item in ITEMS[:5]),
    *(("level", item, 4, 9) for item in ITEMS[:5]),
]


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """12 usual users, and some of whom something is not the usual; two lines are of one pair."""
    return write_inter(tmp_path_factory.mktemp("odd"), [*ROWS, ROWS[0]])


def lines_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("model", ["DMF", "EALS", "ItemPop", "EASE"])
def test_a_runs_counts_are_those_of_the_file(model, odd, tmp_path):
    options = {"data_path": str(odd), "checkpoint_dir": str(tmp_path), "epochs": 3}
    found = run_recbole(model, "tiny", config_dict={**options, "use_gpu": False})
    folder, result = Path(found["folder"]), found["result"]
    ranked = 12 + 1  # the usual users and `level`
    assert result["counts"] == {
        "users": 12 + 4,
        "items": len(ITEMS),
        "train": len(ROWS) - 2 * (12 + 2),  # `everything` is split, but cannot be ranked
        "valid": ranked,
        "test": ranked,
    }
    log = (folder / "run.log").read_text()
    assert f"{12 + 4} users, {len(ITEMS)} items, {result['counts']['train']} training" in log
    assert f"; {ranked} users evaluated" in log
    users = {row["user_id"] for row in lines_of(folder / "per_user.csv")}
    assert users == {*(f"u{n}" for n in range(12)), "level"}
    content, history = load_checkpoint(folder / "model.pt"), lines_of(folder / "history.csv")
    assert content["train"].nnz == result["counts"]["train"]
    assert len(history) == result["epochs_evaluated"]
    assert result["epochs_run"] == (3 if model in ("DMF", "EALS") else 1)
    if result["best_epoch"] is None:
        assert model in ("ItemPop", "EASE")
        assert "best epoch" not in log
    else:
        values = [float(row["valid_ndcg@10_expected"]) for row in history]
        best = 1 + max(n for n, value in enumerate(values) if value == max(values))
        assert content["epoch"] == result["best_epoch"] == best
        assert f"best epoch {best} of 3" in log
    stored = [value for value in content["state_dict"].values()]
    if model == "DMF":
        assert result["parameters"] == sum(value.numel() for value in stored)


def test_check_counts_as_a_run_does(odd, capsys):
    guarded(dispatch, ["check", str(odd / "tiny")])
    shown = capsys.readouterr().out
    for users, words in (
        (1, "have fewer than 3 interactions, e.g. short"),
        (1, "have rated every item, e.g. everything"),
        (13, "have fewer than 100 items that they have not rated, e.g."),
        (1, "have several latest items, e.g. level"),
        (1, "have 0 as their latest timestamp, e.g. untimed"),
    ):
        assert f"{users} of 16 users {words}" in shown


@pytest.mark.slow
def test_a_reports_counts_are_the_runs(odd, tmp_path, capsys):
    words = [
        "compare",
        "--dataset=tiny",
        f"--data_path={odd}",
        "--models=ItemPop,EALS",
        "--seeds=1",
    ]
    assert guarded(dispatch, [*words, "--epochs=2", f"--results={tmp_path / 'table'}"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"Users tested: 13( \(\d+ warm\))?\. ", shown)
    cost = shown.partition("Cost\n")[2]
    for model in ("ItemPop", "EALS"):
        path = tmp_path / "table" / "runs" / f"{model}-seed1" / "result.json"
        result = json.loads(path.read_text())
        row = re.search(rf"^{model} .*$", cost, re.M)[0].split()
        assert row[-2].replace(",", "") == str(result["parameters"])
        assert row[-1] == (str(result["best_epoch"]) if model == "EALS" else "-")
    of_eals = 64 * (1 + 16 + 1 + len(ITEMS))  # factors of every user and item, padding included
    assert np.array_equal(result["parameters"], of_eals)
