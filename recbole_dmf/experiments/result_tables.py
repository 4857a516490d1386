"""The figures of a comparison as tables, notes and curves; how they look is another module's."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recbole_dmf.evaluation.metrics import WARM
from recbole_dmf.evaluation.significance import (
    Comparison,
    compare_in_blocks,
)
from recbole_dmf.experiments import audit_file, plots
from recbole_dmf.experiments.finished_run import Run, best_epoch, mean_per_user, n_parameters
from recbole_dmf.experiments.measured_figures import signed, signed_range
from recbole_dmf.experiments.result_notes import papers_metrics, result_notes
from recbole_dmf.experiments.run_metrics import MAX_K, headline, shown_name
from recbole_dmf.experiments.runs import Compared

DASH = "\N{EN DASH}"
NO_VALUE = DASH


@dataclass(frozen=True)
class ResultTable:
    """Cells are (text, bold); the first column is text, the others are set right.

    With `prose` all columns are text, which may need several lines.
    """

    title: str
    header: list[str]
    rows: list[list[tuple[str, bool]]]
    prose: bool = False


def tables_and_notes(c: Compared) -> tuple[list[ResultTable], list[str]]:
    """All tables of a comparison, and the notes below them.

    The first table has the headline metrics in the reading to lead with; where that is the warm
    one, the second has the expected one, which the paper's figures are set against. If more metrics
    were asked for, a table for each reading has them all.
    """
    finished = {label: runs for label, runs in c.runs.items() if runs}
    first = headline(c.metrics)
    of_all, tests = {}, {}
    for metric in first:
        of_all[metric], tests[metric] = _tests(finished, metric, c.reading, c.reads_order)
    tables = [_quality(c, tests, c.reading)]
    if c.reading != "expected":
        tables.append(_quality(c, {metric: {} for metric in first}, "expected"))
    if len(c.metrics) > len(first):
        tables += [
            _readings(c, f"Test, {reading} reading, all metrics", [reading])
            for reading in c.readings
        ]
    else:
        others = [r for r in c.readings if r not in ("expected", c.reading)]
        title = "sampled, full and warm reading" if WARM in others else "sampled and full ranking"
        tables.append(_readings(c, f"Test, {title}", others))
    tested = bool(of_all[first[0]])
    if tested:
        tables.append(_pairs(tests, of_all))
    tables.append(_costs(c))
    if c.audit is not None:
        tables.append(_audit(c.audit))
    return tables, result_notes(c, tested)


def _audit(found: dict[str, Any]) -> ResultTable:
    rows = [_unemphasised(row) for row in audit_file.rows(found)]
    return ResultTable("Audit", list(audit_file.HEADER), rows, prose=True)


def _tests(
    runs: Mapping[str, list[Run]],
    metric: str,
    reading: str,
    blocks: Mapping[str, bool],
) -> list[dict[str, Comparison]]:
    """Each model against the best other of all, and of its block; empty with one user."""
    values = {label: mean_per_user(group, metric, reading) for label, group in runs.items()}
    if len(next(iter(values.values()))) < 2:
        return [{}, {}]  # nothing to pair
    means = {label: [run.metric(metric, reading) for run in group] for label, group in runs.items()}
    return compare_in_blocks(values, [None, blocks], means)


def _spread(values: Sequence[float], digits: int) -> str:
    text = f"{np.mean(values):.{digits}f}"
    return text if len(values) < 2 else f"{text} ± {np.std(values, ddof=1):.{digits}f}"


def _best(means: Mapping[str, float], blocks: Mapping[str, bool]) -> set[str]:
    """The best of each block as printed: equal figures are all bold; a model alone is not."""
    best = set()
    for block in set(blocks.values()):
        shown = {label: round(mean, 4) for label, mean in means.items() if blocks[label] == block}
        if len(shown) > 1:
            best |= {label for label, mean in shown.items() if mean == max(shown.values())}
    return best


def _unemphasised(texts: Iterable[str]) -> list[tuple[str, bool]]:
    return [(text, False) for text in texts]


def _quality(
    c: Compared, tests: Mapping[str, Mapping[str, Comparison]], reading: str
) -> ResultTable:
    compared = papers_metrics(c) if reading == "expected" else []
    papers = {
        metric: {
            k: v[metric]
            for k, v in c.expected.items()
            if k in c.runs and metric in v and reading == "expected"
        }
        for metric in (*tests, *compared)
    }
    header = ["Model", "Seeds"]
    columns: list[dict[str, tuple[str, bool]]] = []
    if any(c.reads_order.values()):
        header.append("Reads order")
        columns.append({k: ("yes" if v else "no", False) for k, v in c.reads_order.items()})
    for metric in papers:
        seeds = {
            k: [run.metric(metric, reading) for run in runs] for k, runs in c.runs.items() if runs
        }
        best = _best({k: float(np.mean(v)) for k, v in seeds.items()}, c.reads_order)
        header.append(shown_name(metric))
        columns.append({})
        for label, values in seeds.items():
            test = tests.get(metric, {}).get(label)
            mark = " *" if test is not None and test.significant else ""
            columns[-1][label] = (_spread(values, 4) + mark, label in best)
        if papers[metric]:
            header += ["Paper", "Diff."]
            columns.append({k: (f"{v:.3f}", False) for k, v in papers[metric].items()})
            columns.append(
                {
                    k: (signed(float(np.mean(seeds[k])) - v, 3), False)
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
    title = f"Test, {reading} reading"
    return ResultTable(title + (", to lead with" if reading == WARM else ""), header, rows)


def _readings(c: Compared, title: str, readings: Sequence[str]) -> ResultTable:
    header, columns = ["Model"], []
    for reading in readings:
        for metric in c.metrics:
            header.append(shown_name(metric) + (f" {reading}" if len(readings) > 1 else ""))
            seeds = {
                label: [run.metric(metric, reading) for run in runs]
                for label, runs in c.runs.items()
                if runs
            }
            best = _best({k: float(np.mean(v)) for k, v in seeds.items()}, c.reads_order)
            columns.append({k: (_spread(v, 4), k in best) for k, v in seeds.items()})
    rows = [
        [(label, False), *(col.get(label, (NO_VALUE, False)) for col in columns)]
        for label in c.runs
    ]
    return ResultTable(title, header, rows)


def _pairs(
    tests: Mapping[str, Mapping[str, Comparison]],
    of_all: Mapping[str, Mapping[str, Comparison]],
) -> ResultTable:
    """Each model against the best other of its block, and of all where that is another one."""
    header = ["Model", "Metric", "Against", "Mean diff.", "95 % interval", "p", "p (Holm)"]
    header.append("Over seeds")
    rows = []
    for label in next(iter(of_all.values())):
        for metric in of_all:
            within, any_other = tests[metric].get(label), of_all[metric][label]
            shown = [within] if within else []
            if within is None or within.other != any_other.other:
                shown.append(any_other)
            rows += [_pair(label, metric, one) for one in shown]
    return ResultTable("Each model against the best other model, per user", header, rows)


def _pair(label: str, metric: str, t: Comparison) -> list[tuple[str, bool]]:
    seeds = signed_range(t.seed_low, t.seed_high)
    return _unemphasised(
        (
            label,
            shown_name(metric),
            t.other,
            signed(t.difference, 4),
            signed_range(t.low, t.high),
            _p(t.p_value),
            _p(t.p_holm) + (" *" if t.significant else ""),
            seeds if t.seed_low < t.seed_high else NO_VALUE,
        )
    )


def _p(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def _seconds(result: Mapping[str, Any], part: str) -> Any:
    return result.get("seconds", {}).get(part)


_COSTS: dict[str, Callable[[dict], Any]] = {
    "train_seconds": lambda result: _seconds(result, "train"),
    "score_seconds": lambda result: _seconds(result, "score"),
    "peak_memory_mb": lambda result: result.get("peak_memory_mb"),
    "parameters": n_parameters,
    "best_epoch": best_epoch,
}


def _costs(c: Compared) -> ResultTable:
    header = [
        "Model",
        "Training (s)",
        "Scoring (s)",
        "Peak memory (MB)",
        "Parameters",
        "Best epoch",
    ]
    rows = []
    for label, runs in c.runs.items():
        cells = [label]
        for name, digits in (("train_seconds", 2), ("score_seconds", 2), ("peak_memory_mb", 0)):
            values = [_COSTS[name](run.result) for run in runs]
            values = [v for v in values if v is not None]
            cells.append(_spread(values, digits) if values else NO_VALUE)
        counts = [n_parameters(run.result) for run in runs]
        sizes = sorted({count for count in counts if count is not None})
        cells.append(" / ".join(f"{n:,}" for n in sizes) or NO_VALUE)
        epochs = [best_epoch(run.result) for run in runs]
        known = any(epoch is not None for epoch in epochs)
        shown = ", ".join(NO_VALUE if e is None else str(e) for e in epochs)
        cells.append(shown if known else NO_VALUE)
        rows.append(_unemphasised(cells))
    return ResultTable("Cost", header, rows)


def results_csv(c: Compared) -> str:
    """results.csv: one line per data set, model, seed, phase, metric and reading."""
    names = [f"{metric}@{k}" for metric in ("hit", "ndcg") for k in range(1, MAX_K + 1)]
    names += [name for name in c.metrics if name not in names]
    rows = []
    for label, runs in c.runs.items():
        for run in runs:
            start = (c.dataset, label, run.seed)
            for reading, metrics in run.result["metrics"].get("valid", {}).items():
                rows += [(*start, "valid", name, reading, v) for name, v in metrics.items()]
            for reading in run.readings:
                rows += [(*start, "test", n, reading, run.metric(n, reading)) for n in names]
    columns = ["dataset", "model", "seed", "phase", "metric", "reading", "value"]
    return pd.DataFrame(rows, columns=columns).to_csv(index=False, lineterminator="\n")


def curves_csv(c: Compared) -> str:
    """validation_curves.csv: NDCG@10 (expected) on validation by epoch, and whether it was kept."""
    tables = [
        pd.DataFrame(
            {
                "dataset": c.dataset,
                "model": label,
                "seed": run.seed,
                "epoch": run.history["epoch"].astype(int),
                "valid_ndcg@10_expected": run.history["value"],
                "kept": (run.history["epoch"] == best_epoch(run.result)).astype(int),
            }
        )
        for label, runs in c.runs.items()
        for run in runs
    ]
    return pd.concat(tables).to_csv(index=False, lineterminator="\n")


def costs_csv(c: Compared) -> str:
    """costs.csv: what each run took; empty where a run has no such figure."""
    rows = [
        (c.dataset, label, run.seed, *(of(run.result) for of in _COSTS.values()))
        for label, runs in c.runs.items()
        for run in runs
    ]
    table = pd.DataFrame(rows, columns=["dataset", "model", "seed", *_COSTS])
    whole = {"parameters": "Int64", "best_epoch": "Int64"}
    return table.astype(whole).to_csv(index=False, lineterminator="\n")


def model_curves(label: str, runs: Sequence[Run], reading: str) -> plots.Curves:
    """What the plots show of one model in a reading."""

    def at_k(metric: str) -> NDArray[np.float64]:
        ks = range(1, MAX_K + 1)
        return np.array([[run.metric(f"{metric}@{k}", reading) for k in ks] for run in runs])

    return plots.Curves(
        label,
        at_k("hit"),
        at_k("ndcg"),
        [
            (
                run.history["epoch"].to_numpy(),
                run.history["value"].to_numpy(),
                best_epoch(run.result),
            )
            for run in runs
        ],
        np.array([_seconds(run.result, "train") or 0.0 for run in runs]),
    )
