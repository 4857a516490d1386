"""A few of the inputs that `run_scripts/fuzz.py` makes by the thousand."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "run_scripts" / "fuzz.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("fuzz", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("target", ["atomic", "options", "checkpoint"])
def test_inputs_are_read_or_refused(script, target):
    outcomes, failures = script.fuzz(target, 200, seed=2)
    assert not failures, failures[0]
    assert set(outcomes) == {"read", "refused"}  # both kinds are among them
    assert sum(outcomes.values()) == 200
