"""Measurements in processes of their own, each with its own memory and imports."""

import importlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "benchmark.py"
MEASUREMENTS = {
    "ours": "ours:measure_ours",
    "large_batch": "ours:measure_large_batch",
    "growth_ours": "ours:measure_growth_ours",
    "recbole": "peer:measure_recbole",
    "growth_recbole": "peer:measure_growth_recbole",
    "stages": "stages:measure_stages",
    "recbole_sasrec": "peer:measure_recbole_sasrec",
    "our_sasrec": "sequential:measure_our_sasrec",
    "dmf_best": "sequential:measure_dmf_best",
    "catalogue_vectors": "catalogue:measure_vectors",
    "catalogue_blocks": "catalogue:measure_blocks",
    "catalogue_rows": "catalogue:measure_rows",
    "catalogue_recbole": "catalogue:measure_recbole",
    "catalogue_flat": "catalogue:measure_flat",
    "catalogue_ivf": "catalogue:measure_ivf",
    "catalogue_hnsw": "catalogue:measure_hnsw",
    "catalogue_expected": "catalogue:measure_expected",
}


def measure(name: str, args) -> None:
    """Run one of `MEASUREMENTS` in this process."""
    module, function = MEASUREMENTS[name].split(":")
    getattr(importlib.import_module(f"benchmarks.{module}"), function)(args)


def run_child(name: str, args, limit: float | None = None, **options) -> dict:
    """Run one of `MEASUREMENTS` in a process of its own; what it had measured when it ended."""
    given = {**vars(args), **options, "child": name, "spawned": time.time()}
    command = [sys.executable, str(SCRIPT)]
    for key, value in given.items():
        if value is not None and not isinstance(value, bool | list | tuple):  # of the parent alone
            command.append(f"--{key}={value}")
    print(f"{name} {options or ''} ...", file=sys.stderr, flush=True)
    measured: dict = {}
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        try:
            code = subprocess.run(command, stdout=output, stderr=errors, timeout=limit).returncode
        except subprocess.TimeoutExpired:
            measured["stopped"] = f"after {limit:.0f} s"
            code = 0
        output.seek(0)
        for line in output:
            if line.startswith("{"):
                measured.update(json.loads(line))
        if code:
            errors.seek(0)
            reason = errors.read().strip().splitlines()[-1:] or [f"exit code {code}"]
            measured["stopped"] = "out of memory" if code == -9 else reason[0]
    return measured


def medians_of(runs: list[dict]) -> dict:
    return {
        name: statistics.median(run[name] for run in runs)
        for name, value in runs[0].items()
        if isinstance(value, float) and all(name in run for run in runs)
    }
