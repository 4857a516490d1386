"""`recbole-dmf compare`: several models in one table."""

from collections.abc import Sequence

from recbole_dmf.commands.arguments import parse_open
from recbole_dmf.commands.model_arguments import take_settings
from recbole_dmf.errors import UserError

HELP = """\
usage: recbole-dmf compare --dataset=NAME --models=A,B,C [--seeds=1,2,3]
                           [--set MODEL.OPTION=VALUE ...] [--OPTION=VALUE ...]

Train and test several models on the same split and candidates, one after another. What is finished
is not run again, so the same command continues where it was stopped.

  --models A,B,C           RecBole's or ours, or module:Class of your own; LABEL=MODEL gives a model
                           another name, so that it can be compared with itself:
                           --models=ce=DMF,nce=DMF --set ce.loss_type=ce
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
    from recbole_dmf.commands.comparison import run_or_list  # takes seconds: not for --help
    from recbole_dmf.experiments.named_models import columns_of

    dataset, models = given.named["dataset"], given.named["models"].split(",")
    columns, expected = columns_of(
        models, dataset, ("the command line", given.options), ("--set", chosen)
    )
    return run_or_list(
        given, f"results/{dataset}", "Comparison", dataset, columns, chosen, expected
    )
