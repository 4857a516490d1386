"""Figures of a comparison that was kept without its runs, and how pages write them."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

METRICS = ("hit@10", "ndcg@10")
MINUS = "\N{MINUS SIGN}"


def figures_on_test(folder: Path) -> dict[str, dict[str, dict[str, list[float]]]]:
    """HR@10 and NDCG@10 on test in results.csv: {model: {reading: {metric: a value per run}}}."""
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    with (folder / "results.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["phase"] == "test" and row["metric"] in METRICS:
                of_reading = found.setdefault(row["model"], {}).setdefault(row["reading"], {})
                of_reading.setdefault(row["metric"], []).append(float(row["value"]))
    return found


def both_shares(values: Iterable[float]) -> str:
    """HR@10 and NDCG@10 with three digits, as the paper writes them: .687 / .409."""
    return " / ".join(f"{value:.3f}".removeprefix("0") for value in values)


def signed(value: float, digits: int) -> str:
    """A difference with its sign; 0 has none."""
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return ("+" if value > 0 else MINUS) + text


def signed_range(low: float, high: float) -> str:
    """The ends of an interval of a difference, or of its range over runs."""
    return f"{signed(low, 4)} to {signed(high, 4)}"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
