"""The runs of a comparison: where each is stored, its options, and whether it is finished."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from recbole_dmf.config import build_config, changes, replayable_settings, uses_our_split
from recbole_dmf.errors import UserError
from recbole_dmf.experiments.plan import Column
from recbole_dmf.options import nearest

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


def _check_protocol(config) -> None:
    """Refuse what the report has no figures for."""
    metrics = {metric.lower() for metric in config["metrics"]}
    if not uses_our_split(config) or not {"hit", "ndcg"} <= metrics:
        raise UserError(
            "a comparison needs the paper's split and the metrics Hit and NDCG; leave "
            "eval_args.split and metrics as they are, or use run_recbole."
        )
    if 10 not in config["topk"]:
        raise UserError(f"a comparison needs 10 in topk, not only {config['topk']}.")


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
    try:
        json.loads((run.folder / "result.json").read_bytes())
        there = yaml.safe_load((run.folder / "config.yaml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, yaml.YAMLError):
        return "its files are damaged"
    if not isinstance(there, dict):
        return "its files are damaged"
    return changes(there, run.settings) or None
