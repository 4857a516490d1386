"""Several models on one data set, one run after another, each in a process of its own.

FOLDER/comparison.json says what is compared; FOLDER/runs/LABEL-seedN/ holds a finished run. A run
is made under a temporary name and renamed when finished, so a comparison can be stopped at any
time and goes on after the last epoch that was finished.
"""

import json
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from recbole_dmf.commands.arguments import parse_open
from recbole_dmf.config import build_config, changes, replayable_settings
from recbole_dmf.errors import FAILED, UserError, interruption
from recbole_dmf.experiments.child import run_in_child
from recbole_dmf.experiments.plan import (
    TUNED,
    Column,
    find_column,
    read_experiment,
    take_settings,
    whole_numbers,
)
from recbole_dmf.experiments.report import Report, write_report
from recbole_dmf.files import make_folder, write_text
from recbole_dmf.host.dataset import is_our_split
from recbole_dmf.lock import locked
from recbole_dmf.options import nearest

HELP = """\
usage: recbole-dmf compare --dataset=NAME --models=A,B,C [--seeds=1,2,3]
                           [--set MODEL.OPTION=VALUE ...] [--OPTION=VALUE ...]

Train and test several models on the same split and candidates, one after another. What is finished
is not run again, so the same command goes on where it was stopped.

  --models A,B,C           RecBole's or ours; LABEL=MODEL gives a model another name, so that it can
                           stand there twice: --models=ce=DMF,nce=DMF --set ce.loss_type=ce
  --seeds 1,2,3            a run each (default: 1,2,3); deterministic models run once
  --set MODEL.OPTION=VALUE an option of one model, MODEL as in --models; may be repeated
  --OPTION=VALUE           an option of all models, for example --epochs=20 or --data_path=FOLDER
  --results FOLDER         default: results/DATASET
  --fresh                  run everything again
  --help, -h               this text

Where options of a model were tuned on the data set, they are used; --set and --OPTION win.
"""
DETERMINISTIC = ("ItemPop", "ItemKNN", "AsymKNN", "EASE", "ADMMSLIM")  # the same for every seed
_TEMPORARY = ".unfinished-"


@dataclass(frozen=True)
class _Job:
    column: Column
    seed: int
    options: dict[str, Any]  # as given, with the seed
    settings: dict[str, Any]  # complete, as in config.yaml
    folder: Path

    @property
    def name(self) -> str:
        return f"{self.column.label}, seed {self.seed}"

    @property
    def unfinished(self) -> Path:
        return self.folder.with_name(f"{_TEMPORARY}{self.folder.name}")

    @property
    def failed(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}-failed")


def compare(
    folder: Path,
    title: str,
    dataset: str,
    columns: Sequence[Column],
    seeds: Sequence[int],
    expected: Mapping[str, Any],
    fresh: bool = False,
) -> tuple[Report, int]:
    """Run what is not there yet and write the report.

    Args:
        folder: of this comparison; may hold an unfinished or an earlier one on this data set.
        title: of the report.
        dataset: name of the data set.
        columns: models with labels of their own and all options that differ from the defaults.
        seeds: one run each; deterministic models get the first alone.
        expected: the paper's figures by label, for the report.
        fresh: run again what is finished.

    Returns:
        The report, and the number of runs that failed.

    Raises:
        UserError: an option that cannot be used, the candidates differ, nothing was finished, or
            Ctrl-C.
    """
    labels = [column.label for column in columns]
    jobs = _jobs(folder, dataset, columns, seeds)
    make_folder(folder / "runs")
    with locked(folder / ".lock", f"another comparison is running in {folder}; wait for it."):
        _check_same_data_set(folder, dataset)
        about = {
            "title": title,
            "dataset": dataset,
            "models": labels,
            "seeds": list(seeds),
            "deterministic": [c.label for c in columns if c.model in DETERMINISTIC],
            "failures": [],
            "expected": {k: v for k, v in expected.items() if k in labels},
        }
        if fresh:
            for job in jobs:
                for path in (job.folder, job.unfinished, job.failed):
                    shutil.rmtree(path, ignore_errors=True)
        failures = _run_all(folder, jobs, about)
        if len(failures) == len(jobs):
            told = "\n".join(f"  {f['model']}, seed {f['seed']}: {f['message']}" for f in failures)
            raise UserError(f"no run was finished:\n{told}", FAILED)
        return write_report(folder), len(failures)


def _jobs(
    folder: Path, dataset: str, columns: Sequence[Column], seeds: Sequence[int]
) -> list[_Job]:
    jobs = []
    for column in columns:
        if "seed" in column.options:
            raise UserError(f"{column.label} is given a seed; give all models --seeds=1,2,3.")
        for seed in seeds[:1] if column.model in DETERMINISTIC else seeds:
            chosen = {**column.options, "seed": seed}
            _check_plain(column.label, chosen)
            config = build_config(column.model, dataset, None, chosen)
            _check_protocol(config)
            path = folder / "runs" / f"{column.label}-seed{seed}"
            jobs.append(_Job(column, seed, chosen, replayable_settings(config), path))
    return jobs


def _check_plain(label: str, options: Mapping[str, Any]) -> None:
    for name, value in options.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError) as error:
            raise UserError(f"option '{name}' of {label}: {value!r} is no plain value.") from error


def _check_protocol(config) -> None:
    """Refuse what the report has no figures for."""
    metrics = {metric.lower() for metric in config["metrics"]}
    if not is_our_split(config["eval_args"]) or not {"hit", "ndcg"} <= metrics:
        raise UserError(
            "a comparison needs the paper's test split and the metrics Hit and NDCG; leave "
            "eval_args.split and metrics as they are, or use run_recbole."
        )
    if 10 not in config["topk"]:
        raise UserError(f"a comparison needs 10 in topk, not only {config['topk']}.")


def _check_same_data_set(folder: Path, dataset: str) -> None:
    try:
        there = json.loads((folder / "comparison.json").read_bytes())["dataset"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if there != dataset:
        raise UserError(
            f"{folder} holds a comparison on '{there}', not on '{dataset}'; give another folder "
            "with --results."
        )


def _run_all(folder: Path, jobs: Sequence[_Job], about: dict[str, Any]) -> list[dict[str, Any]]:
    """Make all runs; returns the failures, which are in comparison.json as well."""
    failures: list[dict[str, Any]] = about["failures"]
    hashes: dict[str, tuple[str, str]] = {}  # phase -> (candidates' hash, first run that has it)
    start = time.perf_counter()
    try:
        for number, job in enumerate(jobs, 1):
            write_text(folder / "comparison.json", json.dumps(about, indent=2))
            place = f"[{number}/{len(jobs)}] {job.name}"
            reason = _why_to_run(job)
            if reason is None:
                print(f"{place}: finished before", flush=True)
            else:
                print(f"\n{place}{reason and f' again: {reason}'}", flush=True)
                message = _make(job)
                if message is not None:
                    print(f"{place} FAILED: {message}", flush=True)
                    failures.append(
                        {"model": job.column.label, "seed": job.seed, "message": message}
                    )
                    continue
            result = json.loads((job.folder / "result.json").read_bytes())
            if reason is not None:
                elapsed = time.perf_counter() - start
                print(f"{place}: {_figures(result)}; {elapsed:.0f} s in all", flush=True)
            _check_candidates(result, job, hashes)
        write_text(folder / "comparison.json", json.dumps(about, indent=2))
    except KeyboardInterrupt as stop:
        done = sum(_why_to_run(job) is None for job in jobs)
        what, code = interruption(stop)
        raise UserError(
            f"{what}; {done} of {len(jobs)} runs are finished in {folder}. The same command "
            "(without --fresh) goes on from there.",
            code,
        ) from None
    return failures


def _why_to_run(job: _Job) -> str | None:
    """'' if a run is not there, what changed if it is of other settings, None if it is finished."""
    try:
        json.loads((job.folder / "result.json").read_bytes())
        there = yaml.safe_load((job.folder / "config.yaml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, yaml.YAMLError):
        return "its files are damaged"
    if not isinstance(there, dict):
        return "its files are damaged"
    return changes(there, job.settings) or None


def _make(job: _Job) -> str | None:
    """Make a run, or go on with it, then rename its folder; what went wrong, or None."""
    if job.failed.is_dir():  # it may have been for want of memory or space alone
        shutil.rmtree(job.unfinished, ignore_errors=True)
        job.failed.rename(job.unfinished)
    job.unfinished.mkdir(exist_ok=True)
    column, dataset = job.column, job.settings["dataset"]
    message = run_in_child(job.unfinished, column.label, column.model, dataset, job.options)
    if message is None and not (job.unfinished / "result.json").is_file():
        message = "the run ended without a result"
    if message is not None:
        job.unfinished.rename(job.failed)
        return f"{message} (log: {job.failed})"
    shutil.rmtree(job.folder, ignore_errors=True)
    job.unfinished.rename(job.folder)
    return None


def _figures(result: Mapping[str, Any]) -> str:
    test = result["metrics"]["test"]["expected"]
    seconds = result["seconds"]["total"]
    return f"HR@10 {test['hit@10']:.4f}, NDCG@10 {test['ndcg@10']:.4f} in {seconds:.1f} s"


def _check_candidates(
    result: Mapping[str, Any], job: _Job, first: dict[str, tuple[str, str]]
) -> None:
    for phase, digest in result["candidates_sha256"].items():
        if phase not in first:
            first[phase] = (digest, job.name)
            print(f"candidates sha256, {phase}: {digest}", flush=True)
        elif digest != first[phase][0]:
            raise UserError(
                f"{job.name} ranks other {phase} candidates ({digest[:12]}...) than "
                f"{first[phase][1]} ({first[phase][0][:12]}...): the data set's file has changed "
                "in between. Run all again with --fresh, or give another folder with --results."
            )


def main_compare(argv: Sequence[str]) -> int:
    """`recbole-dmf compare`; the exit code is 1 if a run failed.

    Raises:
        UserError: as `compare`, or the command line cannot be understood.
    """
    if not argv or {"--help", "-h"} & set(argv):
        print(HELP, end="")
        return 0
    words, chosen = take_settings(argv)
    own = ("dataset", "models", "seeds", "results")
    given = parse_open(words, own, ("fresh",), {"d": "dataset"})
    for name in ("dataset", "models"):
        if not given.named.get(name):
            raise UserError(f"--{name} is missing; see recbole-dmf compare --help.")
    dataset = given.named["dataset"]
    experiment = read_experiment(TUNED)
    columns, expected = [], {}
    for word in given.named["models"].split(","):
        label, _, name = word.strip().rpartition("=")
        found = find_column(name, experiment)
        label = label or name
        tuned = experiment.tuned(found, dataset)
        if tuned:
            shown = ", ".join(f"{k}={v}" for k, v in tuned.items())
            print(f"{label}: options tuned on {dataset}: {shown}")
        options = {**tuned, **found.options, **given.options, **chosen.pop(label, {})}
        columns.append(Column(label, found.model, options))
        if found.label in experiment.expected.get(dataset, {}):
            expected[label] = experiment.figures(dataset)[found.label]
    check_labels(columns, chosen)
    return finish(
        *compare(
            Path(given.named.get("results", f"results/{dataset}")),
            "Comparison",
            dataset,
            columns,
            whole_numbers(given.named.get("seeds", "1,2,3"), "seeds"),
            expected,
            "fresh" in given.flags,
        )
    )


def check_labels(columns: Sequence[Column], unused: Mapping[str, Any]) -> None:
    """Raise for labels that are no file names or stand twice, and for a --set without a model.

    Args:
        columns: all columns.
        unused: what --set says of others, by label.

    Raises:
        UserError: on the first such label.
    """
    labels = [column.label for column in columns]
    for label in labels:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}", label):
            raise UserError(
                f"'{label}' is no name for a model; use up to 100 letters, digits, '-', '_', '.' "
                "and '+'."
            )
        if labels.count(label) > 1:
            raise UserError(f"'{label}' is there twice; give one another name with LABEL=MODEL.")
    for label in unused:
        raise UserError(f"--set {label}: no such model{nearest(label, labels)}; there are {labels}")


def finish(report: Report, failed: int) -> int:
    """Print a report and name its files; the exit code."""
    print("\n" + report.text)
    print("\nWritten:", *(f"  {path}" for path in report.files), sep="\n")
    return 1 if failed else 0
