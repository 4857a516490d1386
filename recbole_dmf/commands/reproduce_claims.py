"""`recbole-dmf reproduce claims`: the paper's claims judged by finished comparisons."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from recbole_dmf.commands.arguments import Parser
from recbole_dmf.errors import UserError
from recbole_dmf.experiments.claims import claims, claims_page
from recbole_dmf.experiments.render_text import ASCII_SIGNS
from recbole_dmf.files import make_folder, write_text
from recbole_dmf.manifest import commit, versions

DATASETS = "ml-100k,ml-1m,amazon-music"


def main(argv: Sequence[str]) -> int:
    """The command, without `reproduce claims`; returns 0, whatever the verdicts.

    Raises:
        UserError: as `claims`, or there are no runs.
    """
    parser = Parser(
        "reproduce claims",
        "Judge the paper's claims by the runs of `recbole-dmf reproduce table2`, `table3`,\n"
        "`table4`, `table5` and `figure2` or, where these were not kept, by their results.csv\n"
        "and users.csv.gz; nothing is trained. Writes claims.json and claims.md.",
    )
    parser.add_argument("--results", type=Path, default=Path("results"), help="default: results")
    parser.add_argument("--datasets", default=DATASETS, help="default: %(default)s")
    parser.add_argument("--out", type=Path, help="folder of the two files; default: RESULTS")
    arguments = parser.parse(argv)
    found = claims(arguments.results, arguments.datasets.split(","))
    if not found["sources"]:
        raise UserError(
            f"{arguments.results} has no table of these data sets, such as table2-ml-100k; make "
            "them with `recbole-dmf reproduce all --dataset=ml-100k`."
        )
    out = make_folder(arguments.out or arguments.results)
    about = {"command": shlex.join(["recbole-dmf", "reproduce", "claims", *argv])}
    data = {**about, "versions": versions(), "commit": commit(), **found}
    write_text(out / "claims.json", json.dumps(data, indent=2) + "\n")
    page = claims_page(data)
    write_text(out / "claims.md", page)
    print(page.translate(ASCII_SIGNS))
    print(f"Written: {out / 'claims.json'}, {out / 'claims.md'}")
    return 0
