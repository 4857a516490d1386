"""`run_recbole`: train and test one model."""

from recbole_dmf.commands.arguments import parse_open, without_options
from recbole_dmf.errors import UserError

PROCESSES = ("nproc", "world_size", "group_offset", "ip", "port")
HELP = """\
usage: run_recbole --model=NAME --dataset=NAME [--option=value ...]

Train and test a general or sequential recommender under the DMF paper's protocol.

  --model, -m NAME         DMF, BPR, LightGCN, EASE, ItemKNN, SASRec, GRU4Rec, ...;
                           RecBoleDMF is RecBole's built-in DMF; module:Class is a class of
                           your own, its module on PYTHONPATH
  --dataset, -d NAME       ml-100k comes with RecBole; others are read from
                           DATA_PATH/NAME/NAME.inter
  --config_files "A B"     YAML files of options, later ones win
  --data_path FOLDER       folder above the data sets (default: dataset/)
  --checkpoint_dir FOLDER  results go to a new folder in it (default: saved/)
  --OPTION=VALUE           any option of RecBole or of the model, for example --epochs=20
                           --loss_type=ce --user_layers="[64, 64]"; `--k v` works as well
  --resume=FOLDER          resume the run in FOLDER, which was stopped; no other option is
                           needed. --resume alone: the newest unfinished run with these options
  --nproc=N                train DMF in N processes; on several machines use torchrun, or
                           --world_size, --group_offset, --ip and --port as in RecBole
  --debug                  show the traceback of an error
  --help, -h               this text
"""


def main(argv: list[str]) -> int:
    """The command `run_recbole`; returns the exit code.

    Raises:
        UserError: anything that the user can put right.
    """
    if not argv or {"--help", "-h"} & set(argv):
        print(HELP, end="")
        return 0
    own = ("model", "dataset", "config_files", "resume", *PROCESSES)
    given = parse_open(argv, own, ("resume",), {"m": "model", "d": "dataset"})
    machines = {name: given.named.pop(name) for name in PROCESSES if name in given.named}
    nproc = machines.pop("nproc", "1")
    if nproc != "1" or machines:
        if not nproc.isdigit():
            raise UserError(f"--nproc is {nproc!r}; give the number of processes.")
        from recbole_dmf.training.parallel import launch

        return launch(without_options(argv, PROCESSES), int(nproc), machines)
    from recbole_dmf.run import run_recbole  # takes seconds: not for --help

    run_recbole(
        given.named.get("model"),
        given.named.get("dataset"),
        given.named.get("config_files", "").split(),
        given.options,
        resume=given.named.get("resume") or "resume" in given.flags,
    )
    return 0
