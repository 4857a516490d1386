"""One run in a process of its own: its memory is measured alone, and no crash ends the others."""

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from recbole_dmf.errors import UserError

ERROR = "error.txt"
_TRACEBACK = "\n\nTraceback "


def run_in_child(
    folder: Path, label: str, model: str, dataset: str, options: dict[str, Any]
) -> str | None:
    """Train and test in a new process of this Python; it ends with this one.

    Args:
        folder: of this run alone, empty; gets the run's files, or error.txt.
        label: the run's name in tables.
        model, dataset, options: as of `build_config`; plain values.

    Returns:
        None, or what went wrong.
    """
    spec = {"folder": str(folder), "label": label, "model": model, "dataset": dataset}
    line = json.dumps({**spec, "options": options}) + "\n"
    command = [sys.executable, "-m", "recbole_dmf.experiments.child"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        try:
            process.stdin.write(line)
            process.stdin.flush()
            code = process.wait()
        except BrokenPipeError:
            code = process.wait()
        except BaseException:
            process.kill()
            raise
    if code == 0:
        return None
    if (folder / ERROR).is_file():
        return (folder / ERROR).read_text(encoding="utf-8").partition(_TRACEBACK)[0]
    if code < 0:
        name = signal.Signals(-code).name
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return f"the process was ended by {name}{hint}"
    return f"the process ended with exit code {code}"


def run_command(model: str, dataset: str, options: dict[str, Any]) -> str:
    """The command line that repeats a run."""
    chosen = {"model": model, "dataset": dataset, **options}
    words = (f"--{k}={v if isinstance(v, str) else repr(v)}" for k, v in chosen.items())
    return shlex.join(["run_recbole", *words])


def _end_with_parent() -> None:
    """The parent holds standard input open for as long as it lives and waits."""
    while os.read(0, 1024):
        pass
    os._exit(1)


def _main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    spec = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    model, dataset, options = spec["model"], spec["dataset"], spec["options"]
    sys.argv = shlex.split(run_command(model, dataset, options))  # what result.json calls `command`
    try:
        from recbole_dmf.run import build_config, run_in

        run_in(Path(spec["folder"]), build_config(model, dataset, None, options), spec["label"])
    except Exception as error:
        kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
        text = f"{kind}{error}{_TRACEBACK.rstrip()} {traceback.format_exc().partition(' ')[2]}"
        (Path(spec["folder"]) / ERROR).write_text(text, encoding="utf-8")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
