"""`recbole-dmf reproduce`: a table of the paper again, its figures beside ours."""

from collections.abc import Sequence

from recbole_dmf.commands.arguments import parse_open
from recbole_dmf.commands.comparison import run_or_list
from recbole_dmf.commands.model_arguments import take_settings
from recbole_dmf.data.lines import listed
from recbole_dmf.errors import UserError
from recbole_dmf.experiments.option_sources import column_of
from recbole_dmf.experiments.plan import experiment_names, read_experiment
from recbole_dmf.options import clip

HELP = """\
usage: recbole-dmf reproduce {names} --dataset=NAME [--seeds=1,2,3]
                             [--models=LABEL,...] [--set LABEL.OPTION=VALUE ...]
                             [--OPTION=VALUE ...]

Run a table of the paper again on one data set, its figures beside ours, or our ablation. What is
finished is not run again, so the same command continues where it was stopped.

  --seeds 1,2,3            a run each (default: 1,2,3); deterministic models run once
  --models LABEL,...       only these columns
  --set LABEL.OPTION=VALUE an option of one column; may be repeated
  --OPTION=VALUE           an option of all columns, for example --data_path=FOLDER
  --results FOLDER         default: results/TABLE-DATASET
  --fresh                  run everything again
  --dry-run                say what would run and what is finished, and run nothing
  --help, -h               this text
"""


def main(argv: Sequence[str]) -> int:
    """Run and report a table of the paper; the exit code is 1 if a run failed.

    Raises:
        UserError: as `compare`, or the command line cannot be understood.
    """
    if not argv or {"--help", "-h"} & set(argv):
        print(HELP.format(names="|".join(experiment_names())), end="")
        return 0
    name, *words = argv
    if name.startswith("-"):
        raise UserError(f"name the table first: recbole-dmf reproduce {experiment_names()[0]} ...")
    experiment = read_experiment(name)
    words, chosen = take_settings(words)
    given = parse_open(
        words, ("dataset", "seeds", "results", "models"), ("fresh", "dry_run"), {"d": "dataset"}
    )
    dataset = given.named.get("dataset")
    if not dataset:
        known = ", ".join(experiment.expected) or "no data set"
        raise UserError(f"--dataset is missing; {name} has the paper's figures for {known}.")
    labels = [column.label for column in experiment.columns]
    wanted = given.named.get("models", ",".join(labels)).split(",")
    if unknown := [label for label in wanted if label not in labels]:
        raise UserError(f"{name} has no column {clip(unknown[0])!r}; there are {listed(labels)}.")
    columns = []
    for column in experiment.columns:
        if column.label not in wanted:
            continue
        layers = [
            (f"experiment/{name}.yaml", {**experiment.tuned(column, dataset), **column.options}),
            ("the command line", given.options),
            ("--set", chosen.pop(column.label, {})),
        ]
        columns.append(column_of(column.label, column.model, layers))
    return run_or_list(
        given,
        f"results/{name}-{dataset}",
        experiment.title,
        dataset,
        columns,
        chosen,
        experiment.figures(dataset),
    )
