"""Tables, plots and one page from a folder of finished runs; nothing is trained.

Everything is read and rendered in memory first, so a damaged file leaves the folder as it was.
The same folder gives the same bytes.
"""

import argparse
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recbole_dmf.errors import UserError
from recbole_dmf.evaluation.metrics import READINGS, expected_gain, gains, tied_gain
from recbole_dmf.evaluation.significance import (
    LEVEL,
    Comparison,
    compare_with_best_other,
    mean_over_seeds,
)
from recbole_dmf.experiments import plots
from recbole_dmf.files import atomic_path

MAX_K = 10
SHOWN = ("hit@10", "ndcg@10")
NAMES = {"hit@10": "HR@10", "ndcg@10": "NDCG@10"}
READING_MEANS = {
    "expected": "the exact mean of the sampled figure over all draws of 100 candidates: no "
    "sampling noise, the one to compare by, and the one set against the paper's figure",
    "sampled": "the target ranked among the 100 candidates that were drawn once for this split, "
    "as the paper does",
    "full": "the target ranked among all items that the user has not seen; lower by nature, not "
    "comparable with the paper's figure",
}
_COUNTS = ("n_unseen", "sampled_above", "sampled_tied", "full_above", "full_tied")
_ROUNDING = 1e-4  # result.json may hold figures rounded to four places
_MINUS, _DASH = "\N{MINUS SIGN}", "\N{EN DASH}"
_NO_VALUE = _DASH
_BOLD = "Best in bold."  # said wherever there is bold type
_LARGEST_COUNT = 10**8  # more items than any catalogue; guards memory against damaged files


@dataclass(frozen=True)
class Report:
    """What `write_report` did.

    Attributes:
        text: the tables and notes for a console.
        files: what was written, in the folder.
        warnings: what a reader must know before trusting the figures; also part of `text`.
    """

    text: str
    files: tuple[Path, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Run:
    folder: Path
    label: str
    seed: int
    result: dict[str, Any]
    users: pd.Index
    items: pd.Series  # str [n_users], the target of each user
    values: dict[tuple[str, str], NDArray[np.float64]]  # (metric@k, reading) -> [n_users]
    history: pd.DataFrame

    def metric(self, name: str, reading: str = "expected") -> float:
        return float(self.values[name, reading].mean())

    def per_user(self, name: str) -> pd.Series:
        return pd.Series(self.values[name, "expected"], index=self.users)


@dataclass(frozen=True)
class _Table:
    """Cells are (text, bold); the first column is text, the others are set right."""

    title: str
    header: list[str]
    rows: list[list[tuple[str, bool]]]


@dataclass(frozen=True)
class _Comparison:
    title: str
    dataset: str
    runs: dict[str, list[_Run]]  # a label that has no run keeps an empty list
    states: dict[str, str]
    expected: dict[str, dict[str, Any]]
    failures: list[str]
    warnings: list[str]


def write_report(folder: Path, expected: dict | None = None) -> Report:
    """Redraw the report of a comparison from its files.

    Reads FOLDER/comparison.json and FOLDER/runs/*/{result.json, per_user.csv, history.csv}; writes
    results.csv, summary.md, summary.tex, report.html and, with matplotlib, the plots as PNG.

    Args:
        folder: of a comparison.
        expected: the paper's figures, {label: {"hit@10": .., "ndcg@10": .., "source": ..}};
            instead of the ones in comparison.json.

    Returns:
        The console text and the files.

    Raises:
        UserError: a file is missing, damaged or of another data set; nothing is written then.
    """
    folder = Path(folder)
    comparison = _load(folder, expected)
    tables, notes = _summarise(comparison)
    if plots.available():
        drawn = plots.draw_all([_curves(k, r) for k, r in comparison.runs.items() if r])
    else:
        drawn = []
    contents = {
        "results.csv": _tidy(comparison),
        "summary.md": _markdown(comparison, tables, notes),
        "summary.tex": _latex(comparison, tables, notes),
        "report.html": _html(comparison, tables, notes, drawn),
    }
    files = {name: text.encode(errors="replace") for name, text in contents.items()}
    files |= {f"{plot.name}.png": plot.png for plot in drawn}
    with ExitStack() as stack:  # all under temporary names first, renamed when all are written
        for name, content in files.items():
            stack.enter_context(atomic_path(folder / name)).write_bytes(content)
    written = tuple(folder / name for name in files)
    return Report(_console(comparison, tables, notes), written, tuple(comparison.warnings))


def main_report(argv: Sequence[str] | None = None) -> int:
    """`recbole-dmf report FOLDER`: print the tables, name the files; the exit code.

    Raises:
        UserError: as `write_report`; the command line turns it into a message.
    """
    parser = argparse.ArgumentParser(
        prog="recbole-dmf report",
        description="Redraw the tables, the plots and the page of a comparison, without training.",
    )
    parser.add_argument("folder", type=Path, help="a comparison's folder (has comparison.json)")
    report = write_report(parser.parse_args(argv).folder)
    lines = [report.text, "", "Written:", *(f"  {path}" for path in report.files)]
    if not plots.available():
        lines.append(f"No plots: matplotlib is not installed. Install it with: {plots.INSTALL}")
    encoding = sys.stdout.encoding or "utf-8"
    print("\n".join(lines).encode(encoding, "replace").decode(encoding))
    return 0


# --- reading -------------------------------------------------------------------------------------


def _load(folder: Path, expected: dict | None) -> _Comparison:
    path = folder / "comparison.json"
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give the folder of a comparison.")
    about = _read_json(path, "run `recbole-dmf compare` to make such a folder")
    title = _field(about, "title", str, path)
    dataset = _field(about, "dataset", str, path)
    labels = _field(about, "models", list, path)
    seeds = _field(about, "seeds", list, path)
    if not labels or not all(isinstance(x, str) and x for x in labels):
        raise UserError(f"{path}: field 'models' must list the models' names; put it right.")
    if not seeds or not all(isinstance(x, int) for x in seeds):
        raise UserError(f"{path}: field 'seeds' must list whole numbers; put it right.")
    labels, seeds = list(dict.fromkeys(labels)), list(dict.fromkeys(seeds))
    warnings: list[str] = []
    runs = _load_runs(folder, dataset, labels, seeds, warnings)
    reasons: dict[tuple[str, int], str] = {}
    for failure in _field(about, "failures", list, path, default=[]):
        label, seed = (_field(failure, key, kind, path) for key, kind in _FAILURE_KEYS)
        reasons[label, seed] = _one_line(_field(failure, "message", str, path, default=""))
    states, failures = {}, []
    for label in labels:
        states[label], lines = _state(label, runs[label], seeds, reasons)
        failures += lines
    _check_same_test(runs)
    warnings += _disagreements([run for group in runs.values() for run in group])
    figures, source = (
        (expected, "expected")
        if expected is not None
        else (_field(about, "expected", dict, path, default={}), str(path))
    )
    return _Comparison(
        title, dataset, runs, states, _paper_figures(figures, source), failures, warnings
    )


_FAILURE_KEYS = (("model", str), ("seed", int))


def _load_runs(
    folder: Path, dataset: str, labels: list[str], seeds: list[int], warnings: list[str]
) -> dict[str, list[_Run]]:
    found: dict[tuple[str, int], Path] = {}
    for path in sorted((folder / "runs").glob("*/result.json")):
        result = _read_json(path, "delete its folder and run this model again")
        if result.get("format") != 1:
            raise UserError(
                f"{path}: field 'format' is {result.get('format')!r}, this version reads 1; "
                "install the version of recbole-dmf that wrote it, or run this model again."
            )
        label = _field(result, "label", str, path, default=result.get("model"))
        seed = _field(result, "seed", int, path)
        if _field(result, "dataset", str, path) != dataset:
            raise UserError(
                f"{path}: field 'dataset' is '{result['dataset']}', but comparison.json compares "
                f"on '{dataset}'; move this run's folder elsewhere."
            )
        if label not in labels or seed not in seeds:
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
    runs: dict[str, list[_Run]] = {label: [] for label in labels}
    for label in labels:
        for seed in seeds:
            if (label, seed) in found:
                runs[label].append(_load_run(found[label, seed], label, seed))
    return runs


def _load_run(path: Path, label: str, seed: int) -> _Run:
    result = _read_json(path, "delete its folder and run this model again")
    metrics = _field(result, "metrics", dict, path)
    for phase, readings in metrics.items():
        for reading, values in _dict(readings, f"metrics.{phase}", path).items():
            for metric, value in _dict(values, f"metrics.{phase}.{reading}", path).items():
                if not _is_number(value):
                    raise UserError(
                        f"{path}: field 'metrics.{phase}.{reading}.{metric}' is {value!r}, not a "
                        "finite number; delete this run's folder and run the model again."
                    )
    for key in ("candidates_sha256", "seconds", "counts", "versions", "settings"):
        _field(result, key, dict, path, default={})
    numbers = {k: result.get(k) for k in ("parameters", "best_epoch", "peak_memory_mb")}
    numbers |= {f"seconds.{k}": v for k, v in result.get("seconds", {}).items()}
    for key, value in numbers.items():
        if value is not None and not _is_number(value):
            raise UserError(
                f"{path}: field '{key}' is {value!r}, not a finite number; delete this run's "
                "folder and run the model again."
            )
    rows = _read_csv(path.parent / "per_user.csv", ("user_id", "item_id"), _COUNTS)
    if rows.empty:
        raise UserError(f"{path.parent / 'per_user.csv'}: no user in it; run the model again.")
    values = _values(rows, path.parent / "per_user.csv")
    users = pd.Index(rows["user_id"])
    run = _Run(
        path.parent,
        label,
        seed,
        result,
        users,
        rows["item_id"].set_axis(users),
        values,
        _load_history(path, result),
    )
    for reading in READINGS:
        for metric in SHOWN:
            stored = metrics.get("test", {}).get(reading, {}).get(metric)
            if stored is not None and abs(stored - run.metric(metric, reading)) > _ROUNDING:
                raise UserError(
                    f"{path.parent / 'per_user.csv'}: its users give {reading} {metric} "
                    f"{run.metric(metric, reading):.4f}, result.json says {stored:.4f}; the two "
                    "files are not of the same run, or rows are lost. Run the model again."
                )
    return run


def _load_history(path: Path, result: dict[str, Any]) -> pd.DataFrame:
    history = path.parent / "history.csv"
    if not history.exists() and not result.get("epochs_run"):
        return pd.DataFrame({"epoch": [], "value": []}, dtype=float)  # a model without epochs
    rows = _read_csv(history, (), ("epoch", "valid_ndcg@10_expected"))
    return rows.rename(columns={"valid_ndcg@10_expected": "value"})[["epoch", "value"]]


def _values(rows: pd.DataFrame, path: Path) -> dict[tuple[str, str], NDArray[np.float64]]:
    numbers = rows[list(_COUNTS)].to_numpy(np.float64)
    impossible = (numbers < 0) | (numbers > _LARGEST_COUNT) | (numbers % 1 != 0)
    too_many = rows["full_above"] + rows["full_tied"] > rows["n_unseen"]
    wrong = np.flatnonzero(impossible.any(axis=1) | too_many)
    if len(wrong):
        raise UserError(
            f"{path}, line {wrong[0] + 2}: counts must be whole numbers, 0 or more, and full_above "
            "+ full_tied at most n_unseen; the file is damaged, run the model again."
        )
    counts = {name: rows[name].to_numpy(np.int64) for name in _COUNTS}
    unseen, above, tied = (counts[n] for n in ("n_unseen", "full_above", "full_tied"))
    sampled = counts["sampled_above"], counts["sampled_tied"]
    at = {
        "sampled": lambda gain: tied_gain(gain, *sampled),
        "expected": lambda gain: expected_gain(gain, unseen, above, tied),
        "full": lambda gain: tied_gain(gain, above, tied),
    }
    discount = gains("ndcg", MAX_K)
    values = {}
    for reading in READINGS:
        hits = np.array([at[reading](gains("hit", k)) for k in range(1, MAX_K + 1)])
        # HR@k - HR@(k-1) is the probability of rank k, which NDCG weights
        at_rank = np.diff(hits, axis=0, prepend=0.0)
        ndcg = np.cumsum(at_rank * discount[:, None], axis=0)
        for k in range(1, MAX_K + 1):
            values[f"hit@{k}", reading] = hits[k - 1]
            values[f"ndcg@{k}", reading] = ndcg[k - 1]
    return values


def _read_json(path: Path, what_to_do: str) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {what_to_do}.") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {what_to_do}.") from None
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path}: not valid JSON ({_one_line(str(error))}); {what_to_do}."
        ) from None
    return _dict(value, "(the whole file)", path)


def _dict(value: Any, field: str, path: Path | str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{path}: field '{field}' must be a JSON object; run this again.")
    return value


_MISSING = object()


def _field(about: Any, name: str, kind: type, path: Path, default: Any = _MISSING) -> Any:
    value = _dict(about, name, path).get(name, default)
    if value is _MISSING:
        raise UserError(f"{path}: field '{name}' is missing; the file is damaged, run it again.")
    if not isinstance(value, kind) or isinstance(value, bool):
        raise UserError(
            f"{path}: field '{name}' is {_one_line(repr(value), 60)}, not of type {kind.__name__}; "
            "the file is damaged, run it again."
        )
    return value


def _read_csv(path: Path, text: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame:
    """These columns of a CSV file; numbers must be finite, else the line is named."""
    try:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; delete this run's folder and run the model again."
        ) from None
    except (OSError, ValueError) as error:  # pandas' parser errors are ValueErrors
        raise UserError(
            f"{path}: cannot be read as CSV ({_one_line(str(error))}); delete this run's folder "
            "and run the model again."
        ) from None
    for name in (*text, *numbers):
        if name not in rows.columns:
            raise UserError(
                f"{path}: column '{name}' is missing; delete this run's folder and run the model "
                "again."
            )
    for name in numbers:
        value = pd.to_numeric(rows[name], errors="coerce").to_numpy(np.float64)
        bad = np.flatnonzero(~np.isfinite(value))
        if len(bad):
            raise UserError(
                f"{path}, line {bad[0] + 2}: column '{name}' is '{rows[name].iloc[bad[0]]}', not a "
                "finite number; delete this run's folder and run the model again."
            )
        rows[name] = value
    return rows[[*text, *numbers]]


def _paper_figures(figures: Any, source: str) -> dict[str, dict[str, Any]]:
    for label, figure in _dict(figures, "expected", source).items():
        for metric in SHOWN:
            value = _dict(figure, f"expected.{label}", source).get(metric)
            if value is not None and not _is_number(value):
                raise UserError(
                    f"{source}: field 'expected.{label}.{metric}' is {value!r}, not a number; put "
                    "it right."
                )
    return figures


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _one_line(text: str, length: int = 300) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"


def _state(
    label: str, runs: list[_Run], seeds: list[int], reasons: Mapping[tuple[str, int], str]
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


def _check_same_test(runs: Mapping[str, list[_Run]]) -> None:
    every = [run for group in runs.values() for run in group]
    first = every[0]
    for run in every:
        file = run.folder / "per_user.csv"
        mean_over_seeds(
            [first.per_user("hit@10"), run.per_user("hit@10")],
            [str(first.folder / "per_user.csv"), str(file)],
        )
        other = run.items.reindex(first.users) != first.items
        if other.any():
            user = first.users[np.flatnonzero(other)[0]]
            raise UserError(
                f"{file}: user_id '{user}' is tested on item_id '{run.items[user]}', in "
                f"{first.folder / 'per_user.csv'} on '{first.items[user]}'; the runs use other "
                "splits and cannot be compared. Run them again on one split."
            )


def _disagreements(runs: Sequence[_Run]) -> list[str]:
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
    for what, of in (("devices", _device), ("versions", _versions)):
        different = sorted({of(run) for run in runs})
        if len(different) > 1:
            warnings.append(f"The runs were made with different {what}: {' | '.join(different)}.")
    return warnings


def _some(names: Sequence[str], most: int = 4) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _device(run: _Run) -> str:
    threads = run.result.get("threads")
    return f"{run.result.get('device', 'unknown')}" + (f", {threads} threads" if threads else "")


def _versions(run: _Run) -> str:
    return ", ".join(f"{k} {v}" for k, v in sorted(run.result.get("versions", {}).items()))


# --- tables --------------------------------------------------------------------------------------


def _summarise(c: _Comparison) -> tuple[list[_Table], list[str]]:
    finished = {label: runs for label, runs in c.runs.items() if runs}
    tests = {metric: _tests(finished, metric) for metric in SHOWN}
    tables = [
        _quality(c, tests),
        _other_readings(c),
        *([_pairs(tests)] if tests[SHOWN[0]] else []),
        _costs(c),
    ]
    return tables, _notes(c, bool(tests[SHOWN[0]]))


def _tests(runs: Mapping[str, list[_Run]], metric: str) -> dict[str, Comparison]:
    values = {
        label: mean_over_seeds(
            [run.per_user(metric) for run in group], [str(run.folder) for run in group]
        )
        for label, group in runs.items()
    }
    if len(next(iter(values.values()))) < 2:
        return {}  # nothing to pair
    return compare_with_best_other(values)


def _spread(values: Sequence[float], digits: int) -> str:
    text = f"{np.mean(values):.{digits}f}"
    return text if len(values) < 2 else f"{text} ± {np.std(values, ddof=1):.{digits}f}"


def _best(means: Mapping[str, float]) -> set[str]:
    """The best as printed: equal figures are all bold; a model alone is not."""
    if len(means) < 2:
        return set()
    shown = {label: round(mean, 4) for label, mean in means.items()}
    return {label for label, mean in shown.items() if mean == max(shown.values())}


def _plain(texts: Iterable[str]) -> list[tuple[str, bool]]:
    return [(text, False) for text in texts]


def _quality(c: _Comparison, tests: Mapping[str, Mapping[str, Comparison]]) -> _Table:
    papers = {
        metric: {k: v[metric] for k, v in c.expected.items() if k in c.runs and metric in v}
        for metric in SHOWN
    }
    header = ["Model", "Seeds"]
    columns: list[dict[str, tuple[str, bool]]] = []
    for metric in SHOWN:
        seeds = {k: [run.metric(metric) for run in runs] for k, runs in c.runs.items() if runs}
        best = _best({label: float(np.mean(v)) for label, v in seeds.items()})
        header.append(NAMES[metric])
        columns.append({})
        for label, values in seeds.items():
            test = tests[metric].get(label)
            mark = " *" if test is not None and test.significant else ""
            columns[-1][label] = (_spread(values, 4) + mark, label in best)
        if papers[metric]:
            header += ["Paper", "Diff."]
            columns.append({k: (f"{v:.3f}", False) for k, v in papers[metric].items()})
            columns.append(
                {
                    k: (_signed(float(np.mean(seeds[k])) - v, 3), False)
                    for k, v in papers[metric].items()
                    if k in seeds
                }
            )
    rows = [
        [
            *_plain((label, c.states[label])),
            *(col.get(label, (_NO_VALUE, False)) for col in columns),
        ]
        for label in c.runs
    ]
    return _Table("Test, expected reading", header, rows)


def _signed(value: float, digits: int) -> str:
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return ("+" if value > 0 else _MINUS) + text


def _other_readings(c: _Comparison) -> _Table:
    header, columns = ["Model"], []
    for reading in ("sampled", "full"):
        for metric in SHOWN:
            header.append(f"{NAMES[metric]} {reading}")
            seeds = {
                label: [run.metric(metric, reading) for run in runs]
                for label, runs in c.runs.items()
                if runs
            }
            best = _best({label: float(np.mean(v)) for label, v in seeds.items()})
            columns.append({k: (_spread(v, 4), k in best) for k, v in seeds.items()})
    rows = [
        [(label, False), *(col.get(label, (_NO_VALUE, False)) for col in columns)]
        for label in c.runs
    ]
    return _Table("Test, sampled and full ranking", header, rows)


def _pairs(tests: Mapping[str, Mapping[str, Comparison]]) -> _Table:
    header = ["Model", "Metric", "Against", "Mean diff.", "95 % interval", "p", "p (Holm)"]
    rows = []
    for label in tests[SHOWN[0]]:
        for metric in SHOWN:
            t = tests[metric][label]
            interval = f"{_signed(t.low, 4)} to {_signed(t.high, 4)}"
            rows.append(
                _plain(
                    (
                        label,
                        NAMES[metric],
                        t.other,
                        _signed(t.difference, 4),
                        interval,
                        _p(t.p_value),
                        _p(t.p_holm) + (" *" if t.significant else ""),
                    )
                )
            )
    return _Table("Each model against the best other model, per user", header, rows)


def _p(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def _costs(c: _Comparison) -> _Table:
    header = [
        "Model",
        "Training (s)",
        "Scoring (s)",
        "Peak memory (MB)",
        "Parameters",
        "Best epoch",
    ]
    columns: list[tuple[Callable[[dict], Any], int]] = [
        (lambda r: r.get("seconds", {}).get("train"), 2),
        (lambda r: r.get("seconds", {}).get("score"), 2),
        (lambda r: r.get("peak_memory_mb"), 0),
    ]
    rows = []
    for label, runs in c.runs.items():
        cells = [label]
        for of, digits in columns:
            values = [of(run.result) for run in runs]
            values = [v for v in values if v is not None]
            cells.append(_spread(values, digits) if values else _NO_VALUE)
        counts = [run.result.get("parameters") for run in runs]
        sizes = sorted({count for count in counts if count is not None})
        cells.append(" / ".join(f"{n:,}" for n in sizes) or _NO_VALUE)
        epochs = [run.result.get("best_epoch") for run in runs]
        known = any(epoch is not None for epoch in epochs)
        shown = ", ".join(_NO_VALUE if e is None else str(e) for e in epochs)
        cells.append(shown if known else _NO_VALUE)
        rows.append(_plain(cells))
    return _Table("Cost", header, rows)


def _notes(c: _Comparison, tested: bool) -> list[str]:
    runs = [run for group in c.runs.values() for run in group]
    seeds = sorted({run.seed for run in runs})
    notes = [*c.failures]
    if sum(map(bool, c.runs.values())) > 1:
        notes.append(_BOLD)
    if len(seeds) > 1:
        notes.append("Figures: mean ± standard deviation over seeds.")
    if tested:
        notes.append(
            "*: differs from the best other model. Two-sided Wilcoxon signed-rank test per user "
            "(means over seeds), "
            f"p < {LEVEL} after Holm's correction over all pairs of models, and the 95 % bootstrap "
            "interval of the mean difference (not corrected) does not contain 0. Chance in the "
            "choice of users is tested, not chance in training."
        )
    notes += [f"{reading}: {READING_MEANS[reading]}." for reading in READING_MEANS]
    chosen = Counter(
        f"{run.result.get('valid_metric', '?')} ({run.result.get('valid_reading', '?')})"
        for run in runs
    )
    notes.append(f"Epochs were chosen on validation by {', '.join(sorted(chosen))}.")
    sources = {k: v["source"] for k, v in c.expected.items() if k in c.runs and v.get("source")}
    if sources:
        told = "; ".join(f"{label}: {_one_line(str(text))}" for label, text in sources.items())
        notes.append(f"Paper: {told}. Diff.: ours (expected) minus the paper's figure.")
    notes.append(f"Users tested: {len(runs[0].users):,}. Seeds: {', '.join(map(str, seeds))}.")
    for phase in ("valid", "test"):
        digests = {str(run.result.get("candidates_sha256", {}).get(phase)) for run in runs}
        notes.append(f"Candidates ({phase}), SHA-256: {', '.join(sorted(digests))}")
    notes.append(f"Device: {'; '.join(sorted({_device(run) for run in runs}))}.")
    notes.append(f"Versions: {'; '.join(sorted({_versions(run) for run in runs}))}.")
    return notes


def _tidy(c: _Comparison) -> str:
    names = [f"{metric}@{k}" for metric in ("hit", "ndcg") for k in range(1, MAX_K + 1)]
    rows = []
    for label, runs in c.runs.items():
        for run in runs:
            start = (c.dataset, label, run.seed)
            for reading, metrics in run.result["metrics"].get("valid", {}).items():
                rows += [(*start, "valid", name, reading, v) for name, v in metrics.items()]
            for reading in READINGS:
                rows += [(*start, "test", n, reading, run.metric(n, reading)) for n in names]
    columns = ["dataset", "model", "seed", "phase", "metric", "reading", "value"]
    return pd.DataFrame(rows, columns=columns).to_csv(index=False, lineterminator="\n")


def _curves(label: str, runs: Sequence[_Run]) -> plots.Curves:
    def at_k(metric: str) -> NDArray[np.float64]:
        ks = range(1, MAX_K + 1)
        return np.array([[run.metric(f"{metric}@{k}") for k in ks] for run in runs])

    return plots.Curves(
        label,
        at_k("hit"),
        at_k("ndcg"),
        [
            (run.history["epoch"].to_numpy(), run.history["value"].to_numpy(), _epoch(run))
            for run in runs
        ],
        np.array([run.result.get("seconds", {}).get("train") or 0.0 for run in runs]),
    )


def _epoch(run: _Run) -> int | None:
    return run.result.get("best_epoch")


# --- rendering -----------------------------------------------------------------------------------


def _console(c: _Comparison, tables: Sequence[_Table], notes: Sequence[str]) -> str:
    from tabulate import tabulate  # comes with RecBole

    ascii_signs = str.maketrans({"±": "+-", _MINUS: "-", _DASH: "-"})
    parts = [f"{c.title} ({c.dataset})", *(f"WARNING: {w}" for w in c.warnings)]
    for table in tables:
        rows = [[text.translate(ascii_signs) for text, _ in row] for row in table.rows]
        align = ["left"] + ["right"] * (len(table.header) - 1)
        parts.append(
            f"{table.title}\n" + tabulate(rows, table.header, disable_numparse=True, colalign=align)
        )
    parts.append("\n".join(note.translate(ascii_signs) for note in notes if note != _BOLD))
    return "\n\n".join(parts)


def _escape_md(text: str) -> str:
    text = _one_line(text, 10_000).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]|#~$])", r"\\\1", text)


def _markdown(c: _Comparison, tables: Sequence[_Table], notes: Sequence[str]) -> str:
    parts = [f"# {_escape_md(c.title)} ({_escape_md(c.dataset)})"]
    parts += [f"> **Warning:** {_escape_md(warning)}" for warning in c.warnings]
    for table in tables:
        lines = [
            "| " + " | ".join(_escape_md(name) for name in table.header) + " |",
            "|---|" + "---:|" * (len(table.header) - 1),
        ]
        for row in table.rows:
            cells = (f"**{_escape_md(t)}**" if bold else _escape_md(t) for t, bold in row)
            lines.append("| " + " | ".join(cells) + " |")
        parts.append(f"## {_escape_md(table.title)}\n\n" + "\n".join(lines))
    parts.append("## Notes\n\n" + "\n".join(f"- {_escape_md(note)}" for note in notes))
    return "\n\n".join(parts) + "\n"


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    _MINUS: "$-$",
    _DASH: r"\textendash{}",
    "…": r"\ldots{}",
    **{sign: "\\" + sign for sign in "&%$#_{}"},
}


def _escape_tex(text: str) -> str:
    text = "".join(_LATEX.get(sign, sign) for sign in _one_line(text, 10_000))
    text = re.sub("-(?=-)", "-{}", text)  # two hyphens stay two hyphens
    text = re.sub("[0-9a-f]{8}(?=[0-9a-f])", r"\g<0>\\allowbreak{}", text)  # a SHA-256
    return text.replace("[", "{[}")  # else an option, after the end of a row


def _latex(c: _Comparison, tables: Sequence[_Table], notes: Sequence[str]) -> str:
    parts = [r"% Needs \usepackage[T1]{fontenc} and \usepackage{booktabs}."]
    parts += [f"% WARNING: {_escape_tex(warning)}" for warning in c.warnings]
    for table in tables:
        lines = [r"\begin{table}", r"\centering", r"\footnotesize", r"\setlength{\tabcolsep}{3pt}"]
        lines.append(rf"\caption{{{_escape_tex(f'{c.title} ({c.dataset}). {table.title}.')}}}")
        lines += [rf"\begin{{tabular}}{{@{{}}l{'r' * (len(table.header) - 1)}@{{}}}}", r"\toprule"]
        lines += [" & ".join(_escape_tex(name) for name in table.header) + r" \\", r"\midrule"]
        for row in table.rows:
            cells = (rf"\textbf{{{_escape_tex(t)}}}" if b else _escape_tex(t) for t, b in row)
            lines.append(" & ".join(cells) + r" \\")
        parts.append("\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]))
    items = "\n".join(rf"\item {_escape_tex(note)}" for note in notes)
    parts.append(f"\\begin{{itemize}}\n\\footnotesize\n{items}\n\\end{{itemize}}")
    return "\n\n".join(parts) + "\n"


_STYLE = """
:root { color-scheme: light dark; --ink: #1b1c1d; --page: #ffffff; --soft: #5b6066;
  --line: #d0d4d8; --grid: #dfe2e5; --band: #f4f6f8; --warn: #fff1e6; --warn-line: #d55e00; }
@media screen and (prefers-color-scheme: dark) { :root { --ink: #e8eaec; --page: #16181b;
  --soft: #a5abb2; --line: #3c4147; --grid: #33383d; --band: #1f2327; --warn: #35200f; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem; background: var(--page);
  color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.soft, figcaption { color: var(--soft); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; }
th, td { padding: .35rem .6rem; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal;
  overflow-wrap: anywhere; min-width: 6rem; }
thead th { border-bottom: 2px solid var(--ink); vertical-align: bottom; white-space: normal; }
tbody tr:nth-child(even) { background: var(--band); }
.warning { background: var(--warn); border-left: 5px solid var(--warn-line);
  padding: .6rem .9rem; margin: 1rem 0; overflow-wrap: anywhere; }
.notes li, .settings td { overflow-wrap: anywhere; }
figure { margin: 1rem 0 1.5rem; }
figure svg { display: block; width: 100%; height: auto; color: var(--ink); }
figcaption { font-size: .9em; }
.settings td, .settings th { white-space: normal; text-align: left; }
.settings td:first-child { width: 35%; }
.settings td { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .86em; }
summary { cursor: pointer; font-weight: 600; margin: .6rem 0; }
@media print { @page { margin: 12mm; }
  body { max-width: none; padding: 0; font-size: 10px; }
  .wide { overflow: visible; }
  th, td { padding: .2rem .3rem; }
  h2, summary, thead { break-after: avoid; } figure, tr { break-inside: avoid; }
  details::details-content { content-visibility: visible; block-size: auto; } }
"""


def _html(
    c: _Comparison, tables: Sequence[_Table], notes: Sequence[str], drawn: Sequence[plots.Plot]
) -> str:
    title = f"{c.title} ({c.dataset})"
    body = [f"<h1>{escape(c.title)}</h1>", f'<p class="soft">Data set: {escape(c.dataset)}</p>']
    body += [f'<p class="warning"><b>Warning:</b> {escape(w)}</p>' for w in c.warnings]
    body += [_html_table(table) for table in tables]
    body.append("<h2>Notes</h2>\n<ul class='notes'>")
    body += [f"<li>{escape(note)}</li>" for note in notes]
    body.append("</ul>\n<h2>Plots</h2>")
    if not drawn:
        body.append(
            "<p>matplotlib is not installed, so there are no plots. Install it with "
            f"<code>{escape(plots.INSTALL)}</code>, then run <code>recbole-dmf report</code> on "
            "this folder again.</p>"
        )
    for plot in drawn:
        body.append(f"<figure>{plot.svg}<figcaption>{escape(plot.caption)}</figcaption></figure>")
    body.append("<h2>Settings</h2>")
    body += _html_settings(c)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _html_table(table: _Table) -> str:
    head = "".join(f"<th scope='col'>{escape(name)}</th>" for name in table.header)
    rows = []
    for row in table.rows:
        cells = (f"<b>{escape(text)}</b>" if bold else escape(text) for text, bold in row)
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return (
        f"<h2>{escape(table.title)}</h2>\n<div class='wide'><table>\n<thead><tr>{head}</tr></thead>"
        "\n<tbody>\n" + "\n".join(rows) + "\n</tbody></table></div>"
    )


def _html_settings(c: _Comparison) -> list[str]:
    """What each model alone is set to, then what all have in common."""
    models: dict[str, dict[str, str]] = {}
    for label, runs in c.runs.items():
        if not runs:
            continue
        settings = [run.result.get("settings", {}) for run in runs]
        names = dict.fromkeys(name for s in settings for name in s if name != "seed")
        models[label] = {
            name: " | ".join(dict.fromkeys(_setting(s, name) for s in settings)) for name in names
        }
    shared: dict[str, str] = {}
    if len(models) > 1:
        first, *others = models.values()
        shared = {k: v for k, v in first.items() if all(o.get(k) == v for o in others)}
    parts = []
    for label, values in models.items():
        own = {name: value for name, value in values.items() if name not in shared}
        commands = " ; ".join(
            dict.fromkeys(_one_line(str(r.result.get("command", "")), 1000) for r in c.runs[label])
        )
        line = f"<p class='notes'><code>{escape(commands)}</code></p>" if commands.strip() else ""
        parts.append(
            f"<details open><summary>{escape(label)}</summary>{line}{_pairs_table(own)}</details>"
        )
    if shared:
        parts.append(
            f"<details><summary>The same for all models ({len(shared)})</summary>"
            f"{_pairs_table(shared)}</details>"
        )
    return parts


def _setting(settings: Mapping[str, Any], name: str) -> str:
    return json.dumps(settings[name], ensure_ascii=False) if name in settings else _NO_VALUE


def _pairs_table(pairs: Mapping[str, str]) -> str:
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in pairs.items()
    )
    return f"<table class='settings'><tbody>{rows}</tbody></table>" if rows else "<p>None.</p>"
