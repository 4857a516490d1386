"""Models that a person names, as the columns of a comparison; `recbole_dmf.compare`."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recbole_dmf.errors import UserError
from recbole_dmf.experiments import compare as comparison
from recbole_dmf.experiments.option_sources import column_of, tuned_options
from recbole_dmf.experiments.plan import TUNED, Column, find_column, read_experiment
from recbole_dmf.experiments.planned_runs import check_labels
from recbole_dmf.experiments.report import Report


def compare(
    models: Sequence[str],
    dataset: str,
    options: Mapping[str, Any] | None = None,
    own: Mapping[str, Mapping[str, Any]] | None = None,
    seeds: Sequence[int] = (1, 2, 3),
    results: Path | str | None = None,
    fresh: bool = False,
) -> Report:
    """Train and test models on the same split and candidates, as `recbole-dmf compare` does.

    Each run has a process of its own, so a script needs `if __name__ == "__main__":` around the
    call. What is finished is not run again. Options that a search found for a model on the data
    set are used, and what comes from where is printed.

    Args:
        models: names, presets, or `module:Class` of a class of your own; "LABEL=MODEL" gives one
            another name in the tables.
        dataset: name of the data set.
        options: of all models, over those that a search found.
        own: options of single models by label; they win over all others.
        seeds: a run each; deterministic models run once.
        results: folder, by default results/DATASET.
        fresh: run everything again.

    Returns:
        The report: its tables as `text`, its `files` and its `warnings`, among them runs that
        failed.

    Raises:
        UserError: an option, a model or the data set cannot be used, or no run was finished.
    """
    if isinstance(models, str) or not models:
        raise UserError("models must be a list of names, for example ['ItemPop', 'DMF'].")
    chosen = {label: dict(values) for label, values in (own or {}).items()}
    layer = ("options", dict(options or {}))
    columns, expected = columns_of(models, dataset, layer, ("own", chosen))
    check_labels(columns, chosen)
    folder = Path(results if results is not None else f"results/{dataset}")
    return comparison.compare(folder, "Comparison", dataset, columns, seeds, expected, fresh)[0]


def columns_of(
    models: Sequence[str],
    dataset: str,
    options: tuple[str, Mapping[str, Any]],
    own: tuple[str, dict[str, dict[str, Any]]],
) -> tuple[list[Column], dict[str, Any]]:
    """The columns that names stand for, and the paper's figures of them by label.

    Args:
        models: as of `compare`.
        dataset: name of the data set.
        options: of all models, after what to call their source.
        own: options by label, after what to call their source; those that are used are taken out.

    Raises:
        UserError: a search's file cannot be used.
    """
    experiment = read_experiment(TUNED)
    columns, expected = [], {}
    for word in models:
        label, _, name = word.strip().rpartition("=")
        found = find_column(name, experiment)
        label = label or re.split("[:.]", name)[-1]  # of module:Class the class
        layers = [
            tuned_options(name, found, experiment, dataset),
            (f"{found.label}'s definition", found.options),
            options,
            (own[0], own[1].pop(label, {})),
        ]
        columns.append(column_of(label, found.model, layers))
        if found.label in experiment.expected.get(dataset, {}):
            expected[label] = experiment.figures(dataset)[found.label]
    return columns, expected
