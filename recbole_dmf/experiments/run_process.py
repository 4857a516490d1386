"""One run in a process of its own: its memory is measured alone, a crash ends no other run."""

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from recbole_dmf.errors import TERMINATED, UserError
from recbole_dmf.lock import locked

ERROR, RUN_LOG = "error.txt", "run.log"
_TRACEBACK = "\n\nTraceback "


def run_in_process(
    folder: Path, label: str, model: str, dataset: str, options: dict[str, Any]
) -> str | None:
    """Train and test in a new process, which ends with this one.

    The processes are forks of one that has imported everything and trained nothing. As always with
    `multiprocessing`, a script that calls this needs `if __name__ == "__main__":`.

    Args:
        folder: of this run alone, empty or with an unfinished run; gets the run's files, or
            error.txt.
        label: the run's name in tables.
        model, dataset, options: as of `build_config`.

    Returns:
        None, or what went wrong.
    """
    (folder / ERROR).unlink(missing_ok=True)
    with locked(folder / RUN_LOG):
        pass  # the process of an earlier parent, which was killed, may still be about to end
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["recbole_dmf.run"])
    process = context.Process(target=_run, args=(folder, label, model, dataset, options))
    process.start()
    try:
        process.join()
    except BaseException:
        process.terminate()
        process.join(5)
        process.kill()
        process.join()
        raise
    code = process.exitcode
    if code == 0:
        return None
    if (folder / ERROR).is_file():
        return (folder / ERROR).read_text(encoding="utf-8").partition(_TRACEBACK)[0]
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return f"the process was ended by {name}{hint}"
    return f"the process ended with exit code {code}"


def _run(folder: Path, label: str, model: str, dataset: str, options: dict[str, Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # tidies up
    threading.Thread(target=_end_with_parent, daemon=True).start()
    chosen = {"model": model, "dataset": dataset, **options}
    words = [f"--{k}={v if isinstance(v, str) else repr(v)}" for k, v in chosen.items()]
    sys.argv = ["run_recbole", *words]  # what result.json gives as the command: it repeats this run
    try:
        from recbole_dmf.config import build_config
        from recbole_dmf.run import run_in

        run_in(folder, build_config(model, dataset, None, options), label, start_over=True)
    except Exception as error:
        kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
        text = f"{kind}{error}\n\n{traceback.format_exc()}"
        (folder / ERROR).write_text(text, encoding="utf-8")
        sys.exit(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
