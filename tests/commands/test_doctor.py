import re
import subprocess
import sys

import pytest

from recbole_dmf import installation
from recbole_dmf.cli import dispatch, guarded
from recbole_dmf.commands import doctor

MODULES = ("torch", "recbole", "numpy", "pandas")


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
    assert re.search(r"packages .*recbole 1\.2\.[01], torch ", shown)
    assert re.search(r"device +(cpu|cuda), ", shown)
    assert "dataset: my-shop\n" in shown
    assert "DMF is recbole_dmf.models.dmf" in shown
    assert "No problem is known with this." in shown
    assert [path.name for path in tmp_path.iterdir()] == ["dataset"]


@pytest.mark.slow
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


def test_doctor_finds_lost_property_files_and_other_copies(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(installation, "PACKAGE", tmp_path / "recbole_dmf")
    assert doctor.main([]) == 1
    shown = capsys.readouterr().out
    assert re.search(r"properties +cannot be used, see below", shown)
    assert "are missing; install recbole-dmf again" in shown
    assert "another copy of this package" in shown


def test_doctor_takes_nothing(capsys):
    assert guarded(dispatch, ["doctor", "--help"]) == 0
    assert "usage: recbole-dmf doctor" in capsys.readouterr().out
    assert guarded(dispatch, ["doctor", "me"]) == 2


def test_a_gpu_that_torch_does_not_see(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: name)
    assert "there seems to be a GPU" in doctor.usable_devices()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Some GPU")
    assert doctor.usable_devices().startswith("cuda, Some GPU; cpu")
