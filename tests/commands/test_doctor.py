import re
import subprocess
import sys

import pytest

from recbole_dmf.cli import dispatch, guarded
from recbole_dmf.commands import doctor
from recbole_dmf.version import __version__

GOOD = {
    "recbole-dmf": __version__,
    "recbole": "1.2.1",
    "torch": "2.13.0+cpu",
    "numpy": "1.26.4",
    "scipy": "1.17.1",
    "pandas": "2.3.3",
    "setuptools": "81.0.0",
    "pyarrow": "21.0.0",
}
MODULES = ("torch", "recbole", "numpy", "pandas")


def test_versions_are_compared_by_their_numbers():
    assert doctor.parsed("2.13.0+cpu") == (2, 13, 0)
    assert doctor.parsed("3.0rc1") == (3, 0)
    assert doctor.parsed("0.1.1.post2209") == (0, 1, 1)
    assert doctor.parsed("") == ()


def test_nothing_is_wrong_with_the_tested_versions():
    assert doctor.known_bad(GOOD, (3, 11, 7)) == []
    assert doctor.known_bad({**GOOD, "pyarrow": "15.0.0", "torch": "2.6.0"}, (3, 10, 0)) == []


@pytest.mark.parametrize(
    ("changed", "python", "message"),
    [
        ({"numpy": "2.4.6"}, (3, 11), r"numpy 2\.4\.6: .*numpy<2"),
        ({"pandas": "3.1.1"}, (3, 11), "missing values stay.*pandas<3"),
        ({"setuptools": "84.2.1"}, (3, 11), "pkg_resources.*setuptools<82"),
        ({"torch": "2.5.1"}, (3, 11), "CVE-2025-32434"),
        ({"pyarrow": "14.0.2"}, (3, 11), "CVE-2023-47248"),
        ({"pyarrow": "22.0.0"}, (3, 11), "needs NumPy 2"),
        ({"optuna": "3.6.1"}, (3, 11), "optuna>=4"),
        ({"recbole": "1.2.0"}, (3, 12), r"Python 3\.12: .*RecBole 1\.2\.0 without a word"),
        ({"recbole": "1.2.0"}, (3, 11), r"recbole 1\.2\.0: this package knows 1\.2\.1"),
        ({"recbole": None}, (3, 11), "recbole is not installed"),
        ({"scipy": None}, (3, 11), "scipy is not installed"),
        ({"recbole-dmf": "0.0.9"}, (3, 11), r"version 0\.0\.9 is installed, but"),
        ({}, (3, 9), r"Python 3\.9: "),
    ],
)
def test_known_bad_mixes(changed, python, message):
    installed = {name: text for name, text in {**GOOD, **changed}.items() if text}
    problems = doctor.known_bad(installed, python)
    assert any(re.search(message, problem) for problem in problems), problems
    assert len(problems) == 1 + (python == (3, 12))


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}, "unset it"),
        ({"TORCH_FORCE_WEIGHTS_ONLY_LOAD": "True"}, "cannot reload"),
        ({"OMP_NUM_THREADS": "64"}, "2 cores can be used"),
        ({"OPENBLAS_NUM_THREADS": "many"}, "no number of threads"),
        ({"MKL_NUM_THREADS": "0"}, "no number of threads"),
    ],
)
def test_known_bad_environments(environment, message):
    (problem,) = doctor.known_bad_environment(environment, 2)
    assert message in problem


def test_an_environment_that_is_well():
    given = {"OMP_NUM_THREADS": "2", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "0", "HOME": "/root"}
    assert doctor.known_bad_environment(given, 2) == []


def test_doctor_here(capsys, tmp_path, monkeypatch):
    for name in ("OMP_NUM_THREADS", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dataset" / "my-shop").mkdir(parents=True)
    (tmp_path / "dataset" / "my-shop" / "my-shop.inter").write_text("")
    (tmp_path / "dataset" / "notes").mkdir()
    code = guarded(dispatch, ["doctor"])
    shown = capsys.readouterr().out
    assert code == 0, shown
    assert re.search(r"packages .*recbole 1\.2\.1, torch ", shown)
    assert re.search(r"device +(cpu|cuda), ", shown)
    assert "dataset: my-shop\n" in shown
    assert "DMF is recbole_dmf.models.dmf" in shown
    assert "No problem is known with this." in shown
    assert [path.name for path in tmp_path.iterdir()] == ["dataset"]


@pytest.mark.parametrize("missing", MODULES)
def test_doctor_where_something_cannot_be_imported(missing, tmp_path):
    program = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from recbole_dmf.cli import dispatch, guarded\n"
        "sys.exit(guarded(dispatch, ['doctor']))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path
    )
    assert found.returncode == 1
    assert re.search(f"(import of {missing} halted|No module named .{missing})", found.stdout)
    assert "Traceback" not in found.stdout + found.stderr
    assert "properties" in found.stdout


def test_doctor_finds_folders_that_cannot_be_used(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor.os, "access", lambda *args: False)
    monkeypatch.setattr(doctor, "FREE_GB", 1e9)
    assert doctor.main([]) == 1
    shown = capsys.readouterr().out
    assert "cannot be written" in shown
    assert "of free space" in shown


def test_doctor_finds_lost_property_files(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "PACKAGE", tmp_path / "recbole_dmf")
    problems = []
    assert "see below" in doctor._tried("property files", doctor._properties, problems)
    assert "protocol.yaml; install the package again" in problems[0]


def test_doctor_takes_nothing(capsys):
    assert guarded(dispatch, ["doctor", "--help"]) == 0
    assert "usage: recbole-dmf doctor" in capsys.readouterr().out
    assert guarded(dispatch, ["doctor", "me"]) == 2


def test_a_gpu_that_torch_does_not_see(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: name)
    assert "there seems to be a GPU" in doctor._device()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Some GPU")
    assert doctor._device().startswith("cuda, Some GPU; cpu")
