import errno
import os
from types import SimpleNamespace

import pytest

from recbole_dmf import files
from recbole_dmf.errors import DISK_FULL, UserError
from recbole_dmf.files import atomic_path, remove_temporary_files, write_text


def test_a_file_is_complete_or_as_it_was(tmp_path):
    path = tmp_path / "a"
    write_text(path, "old")

    def interrupted():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]
    write_text(path, "néw\n")
    assert path.read_bytes() == "néw\n".encode()
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_full_disk(tmp_path):
    with pytest.raises(UserError, match="disk is full") as caught, atomic_path(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.exit_code == DISK_FULL
    assert os.listdir(tmp_path) == []


def test_leftovers_of_a_killed_process(tmp_path):
    for name in (".a.x1.tmp", "b", ".c"):
        (tmp_path / name).touch()
    remove_temporary_files(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".c", "b"]


@pytest.mark.parametrize("knows", [True, False])
def test_macos_is_asked_to_empty_the_disks_own_cache(knows, tmp_path, monkeypatch):
    asked = []

    def fcntl(handle, command):
        asked.append(command)
        if not knows:
            raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(files.sys, "platform", "darwin")
    monkeypatch.setattr(files, "fcntl", SimpleNamespace(fcntl=fcntl, F_FULLFSYNC=51))
    write_text(tmp_path / "a", "text")
    assert asked == [51, 51]  # the file and its folder
    assert (tmp_path / "a").read_text() == "text"
