import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest

from conftest import random_rows, write_inter
from recbole_dmf.commands.compare import main
from recbole_dmf.commands.model_arguments import take_settings, whole_numbers
from recbole_dmf.config import changes
from recbole_dmf.errors import UserError
from recbole_dmf.experiments.compare import compare
from recbole_dmf.experiments.plan import Column
from recbole_dmf.experiments.planned_runs import check_labels

pytestmark = pytest.mark.slow

FAST = {"epochs": 2, "train_batch_size": 512, "learning_rate": 0.01}


def columns(data, **more):
    common = {"data_path": str(data), **FAST}
    return [
        Column("BPR", "BPR", common),
        Column("ours", "DMF", {**common, "user_layers": [8, 4], "item_layers": [8, 4]}),
        *(Column(label, model, common) for label, model in more.items()),
    ]


def run(folder, data, seeds=(1,), fresh=False, **more):
    return compare(folder, "Test", "tiny", columns(data, **more), seeds, {}, fresh)


def results(folder):
    """What must not depend on how the runs were made, by run."""
    found = {}
    for path in sorted(folder.glob("runs/*/result.json")):
        result = json.loads(path.read_text())
        kept = ("label", "seed", "metrics", "best_epoch", "candidates_sha256", "settings")
        found[path.parent.name] = {name: result[name] for name in kept}
        found[path.parent.name]["users"] = (path.parent / "per_user.csv").read_text()
    return found


def stamps(folder):
    return {p.parent.name: p.stat().st_mtime_ns for p in folder.glob("runs/*/result.json")}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_inter(tmp_path_factory.mktemp("data"), random_rows())


@pytest.fixture(scope="module")
def through(tmp_path_factory, data):
    """A comparison that ran through: BPR and DMF, one seed, and ItemPop, which needs no more."""
    folder = tmp_path_factory.mktemp("through") / "c"
    report, failed = run(folder, data, ItemPop="ItemPop")
    assert failed == 0
    return folder, report


def test_runs_and_report(through):
    folder, report = through
    assert sorted(results(folder)) == ["BPR-seed1", "ItemPop-seed1", "ours-seed1"]
    about = json.loads((folder / "comparison.json").read_text())
    assert about["models"] == ["BPR", "ours", "ItemPop"]
    assert about["deterministic"] == ["ItemPop"]
    assert about["failures"] == []
    assert (folder / "report.html").is_file()
    assert "BPR" in report.text
    table = pd.read_csv(folder / "results.csv")
    assert set(table["model"]) == {"BPR", "ours", "ItemPop"}
    assert not list(folder.glob("runs/.*"))


def test_all_rank_the_same_candidates(through):
    runs = results(through[0]).values()
    hashes = {json.dumps(run["candidates_sha256"]) for run in runs}
    assert len(hashes) == 1
    assert len(next(iter(runs))["candidates_sha256"]["test"]) == 64


def test_each_run_is_ours_and_names_its_command(through):
    result = json.loads((through[0] / "runs" / "ours-seed1" / "result.json").read_text())
    assert result["model"] == "DMF"
    assert result["settings"]["similarity"] == "cosine"  # an option that RecBole's DMF lacks
    words = result["command"].split()
    assert words[:3] == ["run_recbole", "--model=DMF", "--dataset=tiny"]
    assert "--seed=1" in words
    assert 0 < result["peak_memory_mb"] < 4096


def test_finished_runs_are_kept_and_changed_ones_made_again(through, data, capfd, tmp_path):
    folder = shutil.copytree(through[0], tmp_path / "c")
    before = stamps(folder)
    changed = [
        Column("BPR", "BPR", {"data_path": str(data), **FAST, "learning_rate": 0.02}),
        *columns(data, ItemPop="ItemPop")[1:],
    ]
    compare(folder, "Test", "tiny", changed, [1], {})
    out = capfd.readouterr().out
    assert out.count("finished before") == 2
    assert "BPR, seed 1 again: learning_rate was 0.01, is 0.02" in out
    after = stamps(folder)
    assert [name for name in before if before[name] != after[name]] == ["BPR-seed1"]


def test_interrupt_says_how_to_go_on(through, data, tmp_path):
    folder = shutil.copytree(through[0], tmp_path / "c")
    shutil.rmtree(folder / "runs" / "ours-seed1")
    training = folder / "runs" / ".unfinished-ours-seed1" / "config.yaml"

    def interrupt():
        while not training.is_file():
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    slow = [columns(data)[0], Column("ours", "DMF", columns(data)[1].options | {"epochs": 10**6})]
    with pytest.raises(UserError, match=r"1 of 2 runs are finished in .*continues") as caught:
        compare(folder, "Test", "tiny", slow, [1], {})
    thread.join()
    assert caught.value.exit_code == 130
    assert sorted(results(folder)) == ["BPR-seed1", "ItemPop-seed1"]
    assert not multiprocessing.active_children()


def test_fresh_makes_everything_again(through, data, tmp_path):
    folder = shutil.copytree(through[0], tmp_path / "c")
    before, kept = stamps(folder), results(folder)
    compare(folder, "Test", "tiny", columns(data)[:1], [1], {}, fresh=True)
    after = stamps(folder)
    assert [name for name in before if before[name] != after[name]] == ["BPR-seed1"]
    assert results(folder) == kept


def test_killed_and_continued_equals_run_through(through, data, tmp_path):
    folder = tmp_path / "c"
    code = (
        "import sys; from pathlib import Path\n"
        "from test_compare import run\n"
        "run(Path(sys.argv[1]), Path(sys.argv[2]), ItemPop='ItemPop')"
    )
    tests = Path(__file__).parents[1]
    path = os.pathsep.join([str(tests), str(tests / "experiments"), *sys.path])
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder), str(data)], env={**os.environ, "PYTHONPATH": path}
    )
    second = folder / "runs" / ".unfinished-ours-seed1"
    while not (second / "config.yaml").is_file() and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert sorted(results(folder)) == ["BPR-seed1"]
    kept = stamps(folder)
    run(folder, data, ItemPop="ItemPop")
    assert stamps(folder)["BPR-seed1"] == kept["BPR-seed1"]
    assert results(folder) == results(through[0])
    assert not second.exists()


@pytest.mark.parametrize("place", [".unfinished-BPR-seed1", "BPR-seed1-failed"])
def test_an_unfinished_run_goes_on_after_its_last_epoch(through, data, tmp_path, place):
    from recbole_dmf.config import build_config
    from recbole_dmf.run import run_in
    from recbole_dmf.training import trainer

    folder, original = tmp_path / "c", trainer.RunTrainer._write_state
    unfinished = folder / "runs" / place
    unfinished.mkdir(parents=True)

    def write(*args, **kwargs):
        original(*args, **kwargs)
        raise KeyboardInterrupt

    options = columns(data)[0].options
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer.RunTrainer, "_write_state", write)
        with pytest.raises(UserError, match="interrupted"):
            run_in(unfinished, build_config("BPR", "tiny", None, {**options, "seed": 1}))
    compare(folder, "Test", "tiny", columns(data)[:1], [1], {})
    result = json.loads((folder / "runs" / "BPR-seed1" / "result.json").read_text())
    assert result["resumed_after"] == [1]
    assert results(folder)["BPR-seed1"] == results(through[0])["BPR-seed1"]
    assert not list(folder.glob("runs/.*"))
    assert not list(folder.glob("runs/*/resume.pt"))


def test_a_failure_is_a_row_and_is_tried_again(data, tmp_path, capfd):
    folder = tmp_path / "c"
    options = {"data_path": str(data), **FAST, "init": "xavier", "user_layers": [8, 3]}
    bad = Column("bad", "DMF", options)
    both = [bad, Column("ItemPop", "ItemPop", {"data_path": str(data)})]
    report, failed = compare(folder, "Test", "tiny", both, [1, 2], {})
    assert failed == 2
    assert "bad, seed 2 failed: " in report.text
    failures = json.loads((folder / "comparison.json").read_text())["failures"]
    assert [(f["model"], f["seed"]) for f in failures] == [("bad", 1), ("bad", 2)]
    assert "item_layers" in failures[0]["message"]
    assert "Traceback" not in failures[0]["message"]
    assert "Traceback" in (folder / "runs" / "bad-seed1-failed" / "error.txt").read_text()
    mended = [Column("bad", "DMF", {**bad.options, "item_layers": [8, 3]}), both[1]]
    report, failed = compare(folder, "Test", "tiny", mended, [1], {})
    assert failed == 0
    assert not (folder / "runs" / "bad-seed1-failed").exists()


def test_a_broken_data_set_is_found_once_and_before_the_first_run(tmp_path, capfd):
    broken = write_inter(tmp_path / "data", [*random_rows(), ("u1", "i1", "good", 5)])
    with pytest.raises(UserError) as caught:
        run(tmp_path / "c", broken, seeds=(1, 2))
    assert str(caught.value).count("good") == 1
    assert "tiny.inter, line 362" in str(caught.value)
    out, errors = capfd.readouterr()
    assert "seed" not in out + errors
    assert not list((tmp_path / "c" / "runs").iterdir())


def test_nothing_finished_is_an_error_that_names_the_reasons(data, tmp_path):
    bad = [Column("bad", "DMF", {"data_path": str(data), **FAST, "user_layers": [8, 3]})]
    with pytest.raises(UserError, match=r"(?s)no run was finished.*bad, seed 1: .*item_layers"):
        compare(tmp_path / "c", "Test", "tiny", bad, [1], {})


def test_another_data_set_or_file_is_refused(through, data, tmp_path):
    folder, _ = through
    other = write_inter(tmp_path, random_rows(seed=5), "other")
    with pytest.raises(UserError, match="has a comparison on 'tiny', not on 'other'"):
        compare(folder, "Test", "other", columns(other)[:1], [1], {})
    changed = write_inter(tmp_path / "changed", random_rows(seed=5))
    both = [columns(changed)[0], Column("Pop", "ItemPop", {"data_path": str(changed)})]
    with pytest.raises(UserError, match="Pop, seed 1 ranks other valid candidates"):
        compare(folder, "Test", "tiny", both, [1], {})


def test_two_at_once_are_refused(through, data):
    folder, _ = through
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path\n"
            "from recbole_dmf.lock import locked\n"
            "with locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()",
            str(folder / ".lock"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="another comparison is running"):
            run(folder, data)
    finally:
        holder.communicate()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rat": 0.1}, "unknown option 'learning_rat'"),
        ({"topk": [5], "valid_metric": "NDCG@5"}, "same metrics and topk"),
        ({"eval_args": {"split": {"RS": [8, 1, 1]}}}, "the paper's split"),
        ({"seed": 4}, "--seeds"),
        ({"mu": b"x"}, "mu"),
    ],
)
def test_options_are_checked_before_anything_runs(data, tmp_path, options, message):
    both = [*columns(data)[:1], Column("DMF", "DMF", {"data_path": str(data), **options})]
    with pytest.raises(UserError, match=message):
        compare(tmp_path / "c", "Test", "tiny", both, [1], {})
    assert not (tmp_path / "c").exists()


def test_metrics_that_are_asked_for_are_reported(data, tmp_path, capfd):
    folder = tmp_path / "c"
    argv = ["--dataset=tiny", "--models=ItemPop", f"--data_path={data}", f"--results={folder}"]
    argv += ["--metrics=[MRR,NDCG,Hit]", "--topk=[5,20]", "--valid_metric=MRR@20"]
    assert main([*argv, "--dry-run"]) == 0
    assert "ItemPop, seed 1: would run" in capfd.readouterr().out
    assert not folder.exists()
    assert main(argv) == 0
    assert "ItemPop, seed 1: MRR@5 0." in capfd.readouterr().out
    stored = json.loads((folder / "runs" / "ItemPop-seed1" / "result.json").read_text())
    test = stored["metrics"]["test"]["expected"]
    table = pd.read_csv(folder / "results.csv").set_index(["phase", "metric", "reading"])["value"]
    for name in ("mrr@5", "ndcg@5", "hit@5", "mrr@20", "ndcg@20", "hit@20"):
        assert table["test", name, "expected"] == pytest.approx(test[name], abs=1e-9)
    assert main([*argv, "--dry-run"]) == 0
    assert "ItemPop, seed 1: finished in" in capfd.readouterr().out


def test_command(data, tmp_path, capfd):
    folder = tmp_path / "c"
    argv = ["--dataset=tiny", "--models=twin=ItemPop,slow=BPR", "--seeds=3,4"]
    argv += [f"--data_path={data}", f"--results={folder}", "--set", "slow.learning_rate=-1e400"]
    with pytest.raises(UserError, match="learning_rate"):
        main(argv)
    argv[-1] = "slow.embedding_size=3"
    assert main([*argv, "--set=slow.epochs=1"]) == 0
    out = capfd.readouterr().out
    for part in ("[3/3] slow, seed 4", "candidates sha256, test: ", str(folder / "report.html")):
        assert part in out
    assert sorted(results(folder)) == ["slow-seed3", "slow-seed4", "twin-seed3"]
    result = json.loads((folder / "runs" / "slow-seed4" / "result.json").read_text())
    assert (result["settings"]["embedding_size"], result["epochs_run"]) == (3, 1)
    rows = (folder / "summary.md").read_text()
    assert "| twin | deterministic |" in rows


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--models=BPR"], "--dataset is missing"),
        (["--dataset=tiny"], "--models is missing"),
        (["--dataset=tiny", "--models=BPR", "--seeds=1,x"], "--seeds=1,x"),
        (["--dataset=tiny", "--models=BPR", "--seeds=1,1"], "different"),
        (["--dataset=tiny", "--models=BPR,BPR"], "'BPR' is given twice"),
        (["--dataset=tiny", "--models=../x=BPR"], "is no name"),
        (["--dataset=tiny", "--models=BPR,"], "is no name"),
        (["--dataset=tiny", "--models=BRP"], "did you mean BPR"),
        (["--dataset=tiny", "--models=BPR", "--set", "BRP.epochs=1"], "did you mean BPR"),
        (["--dataset=tiny", "--models=BPR", "--set", "epochs=1"], "Model.option=value"),
        (["--dataset=tiny", "--models=BPR", "--set"], "--set has no value"),
    ],
)
def test_command_lines_that_cannot_be_understood(argv, message):
    with pytest.raises(UserError, match=message):
        main(argv)


def test_help(capsys):
    assert main(["--help"]) == 0
    assert "--set MODEL.OPTION=VALUE" in capsys.readouterr().out


def test_take_settings():
    words = ["--a=1", "--set", "M.x=1", "N.y=[1, 2]", "--b", "2", "--set=M.z=a.b=c", "tail"]
    rest, chosen = take_settings(words[:-1])
    assert rest == ["--a=1", "--b", "2"]
    assert chosen == {"M": {"x": 1, "z": "a.b=c"}, "N": {"y": [1, 2]}}
    with pytest.raises(UserError, match="twice"):
        take_settings(["--set", "M.x=1", "M.x=2"])
    with pytest.raises(UserError, match="tail"):
        take_settings(words)


def test_small_parts():
    assert whole_numbers("3, 1", "seeds") == [3, 1]
    assert changes({"a": 1, "data_path": "x"}, {"a": 1, "data_path": "y"}) == ""
    assert changes({"a": 1}, {"a": 2, "b": 3}) == "a was 1, is 2; b was None, is 3"
    with pytest.raises(UserError, match="no such model"):
        check_labels([Column("A", "BPR", {})], {"B": {}})
