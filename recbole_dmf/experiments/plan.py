"""What an experiment compares: columns, tuned settings and the paper's figures, from its file."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from recbole_dmf.errors import UserError
from recbole_dmf.host.properties import property_names, read_preset, shipped_properties
from recbole_dmf.literals import literal
from recbole_dmf.options import clip, nearest

TUNED = "table2"  # the file whose `settings` hold for every command


@dataclass(frozen=True)
class Column:
    """One column of a table: a model under a label, with options of its own."""

    label: str
    model: str
    options: dict[str, Any]


@dataclass(frozen=True)
class Experiment:
    """A property file `experiment/<name>.yaml`.

    Attributes:
        title, source: for headings and notes.
        columns: in the order of the table.
        settings: options found by tuning, by data set and label.
        expected: the paper's figures, by data set and label, {"hit@10": .., "ndcg@10": ..}.
    """

    title: str
    source: str
    columns: tuple[Column, ...]
    settings: dict[str, dict[str, dict[str, Any]]]
    expected: dict[str, dict[str, dict[str, float]]]

    def tuned(self, column: Column, dataset: str) -> dict[str, Any]:
        """Options found by tuning for a column; {} where there are none."""
        return self.settings.get(dataset, {}).get(column.label, {})

    def figures(self, dataset: str) -> dict[str, dict[str, Any]]:
        """The paper's figures on a data set by label, each with its source."""
        return {
            label: {**values, "source": f"{self.source}, {label}"}
            for label, values in self.expected.get(dataset, {}).items()
        }


def experiment_names() -> list[str]:
    """Names of all experiments."""
    return property_names("experiment")


def read_experiment(name: str) -> Experiment:
    """The experiment `name`.

    Raises:
        UserError: there is none of this name.
    """
    if name not in experiment_names():
        raise UserError(
            f"there is no experiment '{name}'{nearest(name, experiment_names())}; known: "
            f"{', '.join(experiment_names())}."
        )
    content = shipped_properties("experiment", name)
    columns = tuple(
        Column(label, about["model"], about.get("options", {}))
        for label, about in content["columns"].items()
    )
    return Experiment(
        content["title"], content["source"], columns, content["settings"], content["expected"]
    )


def find_column(name: str, experiment: Experiment) -> Column:
    """The column that `name` stands for: a label, a preset or a model's name.

    A model's name stands for the experiment's column of this model without options, if there is
    one, so that its settings and figures are found; else for a column of its own.
    """
    for column in experiment.columns:
        if column.label == name or (column.model == name and not column.options):
            return column
    if name in property_names("preset"):
        return Column(name, read_preset(name)["model"], {"preset": name})
    return Column(name, name, {})


def take_settings(argv: Sequence[str]) -> tuple[list[str], dict[str, dict[str, Any]]]:
    """Split `--set Label.option=value ...` from the other words.

    Returns:
        The other words, and the options by label.

    Raises:
        UserError: a value of --set has another form, or is given twice.
    """
    rest: list[str] = []
    chosen: dict[str, dict[str, Any]] = {}
    taking = False
    for word in argv:
        if word.startswith("--"):
            taking = word == "--set" or word.startswith("--set=")
            word = word.removeprefix("--set=")
            if word == "--set":
                continue
        if not taking:
            rest.append(word)
            continue
        found = re.fullmatch(r"([^=]+)\.([A-Za-z_]\w*)=(.*)", word, re.DOTALL)
        if found is None:
            raise UserError(f"--set {clip(word)}: write it as --set Model.option=value.")
        label, option, value = found.groups()
        if option in chosen.setdefault(label, {}):
            raise UserError(f"--set {label}.{option} is given twice.")
        chosen[label][option] = literal(value)
    if taking and not chosen:
        raise UserError("--set has no value; write --set Model.option=value.")
    return rest, chosen


def whole_numbers(text: str, option: str) -> list[int]:
    """'1,2,3' as distinct whole numbers.

    Raises:
        UserError: anything else.
    """
    words = [word.strip() for word in text.split(",")]
    if not all(re.fullmatch("[0-9]{1,9}", word) for word in words) or len(set(words)) < len(words):
        raise UserError(f"--{option}={text}: write different whole numbers as --{option}=1,2,3.")
    return [int(word) for word in words]
