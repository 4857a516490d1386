"""`recbole-dmf reproduce all`: all tables of the paper on one data set."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recbole_dmf.commands.arguments import CommandLine, parse_open
from recbole_dmf.commands.comparison import experiment_columns
from recbole_dmf.commands.model_arguments import jobs_of, take_settings, whole_numbers
from recbole_dmf.commands.report import print_report
from recbole_dmf.errors import FAILED, Busy, UserError
from recbole_dmf.experiments.compare import compare
from recbole_dmf.experiments.plan import PAPER, Column, read_experiment
from recbole_dmf.experiments.planned_runs import PlannedRun, check_labels, plan_runs
from recbole_dmf.experiments.progress import dry_run, time_left


def main(words: Sequence[str]) -> int:
    """Run and report all tables; the exit code is 1 if a run failed or a table is busy.

    Raises:
        UserError: as `compare`, or the command line cannot be understood.
    """
    words, chosen = take_settings(words)
    own = ("dataset", "seeds", "results", "models", "jobs", "scheduler")
    given = parse_open(words, own, ("fresh", "dry_run"), {"d": "dataset"})
    if "models" in given.named:
        raise UserError(f"--models is of one table; recbole-dmf reproduce {PAPER[0]} has it.")
    dataset = given.named.get("dataset")
    if not dataset:
        raise UserError("--dataset is missing; for example --dataset=ml-100k.")
    seeds = whole_numbers(given.named.get("seeds", "1,2,3"), "seeds")
    results = Path(given.named.get("results", "results"))
    columns = {name: _columns(name, dataset, given, chosen) for name in PAPER}
    check_labels([column for of_table in columns.values() for column in of_table], chosen)
    runs = {
        name: plan_runs(results / f"{name}-{dataset}", dataset, columns[name], seeds)
        for name in PAPER
    }
    if "dry_run" in given.flags:
        print(_listed(runs, "fresh" in given.flags))
        return 0
    jobs_of(given.named)  # before anything runs
    n_failed = 0
    for place, name in enumerate(PAPER):
        print(f"\n{read_experiment(name).title} ({place + 1} of {len(PAPER)})", flush=True)
        earlier = [run for other in PAPER[:place] for run in runs[other]]
        later = [run for other in PAPER[place + 1 :] for run in runs[other]]
        # With --fresh a run of a later table is one of before.
        equal = earlier if "fresh" in given.flags else [*earlier, *later]
        n_failed += _reproduce(results, name, dataset, columns[name], seeds, given, (equal, later))
    print(f"\nThe claims on these figures: recbole-dmf reproduce claims --results={results}")
    return FAILED if n_failed else 0


def _columns(
    name: str, dataset: str, given: CommandLine, chosen: dict[str, dict[str, Any]]
) -> list[Column]:
    experiment = read_experiment(name)
    labels = [column.label for column in experiment.columns]
    return experiment_columns(name, experiment, dataset, labels, given.options, chosen)


def _reproduce(
    results: Path,
    name: str,
    dataset: str,
    columns: Sequence[Column],
    seeds: Sequence[int],
    given: CommandLine,
    others: tuple[Sequence[PlannedRun], Sequence[PlannedRun]],
) -> int:
    """Run one table and print its report; the number of runs that failed.

    Args:
        others: runs that may be copied, and runs of later tables.
    """
    experiment = read_experiment(name)
    folder = results / f"{name}-{dataset}"
    figures = experiment.figures(dataset)
    fresh = "fresh" in given.flags
    try:
        report, n_failed = compare(
            *(folder, experiment.title, dataset, columns, seeds, figures, fresh, *others),
            jobs=jobs_of(given.named),
        )
    except UserError as error:
        if error.exit_code != FAILED and not isinstance(error, Busy):
            raise
        print(f"{experiment.title}: {error}", flush=True)  # the other tables may fare better
        return len(columns) * len(seeds)
    print_report(report)
    return n_failed


def _listed(runs: dict[str, list[PlannedRun]], fresh: bool) -> str:
    every = [run for of_table in runs.values() for run in of_table]
    parts = [
        f"{read_experiment(name).title}\n{dry_run(of_table, fresh, every)}"
        for name, of_table in runs.items()
    ]
    left = time_left(every, every).removeprefix("; ")
    return "\n\n".join([*parts, f"All tables: {left}."] if left else parts)
