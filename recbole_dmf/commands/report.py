"""`recbole-dmf report`: the report of a comparison again, without training."""

import sys
from collections.abc import Sequence
from pathlib import Path

from recbole_dmf.commands.arguments import Parser
from recbole_dmf.experiments import plots
from recbole_dmf.experiments.report import Report, write_report


def main(argv: Sequence[str]) -> int:
    """Write a comparison's report again and print its tables; the exit code.

    Raises:
        UserError: as `write_report`, or the command line cannot be understood.
    """
    parser = Parser(
        "report", "Redraw the tables, the plots and the page of a comparison, without training."
    )
    parser.add_argument("folder", type=Path, help="a comparison's folder (has comparison.json)")
    print_report(write_report(parser.parse(argv).folder))
    return 0


def print_report(report: Report) -> None:
    """The tables and notes, and the names of the files."""
    lines = [report.text, "", "Written:", *(f"  {path}" for path in report.files)]
    if not plots.available():
        lines.append(f"No plots: matplotlib is not installed. Install it with: {plots.INSTALL}")
    encoding = sys.stdout.encoding or "utf-8"
    print("\n" + "\n".join(lines).encode(encoding, "replace").decode(encoding))
