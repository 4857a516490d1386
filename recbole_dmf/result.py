"""A run's figures: as result.json has them, per user, as a table and as RecBole returns them."""

import shlex
import sys
from typing import Any

import torch
from tabulate import tabulate

from recbole_dmf.evaluation.evaluate import chosen_reading
from recbole_dmf.host.properties import model_settings
from recbole_dmf.installation import PACKAGE, other_copies
from recbole_dmf.manifest import commit, device_name, file_hashes, peak_memory_mb, versions
from recbole_dmf.models.fitted import n_stored
from recbole_dmf.options import Config
from recbole_dmf.training import parallel

FORMAT = 1


def environment(config: Config) -> dict[str, Any]:
    """What the last digits of a run depend on besides its options and data."""
    return {
        "device": str(config["device"]),
        "threads": torch.get_num_threads(),
        "processes": parallel.world_size(),
    }


def make_result(
    config: Config,
    label: str,
    prepared: Any,
    trainer: Any,
    metrics: dict[str, Any],
) -> dict[str, Any]:
    """All that result.json says.

    Args:
        label: the run's name in tables.
        prepared: `prepare.Prepared`, or of RecBole's own evaluation.
        trainer: whose `fit` has ended.
        metrics: {phase: {reading: {metric: value}}}.
    """
    model = trainer.model
    return {
        "format": FORMAT,
        "label": label,
        "model": config["model"],
        "dataset": config["dataset"],
        "seed": config["seed"],
        "command": shlex.join(sys.argv),
        "metrics": metrics,
        "best_epoch": trainer.best_epoch,
        "epochs_run": trainer.epochs_run,
        "epochs_evaluated": len(trainer.history),
        "valid_metric": config["valid_metric"].lower(),
        "valid_reading": config["valid_reading"],
        "counts": prepared.counts,
        "candidates_sha256": {
            name: sha256
            for name, sha256 in (prepared.candidates_sha256 or {}).items()
            if name in metrics
        },
        "eval_args": config["eval_args"],
        "data_sha256": prepared.sha256,
        "split_seed": config["split_seed"],
        "reads_order": prepared.train.has_order,
        "parameters": n_stored(model),
        "seconds": {
            "train": trainer.seconds["train"] + trainer.built_seconds,
            "score": trainer.seconds["score"],
            "total": trainer.total_seconds(),
        },
        "resumed_after": trainer.resumed_after,
        "peak_memory_mb": peak_memory_mb(),
        **environment(config),
        "device_name": device_name(str(config["device"])),
        "versions": versions(),
        "commit": commit(),
        "package": str(PACKAGE),
        "other_copies": [str(folder) for folder in other_copies()],
        "files_sha256": file_hashes(config["data_path"], config["dataset"]),
        "settings": model_settings(config),
        **({"stages": model.stages} if hasattr(model, "stages") else {}),
    }


NOTES = {
    "sampled": "candidates drawn once, the paper's reading, or those that came with the data",
    "expected": "its exact mean over all draws of as many",
    "full": "all unseen items ranked",
    "warm": "as expected, among items with a training interaction; users of other targets left out",
    "labeled": "the pairs and labels in the data",
}


def result_table(result: dict[str, Any]) -> str:
    """The final table: the metrics of all phases in their readings."""
    metrics = result["metrics"]
    names = list(next(iter(metrics["valid"].values())))
    shown = [name.replace("hit@", "HR@").replace("ndcg@", "NDCG@") for name in names]
    rows = [
        [phase, reading, *(values[name] for name in names)]
        for phase, readings in metrics.items()
        for reading, values in readings.items()
    ]
    table = tabulate(rows, ["", "reading", *shown], floatfmt=".4f", tablefmt="simple")
    best = result["best_epoch"]
    epochs = "" if best is None else f", best epoch {best} of {result['epochs_run']}"
    notes = NOTES if result["candidates_sha256"] else {}
    used = [f"{name}: {note}" for name, note in notes.items() if name in metrics["valid"]]
    if not notes and "eval_args" in result:
        used = [f"RecBole's own split and evaluation: {result['eval_args']}"]
    return (
        f"\n{result['label']} on {result['dataset']}{epochs}\n{table}\n" + ";\n".join(used)
    ).rstrip()


def outcome(config: Config, folder: str, result: dict[str, Any]) -> dict[str, Any]:
    """What `run_recbole` returns: RecBole's keys, the folder, and all of result.json."""
    metrics = result["metrics"]
    valid = chosen_reading(metrics["valid"], config["valid_reading"])
    return {
        "best_valid_score": valid[result["valid_metric"]],
        "valid_score_bigger": config["valid_metric_bigger"],
        "best_valid_result": chosen_reading(metrics["valid"], "sampled"),
        "test_result": chosen_reading(metrics["test"], "sampled") if "test" in metrics else None,
        "folder": folder,
        "result": result,
    }
