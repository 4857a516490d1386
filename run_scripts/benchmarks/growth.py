"""Sets of growing size: what a rating costs in each part of a run."""

import itertools
from pathlib import Path

from tabulate import tabulate

from benchmarks.children import run_child
from benchmarks.setting import GROWTH, LARGEST_BATCH, PARTS
from recbole_dmf.datasets.generate import generate, write_generated


def measure_size(args, size: tuple[int, int, int], with_recbole: bool) -> dict:
    """Both sides on a generated set of (users, items, ratings)."""
    users, items, ratings = size
    name = f"generated-{users}-{items}-{ratings}"
    write_generated(Path(args.scratch) / name, generate(users, items, ratings, 2020), 2020)
    options = {"dataset": name, "data_path": args.scratch}
    # As many batches per epoch at every size: each reads nearly all of Y, so that batches of
    # one size would make an epoch's cost grow with the square of the ratings. Beyond the limit the
    # vectors of a batch would take most of the memory.
    grown = max(args.large_batch, args.large_batch * ratings // 1_000_000)
    large_batch = min(grown, LARGEST_BATCH)
    found = {"users": users, "items": items, "ratings": ratings, "large_batch": large_batch}
    found["ours"] = run_child("growth_ours", args, **{**options, "large_batch": large_batch})
    if with_recbole:
        found["recbole"] = run_child("growth_recbole", args, args.limit, **options)
    return found


def growth(args) -> dict:
    results = [
        measure_size(args, size, not args.without_recbole)
        for size in GROWTH
        if size[-1] <= args.most_ratings
    ]
    rows = []
    for found, side in itertools.product(results, ("ours", "recbole")):
        measured, n = found.get(side, {}), found["ratings"]
        if measured:
            spent = [
                1e6 * measured[key] / n if (key := f"{name}_seconds") in measured else None
                for name in PARTS
            ]
            memory = measured.get("peak_memory_mb")
            memory = None if memory is None else memory * 2**20 / n
            rows.append([side, found["users"], found["items"], n, *spent, memory])
            rows[-1].append(measured.get("stopped", ""))
    print("microseconds and bytes (peak) per rating")
    head = ["side", "users", "items", "ratings", *PARTS, "bytes", "stopped"]
    print(tabulate(rows, head, floatfmt=".2f"))
    return {"sets": results, "recbole_batch_size": args.batch_size}


def seconds_of_run(measured: dict) -> float | None:
    """Seconds from reading to evaluation, where all parts were measured."""
    keys = [f"{name}_seconds" for name in PARTS]
    return sum(measured[key] for key in keys) if all(key in measured for key in keys) else None


def plot_growth(measured: dict, axes) -> None:
    sets = sorted(measured["sets"], key=lambda found: found["ratings"])
    for side, marker in (("ours", "o"), ("recbole", "s")):
        points, many_items, small_batch = [], [], []
        for found in sets:
            total = seconds_of_run(found.get(side, {}))
            if total is not None:
                wide = found["items"] > found["users"] * 2  # Amazon's shape, off MovieLens' line
                limited = side == "ours" and found["large_batch"] == LARGEST_BATCH
                group = many_items if wide else small_batch if limited else points
                group.append((found["ratings"], 1e6 * total / found["ratings"]))
        for place, line, label in (
            (points, "-", side),
            (many_items, "", f"{side}, Amazon's shape"),
            (small_batch, "", f"{side}, batch kept small for the memory"),
        ):
            if place:
                axes.plot(*zip(*place, strict=True), linestyle=line, marker=marker, label=label)
    axes.set_xscale("log")
    if any("recbole" in found for found in sets):
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set_xlabel("ratings")
    axes.set_ylabel("microseconds per rating, read to evaluation")
    axes.legend()
