"""The warm reading and the audit in reports: where the audit says that figures mislead."""

import csv
import json

import numpy as np
import pandas as pd
import pytest

from conftest import random_rows, write_inter
from recbole_dmf.commands.compare import main
from recbole_dmf.errors import UserError
from recbole_dmf.evaluation.metrics import expected_gain, gains, tied_gain
from recbole_dmf.experiments.report import write_report
from recbole_dmf.experiments.runs import read_comparison

pytestmark = pytest.mark.slow

N, N_UNSEEN, N_COLD_ITEMS = 80, 300, 40
COLD = np.arange(N) % 4 == 0  # users whose target is cold
SHA = "ef" * 32


def write_run(folder, label, mean, cold=COLD, warm=True):
    """A run in which every cold item is above every warm one, so that cold targets come first."""
    rng = np.random.default_rng(list(label.encode()))
    zero = np.zeros(N, int)
    among_warm = np.minimum(rng.poisson(mean, N), N_UNSEEN - N_COLD_ITEMS - 1)
    above = np.where(cold, 0, among_warm + N_COLD_ITEMS)
    run = folder / "runs" / f"{label}-seed1"
    run.mkdir(parents=True)
    columns = {"user_id": np.arange(N), "item_id": np.arange(N), "n_unseen": zero + N_UNSEEN}
    columns |= {"sampled_above": np.minimum(above, 99), "sampled_tied": zero}
    columns |= {"full_above": above, "full_tied": zero, "n_candidates": zero + 100}
    if warm:
        columns["warm_unseen"] = np.where(cold, -1, N_UNSEEN - N_COLD_ITEMS)
        columns["warm_above"] = np.where(cold, -1, among_warm)
        columns["warm_tied"] = np.where(cold, -1, 0)
    pd.DataFrame(columns).to_csv(run / "per_user.csv", index=False)
    result = {
        "format": 1,
        "model": label,
        "label": label,
        "dataset": "tiny",
        "seed": 1,
        "metrics": {"test": {}},
        "epochs_evaluated": 0,
        "candidates_sha256": {"valid": "ab" * 32, "test": "cd" * 32},
        "data_sha256": SHA,
    }
    (run / "result.json").write_text(json.dumps(result))
    return among_warm, above


def write_folder(folder, models, audit=None, **settings):
    placed = {label: write_run(folder, label, mean, **settings) for label, mean in models.items()}
    about = {"title": "T", "dataset": "tiny", "models": list(models), "seeds": [1]}
    about["expected"] = {"A": {"hit@10": 0.4, "ndcg@10": 0.2, "source": "a paper"}}
    (folder / "comparison.json").write_text(json.dumps(about))
    if audit is not None:
        (folder / "audit.json").write_text(json.dumps(audit))
    return placed


def audit_of(misleads=True, headline="warm", sha=SHA):
    finding = {"name": "cold <items>", "values": {"targets": 0.25, "n": 20}}
    finding |= {"misleads": misleads, "verdict": "figures mislead | because" if misleads else "ok"}
    harmless = {"name": "ties", "values": {}, "misleads": False, "verdict": "harmless: none"}
    return {
        "dataset": "tiny",
        "misleads": misleads,
        "headline": headline,
        "data_sha256": sha,
        "findings": [harmless, finding],
    }


def table(markdown, title):
    lines = markdown.split(f"## {title}\n\n")[1].split("\n\n")[0].splitlines()
    return [[cell.strip(" *\\") for cell in line.strip("|").split("|")] for line in lines]


def test_the_warm_figures_lead_where_the_audit_says_so(tmp_path):
    placed = write_folder(tmp_path, {"A": 8, "B": 14}, audit_of())
    report = write_report(tmp_path)
    markdown = (tmp_path / "summary.md").read_text()
    first = markdown.split("## ")[1]
    assert first.startswith("Test, warm reading, to lead with\n")
    shown = table(markdown, "Test, warm reading, to lead with")
    assert shown[0] == ["Model", "Seeds", "HR@10", "NDCG@10"]  # the paper's are of another reading
    for row, label in ((2, "A"), (3, "B")):
        among_warm, above = (of[~COLD] for of in placed[label])
        n = np.full(len(above), N_UNSEEN - N_COLD_ITEMS)
        hits = expected_gain(gains("hit", 10), n, among_warm, 0 * n).mean()
        assert shown[row][2].split()[0] == f"{hits:.4f}"
    expected = table(markdown, "Test, expected reading")
    assert expected[0][2:5] == ["HR@10", "Paper", "Diff."]
    assert expected[2][3] == "0.400"
    above = placed["A"][1]
    hits = expected_gain(gains("hit", 10), np.full(N, N_UNSEEN), above, 0 * above).mean()
    assert expected[2][2] == f"{hits:.4f}"
    assert "tiny: figures mislead by cold <items>. See Audit below." in report.warnings[0]
    assert "Users tested: 80 (60 warm)." in report.text
    assert "warm: as expected, among the items that have a training interaction" in report.text


def test_differences_are_tested_in_the_warm_reading(tmp_path):
    placed = write_folder(tmp_path, {"A": 8, "B": 14}, audit_of())
    write_report(tmp_path)
    title = "Each model against the best other model, per user"
    shown = table((tmp_path / "summary.md").read_text(), title)
    n = np.full((~COLD).sum(), N_UNSEEN - N_COLD_ITEMS)
    hits = {
        label: expected_gain(gains("hit", 10), n, among_warm[~COLD], 0 * n)
        for label, (among_warm, _) in placed.items()
    }
    assert shown[2][:4] == ["A", "HR@10", "B", f"+{(hits['A'] - hits['B']).mean():.4f}"]


def test_the_audit_is_in_every_file(tmp_path):
    write_folder(tmp_path, {"A": 8, "B": 14}, audit_of())
    report = write_report(tmp_path)
    rows = table((tmp_path / "summary.md").read_text().replace("\\|", "!"), "Audit")
    assert rows[0] == ["Finding", "Values", "Verdict"]
    assert rows[2][0] == "cold &lt;items>"  # those that mislead first
    assert rows[2][1] == "targets 0.250, n 20"
    html = (tmp_path / "report.html").read_text()
    assert "<h2>Audit</h2>" in html
    assert "cold &lt;items&gt;" in html
    assert "Audit" in (tmp_path / "summary.tex").read_text()
    assert "cold <items>" in report.text


def test_results_csv_has_the_warm_reading(tmp_path):
    placed = write_folder(tmp_path, {"A": 8}, audit_of())
    write_report(tmp_path)
    with (tmp_path / "results.csv").open() as file:
        found = {(r["reading"], r["metric"]): float(r["value"]) for r in csv.DictReader(file)}
    among_warm = placed["A"][0][~COLD]
    n = np.full(len(among_warm), N_UNSEEN - N_COLD_ITEMS)
    ndcg = expected_gain(gains("ndcg", 10), n, among_warm, 0 * n).mean()
    assert found["warm", "ndcg@10"] == pytest.approx(ndcg)
    full = tied_gain(gains("hit", 10), placed["A"][1], np.zeros(N, int)).mean()
    assert found["full", "hit@10"] == pytest.approx(full)


def test_a_harmless_set_is_led_by_the_expected_reading(tmp_path):
    write_folder(tmp_path, {"A": 8, "B": 14}, audit_of(False, "expected"))
    report = write_report(tmp_path)
    markdown = (tmp_path / "summary.md").read_text()
    assert markdown.split("## ")[1].startswith("Test, expected reading\n")
    assert "warm" not in markdown
    assert "## Audit" in markdown
    assert report.warnings == ()


def test_a_set_that_misleads_otherwise_has_the_warm_figures_beside_the_others(tmp_path):
    write_folder(tmp_path, {"A": 8, "B": 14}, audit_of(True, "expected"))
    write_report(tmp_path)
    markdown = (tmp_path / "summary.md").read_text()
    assert markdown.split("## ")[1].startswith("Test, expected reading\n")
    assert table(markdown, "Test, sampled, full and warm reading")[0][-1] == "NDCG@10 warm"


def test_an_audit_of_other_data_is_not_shown(tmp_path):
    write_folder(tmp_path, {"A": 8}, audit_of(sha="00" * 32))
    report = write_report(tmp_path)
    assert "There is no audit of this data" in report.text
    assert "## Audit" not in (tmp_path / "summary.md").read_text()


def test_runs_without_warm_counts_are_told(tmp_path):
    write_folder(tmp_path, {"A": 8, "B": 14}, audit_of(), warm=False)
    report = write_report(tmp_path)
    assert "not all runs have them; make the runs again with --fresh" in report.text
    assert (tmp_path / "summary.md").read_text().split("## ")[1].startswith("Test, expected")


def test_users_who_are_warm_in_some_runs_alone_are_left_out(tmp_path):
    write_folder(tmp_path, {"A": 8, "B": 14}, audit_of())
    (tmp_path / "runs" / "B-seed1" / "per_user.csv").unlink()
    (tmp_path / "runs" / "B-seed1" / "result.json").unlink()
    (tmp_path / "runs" / "B-seed1").rmdir()
    other = COLD.copy()
    other[1] = True
    write_run(tmp_path, "B", 14, cold=other)
    found = read_comparison(tmp_path, None)
    assert any("1 user(s) are left out of the warm reading" in w for w in found.warnings)
    for label in "AB":
        warm = found.runs[label][0].per_user("hit@10", "warm")
        assert list(warm.index) == [str(user) for user in np.flatnonzero(~other)]
        assert found.runs[label][0].metric("hit@10", "warm") == pytest.approx(warm.mean())
        assert len(found.runs[label][0].per_user("hit@10", "expected")) == N


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"misleads": "yes"}, "'misleads' is damaged"),
        ({"headline": "best"}, "'headline' is damaged"),
        ({"findings": [{"name": "x"}]}, "'values' is missing"),
        ({"findings": {}}, "'findings' is"),
        ({"data_sha256": None}, "'data_sha256' is"),
    ],
)
def test_damaged_audits(tmp_path, change, message):
    write_folder(tmp_path, {"A": 8}, audit_of() | change)
    with pytest.raises(UserError, match=message):
        write_report(tmp_path)


@pytest.mark.parametrize(
    ("column", "value"), [("warm_above", 261), ("warm_unseen", -1), ("warm_tied", 0.5)]
)
def test_damaged_warm_counts(tmp_path, column, value):
    write_folder(tmp_path, {"A": 8}, audit_of())
    path = tmp_path / "runs" / "A-seed1" / "per_user.csv"
    rows = pd.read_csv(path).astype({column: float})
    rows.loc[1, column] = value
    rows.to_csv(path, index=False)
    with pytest.raises(UserError, match="line 3: counts must be whole numbers"):
        write_report(tmp_path)


def test_a_comparison_audits_its_data_once_and_leads_with_the_warm_figures(tmp_path, capfd):
    """Every third user's latest item is one that nobody else has."""
    planted = [list(row) for row in random_rows(n_users=60, n_items=150)]
    latest = {}
    for row in planted:
        if row[3] >= latest.get(row[0], row)[3]:
            latest[row[0]] = row
    for number, row in enumerate(latest.values()):
        if number % 3 == 0:
            row[1] = f"new{number}"
    data_path = write_inter(tmp_path / "data", planted)
    folder = tmp_path / "compared"
    words = ["--dataset=tiny", "--models=ItemPop,EASE", f"--results={folder}"]
    assert main([*words, f"--data_path={data_path}"]) == 0
    said = capfd.readouterr().out
    assert "auditing the data set" in said
    assert "Test, warm reading, to lead with" in said
    audit = json.loads((folder / "audit.json").read_text())
    result = json.loads((folder / "runs" / "EASE-seed1" / "result.json").read_text())
    assert audit["data_sha256"] == result["data_sha256"]
    with (folder / "results.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if (r["model"], r["phase"]) == ("EASE", "test")]
    found = {(r["reading"], r["metric"]): float(r["value"]) for r in rows}
    assert found["warm", "hit@10"] == pytest.approx(result["metrics"]["test"]["warm"]["hit@10"])
    assert main([*words, f"--data_path={data_path}"]) == 0
    assert "auditing" not in capfd.readouterr().out
    (folder / "audit.json").write_text("{")  # damaged: made anew
    assert main([*words, f"--data_path={data_path}"]) == 0
    assert json.loads((folder / "audit.json").read_text()) == audit
