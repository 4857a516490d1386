"""A run's figures: as result.json has them, per user, as a table and as RecBole returns them."""

import shlex
import sys
from typing import Any

import torch
from tabulate import tabulate

from recbole_dmf.evaluation.evaluate import Counts, Phase, per_user
from recbole_dmf.evaluation.metrics import READINGS
from recbole_dmf.host.properties import model_settings
from recbole_dmf.manifest import commit, device_name, file_hashes, peak_memory_mb, versions
from recbole_dmf.options import Config
from recbole_dmf.prepare import Prepared
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
    prepared: Prepared,
    trainer,
    metrics: dict[str, Any],
) -> dict[str, Any]:
    """All that result.json says.

    Args:
        label: the run's name in tables.
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
        "candidates_sha256": {n: p.candidates.sha256 for n, p in prepared.phases.items()},
        "data_sha256": prepared.sha256,
        "split_seed": config["split_seed"],
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
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
        "files_sha256": file_hashes(config["data_path"], config["dataset"]),
        "settings": model_settings(config),
        **({"stages": model.stages} if hasattr(model, "stages") else {}),
    }


def per_user_columns(config: Config, dataset, phase: Phase, counts: Counts) -> dict[str, Any]:
    """The columns of per_user.csv, a row per ranked user."""
    columns: dict[str, Any] = {
        "user_id": dataset.id2token(dataset.uid_field, phase.candidates.user),
        "item_id": dataset.id2token(dataset.iid_field, phase.candidates.target),
        **vars(counts),
    }
    for metric in config["metrics"]:
        for k in config["topk"]:
            for reading, values in per_user(counts, metric.lower(), k).items():
                columns[f"{metric.lower()}@{k}_{reading}"] = [repr(float(v)) for v in values]
    return columns


def result_table(result: dict[str, Any]) -> str:
    """The final table: HR@K and NDCG@K of all phases in the three readings."""
    names = list(result["metrics"]["valid"]["sampled"])
    shown = [name.replace("hit@", "HR@").replace("ndcg@", "NDCG@") for name in names]
    rows = [
        [phase, reading, *(result["metrics"][phase][reading][name] for name in names)]
        for phase in result["metrics"]
        for reading in READINGS
    ]
    table = tabulate(rows, ["", "reading", *shown], floatfmt=".4f", tablefmt="simple")
    return (
        f"\n{result['label']} on {result['dataset']}, best epoch {result['best_epoch']} of "
        f"{result['epochs_run']}\n{table}\n"
        "sampled: candidates drawn once, the paper's reading, or those that came with the data;\n"
        "expected: its exact mean over all draws of as many;\nfull: all unseen items ranked."
    )


def outcome(config: Config, folder: str, result: dict[str, Any]) -> dict[str, Any]:
    """What `run_recbole` returns: RecBole's keys, the folder, and all of result.json."""
    metrics = result["metrics"]
    return {
        "best_valid_score": metrics["valid"][config["valid_reading"]][result["valid_metric"]],
        "valid_score_bigger": config["valid_metric_bigger"],
        "best_valid_result": metrics["valid"]["sampled"],
        "test_result": metrics["test"]["sampled"] if "test" in metrics else None,
        "folder": folder,
        "result": result,
    }
