"""The benchmark's whole table, on a CPU and in small."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[1] / "run_scripts" / "benchmark.py"


def benchmark(tmp_path, *words):
    done = subprocess.run(
        [sys.executable, SCRIPT, *words, f"--out={tmp_path}/out"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_whole_table_of_a_device(tiny, tmp_path):
    words = ["--device=cpu", "--dataset=tiny", f"--data_path={tiny}", "--repeats=1", "--steps=3"]
    words += ["--large_batch=512", "--epochs=2", "--size=60,40,900"]
    shown = benchmark(tmp_path, *words)
    found = json.loads((tmp_path / "out" / "device-cpu.json").read_text())
    rows = found["rows"]
    measured = {name for name, row in rows.items() if None not in row.values()}
    # A row is missing for the memory of a GPU alone, or if two epochs do not reach the quality.
    assert rows.keys() - measured <= {
        "peak_gpu_memory_mb",
        "large_peak_gpu_memory_mb",
        "time_to_quality_seconds",
    }
    for name in measured:
        assert rows[name]["ratio"] == pytest.approx(rows[name]["recbole"] / rows[name]["ours"])
    assert all(name in shown for name in rows)
    assert rows["900_ratings_epoch_seconds"]["ours"] > 0
    assert found["size"]["recbole"]["peak_memory_mb"] > 50
    assert (tmp_path / "out" / "device-cpu.png").is_file()


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here, so it is measured")
def test_rows_are_not_measured_without_a_gpu(tmp_path):
    shown = benchmark(tmp_path, "--device=cuda")
    found = json.loads((tmp_path / "out" / "device-cuda.json").read_text())
    assert "there is no GPU" in shown
    assert len(found["rows"]) > 10
    for name, row in found["rows"].items():
        assert list(row.values()) == [None] * 3
        assert f"{name} " in shown
