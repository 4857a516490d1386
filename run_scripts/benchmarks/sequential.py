"""Models that read the order of time: our SASRec and `dmf-best`, measured beside RecBole's SASRec.

Both SASRecs have two blocks of 64 with two heads over the latest 50 items, and cross-entropy over
all items. Each `measure_` function runs in a process of its own.
"""

import itertools
import time

from tabulate import tabulate

from benchmarks.children import medians_of, run_child
from benchmarks.setting import SASREC
from benchmarks.timing import report, report_memory, seconds_of
from recbole_dmf.config import build_config
from recbole_dmf.evaluation.evaluate import summarise
from recbole_dmf.host import lookup
from recbole_dmf.prepare import prepare
from recbole_dmf.run import build_trainer

SIDES = {
    "recbole_sasrec": "RecBole's SASRec",
    "our_sasrec": "our SASRec",
    "dmf_best": "dmf-best",
}
ROWS = (
    "epoch_seconds",
    "epoch_cpu_seconds",
    "evaluation_seconds",
    "full_ranking_seconds",
    "peak_memory_mb",
)


def measure_our_sasrec(args) -> None:
    _measure(args, "SASRec", {**SASREC, "max_length": args.sequence_length})


def measure_dmf_best(args) -> None:
    _measure(args, "DMF", {"preset": "dmf-best"})


def _measure(args, name: str, options: dict) -> None:
    """A whole epoch and an evaluation, which gives the full ranking as well."""
    options = {**options, "checkpoint_dir": args.scratch, "use_gpu": args.device == "cuda"}
    options["protocol"] = "validation-latest"
    if args.data_path is not None:
        options["data_path"] = args.data_path
    config = build_config(name, args.dataset, None, options)
    prepared = prepare(config, lookup.load_dataset(config))
    base = lookup.find_trainer(config)
    trainer = build_trainer(config, prepared.train)
    loader = prepared.train_loader(config)
    cpu = time.process_time()
    epoch = seconds_of(lambda: base._train_epoch(trainer, loader, 0))  # without a run's history
    report(epoch_seconds=epoch, epoch_cpu_seconds=time.process_time() - cpu)
    report_memory()
    test = prepared.phases["test"]
    seconds = seconds_of(lambda: summarise(trainer.count(test), ["hit", "ndcg"], [10]))
    report(evaluation_seconds=seconds, full_ranking_seconds=seconds)
    report_memory()


def sequential_table(args) -> dict:
    """All three in turns, `--repeats` times; prints and returns their medians."""
    runs: dict[str, list[dict]] = {side: [] for side in SIDES}
    for _, side in itertools.product(range(args.repeats), SIDES):
        runs[side].append(run_child(side, args))
    medians = {side: medians_of(found) for side, found in runs.items()}
    rows = {}
    for row in ROWS:
        peer, ours, best = (medians[side].get(row) for side in SIDES)
        rows[row] = {
            **dict(zip(SIDES, (peer, ours, best), strict=True)),
            "our_sasrec_ratio": peer / ours if peer and ours else None,
            "dmf_best_ratio": peer / best if peer and best else None,
        }
    head = ["median", *SIDES.values(), "RecBole's / our SASRec", "RecBole's / dmf-best"]
    lines = [[name, *row.values()] for name, row in rows.items()]
    print(tabulate(lines, head, floatfmt=".2f", missingval="not measured"))
    return {"sequence_length": args.sequence_length, "runs": runs, "rows": rows}


def plot_sequential(measured: dict, axes) -> None:
    """Seconds of an epoch of each."""
    row = measured["rows"]["epoch_seconds"]
    found = {words: row[side] for side, words in SIDES.items() if row[side]}
    axes.barh(list(found)[::-1], list(found.values())[::-1], color="#0072B2")
    axes.set_xscale("log")
    axes.set_xlabel("seconds of an epoch")
