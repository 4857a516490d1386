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
    """Seconds that a run will take: the mean of its model's finished ones, else of all.

    None where nothing is finished.
    """
    seconds = [(other.column.label, total_seconds(other)) for other in runs]
    known = [(label, taken) for label, taken in seconds if taken is not None]
    same = [taken for label, taken in known if label == run.column.label]
    return fmean(same or [taken for _, taken in known]) if known else None


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


def dry_run(runs: Sequence[PlannedRun]) -> str:
    """What would run, what is finished and how long it took."""
    lines = []
    for number, run in enumerate(runs, 1):
        reason, taken = why_to_run(run), total_seconds(run)
        if reason is None and taken is not None:
            state = f"finished, took {duration(taken)}"
        elif reason:
            state = f"would run again: {reason}"
        elif run.unfinished.is_dir() or run.failed.is_dir():
            state = "would continue" if run.unfinished.is_dir() else "failed, would be tried again"
        else:
            state = "would run"
        guess = estimate(runs, run)
        if reason is not None and guess is not None:
            state += f"; takes about {duration(guess)}"
        lines.append(f"[{number}/{len(runs)}] {run.name}: {state}")
    n_open = sum(why_to_run(run) is not None for run in runs)
    lines.append(f"{n_open} of {len(runs)} runs to make{time_left(runs, runs)}.")
    return "\n".join(lines)
