"""Models that read the order of time and models that don't, a block each, from measured folders.

A block is a comparison's folder: `order-DATASET` or `no-order-DATASET`, as `recbole-dmf reproduce`
writes it. The paired tests are those of its summary.md, among the models of the block.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from recbole_dmf.errors import UserError
from recbole_dmf.experiments.audit_file import misleading
from recbole_dmf.experiments.measured_figures import both_shares, figures_on_test, markdown_table
from recbole_dmf.experiments.plan import read_experiment

BLOCKS = {"order": "reads the order", "no-order": "doesn't"}
DATASETS = ("ml-100k", "ml-1m", "ml-latest-small", "amazon-music")
_MENDED_BY_WARM = ("cold items", "rule: cold items first")
SEEDS = 3  # of a model that draws random numbers; fewer are said
_PAIRS = "## Each model against the best other model, per user"
_LEADING = re.compile(r"^## Test, (\w+) reading", re.MULTILINE)  # the first table of summary.md


@dataclass(frozen=True)
class Row:
    """A model of a block.

    Attributes:
        model: its label.
        seeds: runs; "deterministic" where one says all.
        values: {reading: (HR@10, NDCG@10)}, means over seeds.
        against, difference, p: of the paired test in NDCG@10 against the best other model of the
            block, as summary.md has them; "" where nothing was tested.
        differs: whether the difference is more than chance in the users and over seeds.
    """

    model: str
    seeds: str
    values: dict[str, tuple[float, float]]
    against: str
    difference: str
    p: str
    differs: bool

    @property
    def is_ahead(self) -> bool:
        """Of all others of the block, beyond chance."""
        return self.differs and self.difference.startswith("+")


def read_block(folder: Path) -> list[Row]:
    """The models of a comparison that has run, the best NDCG@10 of the reading to lead with first.

    Raises:
        UserError: a file is missing.
    """
    try:
        about = json.loads((folder / "comparison.json").read_text())
        found = figures_on_test(folder)
        summary = (folder / "summary.md").read_text()
    except OSError as error:
        raise UserError(f"{folder} is no comparison that has run ({error}).") from error
    leading, tests, rows = _leading(summary), _tests(summary), []
    for model, readings in found.items():
        values = {
            name: (fmean(of["hit@10"]), fmean(of["ndcg@10"])) for name, of in readings.items()
        }
        n = len(readings["expected"]["ndcg@10"])
        seeds = "deterministic" if model in about.get("deterministic", []) else str(n)
        against, difference, p = tests.get(model, ("", "", ""))
        differs = p.endswith("*")
        rows.append(Row(model, seeds, values, against, difference, p.rstrip(" *"), differs))
    return sorted(rows, key=lambda row: -row.values[leading][1])


def _leading(summary: str) -> str:
    """The reading of the first table, which is that of the tests."""
    found = _LEADING.search(summary)
    return found[1] if found else "expected"


def _tests(summary: str) -> dict[str, tuple[str, str, str]]:
    """{model: (other, mean difference, p after Holm)} in NDCG@10."""
    if _PAIRS not in summary:
        return {}
    section = summary.split(_PAIRS)[1].split("\n## ")[0].replace("&lt;", "<").replace("\\*", "*")
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in section.splitlines()]
    rows = [row for row in cells if len(row) > 6 and row[1] == "NDCG@10"]
    return {row[0].replace("\\", ""): (row[2].replace("\\", ""), row[3], row[6]) for row in rows}


def missing(name: str, rows: list[Row]) -> list[str]:
    """The columns of a block's experiment that were not measured."""
    measured = {row.model for row in rows}
    return [c.label for c in read_experiment(name).columns if c.label not in measured]


def verdict(name: str, rows: list[Row]) -> str:
    """Who is ahead of all others of a block in NDCG@10, or why that is not known."""
    first = rows[0]
    if absent := missing(name, rows):
        return f"Not complete, so nobody is ahead yet: {', '.join(absent)} not measured."
    tested = f"against {first.against}: {first.difference}, p {_equals(first.p)} after Holm"
    if first.is_ahead:
        return f"**{first.model}** is ahead of the other models of its block ({tested})."
    return f"{first.model} is first, but not beyond chance ({tested})."


def _equals(p: str) -> str:
    return p if p.startswith("<") else f"= {p}"


def block_table(rows: list[Row]) -> str:
    """A Markdown table of a block."""
    readings = [r for r in ("expected", "warm", "full") if all(r in row.values for row in rows)]
    header = ["model", "seeds", *(f"HR@10 / NDCG@10 {r}" for r in readings)]
    header += ["NDCG@10 against the best other", "p (Holm)"]
    lines = []
    for row in rows:
        figures = [both_shares(row.values[r]) for r in readings]
        against = f"{row.difference} ({row.against})" if row.against else ""
        lines.append([row.model, row.seeds, *figures, against, row.p + " *" * row.differs])
    return markdown_table(header, lines)


def blocks_text(measured: Path) -> str:
    """The sections of results.md: both blocks of each data set that has been measured."""
    parts = []
    for dataset in DATASETS:
        folders = {name: measured / f"{name}-{dataset}" for name in BLOCKS}
        there = {name: folder for name, folder in folders.items() if folder.is_dir()}
        if there:
            caution = _caution(measured, dataset)
            parts.append(f"## The order of time, {dataset}\n{caution}")
        for name, folder in there.items():
            rows = read_block(folder)
            links = f"Data: [{folder.name}/results.csv]({folder.name}/results.csv), tests: "
            links += f"[summary.md]({folder.name}/summary.md)\n"
            words = "Reads the order" if name == "order" else "Doesn't read it"
            parts.append(f"{words}. {verdict(name, rows)}\n\n{block_table(rows)}\n{links}")
    return "\n".join(parts)


def _caution(measured: Path, dataset: str) -> str:
    """What the audit says against a data set's figures; "" where it finds nothing."""
    names = misleading(json.loads((measured / f"audit-{dataset}.json").read_text()))
    if not names:
        return ""
    others = [name for name in names if name not in _MENDED_BY_WARM]
    mended = "The warm reading, which leads, answers those of cold items"
    mended += f", not {', '.join(others)}." if others else "."
    audit = f"[audit](audit-{dataset}.json)"
    return f"\n**Figures mislead ({audit}): {', '.join(names)}.** {mended}\n"


def headline_table(measured: Path, readings: Mapping[str, str]) -> str:
    """README's table: a row for each model of both blocks, a column for each data set.

    The best of a complete block is bold where the paired test sets it apart from the best other
    model. What was not measured is empty.

    Args:
        measured: folder of the blocks.
        readings: by data set, the reading to lead with, "expected" or "warm".
    """
    datasets = list(readings)
    header = ["HR@10 / NDCG@10", "order"]
    header += [d if reading == "expected" else f"{d}, {reading}" for d, reading in readings.items()]
    lines = []
    for name, words in BLOCKS.items():
        folders = {dataset: measured / f"{name}-{dataset}" for dataset in datasets}
        blocks = {d: read_block(folder) if folder.is_dir() else [] for d, folder in folders.items()}
        for model in dict.fromkeys(row.model for rows in blocks.values() for row in rows):
            lines.append(
                [model, words, *(_cell(name, blocks[d], model, readings[d]) for d in datasets)]
            )
    return markdown_table(header, lines)


def _cell(name: str, rows: list[Row], model: str, reading: str) -> str:
    row = next((row for row in rows if row.model == model), None)
    if row is None or reading not in row.values:
        return ""
    text = both_shares(row.values[reading])
    if row.seeds.isdigit() and int(row.seeds) < SEEDS:
        text += f" ({row.seeds} seed{'s' * (row.seeds != '1')})"
    ahead = row is rows[0] and row.is_ahead and not missing(name, rows)
    return f"**{text}**" if ahead else text
