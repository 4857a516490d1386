#!/usr/bin/env python
"""What usual habits of evaluation add to DMF's figures on a data set.

python run_scripts/habits.py --dataset=ml-100k --out=run_scripts/measured

Each seed is trained twice, with and without the validation items, and after every epoch it is noted
where the test items stand. An interrupted command continues where it was; data file and page are
written anew after each pair of trainings. The settings are the paper's.
"""

import argparse
import json
import shlex
import sys
from pathlib import Path

import numpy as np

from recbole_dmf.experiments.habit_counts import N_DRAWS, counts_of_run
from recbole_dmf.experiments.habit_page import habit_page
from recbole_dmf.experiments.habits import draw_deviation, habit_gains, levels, validated
from recbole_dmf.experiments.plan import read_experiment
from recbole_dmf.files import write_text
from recbole_dmf.manifest import commit, file_hashes, versions

MODEL = "DMF-2-nce"


def measure(arguments, options: dict, seeds: list[int]) -> dict:
    """Train what is not there yet; what the data file says."""
    levels_by_seed, epochs, deviations = [], [], []
    for seed in seeds:
        own = {**options, "seed": seed}
        folder = Path(arguments.results) / f"seed{seed}"
        plain, config = counts_of_run(folder / "plain", "DMF", arguments.dataset, own, False)
        with_valid = None
        if arguments.valid:
            with_valid, _ = counts_of_run(folder / "valid", "DMF", arguments.dataset, own, True)
        levels_by_seed.append(levels(plain, seed, with_valid))
        epochs.append(validated(plain) + 1)
        deviations.append(draw_deviation(plain))
        print(f"seed {seed}: epoch {epochs[-1]}, {levels_by_seed[-1]}", flush=True)
    gains = habit_gains(levels_by_seed) if len(seeds) > 1 else {}
    base = np.mean([one["base"] for one in levels_by_seed], axis=0)
    paper = read_experiment("table2").figures(arguments.dataset).get(MODEL)
    return {
        "command": shlex.join(["python", *sys.argv]),
        "dataset": arguments.dataset,
        "model": MODEL,
        "options": options,
        "seeds": seeds,
        "draws": N_DRAWS,
        "draw_deviation": np.mean(deviations, axis=0).tolist(),
        "best_epochs": epochs,
        "base": base.tolist(),
        "paper": paper and [paper["hit@10"], paper["ndcg@10"]],
        "gains": {
            habit: {name: np.asarray(side).tolist() for name, side in vars(gain).items()}
            for habit, gain in gains.items()
        },
        "by_seed": [
            {name: figures.tolist() for name, figures in one.items()} for one in levels_by_seed
        ],
        "versions": versions(),
        "commit": commit(),
        "files_sha256": file_hashes(config["data_path"], arguments.dataset),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--data-path", help="folder above the data sets")
    parser.add_argument("--seeds", default="1,2,3,4,5", help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=30, help="of each training")
    parser.add_argument("--batch", type=int, default=256, help="default: the paper's")
    parser.add_argument(
        "--learning-rate", type=float, default=1e-4, help="default: the paper's, 1e-4"
    )
    parser.add_argument("--no-valid", dest="valid", action="store_false", help="half the time")
    parser.add_argument("--results", help="default: results/habits-DATASET")
    parser.add_argument("--out", default=".", help="folder of habits-DATASET.json and .md")
    arguments = parser.parse_args()
    arguments.results = arguments.results or f"results/habits-{arguments.dataset}"
    options = {
        "epochs": arguments.epochs,
        "train_batch_size": arguments.batch,
        "learning_rate": arguments.learning_rate,
    }
    if arguments.data_path:
        options["data_path"] = arguments.data_path
    seeds = [int(word) for word in arguments.seeds.split(",")]
    for number in range(1, len(seeds) + 1):
        data = measure(arguments, options, seeds[:number])
        stem = Path(arguments.out) / f"habits-{arguments.dataset}"
        write_text(stem.with_suffix(".json"), json.dumps(data, indent=2) + "\n")
        if number > 1:
            write_text(stem.with_suffix(".md"), habit_page(data))
    return 0


if __name__ == "__main__":
    sys.exit(main())
