"""What an experiment compares: columns, tuned settings and the paper's figures, from its file."""

from dataclasses import dataclass
from typing import Any

from recbole_dmf.errors import UserError
from recbole_dmf.host.properties import read_preset, shipped_properties
from recbole_dmf.installation import property_names
from recbole_dmf.options import nearest

TUNED = "table2"  # the file whose `settings` hold for every command
PAPER = ("table2", "table3", "table4", "table5", "figure2")  # the experiments of the paper


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
