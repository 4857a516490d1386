"""A comparison's folder, read and checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from recbole_dmf.errors import UserError
from recbole_dmf.evaluation.metrics import READINGS, WARM
from recbole_dmf.evaluation.significance import mean_over_seeds
from recbole_dmf.experiments.audit_file import read_audit, summary
from recbole_dmf.experiments.checked_files import (
    field,
    is_number,
    mapping,
    one_line,
    read_json,
)
from recbole_dmf.experiments.finished_run import Run, device, load_run, reads_order, versions
from recbole_dmf.experiments.run_metrics import (
    DEFAULT,
    is_metric,
)
from recbole_dmf.run_folder import PER_USER

_FAILURE_KEYS = (("model", str), ("seed", int))


@dataclass(frozen=True)
class Compared:
    """All runs of a comparison and what is known of those that are missing.

    Attributes:
        runs: by label, in the order of the tables, models that read the order of time last; a
            label that has no run keeps an empty list.
        states: by label, how many seeds are finished.
        metrics: that the tables show, such as "hit@10", the most important first.
        expected: the paper's figures by label.
        failures: a line for each run that is not there.
        warnings: what makes the figures doubtful.
        audit: of the data set, see `audit.audit`; None where there is none of this data.
        readings: to be shown: the warm one is among them where the audit says that figures mislead.
        reading: to lead with.
    """

    title: str
    dataset: str
    runs: dict[str, list[Run]]
    states: dict[str, str]
    metrics: tuple[str, ...]
    expected: dict[str, dict[str, Any]]
    failures: list[str]
    warnings: list[str]
    audit: dict[str, Any] | None
    readings: tuple[str, ...]
    reading: str

    @property
    def reads_order(self) -> dict[str, bool]:
        """By label, whether the model reads the order of time."""
        return {label: _read_order(runs) for label, runs in self.runs.items()}


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
    runs = dict(sorted(runs.items(), key=lambda item: _read_order(item[1])))
    states, failures = {}, []
    for label, its_seeds in wanted.items():
        states[label], lines = _state(label, runs[label], its_seeds, reasons)
        failures += lines
        if label in once and not lines:
            states[label] = "deterministic"
    _check_same_test(runs)
    warnings += _disagreements([run for group in runs.values() for run in group])
    runs, audit, readings, reading = _leading(folder, runs, warnings)
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
        audit,
        readings,
        reading,
    )


def _read_order(runs: Sequence[Run]) -> bool:
    return bool(runs) and reads_order(runs[0].result)


def _leading(
    folder: Path, runs: dict[str, list[Run]], warnings: list[str]
) -> tuple[dict[str, list[Run]], dict[str, Any] | None, tuple[str, ...], str]:
    """What the audit says of the figures: `runs`, `audit`, `readings` and `reading` of Compared."""
    every = [run for group in runs.values() for run in group]
    audit = read_audit(folder, {str(run.result.get("data_sha256")) for run in every})
    if audit is None or not audit["misleads"]:
        return runs, audit, READINGS, "expected"
    warnings.append(f"{summary(audit)} See Audit below.")
    if all(WARM in run.readings for run in every):
        runs = _same_warm_users(runs, warnings)
        return runs, audit, (*READINGS, WARM), audit["headline"]
    if audit["headline"] == WARM:
        warnings.append(
            "The figures to lead with are the warm ones, but not all runs have them; make the runs "
            "again with --fresh."
        )
    return runs, audit, READINGS, "expected"


def _same_warm_users(runs: Mapping[str, list[Run]], warnings: list[str]) -> dict[str, list[Run]]:
    """The runs with the warm reading over the users whose target is warm in all of them.

    A model with another validation item has another training set, so a few users may differ.
    """
    every = [run for group in runs.values() for run in group]
    warm = [run.per_user("hit@10", WARM).index for run in every]
    shared = warm[0]
    for index in warm[1:]:
        shared = shared.intersection(index)
    n_dropped = max(map(len, warm)) - len(shared)
    if not n_dropped:
        return dict(runs)
    warnings.append(
        f"{n_dropped} user(s) are left out of the warm reading: their targets have a training "
        "interaction in some of the runs alone, which do not share the validation."
    )

    def over_shared(run: Run) -> Run:
        kept = run.users.isin(shared)
        values = {
            (name, reading): np.where(kept, column, np.nan) if reading == WARM else column
            for (name, reading), column in run.values.items()
        }
        return replace(run, values=values)

    return {label: [over_shared(run) for run in group] for label, group in runs.items()}


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
        label: [load_run(found[label, s], label, s, metrics) for s in seeds if (label, s) in found]
        for label, seeds in wanted.items()
    }


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
            [first.per_user("hit@10", "expected"), run.per_user("hit@10", "expected")],
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
