"""`recbole-dmf tune`: search options of a model by validation."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from recbole_dmf.commands.arguments import parse_open
from recbole_dmf.commands.model_arguments import whole_numbers
from recbole_dmf.errors import UserError

HELP = """\
usage: recbole-dmf tune --model=NAME --dataset=NAME [--trials=30] [--OPTION=VALUE ...]

Search for the options with the best NDCG@10 on validation (expected reading); test is not looked
at. The default options are the first trial. The same command continues where it was stopped; if it
is started several times, the processes share the trials.

  --model, -m NAME         RecBole's or ours, or a column of a table, for example DMF-2-ce
  --trials N               in all, over all processes and starts (default: 30)
  --search FILE            YAML file of the search space, one entry for each option, such as
                           reg_weight: {type: float, low: 0.001, high: 1.0, log: true}
                           k: {type: int, low: 5, high: 500, log: true}
                           target: {type: categorical, choices: [binary, rating]}
  --OPTION=VALUE           an option of all trials, which is then not searched
  --results FOLDER         default: results/tune-MODEL-DATASET
  --dry-run                say how many trials are finished and to come, and run nothing
  --help, -h               this text

Its result, best.yaml, is a file for run_recbole --config_files; `recbole-dmf compare` uses it.
"""


def main(argv: Sequence[str]) -> int:
    """Search and print the best trials; the exit code.

    Raises:
        UserError: as `tune`, or the command line cannot be understood.
    """
    if not argv or {"--help", "-h"} & set(argv):
        print(HELP, end="")
        return 0
    own = ("model", "dataset", "trials", "search", "results")
    given = parse_open(argv, own, ("dry_run",), {"m": "model", "d": "dataset"})
    for name in ("model", "dataset"):
        if not given.named.get(name):
            raise UserError(f"--{name} is missing; see recbole-dmf tune --help.")
    from recbole_dmf.experiments.option_sources import BEST, search_folder  # not for --help
    from recbole_dmf.experiments.tune import TRIALS, dry_run, tune

    model, dataset = given.named["model"], given.named["dataset"]
    search = given.named.get("search")
    folder = Path(given.named.get("results", search_folder(model, dataset)))
    trials = whole_numbers(given.named.get("trials", "30"), "trials")
    if len(trials) != 1 or trials[0] < 1:
        raise UserError(f"--trials={given.named['trials']}: give one number, at least 1.")
    if "dry_run" in given.flags:
        print(dry_run(folder, trials[0]))
        return 0
    tune(
        folder,
        model,
        dataset,
        given.options,
        trials[0],
        Path(search) if search else None,
        shlex.join(["recbole-dmf", "tune", *argv]),
    )
    print(
        f"\nWritten:\n  {folder / TRIALS}\n  {folder / BEST}\n"
        f"To run the best: run_recbole --config_files={shlex.quote(str(folder / BEST))}"
    )
    return 0
