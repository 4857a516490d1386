"""Stopped runs are resumed and end as those that were never stopped, bit for bit."""

import csv
import json
import multiprocessing
import os
import re
import resource
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import random_rows, write_inter
from recbole_dmf import cli, run_recbole
from recbole_dmf.errors import CannotResume, UserError
from recbole_dmf.training import trainer
from recbole_dmf.training.checkpoint import load_checkpoint

MODELS = {
    "DMF": {"learning_rate": 0.01, "init": "xavier"},
    "DMF once": {"sampling": "once", "similarity": "scaled_cosine", "target_masking": True},
    "DMF recent": {"recent_items": 3, "init": "xavier"},
    "DMF averaged": {
        "weight_average": 0.9,
        "recent_items": 3,
        "preceding_items": 2,
        "target_masking": True,
        "init": "xavier",
    },
    "SASRec": {"weight_average": 0.9, "max_length": 5},
    "LFM": {"learning_rate": 0.01},
    "EALS": {"embedding_size": 4},
    "NeuMFp": {"pretrain_epochs": 2, "epochs": 3},
    "ItemKNN": {},
    "ItemPop": {},
    "BPR": {},
    "LightGCN": {},
    "MultiVAE": {},
    "RecVAE": {},
    "SGL": {},
    "EASE": {},
}


ENDLESS = ["--epochs=1000000", "--stopping_step=1000000"]


class Stop(Exception):
    """What stops the training in these tests."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_inter(tmp_path_factory.mktemp("data"), random_rows())


@pytest.fixture
def start(data, tmp_path):
    def run(model, stop_before=None, resume=False, share=1e9, **options):
        """Train; `stop_before`: number of the epoch, from 1, that must not be begun."""
        places = {"data_path": str(data), "checkpoint_dir": str(tmp_path / "runs")}
        settings = {"epochs": 5, "stopping_step": 2, **MODELS.get(model, {})}
        chosen = {**places, **settings, **options}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(trainer, "WRITE_SHARE", share)
            if stop_before:
                original = trainer.RunTrainer._write_state

                def write(self, epochs, *args, **kwargs):
                    original(self, epochs, *args, **kwargs)
                    if epochs + 1 == stop_before or kwargs.get("ended"):
                        raise Stop

                patch.setattr(trainer.RunTrainer, "_write_state", write)
            return run_recbole(model.split()[0], "tiny", config_dict=chosen, resume=resume)

    return run


def outcome(folder):
    """What must not depend on whether a run was stopped."""
    folder = Path(folder)
    result = json.loads((folder / "result.json").read_text())
    names = ("metrics", "best_epoch", "epochs_run", "candidates_sha256", "data_sha256")
    found = {name: result[name] for name in (*names, "settings")}
    found["stages"] = result.get("stages")
    for name in ("per_user.csv", "history.csv"):
        with open(folder / name, newline="") as file:
            found[name] = [
                {k: v for k, v in row.items() if "seconds" not in k} for row in csv.DictReader(file)
            ]
    content = load_checkpoint(folder / "model.pt")
    return found, {**content["state_dict"], "epoch": torch.tensor(content["epoch"])}


def assert_equal(one, other):
    assert one[0] == other[0]
    assert one[1].keys() == other[1].keys()
    for name, value in one[1].items():
        assert torch.equal(value, other[1][name]), name


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_a_stopped_run_ends_as_one_that_was_not(start, tmp_path, model):
    through = start(model)
    epochs = through["result"]["epochs_run"]
    stops = [epochs // 2 + 1]
    if model == "DMF":
        stops.append(epochs + 1)  # the training has ended, the result is not there yet
    if model == "NeuMFp":
        stops = [2, 3, 5, 6, 8]  # within each stage and between them
    for stop in stops:
        with pytest.raises(Stop):
            start(model, stop_before=stop)
        (unfinished,) = [p.parent for p in tmp_path.glob("runs/*/resume.pt")]
        found = start(model, resume=True)
        assert found["folder"] == str(unfinished)
        assert found["result"]["resumed_after"] == [stop - 1 if epochs > 1 else 1]
        assert_equal(outcome(through["folder"]), outcome(unfinished))
        assert {p.name for p in unfinished.iterdir()} == {
            p.name for p in Path(through["folder"]).iterdir()
        }


@pytest.mark.slow
@pytest.mark.parametrize("stop", ["before model.pt", "before resume.pt"])
def test_both_files_are_of_one_epoch_wherever_the_run_is_killed(start, stop, monkeypatch):
    """resume.pt is written once, after epoch 1; the best epoch after it is another one."""
    options = {"learning_rate": 0.001, "share": 1e-9, "epochs": 6}
    through = start("BPR", **options)
    history = outcome(through["folder"])[0]["history.csv"]
    scores = [float(row["valid_ndcg@10_expected"]) for row in history]
    later = next(n for n, score in enumerate(scores) if n and score >= max(scores[:n]))
    save = trainer.save_checkpoint

    def stopping_save(path, content):
        if path.name == "model.pt" and content["epoch"] == later + 1:
            if stop == "before resume.pt":
                save(path, content)
            raise Stop
        save(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "save_checkpoint", stopping_save)
        with pytest.raises(Stop):
            start("BPR", **options)
    folder = max(Path(through["folder"]).parent.iterdir(), key=lambda path: path.stat().st_mtime)
    assert load_checkpoint(folder / "resume.pt")["checkpoint_epoch"] == 1
    assert load_checkpoint(folder / "model-before.pt")["epoch"] == 1
    assert_equal(
        outcome(start("BPR", resume=folder, **options)["folder"]), outcome(through["folder"])
    )
    assert not (folder / "model-before.pt").exists()


def test_a_folder_needs_no_other_option(start, tmp_path, capsys):
    with pytest.raises(Stop):
        start("BPR", stop_before=3)
    (folder,) = (tmp_path / "runs").iterdir()
    found = run_recbole(resume=str(folder))
    assert found["result"]["resumed_after"] == [2]
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.*")}
    capsys.readouterr()
    again = run_recbole(resume=folder)
    assert again == found
    assert "is finished: there is nothing to do" in capsys.readouterr().out
    after = {path: path.stat().st_mtime_ns for path in folder.glob("*.*")}
    assert {p.name for p in before if before[p] != after[p]} == {"run.log"}
    assert start("BPR", resume=True)["folder"] == str(folder)


@pytest.mark.slow
def test_what_cannot_go_on_is_explained(start, data, tmp_path):
    with pytest.raises(UserError, match=r"nothing to resume: .*/runs has no run of BPR on tiny"):
        start("BPR", resume=True)
    with pytest.raises(UserError, match="has no run to resume"):
        start("BPR", resume=tmp_path)
    with pytest.raises(Stop):
        start("BPR", stop_before=3)
    (folder,) = (tmp_path / "runs").iterdir()
    with pytest.raises(UserError, match=r"nothing to resume.*learning_rate was 0.001, is 0.1"):
        start("BPR", resume=True, learning_rate=0.1)
    with pytest.raises(CannotResume, match=r"other options: learning_rate was 0.001, is 0.1"):
        start("BPR", resume=folder, learning_rate=0.1)
    state = folder / "resume.pt"
    kept = shutil.copy(state, tmp_path / "kept.pt")
    for key, value, message in (
        ("version", "0.0.1", "recbole-dmf 0.0.1 began it"),
        ("data_sha256", "0", "no longer those"),
        ("checkpoint_epoch", 9, "not that of epoch 9"),
        ("environment", {"device": "cuda"}, "was made on cuda, not on cpu"),
        ("format", 99, "of format 99.*install version 0"),
        ("learner", {"state_dict": {}}, "does not fit the model"),
    ):
        torch.save({**torch.load(kept, weights_only=True), key: value}, state)
        with pytest.raises(UserError, match=message):
            start("BPR", resume=folder)
    torch.save({"format": 1, "version": "0.1.0"}, state)
    with pytest.raises(CannotResume, match=r"it lacks .*checkpoint_epoch"):
        start("BPR", resume=folder)
    state.write_bytes(b"no checkpoint")
    with pytest.raises(UserError, match="damaged"):
        start("BPR", resume=folder)
    shutil.copy(kept, state)
    start("BPR", resume=folder)


def test_other_data_is_refused(start, tmp_path):
    mine = write_inter(tmp_path / "mine", random_rows())
    with pytest.raises(Stop):
        start("BPR", stop_before=3, data_path=str(mine))
    write_inter(mine, random_rows(seed=5))
    with pytest.raises(CannotResume, match="no longer those"):
        start("BPR", resume=True, data_path=str(mine))


def test_other_threads_are_told(start, capsys):
    with pytest.raises(Stop):
        start("BPR", stop_before=3)
    torch.set_num_threads(2)
    try:
        start("BPR", resume=True)
    finally:
        torch.set_num_threads(1)
    assert "threads was 1, is 2: the last digits may differ" in capsys.readouterr().out


def command(folder, words):
    """Child process: `run_recbole` in FOLDER, its errors in FOLDER/PID.txt."""
    os.chdir(folder)
    sys.argv = ["run_recbole", *words]
    with open(os.devnull, "w") as sys.stdout, open(f"{os.getpid()}.txt", "w") as sys.stderr:
        code = cli.guarded(cli.main_of("run"), words)
    os._exit(code)


def begin(data, folder, *words):
    """`run_recbole` in a process of its own, once it has a checkpoint to resume from."""
    words = ["--model=DMF", "--dataset=tiny", f"--data_path={data}", "--init=xavier", *words]
    context = multiprocessing.get_context("fork")
    process = context.Process(target=command, args=(folder, words), daemon=True)
    process.start()
    while not list(folder.glob("saved/*/resume.pt")):
        assert process.is_alive(), told(process, folder)
        time.sleep(0.01)
    return process, next(folder.glob("saved/*"))


def told(process, folder):
    """What the process says of its error, once it has ended."""
    process.join(30)
    return (folder / f"{process.pid}.txt").read_text()


def test_sigterm_leaves_a_run_that_goes_on_and_nobody_else_can_touch_it(data, tmp_path):
    process, folder = begin(data, tmp_path, *ENDLESS)
    with pytest.raises(UserError, match="another process is working"):
        run_recbole(resume=folder)
    os.kill(process.pid, signal.SIGTERM)
    errors = told(process, tmp_path)
    assert process.exitcode == 143
    assert re.fullmatch(  # without the epoch's number while a checkpoint is written
        r"error: terminated \(SIGTERM\)\. The best epoch so far( \(\d+\))? is in .*/model\.pt\.\n"
        rf"To resume it: run_recbole --resume=saved/{folder.name}\n",
        errors,
    )
    assert load_checkpoint(folder / "model.pt")["epoch"] >= 1
    assert load_checkpoint(folder / "resume.pt")["start_epoch"] >= 1


def test_a_full_disk_leaves_a_run_that_goes_on(data, tmp_path):
    """For want of a small disk: a limit on the size of files, given to a running process."""
    process, folder = begin(data, tmp_path, *ENDLESS)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1000, 1000))
    errors = told(process, tmp_path)
    assert process.exitcode == 5, errors
    assert "the disk is full (File too large)" in errors
    assert "The best epoch so far" in errors
    assert f"--resume=saved/{folder.name}" in errors
    assert load_checkpoint(folder / "model.pt")["epoch"] >= 1
    assert load_checkpoint(folder / "resume.pt")["start_epoch"] >= 1


def too_much_for_torch():
    torch.empty(2**50)


def too_much_for_numpy():
    np.ones(2**50)


@pytest.mark.slow
@pytest.mark.parametrize("allocate", [too_much_for_torch, too_much_for_numpy])
def test_lack_of_memory_leaves_a_run_that_goes_on(start, tmp_path, monkeypatch, allocate):
    through = start("BPR")
    original = trainer.RunTrainer._valid_epoch

    def valid_epoch(self, *args, **kwargs):
        if self._epoch == 2:
            allocate()
        return original(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(trainer.RunTrainer, "_valid_epoch", valid_epoch)
        with pytest.raises(
            UserError, match=r"out of memory\. The best epoch so far \(\d\)"
        ) as error:
            start("BPR")
    assert error.value.exit_code == 7
    folder = str(error.value).rpartition("--resume=")[2]
    start("BPR", resume=folder)
    assert_equal(outcome(folder), outcome(through["folder"]))


@pytest.mark.slow
def test_two_processes_in_one_folder_do_not_touch_each_others_files(data, tmp_path):
    words = ["--epochs=3", "--seed=3"]
    first, _ = begin(data, tmp_path, *words)
    second, _ = begin(data, tmp_path, *words)
    for process in (first, second):
        errors = told(process, tmp_path)
        assert process.exitcode == 0, errors
    one, other = tmp_path.glob("saved/*")
    assert_equal(outcome(one), outcome(other))
    assert {path.name for path in one.iterdir()} == {path.name for path in other.iterdir()}
