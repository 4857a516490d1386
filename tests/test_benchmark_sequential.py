"""The benchmark of models that read the order of time, in small."""

import json

import pytest

from test_benchmark import benchmark


@pytest.mark.slow
def test_each_model_is_measured(tiny, tmp_path):
    words = ["--sequential", "--dataset=tiny", f"--data_path={tiny}", "--repeats=1", "--steps=3"]
    shown = benchmark(tmp_path, *words)
    found = json.loads((tmp_path / "out" / "sequential-tiny.json").read_text())
    for name, row in found["rows"].items():
        assert row["our_sasrec_ratio"] == row["recbole_sasrec"] / row["our_sasrec"]
        assert row["dmf_best_ratio"] == row["recbole_sasrec"] / row["dmf_best"]
        assert name in shown
    peer = found["runs"]["recbole_sasrec"][0]
    assert peer["steps_timed"] <= peer["steps_of_epoch"]
