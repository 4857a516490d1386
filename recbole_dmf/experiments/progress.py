"""How long the runs of a comparison took, and how long the others will take."""

from collections.abc import Sequence
from statistics import fmean

from recbole_dmf.experiments.planned_runs import PlannedRun, total_seconds, why_to_run


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
        runs: all of the comparison.
        later: those to come.
        jobs: runs at a time.
    """
    open_runs = [run for run in later if why_to_run(run) is not None]
    seconds = [estimate(runs, run) for run in open_runs]
    known = [taken for taken in seconds if taken is not None]
    return f"; about {duration(sum(known) / jobs)} left" if known else ""


def dry_run(
    runs: Sequence[PlannedRun], fresh: bool = False, known: Sequence[PlannedRun] | None = None
) -> str:
    """What would run, what is finished and how long it took.

    Args:
        runs: all of a comparison.
        fresh: whether finished ones are run again.
        known: whose times tell of those to come; None: `runs`.
    """
    lines, seconds = [], []
    for number, run in enumerate(runs, 1):
        reason, taken, guess = why_to_run(run), total_seconds(run), estimate(known or runs, run)
        if reason is None and taken is not None and not fresh:
            lines.append(f"[{number}/{len(runs)}] {run.name}: finished in {duration(taken)}")
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
