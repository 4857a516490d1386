#!/usr/bin/env python
"""Our DMF beside RecBole's built-in one: the same data, the same machine, in turns.

    python run_scripts/benchmark.py --dataset=ml-1m --data_path=../shared/data
    python run_scripts/benchmark.py --growth --most_ratings=100000000 --without_recbole
    python run_scripts/benchmark.py --time-to-quality --dataset=ml-1m --data_path=../shared/data
    python run_scripts/benchmark.py --device=cuda --dataset=ml-1m --data_path=../shared/data
    python run_scripts/benchmark.py --sequential --dataset=ml-1m --data_path=../shared/data
    python run_scripts/benchmark.py --catalogue
    python run_scripts/benchmark.py --jobs=2 --dataset=ml-100k

Each measurement runs in a process of its own, the two sides in turns, `--repeats` times; tables
show medians. Each command writes a JSON file and a plot into `--out`. RecBole's DMF runs on
unmodified RecBole. `--device` alone measures everything on that device in one table;
`--sequential` sets our SASRec and `dmf-best` beside RecBole's SASRec, whose epoch is the median of
`--steps` of its steps times their number. `--catalogue` needs no data: it measures, once, how fast
the items of generated vectors are recommended and evaluated, by us, by RecBole and by FAISS.
`--jobs` sets a comparison with so many runs at a time beside one run after run.
"""

import argparse
import os
import tempfile

from benchmarks.children import MEASUREMENTS, measure
from benchmarks.setting import CATALOGUE, LARGE_BATCH, USUAL_GROWTH


def size(text: str) -> list[int]:
    """USERS,ITEMS,RATINGS as numbers."""
    users, items, ratings = (int(word) for word in text.split(","))
    return [users, items, ratings]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    add = parser.add_argument
    add("--dataset", default="ml-100k")
    add("--data_path", type=os.path.abspath)
    add("--batch_size", type=int, default=256)
    add("--large_batch", type=int, default=LARGE_BATCH)
    add("--negatives", type=int, default=7, help="of RecBole's DMF; ours has 7")
    add("--steps", type=int, default=200, help="steps that are timed")
    add("--repeats", type=int, default=3)
    add("--out", default="benchmark", help="folder for data files and plots")
    add("--growth", action="store_true", help="generated sets of growing size")
    add("--most_ratings", type=int, default=USUAL_GROWTH[-1], help="with --growth")
    add("--limit", type=float, default=600, help="seconds for RecBole on a generated set")
    add("--without_recbole", action="store_true", help="on generated sets")
    add("--time-to-quality", action="store_true")
    add("--peer_curves", nargs="*", help="run folders of RecBole's form, --time-to-quality")
    add("--epochs", type=int, help="at most, --time-to-quality")
    add("--sequential", action="store_true", help="models that read the order of time")
    add("--sequence_length", type=int, default=50, help="items that both SASRecs read")
    add("--device", choices=("cpu", "cuda"), help="cpu by default; alone: the whole table")
    add("--catalogue", action="store_true", help="top 100 and evaluation over a million items")
    add("--jobs", type=int, help="runs at a time, beside one")
    add("--size", type=size, help="USERS,ITEMS,RATINGS of that table, or of --catalogue")
    add("--scratch", help=argparse.SUPPRESS)
    add("--spawned", type=float, help=argparse.SUPPRESS)
    add("--child", choices=MEASUREMENTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.size = args.size or list(CATALOGUE if args.catalogue else USUAL_GROWTH)
    return args


def main() -> None:
    args = arguments()
    if args.child:
        measure(args.child, args)
        return
    # Not above: RecBole's side must find RecBole as it is.
    from benchmarks.catalogue import catalogue, plot_catalogue
    from benchmarks.device_table import device_table
    from benchmarks.growth import growth, plot_growth
    from benchmarks.jobs import jobs_table, plot_jobs
    from benchmarks.quality import plot_time_to_quality, time_to_quality
    from benchmarks.results import write_results
    from benchmarks.sequential import plot_sequential, sequential_table
    from benchmarks.step_table import plot_table, table

    with tempfile.TemporaryDirectory() as args.scratch:
        if args.growth:
            write_results(args, "growth", growth(args), plot_growth)
        elif args.time_to_quality:
            write_results(args, "time-to-quality", time_to_quality(args), plot_time_to_quality)
        elif args.sequential:
            name = f"sequential-{args.dataset}"
            write_results(args, name, sequential_table(args), plot_sequential)
        elif args.catalogue:
            write_results(args, "catalogue", catalogue(args), plot_catalogue)
        elif args.jobs:
            write_results(args, "jobs", jobs_table(args), plot_jobs)
        elif args.device:
            write_results(args, f"device-{args.device}", device_table(args), plot_table)
        else:
            write_results(args, args.dataset, table(args), plot_table)


if __name__ == "__main__":
    main()
