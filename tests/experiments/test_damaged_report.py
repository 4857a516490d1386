"""Reports of damaged folders of a comparison."""

import shutil

import pandas as pd
import pytest

from comparison_folders import edit_json, make_folder, written
from recbole_dmf.errors import UserError
from recbole_dmf.experiments.report import write_report


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "c", {"ItemPop": 1.0, "DMF": 2.0, "EALS": None})


def damage_csv(name, change):
    def damage(folder):
        path = folder / "runs" / "DMF-seed2" / name
        rows = pd.read_csv(path, dtype=str)
        rows = change(rows)
        rows.to_csv(path, index=False)

    return damage


def set_cell(column, row, value):
    def change(rows):
        rows.loc[row, column] = value
        return rows

    return change


def damage_result(**changes):
    return lambda folder: edit_json(folder / "runs" / "DMF-seed2" / "result.json", **changes)


def truncate(name):
    def damage(folder):
        path = folder / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return damage


def unlink(name):
    return lambda folder: (folder / name).unlink()


RESULT = r"DMF-seed2/result\.json"
USERS = r"DMF-seed2/per_user\.csv"
HISTORY = r"DMF-seed2/history\.csv"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (unlink("comparison.json"), r"comparison\.json: no such file; run"),
        (truncate("comparison.json"), r"comparison\.json: not valid JSON"),
        (
            lambda f: edit_json(f / "comparison.json", models="DMF"),
            r"comparison\.json: field 'models'",
        ),
        (lambda f: edit_json(f / "comparison.json", models=[]), "field 'models' must list"),
        (lambda f: edit_json(f / "comparison.json", metrics=["auc@3"]), "field 'metrics' must"),
        (lambda f: edit_json(f / "comparison.json", seeds=["1"]), "field 'seeds' must list"),
        (lambda f: edit_json(f / "comparison.json", failures=[3]), r"comparison\.json: field"),
        (
            lambda f: edit_json(f / "comparison.json", expected={"DMF": {"hit@10": "x"}}),
            r"comparison\.json: field 'expected\.DMF\.hit@10'",
        ),
        (lambda f: (f / "comparison.json").write_text("[1]"), "must be a JSON object"),
        (lambda f: shutil.rmtree(f / "runs"), r"runs: no finished run"),
        (truncate("runs/DMF-seed2/result.json"), RESULT + ": not valid JSON"),
        (lambda f: (f / "runs/DMF-seed2/result.json").write_bytes(b"\xff{}"), RESULT),
        (damage_result(format=2), RESULT + ": field 'format' is 2"),
        (damage_result(dataset="ml-1m"), RESULT + ": field 'dataset' is 'ml-1m'"),
        (damage_result(seed="2"), RESULT + ": field 'seed'"),
        (damage_result(seed=1), "a second run of 'DMF' with seed 1"),
        (damage_result(metrics=None), RESULT + ": field 'metrics'"),
        (damage_result(parameters="many"), RESULT + ": field 'parameters'"),
        (damage_result(seconds={"train": float("nan")}), RESULT + r": field 'seconds\.train'"),
        (
            damage_result(metrics={"valid": {"expected": {"hit@10": float("nan")}}}),
            RESULT + r": field 'metrics\.valid\.expected\.hit@10' is nan",
        ),
        (
            damage_result(metrics={"test": {"expected": {"hit@10": 0.999}}}),
            USERS + r": its users give expected hit@10 .* result\.json says 0\.9990",
        ),
        (unlink("runs/DMF-seed2/per_user.csv"), USERS + ": no such file"),
        (unlink("runs/DMF-seed2/history.csv"), HISTORY + ": no such file"),
        (truncate("runs/DMF-seed2/per_user.csv"), USERS),
        (lambda f: (f / "runs/DMF-seed2/per_user.csv").write_text(""), USERS + ": cannot be read"),
        (
            lambda f: (f / "runs/DMF-seed2/per_user.csv").write_bytes(b'a,b\n"\xff\xfe,1\n2,3,4\n'),
            USERS + ": cannot be read",
        ),
        (damage_csv("per_user.csv", lambda r: r.drop(columns="full_tied")), "column 'full_tied'"),
        (damage_csv("per_user.csv", lambda r: r[:0]), USERS + ": no user"),
        (
            damage_csv("per_user.csv", set_cell("full_above", 4, "NaN")),
            USERS + ", line 6: column 'full_above' is 'NaN'",
        ),
        (damage_csv("per_user.csv", set_cell("full_above", 4, "-1")), USERS + ", line 6"),
        (damage_csv("per_user.csv", set_cell("n_unseen", 4, "1e15")), USERS + ", line 6"),
        (damage_csv("per_user.csv", set_cell("sampled_above", 4, "1.5")), USERS + ", line 6"),
        (damage_csv("per_user.csv", set_cell("full_above", 4, "400")), "at most n_unseen"),
        (
            damage_csv("per_user.csv", set_cell("user_id", 4, "77")),
            USERS + r": user_id '77' is not in .*ItemPop-seed1",
        ),
        (damage_csv("per_user.csv", set_cell("user_id", 4, "4")), USERS + ": user_id '4' occurs"),
        (
            damage_csv("per_user.csv", set_cell("item_id", 4, "399")),
            USERS + ": user_id '5' is tested on item_id '399'",
        ),
        (
            damage_csv("history.csv", set_cell("valid_ndcg@10_expected", 1, "nan")),
            HISTORY + ", line 3",
        ),
        (damage_csv("history.csv", lambda r: r.drop(columns="epoch")), HISTORY + ": column"),
    ],
)
def test_damaged_folders(folder, damage, message):
    damage(folder)
    before = written(folder)
    with pytest.raises(UserError, match=message):
        write_report(folder)
    assert written(folder) == before


def test_no_such_folder_and_empty_folder(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        write_report(tmp_path / "nothing")
    with pytest.raises(UserError, match=r"comparison\.json"):
        write_report(tmp_path)


@pytest.mark.slow
def test_a_failed_write_leaves_no_temporary_file(folder):
    (folder / "summary.md").mkdir()  # a folder cannot be replaced by a file
    with pytest.raises(UserError, match="cannot write"):
        write_report(folder)
    assert not list(folder.glob(".*"))
