"""Two processes train as one does; run as users run them."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from conftest import random_rows, write_inter
from recbole_dmf.commands.arguments import without_options
from recbole_dmf.errors import UserError
from recbole_dmf.training.checkpoint import load_checkpoint
from recbole_dmf.training.parallel import launch

BIN = Path(sys.executable).parent
COMMON = ["--model=DMF", "--dataset=tiny", "--epochs=2", "--init=xavier", "--learning_rate=0.001"]
COMMON += ["--recent_items=3"]


def run(command, tiny, folder, **environment):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    command = [*command, *COMMON, f"--data_path={tiny}", f"--checkpoint_dir={folder}"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tiny)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = Path(folder).iterdir()
    with open(found / "history.csv", newline="") as file:
        history = list(csv.DictReader(file))
    result = json.loads((found / "result.json").read_text())
    return result, history, load_checkpoint(found / "model.pt")["state_dict"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return write_inter(tmp_path_factory.mktemp("data"), random_rows())


@pytest.fixture(scope="module")
def single(tiny, tmp_path_factory):
    return run([BIN / "run_recbole"], tiny, tmp_path_factory.mktemp("single") / "one")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["nproc", "torchrun"])
def test_two_processes_give_the_losses_and_metrics_of_one(tiny, tmp_path, single, how):
    command = {
        "nproc": [BIN / "run_recbole", "--nproc=2"],
        "torchrun": [
            sys.executable,
            *("-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"),
            *("-m", "recbole_dmf.cli"),
        ],
    }[how]
    two = run(command, tiny, tmp_path / "two")
    assert (single[0]["processes"], two[0]["processes"]) == (1, 2)
    for one_row, two_row in zip(single[1], two[1], strict=True):
        assert float(one_row["train_loss"]) == pytest.approx(float(two_row["train_loss"]), abs=1e-5)
    for name, weight in single[2].items():
        torch.testing.assert_close(weight, two[2][name], atol=1e-5, rtol=1e-4)
    assert single[0]["candidates_sha256"] == two[0]["candidates_sha256"]
    for name, value in single[0]["metrics"]["test"]["expected"].items():
        assert value == pytest.approx(two[0]["metrics"]["test"]["expected"][name], abs=1e-3)


@pytest.mark.slow
def test_models_of_recbole_say_that_they_train_alone(tiny, tmp_path):
    command = [BIN / "run_recbole", "--model=BPR", "--dataset=tiny", f"--data_path={tiny}"]
    done = subprocess.run(
        [*command, "--nproc=2", "--epochs=1"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2
    assert "BPR trains in one process" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("nproc", "machines"),
    [(0, {}), (2, {"world_size": "1"}), (1, {"world_size": "2", "group_offset": "2"})],
)
def test_numbers_that_make_no_sense(nproc, machines):
    with pytest.raises(UserError, match="does not fit"):
        launch([], nproc, machines)


def test_machines_of_different_size():
    with pytest.raises(UserError, match="as many processes on every machine"):
        launch([], 2, {"world_size": "5", "group_offset": "0"})


def test_ports_that_are_no_numbers():
    with pytest.raises(UserError, match="whole numbers"):
        launch([], 2, {"port": "http"})


def test_the_options_of_the_launcher_do_not_reach_the_children():
    argv = ["--model=DMF", "--nproc", "2", "--epochs", "3", "--world-size=4", "-d", "x"]
    assert without_options(argv, ("nproc", "world_size")) == [
        "--model=DMF", "--epochs", "3", "-d", "x",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_processes_and_keeps_the_best_epoch(tiny, tmp_path, number):
    options = [option for option in COMMON if not option.startswith("--epochs")]
    command = [BIN / "run_recbole", "--nproc=2", *options, "--epochs=100000"]
    command += [f"--data_path={tiny}", f"--checkpoint_dir={tmp_path / 'runs'}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=environment, cwd=tiny
    ) as launcher:
        deadline = time.monotonic() + 300
        while not list(tmp_path.glob("runs/*/model.pt")):
            assert launcher.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        launcher.send_signal(number)
        _, said = launcher.communicate(timeout=60)
    assert launcher.returncode == 128 + number
    assert "The best epoch so far" in said
    assert "Traceback" not in said
    assert not subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True).stdout


@pytest.mark.slow
def test_two_machines_over_loopback_train_as_one_process(tiny, tmp_path, single):
    """Each command line is what one machine would run."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    commands = [
        [
            BIN / "run_recbole",
            "--nproc=1",
            "--world_size=2",
            f"--group_offset={offset}",
            "--ip=localhost",
            f"--port={port}",
            *COMMON,
            f"--data_path={tiny}",
            f"--checkpoint_dir={tmp_path / 'two'}",
        ]
        for offset in (0, 1)
    ]
    machines = [subprocess.Popen(command, env=environment, cwd=tiny) for command in commands]
    assert [machine.wait(timeout=300) for machine in machines] == [0, 0]
    (folder,) = (tmp_path / "two").iterdir()
    with open(folder / "history.csv", newline="") as file:
        losses = [float(row["train_loss"]) for row in csv.DictReader(file)]
    assert losses == pytest.approx([float(row["train_loss"]) for row in single[1]], abs=1e-5)
    assert json.loads((folder / "result.json").read_text())["processes"] == 2
