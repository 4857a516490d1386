"""One run in a process of its own: its memory is measured alone, a crash ends no other run."""

import logging
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from recbole_dmf.errors import TERMINATED, UserError
from recbole_dmf.installation import PACKAGE, check_same_package
from recbole_dmf.lock import locked
from recbole_dmf.run_folder import RUN_LOG

ERROR = "error.txt"
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
    return _wait_for(_train, folder, label, model, dataset, options)


def check_data_set(model: str, dataset: str, options: dict[str, Any]) -> None:
    """Read and split a data set in a new process, so that its memory is given back.

    Args:
        model, dataset, options: as of `build_config`.

    Raises:
        UserError: the data set cannot be used.
    """
    with TemporaryDirectory() as folder:
        message = _wait_for(_read, Path(folder), model, dataset, options)
    if message is not None:
        raise UserError(message)


def audit_data_set(path: Path, model: str, dataset: str, options: dict[str, Any]) -> str | None:
    """Audit a data set in a new process and write the findings to `path`.

    Args:
        path: of audit.json.
        model, dataset, options: as of `build_config`.

    Returns:
        None, or why there is no audit.
    """
    with TemporaryDirectory() as folder:
        return _wait_for(_audit, Path(folder), path, model, dataset, options)


def _wait_for(function: Callable[..., None], folder: Path, *args: Any) -> str | None:
    """Call `function(folder, *args)` in a new process; what went wrong, or None."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["recbole_dmf.run"])
    process = context.Process(target=_guarded, args=(str(PACKAGE), function, folder, *args))
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


def _guarded(package: str, function: Callable[..., None], folder: Path, *args: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # tidies up
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        check_same_package(package)
        function(folder, *args)
    except Exception as error:
        kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
        text = f"{kind}{error}\n\n{traceback.format_exc()}"
        (folder / ERROR).write_text(text, encoding="utf-8")
        sys.exit(1)


def _train(folder: Path, label: str, model: str, dataset: str, options: dict[str, Any]) -> None:
    from recbole_dmf.config import build_config
    from recbole_dmf.run import run_in

    chosen = {"model": model, "dataset": dataset, **options}
    words = [f"--{k}={v if isinstance(v, str) else repr(v)}" for k, v in chosen.items()]
    sys.argv = ["run_recbole", *words]  # what result.json gives as the command: it repeats this run
    run_in(folder, build_config(model, dataset, None, options), label, start_over=True)


def _read(_: Path, model: str, dataset: str, options: dict[str, Any]) -> None:
    from recbole_dmf.config import build_config
    from recbole_dmf.host.lookup import load_dataset
    from recbole_dmf.prepare import prepare

    logging.disable()  # the runs say the same
    config = build_config(model, dataset, None, options)
    prepare(config, load_dataset(config))


def _audit(_: Path, path: Path, model: str, dataset: str, options: dict[str, Any]) -> None:
    from recbole_dmf.experiments.audit import audit
    from recbole_dmf.experiments.audit_file import write_audit

    logging.disable()
    write_audit(path, audit(dataset, options, model), f"recbole-dmf audit --dataset={dataset}")


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
