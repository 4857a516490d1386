"""The long checks of `run_scripts/`, in small."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "run_scripts"


def run(name, tmp_path, *words):
    out = tmp_path / "out.json"
    done = subprocess.run(
        [sys.executable, SCRIPTS / name, *words, f"--out={out}"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(out.read_text())


@pytest.mark.slow
def test_three_kills(tmp_path):
    found = run("kill_test.py", tmp_path, "--kills=3", "--same-seed=2", "--models=BPR")
    assert {kill["kind"] for kill in found["kills"]} == {"training", "saving", "comparing"}
    summary = found["summary"]
    assert summary.pop("files_read") >= 3
    assert summary == {
        "kills": 3,
        "unreadable_files": 0,
        "resumed": 3,
        "bit_equal": 3,
        "finished_repeated": 0,
        "same_seed_runs": 2,
        "same_seed_bit_equal": 2,
    }


@pytest.mark.slow
def test_handles_and_files_do_not_grow(tmp_path):
    found = run("long_run.py", tmp_path, "--epochs=60", "--every=20")
    assert [sample["epoch"] // 20 for sample in found["samples"]][:2] == [1, 2]
    assert found["summary"]["more_open_files"] <= 0
    assert found["summary"]["more_files"] <= 1
