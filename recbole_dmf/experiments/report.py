"""Tables, plots and one page from a folder of finished runs; nothing is trained.

Everything is read and rendered in memory first, so a damaged file leaves the folder as it was.
The same folder gives the same bytes.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from recbole_dmf.experiments import plots, run_sources
from recbole_dmf.experiments.render_html import render_html
from recbole_dmf.experiments.render_text import render_console, render_latex, render_markdown
from recbole_dmf.experiments.result_tables import (
    costs_csv,
    curves_csv,
    model_curves,
    results_csv,
    tables_and_notes,
)
from recbole_dmf.experiments.runs import read_comparison
from recbole_dmf.experiments.user_figures import FILE, users_csv
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

    Reads FOLDER/comparison.json, FOLDER/audit.json (if there) and FOLDER/runs/*/{result.json,
    per_user.csv, history.csv}; writes results.csv, users.csv.gz, validation_curves.csv,
    costs.csv, runs.jsonl, summary.md, summary.tex, report.html and, with matplotlib, the plots as
    PNG.

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
    comparison = read_comparison(folder, expected)
    tables, notes = tables_and_notes(comparison)
    if plots.available():
        reading = comparison.reading
        curves = [model_curves(k, r, reading) for k, r in comparison.runs.items() if r]
        drawn = plots.draw_all(curves, reading)
    else:
        drawn = []
    contents = {
        "results.csv": results_csv(comparison),
        "validation_curves.csv": curves_csv(comparison),
        "costs.csv": costs_csv(comparison),
        run_sources.FILE: run_sources.runs_jsonl(comparison),
        "summary.md": render_markdown(comparison, tables, notes),
        "summary.tex": render_latex(comparison, tables, notes),
        "report.html": render_html(comparison, tables, notes, drawn),
    }
    files = {name: text.encode(errors="replace") for name, text in contents.items()}
    files[FILE] = users_csv(comparison.runs, comparison.reading)
    files |= {f"{plot.name}.png": plot.png for plot in drawn}
    with ExitStack() as stack:  # all under temporary names first, renamed when all are written
        for name, content in files.items():
            stack.enter_context(atomic_path(folder / name)).write_bytes(content)
    written = tuple(folder / name for name in files)
    return Report(render_console(comparison, tables, notes), written, tuple(comparison.warnings))
