"""Make planned runs, one after another or several at a time; the results are the same."""

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from recbole_dmf.experiments.planned_runs import PlannedRun
from recbole_dmf.experiments.run_process import run_in_process, run_on_worker
from recbole_dmf.experiments.workers import Jobs, Logs, outcomes, workers
from recbole_dmf.lock import is_held
from recbole_dmf.run_folder import RUN_LOG, is_finished

_TO_END = 10  # seconds that runs have to end after Ctrl-C


def make_runs(
    folder: Path, runs: Sequence[tuple[str, str, PlannedRun]], jobs: Jobs
) -> Iterator[tuple[PlannedRun, str | None]]:
    """Make runs, or continue them, and rename their folders.

    Args:
        folder: of the comparison.
        runs: each after its name in messages and why it is made again ("" if it is not).
        jobs: how many at a time, and where.

    Yields:
        A run and what went wrong (None for nothing), as they end.

    Raises:
        UserError: as `workers` and `outcomes`.
    """
    if jobs.are_parallel and runs:
        yield from _by_workers(folder, runs, jobs)
        return
    for name, why, run in runs:
        print(f"\n{name}{why}", flush=True)
        _open(run)
        yield run, _close(run, run_in_process(run.unfinished, *_task(run)))


def _by_workers(
    folder: Path, runs: Sequence[tuple[str, str, PlannedRun]], jobs: Jobs
) -> Iterator[tuple[PlannedRun, str | None]]:
    logs, begun = Logs(), set[int]()

    def tell(numbers: Sequence[int]) -> None:
        for number in numbers:
            name, why, run = runs[number]
            if number not in begun:
                begun.add(number)
                print(f"{name}{why}: started", flush=True)
            logs.tell(run.unfinished / RUN_LOG, name)

    tasks = [(str(run.unfinished.resolve()), *_task(run)) for _, _, run in runs]
    with workers(jobs, folder) as (client, home):
        for _, _, run in runs:
            _open(run)
            logs.skip(run.unfinished / RUN_LOG)
        try:
            with closing(outcomes(client, home, run_on_worker, tasks, tell)) as ended:
                for number, message in ended:
                    tell([number])
                    yield runs[number][2], _close(runs[number][2], message)
        finally:
            _wait_until_free([runs[number][2] for number in begun])


def runs_at_once(runs: Sequence[PlannedRun], jobs: Jobs) -> int:
    """How many runs are made at a time; with a scheduler those at work and the one that ended."""
    if jobs.scheduler is None:
        return jobs.n
    return 1 + sum(is_held(run.unfinished / RUN_LOG) for run in runs)


def _wait_until_free(runs: Sequence[PlannedRun]) -> None:
    """Until no process is at work on these runs any more; most have ended long ago."""
    stop = time.monotonic() + _TO_END
    while time.monotonic() < stop and any(is_held(run.unfinished / RUN_LOG) for run in runs):
        time.sleep(0.05)


def _task(run: PlannedRun) -> tuple[str, str, str, dict[str, Any]]:
    return run.column.label, run.column.model, run.settings["dataset"], run.options


def _open(run: PlannedRun) -> None:
    if run.failed.is_dir():  # it may have been for want of memory or space alone
        shutil.rmtree(run.unfinished, ignore_errors=True)
        run.failed.rename(run.unfinished)
    run.unfinished.mkdir(exist_ok=True)


def _close(run: PlannedRun, message: str | None) -> str | None:
    if message is None and not is_finished(run.unfinished):
        message = "the run ended without a result"
    if message is not None:
        run.unfinished.rename(run.failed)
        return f"{message} (log: {run.failed})"
    shutil.rmtree(run.folder, ignore_errors=True)
    run.unfinished.rename(run.folder)
    return None
