"""Time to quality: seconds until the validation NDCG@10 that RecBole's DMF reaches at its best."""

import csv
import itertools
import subprocess
import sys
from pathlib import Path

import yaml

from benchmarks.children import run_child
from benchmarks.setting import LAYERS


def curve_of(folder: Path) -> dict[str, list[float]]:
    """Seconds and validation NDCG@10 (expected) after each epoch of a run."""
    with (folder / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    spent = [float(row["train_seconds"]) + float(row["valid_seconds"]) for row in rows]
    return {
        "seconds": list(itertools.accumulate(spent)),
        "ndcg": [float(row["valid_ndcg@10_expected"]) for row in rows],
    }


def run_of_ours(args, name: str, **options) -> Path:
    command = [sys.executable, "-m", "recbole_dmf.cli", f"--dataset={args.dataset}"]
    command += [f"--checkpoint_dir={args.scratch}/{name}"]
    command += [f"--data_path={args.data_path}"] if args.data_path else []
    command += [f"--use_gpu={args.device == 'cuda'}"]
    command += [f"--{key}={value}" for key, value in options.items()]
    print(f"{' '.join(command)} ...", file=sys.stderr, flush=True)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (folder,) = Path(args.scratch, name).iterdir()
    return folder


def time_to_quality(args) -> dict:
    """Seconds until the best validation NDCG@10 that RecBole's DMF ever reaches.

    RecBole's curve is that of `--preset=dmf-recbole` (its own defaults, the same function of the
    same parameters); each of its epochs is charged what an epoch and an evaluation of RecBole's own
    code take. With 7 negatives it collapses: an inner product of ReLU outputs is not negative, so
    that no probability below 1/2 can be expressed, and the mean target is 1/8. The curves can be
    those of earlier runs, see --peer_curves.
    """
    form = {"preset": "dmf-recbole", "user_layers": LAYERS, "item_layers": LAYERS}
    shorter = {} if args.epochs is None else {"epochs": args.epochs}
    peers = {}
    folders = [Path(folder) for folder in args.peer_curves or ()] or [
        run_of_ours(args, f"peer-{batch_size}", **form, **shorter, train_batch_size=batch_size)
        for batch_size in (256, 2048)
    ]
    for folder in folders:
        settings = yaml.safe_load((folder / "config.yaml").read_text())
        batch_size = settings["train_batch_size"]
        cost = run_child("recbole", args, batch_size=batch_size, steps=60, negatives=1)
        per_epoch = cost["epoch_seconds"] + cost["evaluation_seconds"]
        ndcg = curve_of(folder)["ndcg"]
        seconds = [per_epoch * (epoch + 1) for epoch in range(len(ndcg))]
        peers[str(batch_size)] = {"cost": cost, "ndcg": ndcg, "seconds": seconds}
    best = max(peers.values(), key=lambda peer: max(peer["ndcg"]))
    target = max(best["ndcg"])
    needed = best["seconds"][best["ndcg"].index(target)]
    ours = curve_of(run_of_ours(args, "fast", preset="dmf-fast", epochs=args.epochs or 40))
    reached = next((s for s, n in zip(*ours.values(), strict=True) if n >= target), None)
    ratio = needed / reached if reached else None
    print(f"validation NDCG@10 {target:.4f}: RecBole {needed:.0f} s, ours {reached} s ({ratio})")
    return {"target": target, "recbole": peers, "ours": ours, "seconds": [needed, reached]}


def plot_time_to_quality(measured: dict, axes) -> None:
    for batch_size, peer in measured["recbole"].items():
        axes.plot(peer["seconds"], peer["ndcg"], label=f"RecBole's DMF, batch {batch_size}")
    axes.plot(measured["ours"]["seconds"], measured["ours"]["ndcg"], label="ours, dmf-fast")
    axes.axhline(measured["target"], color="grey", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlabel("seconds of training and validation")
    axes.set_ylabel("validation NDCG@10 (expected)")
    axes.legend()
