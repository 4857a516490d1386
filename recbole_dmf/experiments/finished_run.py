"""A finished run of a comparison: its files, read and checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recbole_dmf.errors import UserError
from recbole_dmf.evaluation.metrics import WARM
from recbole_dmf.evaluation.significance import mean_over_seeds
from recbole_dmf.experiments.checked_files import (
    field,
    is_number,
    mapping,
    read_csv,
    read_json,
)
from recbole_dmf.experiments.run_metrics import (
    COUNTS,
    DRAWN,
    WARM_COUNTS,
    Values,
    values_per_user,
)
from recbole_dmf.run_folder import HISTORY, PER_USER

_WITHOUT_EPOCHS = ("ItemPop", "ItemKNN", "EASE")
_ROUNDING = 1e-4  # result.json may hold figures rounded to four places


@dataclass(frozen=True)
class Run:
    """A finished run, its per-user metrics computed anew from the counts."""

    folder: Path
    label: str
    seed: int
    result: dict[str, Any]
    users: pd.Index
    items: pd.Series  # str [n_users], the target of each user
    values: Values
    history: pd.DataFrame

    @property
    def readings(self) -> tuple[str, ...]:
        """Readings that the run has; the warm one is not in runs of early versions."""
        return tuple(dict.fromkeys(reading for _, reading in self.values))

    def metric(self, name: str, reading: str) -> float:
        """Mean over the users of a reading, for example of "hit@10"."""
        values = self.values[name, reading]
        return float((values[np.isfinite(values)] if reading == WARM else values).mean())

    def per_user(self, name: str, reading: str) -> pd.Series:
        """float by user id; the users of cold targets are left out of the warm reading."""
        values = pd.Series(self.values[name, reading], index=self.users)
        return values.dropna() if reading == WARM else values


def mean_per_user(runs: Sequence[Run], name: str, reading: str) -> pd.Series:
    """float64 by user id: the mean over the runs of a model, for example of "hit@10".

    Raises:
        UserError: the runs are not of the same users.
    """
    return mean_over_seeds(
        [run.per_user(name, reading) for run in runs], [str(run.folder) for run in runs]
    )


def load_run(path: Path, label: str, seed: int, metrics: Sequence[str]) -> Run:
    """Read a run.

    Args:
        path: of its result.json.
        label, seed: the run's.
        metrics: as `values_per_user`.

    Raises:
        UserError: a file is missing or damaged, or the files are not of one run.
    """
    result = read_json(path, "delete its folder and run this model again")
    _check_result(path, result)
    users_file = path.parent / PER_USER
    rows = read_csv(users_file, ("user_id", "item_id"), (*COUNTS, DRAWN), WARM_COUNTS)
    if rows.empty:
        raise UserError(f"{users_file}: no user in it; run the model again.")
    values = values_per_user(rows, users_file, metrics)
    users = pd.Index(rows["user_id"])
    targets = rows["item_id"].set_axis(users)
    history = _load_history(path, result)
    run = Run(path.parent, label, seed, result, users, targets, values, history)
    for reading in run.readings:
        stored = result["metrics"].get("test", {}).get(reading, {})
        for metric, value in stored.items():
            if (metric, reading) not in run.values:
                continue
            computed = run.metric(metric, reading)
            if abs(value - computed) > _ROUNDING:
                raise UserError(
                    f"{users_file}: its users give {reading} {metric} {computed:.4f}, result.json "
                    f"says {value:.4f}; the two files are not of the same run, or rows are lost. "
                    "Run the model again."
                )
    return run


def _check_result(path: Path, result: dict[str, Any]) -> None:
    """Raise for fields that are missing, of another type or not finite."""
    for phase, readings in field(result, "metrics", dict, path).items():
        for reading, values in mapping(readings, f"metrics.{phase}", path).items():
            for metric, value in mapping(values, f"metrics.{phase}.{reading}", path).items():
                if not is_number(value):
                    raise UserError(
                        f"{path}: field 'metrics.{phase}.{reading}.{metric}' is {value!r}, not a "
                        "finite number; delete this run's folder and run the model again."
                    )
    for key in ("candidates_sha256", "seconds", "counts", "versions", "settings"):
        field(result, key, dict, path, default={})
    numbers = {k: result.get(k) for k in ("parameters", "best_epoch", "peak_memory_mb")}
    numbers |= {f"seconds.{k}": v for k, v in result.get("seconds", {}).items()}
    for key, value in numbers.items():
        if value is not None and not is_number(value):
            raise UserError(
                f"{path}: field '{key}' is {value!r}, not a finite number; delete this run's "
                "folder and run the model again."
            )


def _load_history(path: Path, result: dict[str, Any]) -> pd.DataFrame:
    history = path.parent / HISTORY
    # results without `epochs_evaluated` are older: their `epochs_run` counted evaluations
    evaluated = result.get("epochs_evaluated", result.get("epochs_run"))
    if best_epoch(result) is None or (not history.exists() and not evaluated):
        return pd.DataFrame({"epoch": [], "value": []}, dtype=float)
    rows = read_csv(history, (), ("epoch", "valid_ndcg@10_expected"))
    return rows.rename(columns={"valid_ndcg@10_expected": "value"})[["epoch", "value"]]


def reads_order(result: Mapping[str, Any]) -> bool:
    """Whether the model reads the order of time; earlier versions had such a DMF alone."""
    settings = result.get("settings") or {}
    return bool(result.get("reads_order", settings.get("recent_items")))


def best_epoch(result: Mapping[str, Any]) -> int | None:
    """The epoch that was kept; None of a model without epochs.

    Earlier versions gave such models an epoch.
    """
    return None if result.get("model") in _WITHOUT_EPOCHS else result.get("best_epoch")


def n_parameters(result: Mapping[str, Any]) -> int | None:
    """The stored numbers that the scores need; None where they were not counted.

    Earlier versions counted the one unused parameter of models that learn without gradients.
    """
    count = result.get("parameters")
    return count if count is not None and count > 1 else None


def device(run: Run) -> str:
    """Device and threads of a run."""
    threads = run.result.get("threads")
    return f"{run.result.get('device', 'unknown')}" + (f", {threads} threads" if threads else "")


def versions(run: Run) -> str:
    """Versions of the libraries of a run."""
    return ", ".join(f"{k} {v}" for k, v in sorted(run.result.get("versions", {}).items()))
