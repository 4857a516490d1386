"""Seconds of a step, an epoch and an evaluation, ours beside RecBole's."""

import itertools

from tabulate import tabulate

from benchmarks.children import medians_of, run_child

# Ours against RecBole's own batch size, where the two differ.
_BESIDE = {
    "large_epoch_seconds": "epoch_seconds",
    "large_peak_memory_mb": "peak_memory_mb",
    "large_peak_gpu_memory_mb": "peak_gpu_memory_mb",
}


def compare(args) -> dict:
    """All runs of both sides in turns, their medians, and {"recbole", "ours", "ratio"} of each.

    A ratio is RecBole's figure by ours; it and a figure are None where they were not measured.
    """
    runs: dict[str, list[dict]] = {"recbole": [], "ours": [], "large_batch": []}
    for _, side in itertools.product(range(args.repeats), runs):
        runs[side].append(run_child(side, args))
    medians = {side: medians_of(found) for side, found in runs.items()}
    peer, ours = medians["recbole"], {**medians["ours"], **medians["large_batch"]}
    # One evaluation of ours gives all three readings, the full ranking among them.
    ours["full_ranking_seconds"] = ours.get("evaluation_seconds")
    rows = {name: beside(peer.get(_BESIDE.get(name, name)), value) for name, value in ours.items()}
    return {"runs": runs, "medians": {"recbole": peer, "ours": ours}, "rows": rows}


def beside(recbole: float | None, ours: float | None) -> dict[str, float | None]:
    """A row of a table."""
    ratio = recbole / ours if recbole and ours else None
    return {"recbole": recbole, "ours": ours, "ratio": ratio}


def print_rows(rows: dict[str, dict], title: str) -> None:
    """Print a table of rows as `beside` makes them."""
    lines = [[name, *row.values()] for name, row in rows.items()]
    head = [title, "RecBole's DMF", "ours", "ratio"]
    print(tabulate(lines, head, floatfmt=".2f", missingval="not measured"))


def table(args) -> dict:
    measured = compare(args)
    print_rows(measured["rows"], "median")
    stages = run_child("stages", args)
    lines = [
        [name, found["floor_ms"], found["ms"], found["ms"] / found["floor_ms"]]
        for name, found in stages.get("stages", {}).items()
    ]
    print(tabulate(lines, ["stage of a step", "floor ms", "ms", "ratio"], floatfmt=".2f"))
    return {**measured, "stages": stages}


def plot_table(measured: dict, axes) -> None:
    rows = {name: row["ratio"] for name, row in measured["rows"].items() if row["ratio"]}
    names = [name.removesuffix("_seconds").removesuffix("_mb").replace("_", " ") for name in rows]
    axes.barh(names[::-1], list(rows.values())[::-1], color="#0072B2")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlabel("RecBole's DMF / ours (large: large batch against RecBole's 256)")
