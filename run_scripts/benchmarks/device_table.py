"""Everything that is measured of a device in one table, RecBole's DMF beside ours.

A step takes the distinct users and items of its batch, so its shapes change from batch to batch and
it can't be captured in a CUDA graph as it is; the table has no row for that.
"""

import torch

from benchmarks.growth import measure_size, seconds_of_run
from benchmarks.quality import time_to_quality
from benchmarks.step_table import beside, compare, print_rows

STEP_ROWS = (  # as `step_table.compare` names them
    "start_seconds",
    "step_ms",
    "epoch_seconds",
    "large_epoch_seconds",
    "evaluation_seconds",
    "full_ranking_seconds",
    "peak_memory_mb",
    "peak_gpu_memory_mb",
    "large_peak_gpu_memory_mb",
)
NOTHING = beside(None, None)


def device_table(args) -> dict:
    """Print the whole table of `--device`; its rows are "not measured" where there is no GPU."""
    found: dict = {"device": args.device, "rows": {}}
    if args.device == "cuda" and not torch.cuda.is_available():
        print("there is no GPU that torch can use, so nothing is measured")
    else:
        found = {**found, **compare(args)}
        found["time_to_quality"] = time_to_quality(args)
        found["size"] = measure_size(args, tuple(args.size), not args.without_recbole)
    found["rows"] = rows_of(found, args)
    print_rows(found["rows"], f"{args.device}, {args.dataset}")
    return found


def rows_of(found: dict, args) -> dict[str, dict]:
    """The table's rows, in its order, from what was found."""
    rows = {name: found["rows"].get(name, NOTHING) for name in STEP_ROWS}
    needed = found.get("time_to_quality", {}).get("seconds", (None, None))
    rows["time_to_quality_seconds"] = beside(*needed)
    size = found.get("size", {})
    sides = [size.get(side, {}) for side in ("recbole", "ours")]
    name = f"{args.size[-1]}_ratings"
    for part in ("epoch", "evaluation"):
        key = f"{part}_seconds"
        rows[f"{name}_{key}"] = beside(*(side.get(key) for side in sides))
    rows[f"{name}_read_to_evaluation_seconds"] = beside(*(seconds_of_run(s) for s in sides))
    return rows
