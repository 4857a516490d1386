"""How long the runs of a comparison or a search took, and how long the others will take."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import pandas as pd

from recbole_dmf.experiments.checked_files import read_csv
from recbole_dmf.experiments.planned_runs import (
    PlannedRun,
    equal_runs,
    total_seconds,
    why_to_run,
)


def duration(seconds: float) -> str:
    """Seconds in words, for example "2 min 5 s"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    if minutes < 10:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def estimate(runs: Sequence[PlannedRun], run: PlannedRun) -> float | None:
    """Seconds that a run will take: the mean of the finished ones of its column.

    Else of its model, else of all; None where nothing is finished.
    """
    seconds = [(other.column, total_seconds(other)) for other in runs]
    known = [(column, taken) for column, taken in seconds if taken is not None]
    of_column = [taken for column, taken in known if column.label == run.column.label]
    of_model = [taken for column, taken in known if column.model == run.column.model]
    return fmean(of_column or of_model or [taken for _, taken in known]) if known else None


def time_left(runs: Sequence[PlannedRun], later: Sequence[PlannedRun], jobs: int = 1) -> str:
    """ "; about 3 min left" for the runs in `later` that are not finished; "" for none.

    Args:
        runs: all of the comparison, and others that may be copied.
        later: those to come.
        jobs: runs at a time.
    """
    finished = [run for run in runs if why_to_run(run) is None]
    to_make: list[PlannedRun] = []
    for run in later:
        if why_to_run(run) is not None and not any(equal_runs(run, [*finished, *to_make])):
            to_make.append(run)
    seconds = [estimate(runs, run) for run in to_make]
    known = [taken for taken in seconds if taken is not None]
    return f"; about {duration(sum(known) / jobs)} left" if known else ""


def dry_run(
    runs: Sequence[PlannedRun], fresh: bool = False, known: Sequence[PlannedRun] | None = None
) -> str:
    """What would run, what is finished and how long it took.

    Args:
        runs: all of a comparison.
        fresh: whether finished ones are run again.
        known: `runs` and those of other comparisons, in their order, whose times tell of those to
            come and which may be copied; None: `runs`.
    """
    known = known or runs
    finished = [] if fresh else [run for run in known if why_to_run(run) is None]
    lines, seconds = [], []
    for number, run in enumerate(runs, 1):
        reason, taken, guess = why_to_run(run), total_seconds(run), estimate(known, run)
        if reason is None and taken is not None and not fresh:
            lines.append(f"[{number}/{len(runs)}] {run.name}: finished in {duration(taken)}")
            continue
        equal = next(equal_runs(run, [*finished, *known[: known.index(run)]]), None)
        if equal is not None:
            about = f"would be copied from {equal.folder}, which has its options"
            lines.append(f"[{number}/{len(runs)}] {run.name}: {about}")
            continue
        state = "would run"
        if reason or reason is None:
            state += f" again: {reason or '--fresh'}"
        elif run.failed.is_dir() and not fresh:
            state = "failed, would be tried again"
        elif run.unfinished.is_dir() and not fresh:
            state = "would continue"
        seconds.append(guess)
        takes = "" if guess is None else f"; about {duration(guess)}"
        lines.append(f"[{number}/{len(runs)}] {run.name}: {state}{takes}")
    total = sum(guess for guess in seconds if guess is not None)
    lines.append(
        f"{len(seconds)} of {len(runs)} runs to make"
        + (f", about {duration(total)} in all." if total else ".")
    )
    return "\n".join(lines)


def dry_run_of_search(path: Path, n_trials: int) -> str:
    """What a search would do, and how long its trials took.

    Args:
        path: its table of trials, which may not be there yet.
        n_trials: in all.

    Raises:
        UserError: the table is damaged.
    """
    seconds: list[float] = []
    n_finished = 0
    if path.is_file():
        rows = read_csv(path, ("state", "seconds"), ())
        n_finished = len(rows)
        seconds = pd.to_numeric(rows["seconds"], errors="coerce").dropna().tolist()
    n_open = max(0, n_trials - n_finished)
    took = f", {duration(sum(seconds))} in all" if seconds else ""
    takes = f", about {duration(fmean(seconds) * n_open)}" if seconds and n_open else ""
    return (
        f"{n_finished} trials are finished in {path.parent}{took}; {n_open} of {n_trials} to make"
        f"{takes}"
    )
