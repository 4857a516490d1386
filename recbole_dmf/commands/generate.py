"""`recbole-dmf generate OUT`: ratings of any size, for trials."""

from pathlib import Path

from recbole_dmf.commands.arguments import Parser
from recbole_dmf.datasets.generate import generate, write_generated
from recbole_dmf.errors import UserError


def main(argv: list[str]) -> int:
    """The command `generate`; returns 0.

    Raises:
        UserError: no data set has this size, or OUT cannot be written.
    """
    parser = Parser("generate", "Write ratings of any size with a long tail and planted factors.")
    parser.add_argument("out", type=Path, help="folder of the data set; its name is the set's")
    for name, example in (("users", "6040"), ("items", "3706"), ("ratings", "1000000")):
        parser.add_argument(f"--{name}", type=int, required=True, help=f"for example {example}")
    parser.add_argument("--seed", type=int, default=2020)
    arguments = parser.parse(argv)
    if arguments.seed < 0:
        raise UserError(f"seed is {arguments.seed}; give a number from 0 on.")
    interactions = generate(arguments.users, arguments.items, arguments.ratings, arguments.seed)
    path = write_generated(arguments.out, interactions, arguments.seed)
    print(f"{path}: {arguments.ratings} ratings, {arguments.users} users, {arguments.items} items")
    return 0
