import json

import numpy as np
import pandas as pd
import pytest

from conftest import random_rows, write_inter
from recbole_dmf.commands.reproduce import main
from recbole_dmf.errors import UserError
from recbole_dmf.evaluation.metrics import gains, tied_gain
from recbole_dmf.evaluation.significance import holm, sign_flip_p
from recbole_dmf.experiments.claim_tables import USERS_AND_SEEDS, difference, read_table
from recbole_dmf.experiments.claims import claims, claims_page

N_USERS, N_UNSEEN = 300, 100  # as many unseen items as candidates: expected is full


def write_runs(folder, qualities, seeds=(1, 2), expected=None):
    """A comparison's folder; `qualities`: {label: a rank's mean, or one for each seed}."""
    zero = np.zeros(N_USERS, int)
    for label, quality in qualities.items():
        for number, seed in enumerate(seeds):
            mean = quality[number] if isinstance(quality, tuple) else quality
            rng = np.random.default_rng([seed, *label.encode()])
            above = np.minimum(rng.poisson(mean, N_USERS), N_UNSEEN - 1)
            hits = float(tied_gain(gains("hit", 10), above, zero).mean())
            ndcg = float(tied_gain(gains("ndcg", 10), above, zero).mean())
            run = folder / "runs" / f"{label}-seed{seed}"
            run.mkdir(parents=True)
            columns = {"user_id": np.arange(N_USERS), "item_id": np.arange(N_USERS)}
            columns |= {"n_unseen": zero + N_UNSEEN, "n_candidates": zero + N_UNSEEN}
            columns |= {"sampled_above": above, "sampled_tied": zero}
            columns |= {"full_above": above, "full_tied": zero}
            pd.DataFrame(columns).to_csv(run / "per_user.csv", index=False)
            figures = {"hit@10": hits, "ndcg@10": ndcg}
            result = {
                "format": 1,
                "model": label,
                "label": label,
                "dataset": "ml-100k",
                "seed": seed,
                "metrics": {"test": {r: figures for r in ("sampled", "expected", "full")}},
                "epochs_run": 0,
                "epochs_evaluated": 0,
                "candidates_sha256": {"valid": "ab" * 32, "test": "cd" * 32},
                "commit": "123",
            }
            (run / "result.json").write_text(json.dumps(result))
    about = {"title": "T", "dataset": "ml-100k", "models": list(qualities), "seeds": list(seeds)}
    about["expected"] = expected or {}
    (folder / "comparison.json").write_text(json.dumps(about))


def verdicts(found, metric="hit@10"):
    return {row["claim"]: row["verdict"] for row in found["rows"] if row["metric"] == metric}


def row_of(found, claim, metric="hit@10"):
    return next(r for r in found["rows"] if (r["claim"], r["metric"]) == (claim, metric))


@pytest.fixture
def results(tmp_path):
    paper = {"DMF-2-nce": {"hit@10": 0.687}, "ItemKNN": {"hit@10": 0.600}}
    table2 = {"ItemPop": 30, "ItemKNN": 9.7, "eALS": 6, "NeuMF-p": (14, 6.5)}
    table2 |= {"DMF-2-ce": 10, "DMF-2-nce": 10}
    write_runs(tmp_path / "table2-ml-100k", table2, expected=paper)
    table5 = {f"factors-{n}": 14 for n in (8, 16, 32, 128)} | {"factors-64": 8}
    write_runs(tmp_path / "table5-ml-100k", table5)
    return tmp_path


@pytest.mark.slow
def test_verdicts(results):
    found = claims(results, ["ml-100k"])
    assert verdicts(found) == {
        "DMF beats ItemPop": "holds",
        "DMF beats ItemKNN": "can't be told",  # nearly the same
        "DMF beats eALS": "doesn't hold",
        "DMF beats NeuMF-p": "can't be told",  # one seed is worse and one better
        "nce beats ce": "can't be told",
        "64 factors are best": "holds",
        "Y beats random vectors": "not measured",
        "about 5 negatives are best": "not measured",
        "two layers are almost best": "not measured",
    }
    assert row_of(found, "Y beats random vectors")["difference"] is None
    assert row_of(found, "DMF beats ItemKNN")["paper"] == pytest.approx(0.087)
    assert set(found["sources"]) == {"table2-ml-100k", "table5-ml-100k"}
    assert found["sources"]["table2-ml-100k"]["users"] == N_USERS


@pytest.mark.slow
def test_figures_are_those_of_the_users_and_the_runs(results):
    found = claims(results, ["ml-100k"])

    def hits(table, label):
        folders = [results / f"{table}-ml-100k" / "runs" / f"{label}-seed{s}" for s in (1, 2)]
        above = [pd.read_csv(folder / "per_user.csv")["full_above"] for folder in folders]
        return (np.array(above) < 10).astype(float)

    own = hits("table2", "DMF-2-nce")
    rivals = ("NeuMF-p", "eALS", "ItemKNN", "ItemPop", "DMF-2-ce")
    differences = [(own - hits("table2", rival)).mean(axis=0) for rival in rivals]
    others = [f"factors-{n}" for n in (8, 16, 32, 128)]
    best = hits("table5", "factors-64")
    differences += [(best - hits("table5", other)).mean(axis=0) for other in others]
    p = [sign_flip_p(difference[:, None])[0] for difference in differences]
    row = row_of(found, "DMF beats eALS")
    assert row["difference"] == pytest.approx(differences[1].mean())
    assert row["p_value"] == pytest.approx(p[1])
    assert row["p_holm"] == pytest.approx(holm(p)[1])
    assert row["low"] < row["difference"] < row["high"] < 0
    by_seed = np.subtract.outer(own.mean(axis=1), hits("table2", "eALS").mean(axis=1))
    assert (row["seed_low"], row["seed_high"]) == pytest.approx((by_seed.min(), by_seed.max()))
    shown = row_of(found, "64 factors are best")
    assert shown["difference"] == pytest.approx(min(d.mean() for d in differences[5:]))
    assert shown["other"] == others[int(np.argmin([d.mean() for d in differences[5:]]))]


def test_one_better_rival_refutes_the_best(tmp_path):
    columns = {f"neg-{n}": 14 for n in (1, 2, 9)} | {"neg-10": 6, "neg-5": 10}
    write_runs(tmp_path / "table4-ml-100k", columns)
    row = row_of(claims(tmp_path, ["ml-100k"]), "about 5 negatives are best")
    assert (row["verdict"], row["other"]) == ("doesn't hold", "neg-10")


def test_what_is_claimed_to_be_about_best_may_be_level(tmp_path):
    labels = [f"neg-{n}" for n in (1, 2, 5, 9, 10)]
    write_runs(tmp_path / "table4-ml-100k", dict.fromkeys(labels, 0))  # all first
    write_runs(tmp_path / "figure2-ml-1m", {f"DMF-{n}": 0 for n in (1, 2, 3, 4)})
    found = claims(tmp_path, ["ml-100k", "ml-1m"])
    assert row_of(found, "about 5 negatives are best")["verdict"] == "holds"
    rows = [row for row in found["rows"] if row["dataset"] == "ml-1m"]
    assert row_of({"rows": rows}, "two layers are best")["verdict"] == "can't be told"
    write_runs(tmp_path / "figure2-ml-100k", {f"DMF-{n}": 10 for n in (1, 2, 3, 4)})
    row = row_of(claims(tmp_path, ["ml-100k"]), "two layers are almost best")
    assert (row["verdict"], row["low"] < -0.01) == ("can't be told", True)


def test_runs_are_judged_by_users_and_seeds(tmp_path):
    write_runs(tmp_path / "table3-ml-100k", {"LFM-nce": 14, "DMF-1-nce": 6})
    table = read_table(tmp_path / "table3-ml-100k", tmp_path / "audit-ml-100k.json")
    found = difference(table, "DMF-1-nce", "LFM-nce", "hit@10")
    back = difference(table, "LFM-nce", "DMF-1-nce", "hit@10")
    assert table.chance(("DMF-1-nce", "LFM-nce")) == USERS_AND_SEEDS
    assert found.mean == pytest.approx(-back.mean)
    assert (found.seed_low, found.seed_high) == pytest.approx((-back.seed_high, -back.seed_low))
    assert found.p_value == back.p_value


def test_one_run_tells_of_the_users_alone(tmp_path):
    write_runs(tmp_path / "table3-ml-100k", {"LFM-nce": 14, "DMF-1-nce": 6}, seeds=(1,))
    row = row_of(claims(tmp_path, ["ml-100k"]), "Y beats random vectors")
    assert (row["chance"], row["verdict"]) == ("users alone", "holds")


@pytest.mark.slow
def test_command_writes_the_data_and_its_page(results, capsys):
    out = results / "out"
    words = ["claims", f"--results={results}", "--datasets=ml-100k", f"--out={out}"]
    assert main(words) == 0
    data = json.loads((out / "claims.json").read_text())
    assert (out / "claims.md").read_text() == claims_page(data)
    assert data["command"].startswith("recbole-dmf reproduce claims --results=")
    assert (
        "| DMF beats eALS | ml-100k | HR@10 | doesn't hold | users and seeds, expected | eALS | -"
        in capsys.readouterr().out
    )


def test_command_without_runs(tmp_path):
    with pytest.raises(UserError, match="recbole-dmf reproduce all --dataset=ml-100k"):
        main(["claims", f"--results={tmp_path}"])


@pytest.mark.slow
def test_claims_of_real_runs(tmp_path, monkeypatch):
    """Table 3 on a small set, then the claims on it."""
    monkeypatch.chdir(tmp_path)
    data_path = write_inter(tmp_path / "data", random_rows())
    words = ["table3", "--dataset=tiny", "--seeds=1,2", "--epochs=1"]
    assert main([*words, f"--data_path={data_path}", "--init=xavier"]) == 0
    assert main(["claims", "--datasets=tiny"]) == 0
    data = json.loads((tmp_path / "results" / "claims.json").read_text())
    row = row_of(data, "Y beats random vectors", "ndcg@10")
    assert row["verdict"] in ("holds", "doesn't hold", "can't be told")
    assert row["low"] <= row["difference"] <= row["high"]
    assert data["sources"]["table3-tiny"]["seeds"] == {"LFM-nce": [1, 2], "DMF-1-nce": [1, 2]}
