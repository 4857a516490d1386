import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from conftest import random_rows, write_inter
from recbole_dmf.commands.tune import main
from recbole_dmf.config import build_config
from recbole_dmf.errors import UserError
from recbole_dmf.experiments.search_space import (
    as_options,
    as_point,
    corner,
    distributions,
    read_search_space,
)
from recbole_dmf.experiments.tune import tune
from recbole_dmf.host.lookup import find_model

pytest.importorskip("optuna", reason="Optuna (the extra `tune`) is not installed")

SPACES = sorted(p.stem for p in (Path(__file__).parents[2] / "properties/tune").glob("*.yaml"))
OF_EASE = "reg_weight: {type: float, low: 1.0, high: 1000.0, log: true}\n"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_inter(tmp_path_factory.mktemp("data"), random_rows())


def search(folder, data, n_trials, model="EASE", **options):
    return tune(folder, model, "tiny", {"data_path": str(data), **options}, n_trials)


def rows(folder):
    with (folder / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def outcomes(folder):
    return [(row["valid_ndcg@10_expected"], row["reg_weight"]) for row in rows(folder)]


@pytest.fixture(scope="module")
def through(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("through") / "t"
    return folder, search(folder, data, 6)


@pytest.mark.slow
def test_first_trial_is_the_default_and_best_is_best(through, data):
    folder, best = through
    found = rows(folder)
    assert len(found) == 6
    assert found[0]["reg_weight"] == "250.0"
    values = [float(row["valid_ndcg@10_expected"]) for row in found]
    top = found[values.index(max(values))]
    assert best["reg_weight"] == float(top["reg_weight"])
    assert len({row["reg_weight"] for row in found}) == 6
    text = (folder / "best.yaml").read_text()
    assert yaml.safe_load(text) == {"model": "EASE", "dataset": "tiny", **best}
    assert f"# valid NDCG@10 (expected) {max(values):.4f}, the best of 6 trials" in text


@pytest.mark.slow
def test_best_file_is_one_for_config_files(through):
    folder, best = through
    config = build_config(None, None, [str(folder / "best.yaml")], None)
    assert (config["model"], config["dataset"]) == ("EASE", "tiny")
    assert config["reg_weight"] == best["reg_weight"]


def test_dry_run_counts_the_trials_and_changes_nothing(through, tmp_path, capsys):
    folder, _ = through
    argv = ["--model=EASE", "--dataset=tiny", "--trials=8", "--dry-run"]
    assert main([*argv, f"--results={folder}"]) == 0
    line = r"6 trials are finished in .*, \d.* in all; 2 of 8 to make, about \d"
    assert re.search(line, capsys.readouterr().out)
    assert main([*argv, f"--results={tmp_path / 'none'}"]) == 0
    assert "0 trials are finished in" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eval_args": {"split": {"RS": [0.8, 0.1, 0.1]}}}, "a search needs the paper's split"),
        ({"topk": [5], "valid_metric": "NDCG@5"}, r"a search goes by NDCG@10"),
    ],
)
def test_what_a_search_cannot_go_by_is_refused_at_once(data, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        search(tmp_path / "t", data, 2, **options)
    assert not (tmp_path / "t").exists()


def test_never_looks_at_test(through):
    folder, _ = through
    trials = sorted(folder.glob("trials/*"))
    assert len(trials) == 6
    for trial in trials:
        result = json.loads((trial / "result.json").read_text())
        assert list(result["metrics"]) == ["valid"]
        assert list(result["candidates_sha256"]) == ["valid"]
        assert not (trial / "per_user.csv").exists()
        assert not (trial / "model.pt").exists()
        assert not re.search(r"^test ", (trial / "run.log").read_text(), re.MULTILINE)


def test_value_is_that_of_the_whole_run(through, data, tmp_path):
    from recbole_dmf.run import run_recbole

    folder, best = through
    options = {**best, "checkpoint_dir": str(tmp_path)}
    whole = run_recbole("EASE", "tiny", None, options)["result"]
    value = max(float(row["valid_ndcg@10_expected"]) for row in rows(folder))
    assert whole["metrics"]["valid"]["expected"]["ndcg@10"] == value


@pytest.mark.slow
def test_stopped_and_continued_equals_run_through(through, data, tmp_path):
    folder = tmp_path / "t"
    search(folder, data, 2)
    assert len(rows(folder)) == 2
    search(folder, data, 6)
    assert outcomes(folder) == outcomes(through[0])
    search(folder, data, 6)
    assert len(rows(folder)) == 6


CODE = """
import sys
from recbole_dmf.commands.tune import main
main(sys.argv[1:])
"""


def start(folder, data, *more):
    argv = ["--model=EASE", "--dataset=tiny", f"--data_path={data}", f"--results={folder}", *more]
    return subprocess.Popen([sys.executable, "-c", CODE, *argv], stdout=subprocess.DEVNULL)


@pytest.mark.slow
def test_killed_and_continued_equals_run_through(through, data, tmp_path):
    folder = tmp_path / "t"
    process = start(folder, data, "--trials=6")
    while not (folder / "trials" / "0001").exists() and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    search(folder, data, 6)
    assert outcomes(folder) == outcomes(through[0])


@pytest.mark.slow
def test_an_interrupted_trial_goes_on_after_its_last_epoch(data, tmp_path):
    from recbole_dmf.training import trainer

    options = {"epochs": 3, "learning_rate": 0.01}
    search(tmp_path / "through", data, 2, "BPR", **options)
    folder, original = tmp_path / "t", trainer.RunTrainer._write_state

    def write(*args, **kwargs):
        original(*args, **kwargs)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer.RunTrainer, "_write_state", write)
        with pytest.raises(UserError, match="0 of 2 trials are finished"):
            search(folder, data, 2, "BPR", **options)
    assert (folder / "trials" / "0000" / "resume.pt").is_file()
    search(folder, data, 2, "BPR", **options)
    kept = ("state", "valid_ndcg@10_expected", "best_epoch")
    first, second = (
        [[row[name] for name in kept] for row in rows(tmp_path / name)] for name in ("through", "t")
    )
    assert first == second
    results = [json.loads(p.read_text()) for p in sorted(folder.glob("trials/*/result.json"))]
    assert [result["resumed_after"] for result in results] == [[1], []]
    assert not list(folder.glob("trials/*/*.pt"))


@pytest.mark.slow
def test_processes_share_the_trials(data, tmp_path):
    folder = tmp_path / "t"
    processes = [start(folder, data, "--trials=5") for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    found = rows(folder)
    assert len(found) == 5
    assert len({row["reg_weight"] for row in found}) == 5
    assert len(list((folder / "trials").iterdir())) == 5
    assert not list((folder / "workers").iterdir())


@pytest.mark.slow
def test_interrupt_says_how_to_go_on(data, tmp_path):
    folder = tmp_path / "t"
    argv = ["--model=BPR", "--dataset=tiny", f"--data_path={data}", f"--results={folder}"]
    argv += ["--trials=3", "--epochs=100000", "--stopping_step=100000"]
    code = CODE.replace("main(", "from recbole_dmf.cli import guarded\nguarded(main, ")
    process = subprocess.Popen(
        [sys.executable, "-c", code, *argv],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (folder / "trials" / "0000" / "history.csv").exists() and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    assert "interrupted; 0 of 3 trials are finished" in process.communicate()[1]


@pytest.mark.slow
def test_a_failed_trial_is_recorded_and_the_search_goes_on(data, tmp_path):
    file = tmp_path / "space.yaml"
    file.write_text(
        "layers:\n  type: categorical\n  choices:\n"
        "    - {user_layers: [8, 4], item_layers: [8, 3]}\n"
        "    - {user_layers: [4, 4], item_layers: [4, 4]}\n"
    )
    folder = tmp_path / "t"
    options = {"data_path": str(data), "epochs": 1, "train_batch_size": 512}
    best = tune(folder, "DMF", "tiny", options, 6, file)
    assert best["item_layers"] == [4, 4]
    states = {row["layers"]: (row["state"], bool(row["message"])) for row in rows(folder)}
    assert states == {
        '{"user_layers": [8, 4], "item_layers": [8, 3]}': ("fail", True),
        '{"user_layers": [4, 4], "item_layers": [4, 4]}': ("complete", False),
    }
    assert len(rows(folder)) == 6


def test_another_search_in_the_folder_is_refused(through, data):
    folder, _ = through
    with pytest.raises(UserError, match="another folder"):
        search(folder, data, 6, seed=7)
    with pytest.raises(UserError, match="another folder"):
        search(folder, data, 6, model="ItemKNN")


@pytest.mark.parametrize("model", SPACES)
def test_shipped_spaces_fit_their_models(model):
    find_model(model)
    space = read_search_space(model, None, {})
    default = build_config(model, "ml-100k", None, {})
    point = as_point(space, default.final_config_dict)
    assert set(point) == set(space), "the model's defaults are in its space"
    highest = {
        name: json.dumps(about["choices"][-1]) if "choices" in about else about["high"]
        for name, about in space.items()
    }
    for some in (corner(space), highest):
        build_config(model, "ml-100k", None, as_options(space, some))
    assert set(distributions(space)) == set(space)


def test_given_options_are_not_searched():
    assert "layers" not in read_search_space("DMF", None, {"user_layers": [8, 8], "mu": 0.1})
    with pytest.raises(UserError, match="nothing is left"):
        read_search_space("EASE", None, {"reg_weight": 1.0})


def test_point_and_options_are_inverse():
    space = read_search_space("DMF", None, {})
    for point in (corner(space), as_point(space, as_options(space, corner(space)))):
        assert as_options(space, as_point(space, as_options(space, point))) == as_options(
            space, point
        )
    assert as_point({"k": {"type": "int", "low": 1, "high": 5}}, {"k": 9}) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no search space in it"),
        ("k: 3", "'k' must be"),
        ("k: {type: real, low: 1, high: 2}", "'k' must be"),
        ("k: {type: int, low: 1, high: 2, step: 1}", "'k' must be"),
        ("k: {type: int, low: 1}", "low and high"),
        ("k: {type: int, low: 1, high: 2.5}", "low and high"),
        ("k: {type: float, low: a, high: 2}", "low and high"),
        ("k: {type: float, low: 3, high: 2}", "must not be above"),
        ("k: {type: float, low: 0, high: 2, log: true}", "above 0"),
        ("k: {type: float, low: 1, high: .inf}", "must not be above"),
        ("k: {type: float, low: 1, high: .nan}", "must not be above"),
        ("k: {type: float, low: 1, high: 2, log: 1}", "true or false"),
        ("k: {type: categorical}", "list of choices"),
        ("k: {type: categorical, choices: []}", "list of choices"),
        ("k: {type: categorical, choices: [{a: 1}, 2]}", "the same options"),
        ("k: {type: categorical, choices: [{a: 1}, {b: 1}]}", "the same options"),
        ("k: {type: categorical, choices: [2020-01-01]}", "plain values"),
    ],
)
def test_search_files_that_cannot_be_used(tmp_path, text, message):
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        read_search_space("EASE", tmp_path / "s.yaml", {})


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--dataset=tiny"], "--model is missing"),
        (["--model=EASE"], "--dataset is missing"),
        (["--model=EASE", "--dataset=tiny", "--trials=0"], "--trials"),
        (["--model=EASE", "--dataset=tiny", "--trials=1,2"], "--trials"),
        (["--model=SLIMElastic", "--dataset=tiny"], "--search"),
        (["--model=EASE", "--dataset=tiny", "--reg_wait=1"], "reg_weight"),
        (["--model=EASE", "--dataset=tiny", "--search=none.yaml"], "none.yaml"),
    ],
)
def test_command_lines_that_cannot_be_understood(argv, message):
    with pytest.raises(UserError, match=message):
        main(argv)


def test_unknown_option_in_a_search_file(data, tmp_path):
    (tmp_path / "s.yaml").write_text(OF_EASE.replace("reg_weight", "reg_wait"))
    with pytest.raises(UserError, match="unknown option 'reg_wait'"):
        tune(tmp_path / "t", "EASE", "tiny", {}, 1, tmp_path / "s.yaml")
    assert not (tmp_path / "t").exists()


def test_help(capsys):
    assert main(["--help"]) == 0
    assert "--search FILE" in capsys.readouterr().out
