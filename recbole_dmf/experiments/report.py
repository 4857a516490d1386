"""Tables, plots and one page from a folder of finished runs; nothing is trained.

Everything is read and rendered in memory first, so a damaged file leaves the folder as it was.
The same folder gives the same bytes.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from recbole_dmf.experiments import plots
from recbole_dmf.experiments.page import page
from recbole_dmf.experiments.runs import load
from recbole_dmf.experiments.tables import curves, summarise, tidy
from recbole_dmf.experiments.text import console, latex, markdown
from recbole_dmf.files import atomic_path


@dataclass(frozen=True)
class Report:
    """What `write_report` did.

    Attributes:
        text: the tables and notes for a console.
        files: what was written, in the folder.
        warnings: what a reader must know before trusting the figures; also part of `text`.
    """

    text: str
    files: tuple[Path, ...]
    warnings: tuple[str, ...]


def write_report(folder: Path, expected: dict | None = None) -> Report:
    """Redraw the report of a comparison from its files.

    Reads FOLDER/comparison.json and FOLDER/runs/*/{result.json, per_user.csv, history.csv}; writes
    results.csv, summary.md, summary.tex, report.html and, with matplotlib, the plots as PNG.

    Args:
        folder: of a comparison.
        expected: the paper's figures, {label: {"hit@10": .., "ndcg@10": .., "source": ..}};
            instead of the ones in comparison.json.

    Returns:
        The console text and the files.

    Raises:
        UserError: a file is missing, damaged or of another data set; nothing is written then.
    """
    folder = Path(folder)
    comparison = load(folder, expected)
    tables, notes = summarise(comparison)
    if plots.available():
        drawn = plots.draw_all([curves(k, r) for k, r in comparison.runs.items() if r])
    else:
        drawn = []
    contents = {
        "results.csv": tidy(comparison),
        "summary.md": markdown(comparison, tables, notes),
        "summary.tex": latex(comparison, tables, notes),
        "report.html": page(comparison, tables, notes, drawn),
    }
    files = {name: text.encode(errors="replace") for name, text in contents.items()}
    files |= {f"{plot.name}.png": plot.png for plot in drawn}
    with ExitStack() as stack:  # all under temporary names first, renamed when all are written
        for name, content in files.items():
            stack.enter_context(atomic_path(folder / name)).write_bytes(content)
    written = tuple(folder / name for name in files)
    return Report(console(comparison, tables, notes), written, tuple(comparison.warnings))


def main_report(argv: Sequence[str] | None = None) -> int:
    """`recbole-dmf report FOLDER`: print the tables, name the files; the exit code.

    Raises:
        UserError: as `write_report`; the command line turns it into a message.
    """
    parser = argparse.ArgumentParser(
        prog="recbole-dmf report",
        description="Redraw the tables, the plots and the page of a comparison, without training.",
    )
    parser.add_argument("folder", type=Path, help="a comparison's folder (has comparison.json)")
    report = write_report(parser.parse_args(argv).folder)
    lines = [report.text, "", "Written:", *(f"  {path}" for path in report.files)]
    if not plots.available():
        lines.append(f"No plots: matplotlib is not installed. Install it with: {plots.INSTALL}")
    encoding = sys.stdout.encoding or "utf-8"
    print("\n".join(lines).encode(encoding, "replace").decode(encoding))
    return 0
