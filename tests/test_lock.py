import subprocess
import sys

import pytest

from recbole_dmf.errors import UserError
from recbole_dmf.lock import is_held, locked

HOLDER = (
    "import sys; from pathlib import Path; from recbole_dmf.lock import locked\n"
    "with locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
)


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock `tmp_path / "a"`."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "a")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_a_lock_that_another_process_holds(holder, tmp_path):
    path = tmp_path / "a"
    assert is_held(path)
    with pytest.raises(UserError, match="busy"), locked(path, "busy"):
        raise AssertionError
    holder.kill()
    holder.wait()
    assert not is_held(path)  # however it ended
    with locked(path, "busy"):
        assert is_held(path)
    assert not is_held(path)


def test_what_is_locked_keeps_its_content(tmp_path):
    (tmp_path / "a").write_text("lines of a log")
    with locked(tmp_path / "a"):
        pass
    assert (tmp_path / "a").read_text() == "lines of a log"
    assert not is_held(tmp_path / "none")
    assert not (tmp_path / "none").exists()
