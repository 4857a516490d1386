"""`recbole-dmf reproduce`: a table of the paper again, its figures beside ours."""

from collections.abc import Sequence

from recbole_dmf.commands.arguments import parse_open
from recbole_dmf.commands.model_arguments import take_settings
from recbole_dmf.data.lines import listed
from recbole_dmf.errors import UserError
from recbole_dmf.installation import property_names
from recbole_dmf.options import clip

HELP = """\
usage: recbole-dmf reproduce {names} --dataset=NAME [--seeds=1,2,3]
                             [--models=LABEL,...] [--set LABEL.OPTION=VALUE ...]
                             [--OPTION=VALUE ...]
       recbole-dmf reproduce all --dataset=NAME [--seeds=1,2,3]
                             [--set LABEL.OPTION=VALUE ...] [--OPTION=VALUE ...]
       recbole-dmf reproduce claims [--results=FOLDER] [--datasets=NAME,...] [--out=FOLDER]

Run a table of the paper again on one data set, its figures beside ours, or our ablation; or all
tables of the paper; or judge its claims by what was run. What is finished is not run again, so the
same command continues where it was stopped. Columns of different tables with the same options are
run once by `all`.

  --seeds 1,2,3            a run each (default: 1,2,3); deterministic models run once
  --models LABEL,...       only these columns
  --set LABEL.OPTION=VALUE an option of one column; may be repeated
  --OPTION=VALUE           an option of all columns, for example --data_path=FOLDER
  --results FOLDER         default: results/TABLE-DATASET; of `all` and `claims` the folder above,
                           results
  --fresh                  run everything again
  --dry-run                say what would run and what is finished, and run nothing
  --help, -h               this text
"""


def main(argv: Sequence[str]) -> int:
    """Run and report a table of the paper, all of them or its claims.

    The exit code is 1 if a run failed.

    Raises:
        UserError: as `compare`, or the command line cannot be understood.
    """
    if not argv or {"--help", "-h"} & set(argv):
        print(HELP.format(names="|".join(property_names("experiment"))), end="")
        return 0
    name, *words = argv
    if name.startswith("-"):
        raise UserError("name the table first: recbole-dmf reproduce table2 ...")
    from recbole_dmf.commands import reproduce_all, reproduce_claims  # seconds: not for --help
    from recbole_dmf.commands.comparison import experiment_columns, run_or_list
    from recbole_dmf.experiments.plan import read_experiment

    if name == "all":
        return reproduce_all.main(words)
    if name == "claims":
        return reproduce_claims.main(words)
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
    columns = experiment_columns(name, experiment, dataset, wanted, given.options, chosen)
    return run_or_list(
        given,
        f"results/{name}-{dataset}",
        experiment.title,
        dataset,
        columns,
        chosen,
        experiment.figures(dataset),
    )
