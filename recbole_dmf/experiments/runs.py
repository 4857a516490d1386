"""A comparison's folder, read and checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recbole_dmf.errors import UserError
from recbole_dmf.evaluation.metrics import READINGS
from recbole_dmf.evaluation.significance import mean_over_seeds
from recbole_dmf.experiments.checked_files import (
    field,
    is_number,
    mapping,
    one_line,
    read_csv,
    read_json,
)
from recbole_dmf.experiments.run_metrics import (
    COUNTS,
    DEFAULT,
    DRAWN,
    Values,
    is_metric,
    values_per_user,
)
from recbole_dmf.run_folder import HISTORY, PER_USER

_WITHOUT_EPOCHS = ("ItemPop", "ItemKNN", "EASE")
_ROUNDING = 1e-4  # result.json may hold figures rounded to four places
_FAILURE_KEYS = (("model", str), ("seed", int))


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

    def metric(self, name: str, reading: str = "expected") -> float:
        """Mean over the users, for example of "hit@10"."""
        return float(self.values[name, reading].mean())

    def per_user(self, name: str) -> pd.Series:
        """float [n_users] by user id, expected reading."""
        return pd.Series(self.values[name, "expected"], index=self.users)


@dataclass(frozen=True)
class Compared:
    """All runs of a comparison and what is known of those that are missing.

    Attributes:
        runs: by label, in the order of the tables; a label that has no run keeps an empty list.
        states: by label, how many seeds are finished.
        metrics: that the tables show, such as "hit@10", the most important first.
        expected: the paper's figures by label.
        failures: a line for each run that is not there.
        warnings: what makes the figures doubtful.
    """

    title: str
    dataset: str
    runs: dict[str, list[Run]]
    states: dict[str, str]
    metrics: tuple[str, ...]
    expected: dict[str, dict[str, Any]]
    failures: list[str]
    warnings: list[str]


def read_comparison(folder: Path, expected: dict | None) -> Compared:
    """Read and check a comparison's folder; arguments and errors as of `write_report`."""
    path = folder / "comparison.json"
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give the folder of a comparison.")
    about = read_json(path, "run `recbole-dmf compare` to make such a folder")
    title = field(about, "title", str, path)
    dataset = field(about, "dataset", str, path)
    labels = field(about, "models", list, path)
    seeds = field(about, "seeds", list, path)
    if not labels or not all(isinstance(x, str) and x for x in labels):
        raise UserError(f"{path}: field 'models' must list the models' names; put it right.")
    if not seeds or not all(isinstance(x, int) for x in seeds):
        raise UserError(f"{path}: field 'seeds' must list whole numbers; put it right.")
    seeds = list(dict.fromkeys(seeds))
    metrics = tuple(field(about, "metrics", list, path, default=list(DEFAULT)))
    if not metrics or not all(isinstance(x, str) and is_metric(x) for x in metrics):
        raise UserError(f"{path}: field 'metrics' must list names such as 'hit@10'; put it right.")
    once = field(about, "deterministic", list, path, default=[])
    wanted = {label: seeds[:1] if label in once else seeds for label in labels}
    warnings: list[str] = []
    runs = _load_runs(folder, dataset, wanted, metrics, warnings)
    reasons: dict[tuple[str, int], str] = {}
    for failure in field(about, "failures", list, path, default=[]):
        label, seed = (field(failure, key, kind, path) for key, kind in _FAILURE_KEYS)
        reasons[label, seed] = one_line(field(failure, "message", str, path, default=""))
    states, failures = {}, []
    for label, its_seeds in wanted.items():
        states[label], lines = _state(label, runs[label], its_seeds, reasons)
        failures += lines
        if label in once and not lines:
            states[label] = "deterministic"
    _check_same_test(runs)
    warnings += _disagreements([run for group in runs.values() for run in group])
    figures, source = (
        (expected, "expected")
        if expected is not None
        else (field(about, "expected", dict, path, default={}), str(path))
    )
    return Compared(
        title,
        dataset,
        runs,
        states,
        metrics,
        _paper_figures(figures, source),
        failures,
        warnings,
    )


def _load_runs(
    folder: Path,
    dataset: str,
    wanted: Mapping[str, list[int]],
    metrics: Sequence[str],
    warnings: list[str],
) -> dict[str, list[Run]]:
    found: dict[tuple[str, int], Path] = {}
    for path in sorted((folder / "runs").glob("*/result.json")):
        result = read_json(path, "delete its folder and run this model again")
        if result.get("format") != 1:
            raise UserError(
                f"{path}: field 'format' is {result.get('format')!r}, this version reads 1; "
                "install the version of recbole-dmf that wrote it, or run this model again."
            )
        label = field(result, "label", str, path, default=result.get("model"))
        seed = field(result, "seed", int, path)
        if field(result, "dataset", str, path) != dataset:
            raise UserError(
                f"{path}: field 'dataset' is '{result['dataset']}', but comparison.json compares "
                f"on '{dataset}'; move this run's folder elsewhere."
            )
        if seed not in wanted.get(label, ()):
            warnings.append(
                f"{path.parent.name} ({label}, seed {seed}) is not among the models and seeds of "
                "comparison.json and is left out."
            )
            continue
        if (label, seed) in found:
            raise UserError(
                f"{path}: a second run of '{label}' with seed {seed}, besides "
                f"{found[label, seed]}; move one of the two folders elsewhere."
            )
        found[label, seed] = path
    if not found:
        raise UserError(
            f"{folder / 'runs'}: no finished run (a folder with result.json) of the models in "
            "comparison.json; finish the comparison with `recbole-dmf compare`."
        )
    return {
        label: [_load_run(found[label, s], label, s, metrics) for s in seeds if (label, s) in found]
        for label, seeds in wanted.items()
    }


def _load_run(path: Path, label: str, seed: int, metrics: Sequence[str]) -> Run:
    result = read_json(path, "delete its folder and run this model again")
    _check_result(path, result)
    users_file = path.parent / PER_USER
    rows = read_csv(users_file, ("user_id", "item_id"), (*COUNTS, DRAWN))
    if rows.empty:
        raise UserError(f"{users_file}: no user in it; run the model again.")
    values = values_per_user(rows, users_file, metrics)
    users = pd.Index(rows["user_id"])
    targets = rows["item_id"].set_axis(users)
    history = _load_history(path, result)
    run = Run(path.parent, label, seed, result, users, targets, values, history)
    for reading in READINGS:
        stored = result["metrics"].get("test", {}).get(reading, {})
        for metric, value in stored.items():
            computed = run.values.get((metric, reading))
            if computed is not None and abs(value - computed.mean()) > _ROUNDING:
                raise UserError(
                    f"{users_file}: its users give {reading} {metric} {computed.mean():.4f}, "
                    f"result.json says {value:.4f}; the two files are not of the same run, or rows "
                    "are lost. Run the model again."
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


def _paper_figures(figures: Any, source: str) -> dict[str, dict[str, Any]]:
    for label, figure in mapping(figures, "expected", source).items():
        for metric in DEFAULT:
            value = mapping(figure, f"expected.{label}", source).get(metric)
            if value is not None and not is_number(value):
                raise UserError(
                    f"{source}: field 'expected.{label}.{metric}' is {value!r}, not a number; put "
                    "it right."
                )
    return figures


def _state(
    label: str, runs: list[Run], seeds: list[int], reasons: Mapping[tuple[str, int], str]
) -> tuple[str, list[str]]:
    """How many seeds finished, and a line for each that did not."""
    done = {run.seed for run in runs}
    lines = []
    for seed in seeds:
        if seed in done:
            continue
        if (label, seed) in reasons:
            lines.append(f"{label}, seed {seed} failed: {reasons[label, seed] or 'no message'}")
        else:
            lines.append(f"{label}, seed {seed}: not run yet")
    if not lines:
        return str(len(seeds)), []
    word = "failed" if any((label, s) in reasons for s in seeds if s not in done) else "not run"
    return (f"{len(done)} of {len(seeds)}" if done else word), lines


def _check_same_test(runs: Mapping[str, list[Run]]) -> None:
    every = [run for group in runs.values() for run in group]
    first = every[0]
    for run in every:
        file = run.folder / PER_USER
        mean_over_seeds(
            [first.per_user("hit@10"), run.per_user("hit@10")],
            [str(first.folder / PER_USER), str(file)],
        )
        other = run.items.reindex(first.users) != first.items
        if other.any():
            user = first.users[np.flatnonzero(other)[0]]
            raise UserError(
                f"{file}: user_id '{user}' is tested on item_id '{run.items[user]}', in "
                f"{first.folder / PER_USER} on '{first.items[user]}'; the runs use other "
                "splits and cannot be compared. Run them again on one split."
            )


def _disagreements(runs: Sequence[Run]) -> list[str]:
    warnings = []
    for phase in ("valid", "test"):
        groups: dict[str, list[str]] = {}
        for run in runs:
            digest = str(run.result.get("candidates_sha256", {}).get(phase))
            groups.setdefault(digest, []).append(run.folder.name)
        if len(groups) > 1:
            shown = "; ".join(f"{k[:12]}: {_some(v)}" for k, v in groups.items())
            warnings.append(
                f"THE RUNS DO NOT SHARE THE {phase.upper()} CANDIDATES (SHA-256 {shown}). Their "
                "sampled figures cannot be compared; run all models with one split seed."
            )
    for what, of in (("devices", device), ("versions", versions)):
        different = sorted({of(run) for run in runs})
        if len(different) > 1:
            warnings.append(f"The runs were made with different {what}: {' | '.join(different)}.")
    return warnings


def _some(names: Sequence[str], most: int = 4) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def device(run: Run) -> str:
    """Device and threads of a run."""
    threads = run.result.get("threads")
    return f"{run.result.get('device', 'unknown')}" + (f", {threads} threads" if threads else "")


def versions(run: Run) -> str:
    """Versions of the libraries of a run."""
    return ", ".join(f"{k} {v}" for k, v in sorted(run.result.get("versions", {}).items()))
