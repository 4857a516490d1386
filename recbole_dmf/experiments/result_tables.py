"""The figures of a comparison as tables, notes and curves; how they look is another module's."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recbole_dmf.evaluation.metrics import READINGS
from recbole_dmf.evaluation.significance import (
    LEVEL,
    Comparison,
    compare_with_best_other,
    mean_over_seeds,
)
from recbole_dmf.experiments import plots
from recbole_dmf.experiments.checked_files import one_line
from recbole_dmf.experiments.runs import MAX_K, SHOWN, Compared, Run, device, versions

NAMES = {"hit@10": "HR@10", "ndcg@10": "NDCG@10"}
READING_MEANS = {
    "expected": "the exact mean of the sampled figure over all draws of candidates: no "
    "sampling noise, the one to compare by, and the one set against the paper's figure",
    "sampled": "the target ranked among the candidates that were drawn once for this split, as "
    "the paper does, or that came with the data",
    "full": "the target ranked among all items that the user has not seen; lower by nature, not "
    "comparable with the paper's figure",
}
MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"
NO_VALUE = DASH
BOLD = "Best in bold."  # said wherever there is bold type


@dataclass(frozen=True)
class ResultTable:
    """Cells are (text, bold); the first column is text, the others are set right."""

    title: str
    header: list[str]
    rows: list[list[tuple[str, bool]]]


def tables_and_notes(c: Compared) -> tuple[list[ResultTable], list[str]]:
    """All tables of a comparison, and the notes below them."""
    finished = {label: runs for label, runs in c.runs.items() if runs}
    tests = {metric: _tests(finished, metric) for metric in SHOWN}
    tables = [
        _quality(c, tests),
        _other_readings(c),
        *([_pairs(tests)] if tests[SHOWN[0]] else []),
        _costs(c),
    ]
    return tables, _notes(c, bool(tests[SHOWN[0]]))


def _tests(runs: Mapping[str, list[Run]], metric: str) -> dict[str, Comparison]:
    values = {
        label: mean_over_seeds(
            [run.per_user(metric) for run in group], [str(run.folder) for run in group]
        )
        for label, group in runs.items()
    }
    if len(next(iter(values.values()))) < 2:
        return {}  # nothing to pair
    means = {label: [run.metric(metric) for run in group] for label, group in runs.items()}
    return compare_with_best_other(values, means)


def _spread(values: Sequence[float], digits: int) -> str:
    text = f"{np.mean(values):.{digits}f}"
    return text if len(values) < 2 else f"{text} ± {np.std(values, ddof=1):.{digits}f}"


def _best(means: Mapping[str, float]) -> set[str]:
    """The best as printed: equal figures are all bold; a model alone is not."""
    if len(means) < 2:
        return set()
    shown = {label: round(mean, 4) for label, mean in means.items()}
    return {label for label, mean in shown.items() if mean == max(shown.values())}


def _unemphasised(texts: Iterable[str]) -> list[tuple[str, bool]]:
    return [(text, False) for text in texts]


def _quality(c: Compared, tests: Mapping[str, Mapping[str, Comparison]]) -> ResultTable:
    papers = {
        metric: {k: v[metric] for k, v in c.expected.items() if k in c.runs and metric in v}
        for metric in SHOWN
    }
    header = ["Model", "Seeds"]
    columns: list[dict[str, tuple[str, bool]]] = []
    for metric in SHOWN:
        seeds = {k: [run.metric(metric) for run in runs] for k, runs in c.runs.items() if runs}
        best = _best({label: float(np.mean(v)) for label, v in seeds.items()})
        header.append(NAMES[metric])
        columns.append({})
        for label, values in seeds.items():
            test = tests[metric].get(label)
            mark = " *" if test is not None and test.significant else ""
            columns[-1][label] = (_spread(values, 4) + mark, label in best)
        if papers[metric]:
            header += ["Paper", "Diff."]
            columns.append({k: (f"{v:.3f}", False) for k, v in papers[metric].items()})
            columns.append(
                {
                    k: (_signed(float(np.mean(seeds[k])) - v, 3), False)
                    for k, v in papers[metric].items()
                    if k in seeds
                }
            )
    rows = [
        [
            *_unemphasised((label, c.states[label])),
            *(col.get(label, (NO_VALUE, False)) for col in columns),
        ]
        for label in c.runs
    ]
    return ResultTable("Test, expected reading", header, rows)


def _signed(value: float, digits: int) -> str:
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return ("+" if value > 0 else MINUS) + text


def _other_readings(c: Compared) -> ResultTable:
    header, columns = ["Model"], []
    for reading in ("sampled", "full"):
        for metric in SHOWN:
            header.append(f"{NAMES[metric]} {reading}")
            seeds = {
                label: [run.metric(metric, reading) for run in runs]
                for label, runs in c.runs.items()
                if runs
            }
            best = _best({label: float(np.mean(v)) for label, v in seeds.items()})
            columns.append({k: (_spread(v, 4), k in best) for k, v in seeds.items()})
    rows = [
        [(label, False), *(col.get(label, (NO_VALUE, False)) for col in columns)]
        for label in c.runs
    ]
    return ResultTable("Test, sampled and full ranking", header, rows)


def _pairs(tests: Mapping[str, Mapping[str, Comparison]]) -> ResultTable:
    header = ["Model", "Metric", "Against", "Mean diff.", "95 % interval", "p", "p (Holm)"]
    header.append("Over seeds")
    rows = []
    for label in tests[SHOWN[0]]:
        for metric in SHOWN:
            t = tests[metric][label]
            interval = f"{_signed(t.low, 4)} to {_signed(t.high, 4)}"
            seeds = f"{_signed(t.seed_low, 4)} to {_signed(t.seed_high, 4)}"
            rows.append(
                _unemphasised(
                    (
                        label,
                        NAMES[metric],
                        t.other,
                        _signed(t.difference, 4),
                        interval,
                        _p(t.p_value),
                        _p(t.p_holm) + (" *" if t.significant else ""),
                        seeds if t.seed_low < t.seed_high else NO_VALUE,
                    )
                )
            )
    return ResultTable("Each model against the best other model, per user", header, rows)


def _p(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def _costs(c: Compared) -> ResultTable:
    header = [
        "Model",
        "Training (s)",
        "Scoring (s)",
        "Peak memory (MB)",
        "Parameters",
        "Best epoch",
    ]
    columns: list[tuple[Callable[[dict], Any], int]] = [
        (lambda r: r.get("seconds", {}).get("train"), 2),
        (lambda r: r.get("seconds", {}).get("score"), 2),
        (lambda r: r.get("peak_memory_mb"), 0),
    ]
    rows = []
    for label, runs in c.runs.items():
        cells = [label]
        for of, digits in columns:
            values = [of(run.result) for run in runs]
            values = [v for v in values if v is not None]
            cells.append(_spread(values, digits) if values else NO_VALUE)
        counts = [run.result.get("parameters") for run in runs]
        sizes = sorted({count for count in counts if count is not None})
        cells.append(" / ".join(f"{n:,}" for n in sizes) or NO_VALUE)
        epochs = [run.result.get("best_epoch") for run in runs]
        known = any(epoch is not None for epoch in epochs)
        shown = ", ".join(NO_VALUE if e is None else str(e) for e in epochs)
        cells.append(shown if known else NO_VALUE)
        rows.append(_unemphasised(cells))
    return ResultTable("Cost", header, rows)


def _notes(c: Compared, tested: bool) -> list[str]:
    runs = [run for group in c.runs.values() for run in group]
    seeds = sorted({run.seed for run in runs})
    notes = [*c.failures]
    if sum(map(bool, c.runs.values())) > 1:
        notes.append(BOLD)
    if len(seeds) > 1:
        notes.append("Figures: mean ± standard deviation over seeds.")
    if tested:
        notes.append(
            "*: differs from the best other model, beyond chance in the choice of users (two-sided "
            f"paired permutation test of the means over seeds, p < {LEVEL} after Holm's correction "
            "over all pairs of models) and in training (the same sign over seeds). 95 % interval: "
            "bootstrap over users, not corrected. Over seeds: the least and the greatest "
            "difference of a run of the one model and a run of the other."
        )
    notes += [f"{reading}: {READING_MEANS[reading]}." for reading in READING_MEANS]
    chosen = Counter(
        f"{run.result.get('valid_metric', '?')} ({run.result.get('valid_reading', '?')})"
        for run in runs
    )
    notes.append(f"Epochs were chosen on validation by {', '.join(sorted(chosen))}.")
    sources = {k: v["source"] for k, v in c.expected.items() if k in c.runs and v.get("source")}
    if sources:
        figures = "; ".join(f"{label}: {one_line(str(text))}" for label, text in sources.items())
        notes.append(f"Paper: {figures}. Diff.: ours (expected) minus the paper's figure.")
    notes.append(f"Users tested: {len(runs[0].users):,}. Seeds: {', '.join(map(str, seeds))}.")
    for phase in ("valid", "test"):
        digests = {str(run.result.get("candidates_sha256", {}).get(phase)) for run in runs}
        notes.append(f"Candidates ({phase}), SHA-256: {', '.join(sorted(digests))}")
    notes.append(f"Device: {'; '.join(sorted({device(run) for run in runs}))}.")
    notes.append(f"Versions: {'; '.join(sorted({versions(run) for run in runs}))}.")
    return notes


def results_csv(c: Compared) -> str:
    """results.csv: one line per data set, model, seed, phase, metric and reading."""
    names = [f"{metric}@{k}" for metric in ("hit", "ndcg") for k in range(1, MAX_K + 1)]
    rows = []
    for label, runs in c.runs.items():
        for run in runs:
            start = (c.dataset, label, run.seed)
            for reading, metrics in run.result["metrics"].get("valid", {}).items():
                rows += [(*start, "valid", name, reading, v) for name, v in metrics.items()]
            for reading in READINGS:
                rows += [(*start, "test", n, reading, run.metric(n, reading)) for n in names]
    columns = ["dataset", "model", "seed", "phase", "metric", "reading", "value"]
    return pd.DataFrame(rows, columns=columns).to_csv(index=False, lineterminator="\n")


def model_curves(label: str, runs: Sequence[Run]) -> plots.Curves:
    """What the plots show of one model."""

    def at_k(metric: str) -> NDArray[np.float64]:
        ks = range(1, MAX_K + 1)
        return np.array([[run.metric(f"{metric}@{k}") for k in ks] for run in runs])

    return plots.Curves(
        label,
        at_k("hit"),
        at_k("ndcg"),
        [
            (run.history["epoch"].to_numpy(), run.history["value"].to_numpy(), _epoch(run))
            for run in runs
        ],
        np.array([run.result.get("seconds", {}).get("train") or 0.0 for run in runs]),
    )


def _epoch(run: Run) -> int | None:
    return run.result.get("best_epoch")
