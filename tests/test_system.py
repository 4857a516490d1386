import subprocess
import sys

import pytest

from recbole_dmf.errors import UserError
from recbole_dmf.system import check_system


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
