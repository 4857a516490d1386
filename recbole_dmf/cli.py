"""The installed commands `run_recbole` and `recbole-dmf`."""

import sys
import traceback
from collections.abc import Callable

from recbole_dmf.errors import UserError
from recbole_dmf.options import parse_command_line

RUN_HELP = """\
usage: run_recbole --model=NAME --dataset=NAME [--option=value ...]

Train and test a RecBole general recommender under the DMF paper's protocol.

  --model, -m NAME         DMF, BPR, LightGCN, EASE, NeuMF, ItemKNN, Pop, ...; RecBoleDMF is
                           RecBole's built-in DMF
  --dataset, -d NAME       ml-100k comes with RecBole; others are read from
                           DATA_PATH/NAME/NAME.inter
  --config_files "A B"     YAML files of options, later ones win
  --data_path FOLDER       folder above the data sets (default: dataset/)
  --checkpoint_dir FOLDER  results go to a new folder in it (default: saved/)
  --OPTION=VALUE           any option of RecBole or of the model, for example --epochs=20
                           --loss_type=ce --user_layers="[64, 64]"; `--k v` works as well
  --debug                  show the traceback of an error
  --help, -h               this text
"""


def guarded(main: Callable[[list[str]], int], argv: list[str]) -> int:
    """Run a command; errors end in one message on standard error and an exit code."""
    debug = "--debug" in argv
    argv = [word for word in argv if word != "--debug"]
    try:
        return main(argv)
    except UserError as error:
        if debug:
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("error: interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 1
    except Exception as error:
        if debug:
            traceback.print_exc()
        reason = str(error).strip() or type(error).__name__
        print(f"error: {reason}\n(--debug shows where it happened)", file=sys.stderr)
        return 1


def _run(argv: list[str]) -> int:
    if not argv or {"--help", "-h"} & set(argv):
        print(RUN_HELP, end="")
        return 0
    given = parse_command_line(
        argv, ("model", "dataset", "config_files"), (), {"m": "model", "d": "dataset"}
    )
    from recbole_dmf.run import run_recbole

    run_recbole(
        given.named.get("model"),
        given.named.get("dataset"),
        given.named.get("config_files", "").split(),
        given.options,
    )
    return 0


def run_recbole_main() -> None:
    """Entry point of `run_recbole`."""
    sys.exit(guarded(_run, sys.argv[1:]))


if __name__ == "__main__":
    run_recbole_main()
