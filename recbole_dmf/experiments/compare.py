"""Several models on one data set, each run in a process of its own, one or several at a time.

FOLDER/comparison.json says what is compared; FOLDER/runs/LABEL-seedN/ is a finished run. A run is
made under a temporary name and renamed when finished, so a comparison can be stopped at any time
and continues after the last epoch that was finished.
"""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from recbole_dmf.errors import FAILED, UserError, interruption
from recbole_dmf.experiments.audit_file import AUDIT, read_audit
from recbole_dmf.experiments.finished_run import reads_order
from recbole_dmf.experiments.make_runs import make_runs, runs_at_once
from recbole_dmf.experiments.plan import Column
from recbole_dmf.experiments.planned_runs import (
    DETERMINISTIC,
    PlannedRun,
    asked_metrics,
    equal_runs,
    plan_runs,
    why_to_run,
)
from recbole_dmf.experiments.progress import duration, time_left
from recbole_dmf.experiments.report import Report, write_report
from recbole_dmf.experiments.run_metrics import headline, shown_name
from recbole_dmf.experiments.run_process import audit_data_set, check_data_set
from recbole_dmf.experiments.workers import ONE, Jobs
from recbole_dmf.files import make_folder, write_text
from recbole_dmf.lock import locked
from recbole_dmf.run_folder import is_finished, read_result, write_result


def compare(
    folder: Path,
    title: str,
    dataset: str,
    columns: Sequence[Column],
    seeds: Sequence[int],
    expected: Mapping[str, Any],
    fresh: bool = False,
    others: Sequence[PlannedRun] = (),
    later: Sequence[PlannedRun] = (),
    jobs: Jobs = ONE,
) -> tuple[Report, int]:
    """Run what is not there yet and write the report.

    Args:
        folder: of this comparison; may have an unfinished or an earlier one on this data set.
        title: of the report.
        dataset: name of the data set.
        columns: models with labels of their own and all options that differ from the defaults.
        seeds: one run each; deterministic models get the first alone.
        expected: the paper's figures by label, for the report.
        fresh: run again what is finished.
        others: of other comparisons on this data set; a finished one with the same options is
            copied, not run again.
        later: of comparisons that come after this one, for the time that is left.
        jobs: how many runs at a time, and where.

    Returns:
        The report, and the number of runs that failed.

    Raises:
        UserError: an option or the data set cannot be used, the candidates differ, nothing was
            finished, or Ctrl-C.
    """
    labels = [column.label for column in columns]
    runs = plan_runs(folder, dataset, columns, seeds)
    metrics = asked_metrics(runs)
    make_folder(folder / "runs")
    with locked(folder / ".lock", f"another comparison is running in {folder}; wait for it."):
        _check_same_data_set(folder, dataset)
        about = {
            "title": title,
            "dataset": dataset,
            "models": labels,
            "seeds": list(seeds),
            "deterministic": [c.label for c in columns if c.model in DETERMINISTIC],
            "metrics": metrics,
            "reads_order": [],
            "failures": [],
            "expected": {k: v for k, v in expected.items() if k in labels},
        }
        if fresh:
            for run in runs:
                for path in (run.folder, run.unfinished, run.failed):
                    shutil.rmtree(path, ignore_errors=True)
        to_run = [run for run in runs if why_to_run(run) is not None]
        if to_run:
            check_data_set(to_run[0].column.model, dataset, to_run[0].options)
        failures = _run_all(folder, runs, about, others, later, jobs)
        if len(failures) == len(runs):
            lines = "\n".join(f"  {f['model']}, seed {f['seed']}: {f['message']}" for f in failures)
            raise UserError(f"no run was finished:\n{lines}", FAILED)
        _audit(folder, runs)
        return write_report(folder), len(failures)


def _audit(folder: Path, runs: Sequence[PlannedRun]) -> None:
    """Audit the data of the first finished run, unless audit.json is of it."""
    run = next(run for run in runs if is_finished(run.folder))
    if _has_audit(folder, str(read_result(run.folder).get("data_sha256"))):
        return
    print("auditing the data set", flush=True)
    dataset = run.settings["dataset"]
    message = audit_data_set(folder / AUDIT, run.column.model, dataset, run.options)
    if message is not None:
        print(f"the data set could not be audited: {message}", flush=True)


def _has_audit(folder: Path, data_sha256: str) -> bool:
    try:
        return read_audit(folder, {data_sha256}) is not None
    except UserError:  # damaged; made anew
        return False


def _check_same_data_set(folder: Path, dataset: str) -> None:
    try:
        there = json.loads((folder / "comparison.json").read_bytes())["dataset"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if there != dataset:
        raise UserError(
            f"{folder} has a comparison on '{there}', not on '{dataset}'; give another folder "
            "with --results."
        )


def _run_all(
    folder: Path,
    runs: Sequence[PlannedRun],
    about: dict[str, Any],
    others: Sequence[PlannedRun],
    later: Sequence[PlannedRun],
    jobs: Jobs,
) -> list[dict[str, Any]]:
    """Make all runs; returns the failures, which are in comparison.json as well."""
    failures: list[dict[str, Any]] = about["failures"]
    hashes: dict[str, tuple[str, str]] = {}  # phase -> (candidates' hash, first run that has it)
    place = {run.name: f"[{number}/{len(runs)}] {run.name}" for number, run in enumerate(runs, 1)}
    readers: set[str] = set()

    def note(run: PlannedRun, result: dict[str, Any]) -> None:
        _check_candidates(result, run, hashes)
        if reads_order(result):
            readers.add(run.column.label)

    def save() -> None:
        write_text(folder / "comparison.json", json.dumps(about, indent=2))

    def report(run: PlannedRun) -> None:
        result = read_result(run.folder)
        failed = {(failure["model"], failure["seed"]) for failure in failures}
        to_come = [run for run in runs if (run.column.label, run.seed) not in failed]
        known, at_once = [*runs, *others, *later], runs_at_once(runs, jobs)
        left = time_left(known, [*to_come, *later], at_once)
        print(f"{place[run.name]}: {_figures(result, about['metrics'])}{left}", flush=True)
        note(run, result)

    try:
        save()
        to_make = _not_there(runs, others, place, note, report)
        for run, message in make_runs(folder, to_make, jobs):
            if message is None:
                report(run)
            else:
                print(f"{place[run.name]} FAILED: {message}", flush=True)
                failures.append({"model": run.column.label, "seed": run.seed, "message": message})
            save()
    except KeyboardInterrupt as stop:
        done = sum(why_to_run(run) is None for run in runs)
        what, code = interruption(stop)
        raise UserError(
            f"{what}; {done} of {len(runs)} runs are finished in {folder}. The same command "
            "(without --fresh) continues from there.",
            code,
        ) from None
    order = [(run.column.label, run.seed) for run in runs]
    failures.sort(key=lambda failure: order.index((failure["model"], failure["seed"])))
    about["reads_order"] = [label for label in about["models"] if label in readers]
    save()
    return failures


def _not_there(
    runs: Sequence[PlannedRun],
    others: Sequence[PlannedRun],
    place: Mapping[str, str],
    note: Callable[[PlannedRun, dict[str, Any]], None],
    report: Callable[[PlannedRun], None],
) -> list[tuple[str, str, PlannedRun]]:
    """The runs that are to be made, as `make_runs` takes them; those like others are copied."""
    to_make = []
    for run in runs:
        reason = why_to_run(run)
        equal = None if reason is None else _equal_run(run, others)
        if reason is None:
            print(f"{place[run.name]}: finished before", flush=True)
            note(run, read_result(run.folder))
        elif equal is not None:
            about = f"copied from {equal.folder}, which has its options"
            print(f"\n{place[run.name]}: {about}", flush=True)
            _copy(equal, run)
            report(run)
        else:
            to_make.append((place[run.name], reason and f" again: {reason}", run))
    return to_make


def _equal_run(run: PlannedRun, others: Sequence[PlannedRun]) -> PlannedRun | None:
    """A finished run of another comparison with the same options."""
    finished = (other for other in equal_runs(run, others) if why_to_run(other) is None)
    return next(finished, None)


def _copy(equal: PlannedRun, run: PlannedRun) -> None:
    for folder in (run.unfinished, run.failed, run.folder):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(equal.folder, run.unfinished)
    result = read_result(run.unfinished)
    write_result(run.unfinished, {**result, "label": run.column.label})
    run.unfinished.rename(run.folder)


def _figures(result: Mapping[str, Any], metrics: Sequence[str]) -> str:
    test = result["metrics"]["test"]["expected"]
    shown = (f"{shown_name(metric)} {test[metric]:.4f}" for metric in headline(metrics))
    return f"{', '.join(shown)} (expected) in {duration(result['seconds']['total'])}"


def _check_candidates(
    result: Mapping[str, Any], run: PlannedRun, first: dict[str, tuple[str, str]]
) -> None:
    for phase, digest in result["candidates_sha256"].items():
        if phase not in first:
            first[phase] = (digest, run.name)
            print(f"candidates sha256, {phase}: {digest}", flush=True)
        elif digest != first[phase][0]:
            raise UserError(
                f"{run.name} ranks other {phase} candidates ({digest[:12]}...) than "
                f"{first[phase][1]} ({first[phase][0][:12]}...): the data set's file has changed "
                "in between. Run all again with --fresh, or give another folder with --results."
            )
