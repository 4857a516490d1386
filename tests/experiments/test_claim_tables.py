"""Claims on tables of which the runs were not kept, and by the reading to lead with."""

import json
import shutil
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from comparison_folders import make_folder
from recbole_dmf.errors import UserError
from recbole_dmf.evaluation.significance import bootstrap_interval, welch
from recbole_dmf.experiments.claim_tables import SEEDS, USERS_AND_SEEDS, difference, read_table
from recbole_dmf.experiments.claims import claims, claims_page
from recbole_dmf.experiments.report import write_report

HITS = {
    "ItemPop": [0.40],
    "ItemKNN": [0.60],
    "eALS": [0.621, 0.622, 0.623],
    "NeuMF-p": [0.60, 0.64, 0.66],
    "DMF-2-ce": [0.63, 0.631, 0.632],
    "DMF-2-nce": [0.65, 0.651, 0.652],
}


def write_figures(folder, hits, readings=("expected",), deterministic=("ItemPop", "ItemKNN")):
    """A comparison's folder without its runs."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        (label, seed, phase, metric, reading, value - 0.2 * (metric == "ndcg@10") - 0.1 * place)
        for label, values in hits.items()
        for seed, value in enumerate(values, 1)
        for phase in ("valid", "test")
        for metric in ("hit@10", "ndcg@10")
        for place, reading in enumerate(readings)
    ]
    names = ["model", "seed", "phase", "metric", "reading", "value"]
    pd.DataFrame(rows, columns=names).to_csv(folder / "results.csv", index=False)
    about = {"models": list(hits), "deterministic": list(deterministic), "expected": {}}
    (folder / "comparison.json").write_text(json.dumps(about))


def row_of(found, claim, metric="hit@10"):
    return next(r for r in found["rows"] if (r["claim"], r["metric"]) == (claim, metric))


def test_without_runs_seeds_alone_are_tested(tmp_path):
    write_figures(tmp_path / "table2-ml-100k", HITS)
    found = claims(tmp_path, ["ml-100k"])
    row = row_of(found, "DMF beats eALS")
    test = stats.ttest_ind(HITS["DMF-2-nce"], HITS["eALS"], equal_var=False)
    interval = test.confidence_interval()
    assert row["chance"] == SEEDS
    assert row["p_value"] == pytest.approx(test.pvalue)
    assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))
    assert row["p_holm"] > row["p_value"]
    assert row["verdict"] == "holds"
    assert row_of(found, "DMF beats NeuMF-p")["verdict"] == "can't be told"
    deterministic = row_of(found, "DMF beats ItemPop")
    one = stats.ttest_1samp(HITS["DMF-2-nce"], HITS["ItemPop"][0])
    assert deterministic["p_value"] == pytest.approx(one.pvalue)
    assert found["sources"]["table2-ml-100k"]["from"] == "results.csv"
    text = claims_page({"command": "c", "commit": "d", **found})
    assert "| holds | seeds alone, expected | eALS | +0.0290 |" in text


def test_one_run_of_a_model_with_seeds_tells_nothing(tmp_path):
    write_figures(tmp_path / "table2-ml-100k", {k: v[:1] for k, v in HITS.items()})
    row = row_of(claims(tmp_path, ["ml-100k"]), "DMF beats ItemPop")
    assert row["verdict"] == "can't be told"
    assert (row["p_value"], row["low"], row["high"]) == (1.0, None, None)
    assert row["difference"] == pytest.approx(0.25)


def test_figures_that_mislead_are_marked_unless_the_warm_ones_are_there(tmp_path):
    write_figures(tmp_path / "table2-amazon-music", HITS)
    write_figures(tmp_path / "table3-amazon-music", {"LFM-nce": [0.5, 0.6], "DMF-1-nce": [0.7]})
    (tmp_path / "audit-amazon-music.json").write_text(json.dumps({"headline": "warm"}))
    row = row_of(claims(tmp_path, ["amazon-music"]), "DMF beats eALS")
    assert (row["reading"], row["misleads"]) == ("expected", True)
    (tmp_path / "table2-amazon-music" / "results.csv").unlink()
    (tmp_path / "table2-amazon-music" / "comparison.json").unlink()
    (tmp_path / "table2-amazon-music").rmdir()
    write_figures(tmp_path / "table2-amazon-music", HITS, ("expected", "warm"))
    row = row_of(claims(tmp_path, ["amazon-music"]), "DMF beats eALS")
    assert (row["reading"], row["misleads"]) == ("warm", False)
    assert row["difference"] == pytest.approx(0.029)
    table = read_table(tmp_path / "table2-amazon-music", tmp_path / "audit-amazon-music.json")
    assert table.means["ItemPop"]["hit@10"] == pytest.approx([0.30])


def test_columns_that_were_not_run_make_a_claim_not_measured(tmp_path):
    some = {label: HITS[label] for label in ("ItemPop", "ItemKNN", "eALS")}
    write_figures(tmp_path / "table2-ml-100k", some)
    rows = claims(tmp_path, ["ml-100k"])["rows"]
    assert {row["verdict"] for row in rows} == {"not measured"}


def test_no_table(tmp_path):
    assert read_table(tmp_path / "table2-x", tmp_path / "audit-x.json") is None
    (tmp_path / "table2-x" / "runs" / "eALS-seed1-failed").mkdir(parents=True)
    assert read_table(tmp_path / "table2-x", tmp_path / "audit-x.json") is None
    write_figures(tmp_path / "table2-x", HITS)
    (tmp_path / "table2-x" / "results.csv").write_text("model,seed\nA,1\n")
    with pytest.raises(UserError, match="column 'phase' is missing"):
        read_table(tmp_path / "table2-x", tmp_path / "audit-x.json")


def write_users(folder, hits, reading="expected", n_users=40):
    """users.csv.gz whose means are those of `hits`."""
    noise = np.random.default_rng(0).normal(0, 0.1, n_users)
    noise -= noise.mean()
    columns = {
        f"{metric} {reading}: {label}": np.mean(values) - 0.2 * (metric == "ndcg@10") + noise * i
        for i, (label, values) in enumerate(hits.items())
        for metric in ("hit@10", "ndcg@10")
    }
    table = pd.DataFrame(columns, index=pd.Index(range(n_users), name="user_id"))
    table.to_csv(folder / "users.csv.gz")
    return table


def test_without_runs_users_are_tested_where_their_figures_were_kept(tmp_path):
    folder = tmp_path / "table2-ml-100k"
    write_figures(folder, HITS)
    users = write_users(folder, HITS)
    found = claims(tmp_path, ["ml-100k"])
    row = row_of(found, "DMF beats eALS")
    assert row["chance"] == USERS_AND_SEEDS
    assert row["difference"] == pytest.approx(0.029, abs=1e-6)
    per_user = users["hit@10 expected: DMF-2-nce"] - users["hit@10 expected: eALS"]
    assert (row["low"], row["high"]) == pytest.approx(bootstrap_interval(per_user.to_numpy()))
    assert row["low"] < row["difference"] < row["high"]
    assert row["seed_low"] == pytest.approx(0.65 - 0.623)
    text = claims_page({"command": "c", "commit": "d", **found})
    line = "- `table2-ml-100k` (results.csv, users.csv.gz): seeds 1, 2, 3, 40 users\n"
    assert line in text
    assert len(users) == 40


def test_users_of_another_comparison(tmp_path):
    folder = tmp_path / "table2-ml-100k"
    write_figures(folder, HITS)
    write_users(folder, {**HITS, "eALS": [0.7]})
    with pytest.raises(UserError, match=r"users of 'eALS' give hit@10 0.7000, results.csv says"):
        read_table(folder, tmp_path / "audit-ml-100k.json")
    write_users(folder, {k: v for k, v in HITS.items() if k != "eALS"})
    with pytest.raises(UserError, match="column 'hit@10 expected: eALS' is missing"):
        read_table(folder, tmp_path / "audit-ml-100k.json")
    users = write_users(folder, HITS)
    file = folder / "users.csv.gz"
    pd.concat([users, users.loc[[3]]]).to_csv(file)
    with pytest.raises(UserError, match="user_id '3' occurs twice"):
        read_table(folder, tmp_path / "audit-ml-100k.json")
    write_users(folder, HITS)
    file.write_bytes(file.read_bytes()[:-60])
    with pytest.raises(UserError, match=r"users.csv.gz: cannot be read as CSV"):
        read_table(folder, tmp_path / "audit-ml-100k.json")
    file.write_bytes(b"no gzip")
    with pytest.raises(UserError, match=r"users.csv.gz: cannot be read as CSV"):
        read_table(folder, tmp_path / "audit-ml-100k.json")


def test_a_report_without_its_runs_gives_the_same_claims(tmp_path):
    models = {"ItemPop": 0.5, "eALS": 1.0, "DMF-2-nce": 1.1}
    folder = make_folder(tmp_path / "table2-ml-100k", models, seeds=(1, 2))
    write_report(folder)
    before = read_table(folder, tmp_path / "audit-ml-100k.json")
    shutil.rmtree(folder / "runs")
    after = read_table(folder, tmp_path / "audit-ml-100k.json")
    assert after.chance(["eALS", "DMF-2-nce"]) == before.chance(["eALS", "DMF-2-nce"])
    one, two = (
        asdict(difference(table, "DMF-2-nce", "eALS", "ndcg@10")) for table in (before, after)
    )
    assert two == pytest.approx(one, abs=1e-5)


def test_welch_without_a_spread():
    assert welch([0.5], [0.4], (True, True))[1:] == (-np.inf, np.inf, 1.0)
    assert welch([0.5, 0.5], [0.4, 0.4])[3] == 1.0
    assert welch([0.5], [0.4, 0.6])[3] == 1.0
