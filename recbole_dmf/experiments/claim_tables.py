"""What the claims are judged by: a comparison's figures in the reading to lead with.

They are read from a comparison's runs or, where these were not kept, from its results.csv, which
has a mean over the users for each run, and its users.csv.gz, which has a mean over the runs for
each user; without the latter the figures tell of chance in training alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recbole_dmf.errors import UserError
from recbole_dmf.evaluation.metrics import WARM
from recbole_dmf.evaluation.significance import bootstrap_interval, sign_flip_p, welch
from recbole_dmf.experiments.checked_files import field, read_csv, read_json
from recbole_dmf.experiments.run_metrics import DEFAULT
from recbole_dmf.experiments.runs import Compared, read_comparison
from recbole_dmf.experiments.user_figures import FILE, means_by_user, read_users

USERS_AND_SEEDS, USERS, SEEDS = "users and seeds", "users alone", "seeds alone"
_ROUNDING = 1e-4  # users.csv.gz has six digits


@dataclass(frozen=True)
class MeasuredTable:
    """The figures of a comparison.

    Attributes:
        reading: of all figures.
        misleads: whether the audit has another reading to lead with, which was not measured.
        means: by label and metric, the mean over the users of each run.
        users: by label and metric, the mean over the runs of each user; None: not kept.
        deterministic: labels of the models that are the same for every seed.
        expected: the paper's figures by label.
        source: of the figures, as plain data.
    """

    reading: str
    misleads: bool
    means: dict[str, dict[str, list[float]]]
    users: dict[str, dict[str, pd.Series]] | None
    deterministic: Sequence[str]
    expected: dict[str, dict[str, Any]]
    source: dict[str, Any]

    def chance(self, labels: Sequence[str]) -> str:
        """What kinds of chance the figures of these columns tell of."""
        if self.users is None:
            return SEEDS
        runs = [len(self.means[k]["hit@10"]) for k in labels if k not in self.deterministic]
        return USERS_AND_SEEDS if min(runs, default=2) > 1 else USERS


@dataclass(frozen=True)
class Difference:
    """One column less another.

    Attributes:
        mean: in metric units.
        low, high: 95 % interval: by bootstrap over the users, or by Welch's t over the runs.
        p_value: of the paired permutation test over the users, or of Welch's over the runs.
        seed_low, seed_high: the range over pairs of runs.
    """

    mean: float
    low: float
    high: float
    p_value: float
    seed_low: float
    seed_high: float


def read_table(folder: Path, audit: Path) -> MeasuredTable | None:
    """The figures in a comparison's folder; None where there are none.

    Args:
        folder: with comparison.json, and runs or results.csv (and users.csv.gz).
        audit: of the data set's audit; asked where the runs were not kept.

    Raises:
        UserError: a file is damaged.
    """
    if any((folder / "runs").glob("*/result.json")):
        return _of_runs(read_comparison(folder, None))
    if (folder / "results.csv").is_file():
        return _of_figures(folder, audit)
    return None


def _of_runs(c: Compared) -> MeasuredTable:
    runs = [run for group in c.runs.values() for run in group]
    finished = {label: group for label, group in c.runs.items() if group}
    users = means_by_user(finished, c.reading)
    means = {
        label: {m: [run.metric(m, c.reading) for run in group] for m in DEFAULT}
        for label, group in finished.items()
    }
    once = [label for label, state in c.states.items() if state == "deterministic"]
    wanted = c.reading if c.audit is None else c.audit["headline"]
    hashes = {str(run.result.get("candidates_sha256", {}).get("test")) for run in runs}
    source = {
        "from": "runs",
        "seeds": {label: [run.seed for run in group] for label, group in c.runs.items()},
        "users": _n_users(users),
        "candidates_sha256": sorted(hashes),
        "data_sha256": sorted({str(run.result.get("data_sha256")) for run in runs}),
        "commits": sorted({str(run.result.get("commit")) for run in runs}),
    }
    return MeasuredTable(c.reading, wanted != c.reading, means, users, once, c.expected, source)


def _of_figures(folder: Path, audit: Path) -> MeasuredTable:
    path = folder / "comparison.json"
    about = read_json(path, "run the comparison again")
    rows = read_csv(
        folder / "results.csv", ("model", "phase", "metric", "reading"), ("seed", "value")
    )
    rows = rows[(rows["phase"] == "test") & rows["metric"].isin(DEFAULT)]
    wanted = "expected"
    if audit.is_file():
        wanted = field(read_json(audit, "make it again"), "headline", str, audit)
    reading = wanted if (rows["reading"] == wanted).any() else "expected"
    rows = rows[rows["reading"] == reading]
    means = {
        str(label): {
            metric: group[group["metric"] == metric]["value"].tolist() for metric in DEFAULT
        }
        for label, group in rows.groupby("model")
    }
    seeds = {
        str(label): sorted({int(seed) for seed in group["seed"]})
        for label, group in rows.groupby("model")
    }
    once = field(about, "deterministic", list, path, default=[])
    expected = field(about, "expected", dict, path, default={})
    users = read_users(folder, list(means), reading)
    source: dict[str, Any] = {"from": "results.csv", "seeds": seeds}
    if users is not None:
        _check_means(folder / FILE, users, means)
        source = {"from": f"results.csv, {FILE}", "seeds": seeds, "users": _n_users(users)}
    return MeasuredTable(reading, wanted == WARM != reading, means, users, once, expected, source)


def _n_users(users: dict[str, dict[str, pd.Series]]) -> int:
    return len(next(iter(next(iter(users.values())).values())))


def _check_means(
    path: Path, users: dict[str, dict[str, pd.Series]], means: dict[str, dict[str, list[float]]]
) -> None:
    for label, by_metric in users.items():
        for metric, values in by_metric.items():
            stored = float(np.mean(means[label][metric]))
            if abs(stored - values.mean()) > _ROUNDING:
                raise UserError(
                    f"{path}: the users of '{label}' give {metric} {values.mean():.4f}, "
                    f"results.csv says {stored:.4f}; the two files are not of the same comparison. "
                    "Write both again with `recbole-dmf report`."
                )


def difference(table: MeasuredTable, label: str, other: str, metric: str) -> Difference:
    """`label` less `other`."""
    ours, theirs = (np.array(table.means[name][metric]) for name in (label, other))
    by_seed = np.subtract.outer(ours, theirs)
    if table.users is not None:
        first = table.users[label][metric]
        second = table.users[other][metric].reindex(first.index)
        per_user = (first - second).to_numpy()
        mean = float(per_user.mean())
        p_value = float(sign_flip_p(per_user[:, None])[0])
        low, high = bootstrap_interval(per_user)
    else:
        once = [name in table.deterministic for name in (label, other)]
        mean, low, high, p_value = welch(ours, theirs, once)
    return Difference(mean, low, high, p_value, float(by_seed.min()), float(by_seed.max()))
