"""Folders of comparisons as `compare` writes them, with invented users and figures."""

import json
import re

import numpy as np
import pandas as pd

from recbole_dmf.evaluation.metrics import expected_gain, gains, tied_gain

TABLES = ["costs.csv", "report.html", "results.csv", "runs.jsonl", "summary.md", "summary.tex"]
TABLES += ["users.csv.gz", "validation_curves.csv"]
PLOTS = ["metrics_at_k.png", "quality_vs_time.png", "validation_curves.png"]


def make_run(
    folder, label, seed, quality, n_users=60, n_items=400, epochs=8, seconds=20.0, more=()
):
    """A finished run; higher `quality` puts the targets higher. The same users for all."""
    users = np.random.default_rng(99)
    n_unseen = users.integers(n_items // 2, n_items - 20, n_users)
    difficulty = users.normal(0, 1.2, n_users)
    rng = np.random.default_rng([seed, *label.encode()])
    place = np.exp(np.minimum(0, difficulty - quality + rng.normal(0, 0.3, n_users)))
    above = np.minimum(n_unseen - 1, (n_unseen * place).astype(int))
    drawn_above = rng.hypergeometric(above, n_unseen - above, np.minimum(100, n_unseen))
    zero = np.zeros(n_users, dtype=int)
    readings = {
        "sampled": lambda gain: tied_gain(gain, drawn_above, zero),
        "expected": lambda gain: expected_gain(gain, n_unseen, above, zero),
        "full": lambda gain: tied_gain(gain, above, zero),
    }
    columns = {
        "user_id": np.arange(1, n_users + 1),
        "item_id": np.arange(1, n_users + 1) * 7 % n_items,
        "n_unseen": n_unseen,
        "n_candidates": np.minimum(100, n_unseen),
        "sampled_above": drawn_above,
        "sampled_tied": zero,
        "full_above": above,
        "full_tied": zero,
    }
    test = {}
    for reading, of in readings.items():
        test[reading] = {}
        for metric in ("hit", "ndcg"):
            columns[f"{metric}@10_{reading}"] = of(gains(metric, 10))
            test[reading][f"{metric}@10"] = float(columns[f"{metric}@10_{reading}"].mean())
        for metric, k in more:
            columns[f"{metric}@{k}_{reading}"] = of(gains(metric, k))
            test[reading][f"{metric}@{k}"] = float(columns[f"{metric}@{k}_{reading}"].mean())
    valid = {r: {m: v * 1.02 for m, v in values.items()} for r, values in test.items()}
    run = folder / "runs" / f"{re.sub('[^A-Za-z0-9-]', '', label)}-seed{seed}"
    run.mkdir(parents=True)
    pd.DataFrame(columns).to_csv(run / "per_user.csv", index=False)
    best = max(0, epochs - 3)
    curve = valid["expected"]["ndcg@10"] * (
        1 - np.exp(-(1 + np.arange(epochs)) / max(1, epochs / 5))
    ) + rng.normal(0, 0.002, epochs)
    history = pd.DataFrame(
        {"epoch": np.arange(epochs), "train_loss": 1.0 / (1 + np.arange(epochs))}
    )
    history["valid_ndcg@10_expected"] = curve
    history.to_csv(run / "history.csv", index=False)
    result = {
        "format": 1,
        "model": label,
        "label": label,
        "dataset": "ml-100k",
        "seed": seed,
        "command": f"recbole-dmf compare --dataset=ml-100k --models={label}",
        "metrics": {"valid": valid, "test": test},
        "best_epoch": best if epochs else None,
        "epochs_run": epochs,
        "valid_metric": "ndcg@10",
        "valid_reading": "expected",
        "counts": {"users": n_users, "items": n_items, "train": 9, "valid": 9, "test": n_users},
        "candidates_sha256": {"valid": "ab" * 32, "test": "cd" * 32},
        "split_seed": 2020,
        "parameters": 123456,
        "seconds": {"train": seconds + seed, "score": 0.21, "total": seconds + seed + 1},
        "peak_memory_mb": 412.3,
        "device": "cpu",
        "threads": 2,
        "versions": {"recbole_dmf": "1.0.0", "recbole": "1.2.1", "torch": "2.13.0"},
        "settings": {"seed": seed, "metrics": ["Hit", "NDCG"], "learning_rate": 0.001 * quality},
    }
    write_json(run / "result.json", result)
    return run


def write_json(path, value):
    path.write_text(json.dumps(value))


def edit_json(path, **changes):
    write_json(path, json.loads(path.read_text()) | changes)


def make_folder(folder, models, seeds=(1, 2, 3), **kwargs):
    """`models`: {label: quality}; a quality of None is a model that failed for all seeds."""
    folder.mkdir(parents=True, exist_ok=True)
    failures = []
    for label, quality in models.items():
        for seed in seeds:
            if quality is None:
                failures.append({"model": label, "seed": seed, "message": "Boom <b>&\n50%"})
            else:
                make_run(folder, label, seed, quality, **kwargs)
    about = {
        "title": "Table 2",
        "dataset": "ml-100k",
        "models": list(models),
        "seeds": list(seeds),
        "failures": failures,
        "expected": {"DMF": {"hit@10": 0.687, "ndcg@10": 0.409, "source": "Table 2, DMF-2-nce"}},
    }
    write_json(folder / "comparison.json", about)
    return folder


def written(folder):
    return sorted(p.name for p in folder.iterdir() if p.is_file() and p.name != "comparison.json")
