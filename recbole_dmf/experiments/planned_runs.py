"""The runs of a comparison: where each is stored, its options, and whether it is finished."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recbole_dmf.config import build_config, changes, replayable_settings, uses_our_split
from recbole_dmf.errors import UserError
from recbole_dmf.experiments.plan import Column
from recbole_dmf.experiments.run_metrics import metric_names
from recbole_dmf.options import Config, nearest
from recbole_dmf.run_folder import is_finished, read_result, read_settings

# The same for every seed.
DETERMINISTIC = (
    *("ItemPop", "ItemKNN", "AsymKNN", "EASE", "ADMMSLIM"),
    *("RecentPop", "SequentialKNN"),
)
_UNFINISHED = ".unfinished-"


@dataclass(frozen=True)
class PlannedRun:
    """One model with one seed.

    Attributes:
        options: as given, with the seed.
        settings: complete, as in config.yaml.
        folder: of the finished run; the unfinished and the failed one are beside it.
    """

    column: Column
    seed: int
    options: dict[str, Any]
    settings: dict[str, Any]
    folder: Path

    @property
    def name(self) -> str:
        return f"{self.column.label}, seed {self.seed}"

    @property
    def unfinished(self) -> Path:
        return self.folder.with_name(f"{_UNFINISHED}{self.folder.name}")

    @property
    def failed(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}-failed")


def plan_runs(
    folder: Path, dataset: str, columns: Sequence[Column], seeds: Sequence[int]
) -> list[PlannedRun]:
    """A run for each model and seed; all options are checked.

    Raises:
        UserError: an option that cannot be used.
    """
    runs = []
    for column in columns:
        if "seed" in column.options:
            raise UserError(f"{column.label} is given a seed; give all models --seeds=1,2,3.")
        for seed in seeds[:1] if column.model in DETERMINISTIC else seeds:
            chosen = {**column.options, "seed": seed}
            _check_plain(column.label, chosen)
            config = build_config(column.model, dataset, None, chosen)
            _check_protocol(config)
            path = folder / "runs" / f"{column.label}-seed{seed}"
            runs.append(PlannedRun(column, seed, chosen, replayable_settings(config), path))
    return runs


def _check_plain(label: str, options: Mapping[str, Any]) -> None:
    for name, value in options.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError) as error:
            raise UserError(f"option '{name}' of {label}: {value!r} is no plain value.") from error


def _check_protocol(config: Config) -> None:
    """Refuse what the report has no figures for."""
    if not uses_our_split(config):
        raise UserError(
            "a comparison needs the paper's split; leave eval_args.split as it is, or use "
            "run_recbole."
        )


def asked_metrics(runs: Sequence[PlannedRun]) -> list[str]:
    """The metrics of a comparison, such as "hit@10", in the order of the options.

    Raises:
        UserError: the models are given different ones.
    """
    asked = {
        run.column.label: metric_names(run.settings["metrics"], run.settings["topk"])
        for run in runs
    }
    first, *others = asked
    for label in others:
        if asked[label] != asked[first]:
            raise UserError(
                f"{label} is ranked by {', '.join(asked[label])}, {first} by "
                f"{', '.join(asked[first])}; give all models the same metrics and topk."
            )
    return asked[first]


def check_labels(columns: Sequence[Column], unused: Mapping[str, Any]) -> None:
    """Raise for labels that are no file names or are given twice, and for a --set without a model.

    Args:
        columns: all columns.
        unused: what --set says of others, by label.

    Raises:
        UserError: on the first such label.
    """
    labels = [column.label for column in columns]
    for label in labels:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}", label):
            raise UserError(
                f"'{label}' is no name for a model; use up to 100 letters, digits, '-', '_', '.' "
                "and '+'."
            )
        if labels.count(label) > 1:
            raise UserError(f"'{label}' is given twice; give one another name with LABEL=MODEL.")
    for label in unused:
        raise UserError(f"--set {label}: no such model{nearest(label, labels)}; there are {labels}")


def why_to_run(run: PlannedRun) -> str | None:
    """'' if a run is not there, what changed if it has other settings, None if it is finished."""
    if not is_finished(run.folder):
        return ""
    settings = read_settings(run.folder)
    try:
        read_result(run.folder)
    except UserError:
        settings = {}
    return (changes(settings, run.settings) or None) if settings else "its files are damaged"


def equal_runs(run: PlannedRun, others: Iterable[PlannedRun]) -> Iterator[PlannedRun]:
    """Those of `others` that are of another comparison and have the run's options."""
    folder = run.folder.parent
    return (o for o in others if o.folder.parent != folder and o.settings == run.settings)


def total_seconds(run: PlannedRun) -> float | None:
    """How long a finished run took; None for one that is not finished."""
    try:
        return float(read_result(run.folder)["seconds"]["total"])
    except (UserError, KeyError, TypeError, ValueError):
        return None
