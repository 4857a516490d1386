"""What `compare` and `reproduce` do alike once they know their columns."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recbole_dmf.commands.arguments import CommandLine
from recbole_dmf.commands.model_arguments import whole_numbers
from recbole_dmf.commands.report import print_report
from recbole_dmf.errors import FAILED
from recbole_dmf.experiments.compare import compare
from recbole_dmf.experiments.option_sources import column_of
from recbole_dmf.experiments.plan import Column, Experiment
from recbole_dmf.experiments.planned_runs import check_labels, plan_runs
from recbole_dmf.experiments.progress import dry_run


def experiment_columns(
    name: str,
    experiment: Experiment,
    dataset: str,
    wanted: Sequence[str],
    options: Mapping[str, Any],
    chosen: dict[str, dict[str, Any]],
) -> list[Column]:
    """The columns of a table with all of their options; says where these come from.

    Args:
        name: of the experiment.
        wanted: labels of the columns.
        options: of all columns, from the command line.
        chosen: what --set says, by label; what is used is taken out.
    """
    columns = []
    for column in experiment.columns:
        if column.label in wanted:
            found = {**experiment.tuned(column, dataset), **column.options}
            layers = [
                (f"experiment/{name}.yaml", found),
                ("the command line", options),
                ("--set", chosen.pop(column.label, {})),
            ]
            columns.append(column_of(column.label, column.model, layers))
    return columns


def run_or_list(
    given: CommandLine,
    folder: str,
    title: str,
    dataset: str,
    columns: Sequence[Column],
    unused: Mapping[str, Any],
    expected: Mapping[str, Any],
) -> int:
    """Run and report a comparison, or with --dry-run say what would run; returns the exit code.

    Args:
        given: the command line.
        folder: of the results, where --results names none.
        title, dataset, columns, expected: as `compare` takes them.
        unused: what --set says of other labels.

    Raises:
        UserError: as `compare`.
    """
    check_labels(columns, unused)
    path = Path(given.named.get("results", folder))
    seeds = whole_numbers(given.named.get("seeds", "1,2,3"), "seeds")
    fresh = "fresh" in given.flags
    if "dry_run" in given.flags:
        print(dry_run(plan_runs(path, dataset, columns, seeds), fresh))
        return 0
    report, failed = compare(path, title, dataset, columns, seeds, expected, fresh)
    print_report(report)
    return FAILED if failed else 0
