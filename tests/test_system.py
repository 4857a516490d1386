import subprocess
import sys

import pytest

from recbole_dmf.errors import UserError
from recbole_dmf.system import check_system, keep_freed_memory, return_freed_memory


def test_linux_and_macos_only():
    for platform in ("linux", "darwin"):
        check_system(platform)
    with pytest.raises(UserError, match=r"runs on Linux and macOS, and this system is win32.*WSL"):
        check_system("win32")


@pytest.mark.parametrize(
    "action",
    [
        "from recbole_dmf.cli import guarded, dispatch; sys.exit(guarded(dispatch, ['doctor']))",
        "import recbole_dmf.lock",
        "import recbole_dmf.files",
    ],
)
def test_a_system_without_locks_gets_a_message(action):
    # shutil looks at the platform when it is imported.
    program = f"import sys, shutil; sys.platform = 'win32'; sys.modules['fcntl'] = None; {action}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "On Windows run it in WSL" in done.stderr
    assert "ModuleNotFoundError" not in done.stderr
    if "cli" in action:
        assert done.returncode == 2
        assert done.stderr.startswith("error: recbole-dmf runs on Linux and macOS")


FAULTS = """
import resource, torch
from recbole_dmf.system import keep_freed_memory
def new_pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for millions in (9, 16, 12) * 4:
        ones = torch.ones(millions * 1_000_000)
        (ones + 1).mul_(ones).sum()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(new_pages(), keep_freed_memory(), min(new_pages() for _ in range(3)))
"""


def test_the_memory_of_large_tensors_is_used_again():
    command = [sys.executable, "-c", FAULTS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    before, can, after = done.stdout.split()
    assert can == str(sys.platform == "linux")
    assert sys.platform != "linux" or int(after) < int(before) / 10


def test_other_c_libraries_are_left_as_they_are(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    assert not keep_freed_memory()
    return_freed_memory()
