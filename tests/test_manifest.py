import hashlib
import resource
import subprocess
from pathlib import Path
from types import SimpleNamespace

import recbole

from recbole_dmf import manifest
from recbole_dmf.run import run_recbole


def git(folder, *words):
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(["git", "-C", str(folder), *identity, *words], check=True, capture_output=True)


def test_commit_of_a_checkout(tmp_path):
    assert manifest.commit(tmp_path) is None
    git(tmp_path, "init")
    for name in ("recbole_dmf", "properties"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text("1")
    manifest.commit.cache_clear()
    assert manifest.commit(tmp_path) is None  # no commit yet
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    manifest.commit.cache_clear()
    first = manifest.commit(tmp_path)
    assert len(first) == 40
    (tmp_path / "properties" / "a").write_text("2")
    manifest.commit.cache_clear()
    assert manifest.commit(tmp_path) == f"{first}+changes"
    (tmp_path / "notes").write_text("no part of the package")
    git(tmp_path, "checkout", "properties")
    manifest.commit.cache_clear()
    assert manifest.commit(tmp_path) == first


def test_commit_without_git(tmp_path, monkeypatch):
    for name in (".git", "recbole_dmf"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert manifest.commit(tmp_path) is None


def test_hashes_are_of_the_data_sets_files_alone(tmp_path):
    for name in ("a.inter", "a.train.inter", "a.item", "a.txt", "ab.inter", "a.yaml"):
        (tmp_path / name).write_text(name)
    (tmp_path / "a.user").mkdir()
    found = manifest.file_hashes(tmp_path, "a")
    assert list(found) == ["a.inter", "a.item", "a.train.inter", "a.yaml"]
    assert found["a.item"] == hashlib.sha256(b"a.item").hexdigest()


def test_device_names(monkeypatch):
    assert manifest.device_name("cpu")
    monkeypatch.setattr(Path, "read_text", lambda *args, **kwargs: "nothing")
    assert manifest.device_name("cpu")


def test_peak_memory_is_in_mib_everywhere(monkeypatch):
    here = manifest.peak_memory_mb()
    assert 20 < here < 100_000
    peak = SimpleNamespace(ru_maxrss=3 << 20)
    monkeypatch.setattr(resource, "getrusage", lambda who: peak)
    assert manifest.peak_memory_mb() == 3 << 10
    monkeypatch.setattr(manifest.sys, "platform", "darwin")
    assert manifest.peak_memory_mb() == 3


def test_a_result_says_what_it_depends_on(tiny, tmp_path):
    options = {"data_path": str(tiny), "checkpoint_dir": str(tmp_path), "epochs": 1}
    result = run_recbole("DMF", "tiny", config_dict=options)["result"]
    data = (tiny / "tiny" / "tiny.inter").read_bytes()
    assert result["files_sha256"] == {"tiny.inter": hashlib.sha256(data).hexdigest()}
    names = {"versions", "commit", "device", "device_name", "threads", "seed", "split_seed"}
    names |= {"candidates_sha256", "command", "seconds"}
    assert names <= set(result)
    assert result["versions"]["recbole"] == recbole.__version__
    assert result["device_name"]
