"""`reproduce all`: every table of the paper on ml-100k from scratch, and its claims."""

import json
from contextlib import ExitStack

import pandas as pd
import pytest

from recbole_dmf.commands import generate
from recbole_dmf.commands.reproduce import main
from recbole_dmf.errors import FAILED, UserError
from recbole_dmf.experiments.plan import PAPER, experiment_names, read_experiment
from recbole_dmf.lock import locked
from recbole_dmf.run_folder import read_result

FAST = ["--seeds=1", "--epochs=1", "--train_batch_size=65536", "--learning_rate=0.01"]
PRETRAINED = ["--set", "NeuMF-p.pretrain_epochs=1"]


def all_of(results, *more):
    return main(["all", "--dataset=ml-100k", f"--results={results}", *FAST, *more, *PRETRAINED])


def test_the_papers_tables_are_experiments_with_labels_of_their_own():
    assert set(PAPER) < set(experiment_names())
    labels = [column.label for name in PAPER for column in read_experiment(name).columns]
    assert len(labels) == len(set(labels))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--dataset is missing"),
        (["--dataset=ml-100k", "--models=ItemPop"], "--models is of one table"),
        (["--dataset=ml-100k", "--set", "EASE.reg_weight=1"], "--set EASE: no such model"),
        (["--dataset=ml-100k", "--epoch=1"], "unknown option 'epoch'"),
    ],
)
def test_command_lines_that_cannot_be_understood(words, message):
    with pytest.raises(UserError, match=message):
        main(["all", *words])


def test_dry_run_lists_all_tables_and_writes_nothing(tmp_path, capsys):
    assert all_of(tmp_path / "results", "--dry-run") == 0
    said = capsys.readouterr().out
    for name in PAPER:
        assert read_experiment(name).title in said
    assert "[1/6] ItemPop, seed 1: would run" in said
    assert not (tmp_path / "results").exists()


def test_a_table_at_work_elsewhere_does_not_keep_the_others_back(tmp_path, capsys):
    with ExitStack() as held:
        for name in PAPER:
            folder = tmp_path / f"{name}-ml-100k"
            folder.mkdir()
            held.enter_context(locked(folder / ".lock", "held"))
        assert all_of(tmp_path) == FAILED
    said = capsys.readouterr().out
    for name in PAPER:
        message = f"another comparison is running in {tmp_path / f'{name}-ml-100k'}"
        assert f"{read_experiment(name).title}: {message}" in said


@pytest.mark.slow
def test_every_table_from_scratch_then_the_claims(tmp_path, capfd):
    results = tmp_path / "results"
    assert all_of(results) == 0
    said = capfd.readouterr().out
    assert "left\n" in said
    for name in PAPER:
        folder = results / f"{name}-ml-100k"
        labels = [column.label for column in read_experiment(name).columns]
        assert {path.name for path in (folder / "runs").iterdir()} == {f"{k}-seed1" for k in labels}
        assert "## Audit" in (folder / "summary.md").read_text()
        for label in labels:
            assert read_result(folder / "runs" / f"{label}-seed1")["label"] == label
    equal = [("table2", "DMF-2-nce"), ("table5", "factors-64"), ("figure2", "DMF-2")]
    same = [(results / f"{t}-ml-100k" / "runs" / f"{k}-seed1") for t, k in equal]
    assert f"[4/5] factors-64, seed 1: copied from {same[0]}, which has its options" in said
    assert len({(folder / "per_user.csv").read_bytes() for folder in same}) == 1
    assert (results / "figure2-ml-100k" / "validation_curves.png").is_file()

    assert all_of(results, "--dry-run") == 0
    said = capfd.readouterr().out
    assert "would" not in said
    assert said.count("0 of ") == len(PAPER)

    assert main(["claims", f"--results={results}", "--datasets=ml-100k"]) == 0
    rows = json.loads((results / "claims.json").read_text())["rows"]
    assert "not measured" not in {row["verdict"] for row in rows}
    assert {row["dataset"] for row in rows} == {"ml-100k"}
    assert "| two layers are almost best | ml-100k | HR@10 |" in (results / "claims.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["table2", "batch", "order", "no-order"])
def test_an_experiment_on_generated_ratings_of_any_shape(tmp_path, name):
    """More items than ratings of a user, and most of them rare, as in the Amazon sets."""
    words = [str(tmp_path / "made"), "--users=60", "--items=600", "--ratings=900"]
    assert generate.main(words) == 0
    folder = tmp_path / "results"
    words = [name, "--dataset=made", f"--data_path={tmp_path}", f"--results={folder}"]
    assert main([*words, "--candidate_items=raw", *FAST]) == 0
    columns = read_experiment(name).columns
    lines = [json.loads(line) for line in (folder / "runs.jsonl").read_text().splitlines()]
    assert [line["label"] for line in lines] == [column.label for column in columns]
    table = pd.read_csv(folder / "results.csv")
    assert set(table["model"]) == {column.label for column in columns}
    assert table.loc[table["phase"] == "test", "value"].between(0, 1).all()


@pytest.mark.slow
def test_the_ablation_from_scratch(tmp_path, capfd):
    folder = tmp_path / "ablation"
    words = ["ablation", "--dataset=ml-100k", "--models=dmf-best,plain-cosine,dmf-recbole"]
    assert main([*words, f"--results={folder}", *FAST]) == 0
    said = capfd.readouterr().out
    assert "Ablation (ml-100k)" in said
    settings = {
        label: read_result(folder / "runs" / f"{label}-seed1")["settings"]
        for label in ("dmf-best", "plain-cosine", "dmf-recbole")
    }
    assert settings["dmf-best"]["similarity"] == "scaled_cosine"
    assert settings["plain-cosine"]["similarity"] == "cosine"
    assert settings["dmf-recbole"]["interaction_matrix"] == "binary"
    assert {s["epochs"] for s in settings.values()} == {1}
