"""Where the options of a compared model come from."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recbole_dmf.errors import UserError
from recbole_dmf.experiments.plan import TUNED, Column, Experiment, find_column
from recbole_dmf.literals import load_yaml
from recbole_dmf.options import merged

BEST = "best.yaml"  # a search's result
# Not what a search chose: names, places, what is shown, and the seed, which a comparison sets.
_NOT_CHOSEN = {"model", "dataset", "data_path", "checkpoint_dir", "show_progress", "state", "seed"}

Layer = tuple[str, Mapping[str, Any]]  # where options come from, and the options


def search_folder(name: str, dataset: str) -> Path:
    """Where `recbole-dmf tune` stores a search if no other folder is given."""
    return Path(f"results/tune-{name}-{dataset}")


def tuned_options(name: str, column: Column, experiment: Experiment, dataset: str) -> Layer:
    """Options that a search found for a column: the user's own search, else the shipped ones.

    The two are not mixed, since each was validated as a whole.

    Args:
        name: as on the command line: a label, a preset or a model's name.
        column: that the name means.
        experiment: with the shipped ones.
        dataset: name of the data set.

    Raises:
        UserError: the search's file is damaged, or is one of another model or data set.
    """
    names = [name, column.label]
    if find_column(column.model, experiment) == column:
        names.append(column.model)
    for candidate in names:
        path = search_folder(candidate, dataset) / BEST
        if path.is_file():
            return f"your search ({path})", _read_best(path, column.model, dataset)
    shipped = experiment.tuned(column, dataset)
    return f"the shipped search on {dataset} (experiment/{TUNED}.yaml)", shipped


def _read_best(path: Path, model: str, dataset: str) -> dict[str, Any]:
    options = load_yaml(path)
    for option, wanted in (("model", model), ("dataset", dataset)):
        if str(options.get(option, wanted)) != wanted:
            raise UserError(
                f"{path} is of {option} {options[option]}, not of {wanted}; move it elsewhere."
            )
    return {name: value for name, value in options.items() if name not in _NOT_CHOSEN}


def column_of(label: str, model: str, layers: Sequence[Layer]) -> Column:
    """A column with the options of all layers; says where they come from.

    Args:
        label, model: the column's.
        layers: later ones win.
    """
    options, sources = combine(label, layers)
    if sources:
        print(sources)
    return Column(label, model, options)


def combine(label: str, layers: Sequence[Layer]) -> tuple[dict[str, Any], str]:
    """One set of options, and a line that says where each comes from.

    Args:
        label: the model's.
        layers: later ones win.

    Returns:
        The options, and the line; "" where there are only defaults.
    """
    options: dict[str, Any] = {}
    source_of: dict[str, str] = {}
    for source, content in layers:
        options = merged(options, content)
        source_of.update(dict.fromkeys(content, source))
    parts = []
    for source in dict.fromkeys(source for source, _ in layers):
        shown = [f"{k}={v}" for k, v in options.items() if source_of[k] == source]
        if shown:
            parts.append(f"{', '.join(shown)} from {source}")
    return options, f"{label}: {'; '.join(parts)}" if parts else ""
