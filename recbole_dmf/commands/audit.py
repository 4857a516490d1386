"""`recbole-dmf audit`: what a data set and the protocol give away by themselves."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from recbole_dmf.commands.arguments import parse_open
from recbole_dmf.errors import UserError

HELP = """\
usage: recbole-dmf audit --dataset=NAME [--out=FILE.json] [--OPTION=VALUE ...]

Look for what makes figures on a data set mislead: test items that nobody could learn anything of,
rules without learning that find them all the same, candidates that are no uniform draw, repeated
pairs and users, an order of the file that gives the test away. No model is trained.

  --out FILE.json          write the findings; the folder is made where there is none
  --OPTION=VALUE           an option of the data set or the protocol, for example
                           --data_path=FOLDER or --candidate_items=raw
  --help, -h               this text
"""


def main(argv: Sequence[str]) -> int:
    """The command; returns 0, whatever is found.

    Raises:
        UserError: as `audit`, or the command line cannot be understood.
    """
    if not argv or {"--help", "-h"} & set(argv):
        print(HELP, end="")
        return 0
    given = parse_open(argv, ("dataset", "out"), (), {"d": "dataset"})
    dataset = given.named.get("dataset")
    if not dataset:
        raise UserError("--dataset is missing; for example --dataset=ml-100k.")
    from recbole_dmf.experiments.audit import audit  # takes seconds: not for --help
    from recbole_dmf.experiments.audit_file import text, write_audit

    found = audit(dataset, given.options)
    print(text(found))
    if "out" in given.named:
        path = Path(given.named["out"])
        write_audit(path, found, shlex.join(["recbole-dmf", "audit", *argv]))
        print(f"\nWritten: {path}")
    return 0
