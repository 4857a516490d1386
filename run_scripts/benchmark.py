#!/usr/bin/env python
"""Our DMF beside RecBole's built-in one: the same data, the same machine, in turns.

    python run_scripts/benchmark.py --dataset=ml-1m --data_path=../shared/data --out=benchmark.json

Each side runs in processes of its own, in turns, `--repeats` times; the table shows medians.
RecBole's DMF runs on unmodified RecBole: its sampler, its data loaders, its evaluation.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

LAYERS = [64, 64]
NEGATIVES = 7


def seconds_of(function) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def measure_steps(iterator, step, n_steps: int) -> float:
    """Median seconds of one training step, drawing the batch and its negatives included."""
    times = []
    for _ in range(n_steps + 5):
        times.append(seconds_of(lambda: step(next(iterator))))
    return statistics.median(times[5:])


def measure_ours(args) -> dict[str, float]:
    from recbole_dmf import plugin
    from recbole_dmf.run import build_config, peak_memory_mb, prepare
    from recbole_dmf.training.trainer import threads_for, trainer_class

    start = time.perf_counter()
    options = {
        "user_layers": LAYERS,
        "item_layers": LAYERS,
        "train_batch_size": args.batch_size,
        "data_path": args.data_path,
        "checkpoint_dir": args.scratch,
    }
    options = {name: value for name, value in options.items() if value is not None}
    config = build_config("DMF", args.dataset, None, options)
    dataset = plugin.load_dataset(config)
    prepared = prepare(config, dataset)
    model = plugin.find_model("DMF")(config, prepared.train).to(config["device"])
    trainer = trainer_class(plugin.find_trainer(config))(config, model)
    loader = plugin.train_loader(config, prepared.train, prepared.sampler)
    trainer.prepare(loader)
    prepared_in = time.perf_counter() - start
    # Negatives are drawn once per epoch; each step is charged its share.
    sampling = seconds_of(trainer.draw_negatives)
    batches = trainer.batches()
    n_batches = len(batches)
    model.train()
    with threads_for(args.batch_size):
        step = measure_steps(iter(batches), trainer.step, min(args.steps, n_batches - 6))
    score = statistics.median(
        seconds_of(lambda: trainer.count(prepared.phases["test"])) for _ in range(3)
    )
    return {
        "start_seconds": prepared_in,
        "step_ms": 1e3 * (step + sampling / n_batches),
        "epoch_seconds": sampling + step * n_batches,
        "score_seconds": score,
        "peak_memory_mb": peak_memory_mb(),
    }


def measure_recbole(args) -> dict[str, float]:
    import resource

    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.trainer import Trainer
    from recbole.utils import get_model, init_seed

    start = time.perf_counter()
    sys.argv = ["benchmark"]
    options = {
        "user_embedding_size": LAYERS[0],
        "item_embedding_size": LAYERS[0],
        "user_hidden_size_list": LAYERS[1:],
        "item_hidden_size_list": LAYERS[1:],
        "inter_matrix_type": "rating",
        "load_col": {"inter": ["user_id", "item_id", "rating", "timestamp"]},
        "normalize_all": False,
        "train_neg_sample_args": {"distribution": "uniform", "sample_num": NEGATIVES},
        "train_batch_size": args.batch_size,
        "eval_args": {
            "split": {"LS": "valid_and_test"},
            "order": "TO",
            "group_by": "user",
            "mode": "uni100",
        },
        "metrics": ["Hit", "NDCG"],
        "valid_metric": "NDCG@10",
        "checkpoint_dir": args.scratch,
        "show_progress": False,
    }
    if args.data_path is not None:
        options["data_path"] = args.data_path
    config = Config(model="DMF", dataset=args.dataset, config_dict=options)
    init_seed(config["seed"], config["reproducibility"])
    train_data, _, test_data = data_preparation(config, create_dataset(config))
    model = get_model("DMF")(config, train_data._dataset).to(config["device"])
    os.chdir(args.scratch)
    trainer = Trainer(config, model)
    trainer.eval_collector.data_collect(train_data)
    prepared_in = time.perf_counter() - start

    def step(interaction):
        trainer.optimizer.zero_grad()
        loss = model.calculate_loss(interaction)
        loss.backward()
        trainer.optimizer.step()
        return loss.item()

    model.train()
    n_batches = len(train_data)
    seconds = measure_steps(iter(train_data), step, min(args.steps, n_batches - 6))
    score = seconds_of(lambda: trainer.evaluate(test_data, load_best_model=False))
    return {
        "start_seconds": prepared_in,
        "step_ms": 1e3 * seconds,
        "epoch_seconds": seconds * n_batches,
        "score_seconds": score,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


SIDES = {"recbole": measure_recbole, "ours": measure_ours}


def child(side: str, argv: list[str]) -> dict[str, float]:
    command = [sys.executable, os.path.abspath(__file__), *argv, f"--side={side}"]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"the {side} side failed:\n{result.stderr[-2000:]}")
    return json.loads(result.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--data_path", type=lambda path: os.path.abspath(path))
    parser.add_argument("--batch_size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=200, help="steps that are timed")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", help="JSON file for all measurements")
    parser.add_argument("--scratch", help=argparse.SUPPRESS)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print(json.dumps(SIDES[args.side](args)))
        return

    import tempfile

    from tabulate import tabulate

    from recbole_dmf.files import write_text
    from recbole_dmf.run import versions

    runs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as scratch:
        for repeat in range(args.repeats):
            for side in SIDES:
                print(f"{side}, {repeat + 1} of {args.repeats} ...", file=sys.stderr, flush=True)
                runs[side].append(child(side, [*sys.argv[1:], f"--scratch={scratch}"]))
    medians = {
        side: {name: statistics.median(run[name] for run in found) for name in found[0]}
        for side, found in runs.items()
    }
    rows = [
        [name, medians["recbole"][name], value, medians["recbole"][name] / value]
        for name, value in medians["ours"].items()
    ]
    print(f"{args.dataset}, batch {args.batch_size}, {NEGATIVES} negatives, layers {LAYERS}")
    print(tabulate(rows, ["median", "RecBole's DMF", "ours", "ratio"], floatfmt=".2f"))
    if args.out:
        content = {
            "command": " ".join(sys.argv),
            "dataset": args.dataset,
            "batch_size": args.batch_size,
            "layers": LAYERS,
            "negatives": NEGATIVES,
            "threads": os.environ.get("OMP_NUM_THREADS", os.cpu_count()),
            "versions": versions(),
            "runs": runs,
            "medians": medians,
        }
        write_text(args.out, json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
