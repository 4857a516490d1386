"""`recbole-dmf compare`: several models in one table."""

from collections.abc import Sequence
from pathlib import Path

from recbole_dmf.commands.arguments import parse_open
from recbole_dmf.commands.model_arguments import take_settings, whole_numbers
from recbole_dmf.commands.report import print_report
from recbole_dmf.errors import FAILED, UserError
from recbole_dmf.experiments.compare import compare
from recbole_dmf.experiments.option_sources import combine, tuned_options
from recbole_dmf.experiments.plan import TUNED, Column, find_column, read_experiment
from recbole_dmf.experiments.planned_runs import check_labels, plan_runs
from recbole_dmf.experiments.progress import dry_run

HELP = """\
usage: recbole-dmf compare --dataset=NAME --models=A,B,C [--seeds=1,2,3]
                           [--set MODEL.OPTION=VALUE ...] [--OPTION=VALUE ...]

Train and test several models on the same split and candidates, one after another. What is finished
is not run again, so the same command continues where it was stopped.

  --models A,B,C           RecBole's or ours; LABEL=MODEL gives a model another name, so that it can
                           be compared with itself: --models=ce=DMF,nce=DMF --set ce.loss_type=ce
  --seeds 1,2,3            a run each (default: 1,2,3); deterministic models run once
  --set MODEL.OPTION=VALUE an option of one model, MODEL as in --models; may be repeated
  --OPTION=VALUE           an option of all models, for example --epochs=20 or --data_path=FOLDER
  --results FOLDER         default: results/DATASET
  --fresh                  run everything again
  --dry-run                say what would run and what is finished, and run nothing
  --help, -h               this text

Where options of a model were searched on the data set, they are used: those that `recbole-dmf tune`
found (results/tune-MODEL-DATASET/best.yaml), else those that come with the package. --OPTION wins
over them, and --set over all. What comes from where is printed.
"""


def main(argv: Sequence[str]) -> int:
    """Run and report a comparison; the exit code is 1 if a run failed.

    Raises:
        UserError: as `compare`, or the command line cannot be understood.
    """
    if not argv or {"--help", "-h"} & set(argv):
        print(HELP, end="")
        return 0
    words, chosen = take_settings(argv)
    own = ("dataset", "models", "seeds", "results")
    given = parse_open(words, own, ("fresh", "dry_run"), {"d": "dataset"})
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
        layers = [
            tuned_options(name, found, experiment, dataset),
            (f"{found.label}'s definition", found.options),
            ("the command line", given.options),
            ("--set", chosen.pop(label, {})),
        ]
        options, sources = combine(label, layers)
        if sources:
            print(sources)
        columns.append(Column(label, found.model, options))
        if found.label in experiment.expected.get(dataset, {}):
            expected[label] = experiment.figures(dataset)[found.label]
    check_labels(columns, chosen)
    folder = Path(given.named.get("results", f"results/{dataset}"))
    seeds = whole_numbers(given.named.get("seeds", "1,2,3"), "seeds")
    fresh = "fresh" in given.flags
    if "dry_run" in given.flags:
        print(dry_run(plan_runs(folder, dataset, columns, seeds), fresh))
        return 0
    report, failed = compare(folder, "Comparison", dataset, columns, seeds, expected, fresh)
    print_report(report)
    return FAILED if failed else 0
