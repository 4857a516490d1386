"""Tables, notes, plots and settings as one HTML page that needs no other file."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from recbole_dmf.experiments import plots
from recbole_dmf.experiments.checked_files import one_line
from recbole_dmf.experiments.result_tables import NO_VALUE, ResultTable
from recbole_dmf.experiments.runs import Compared


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("recbole_dmf.experiments", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja")


def render_html(
    c: Compared, tables: Sequence[ResultTable], notes: Sequence[str], drawn: Sequence[plots.Plot]
) -> str:
    """report.html."""
    settings = {label: _settings(c, label) for label, runs in c.runs.items() if runs}
    shared = _shared(list(settings.values()))
    models = [
        {
            "label": label,
            "commands": _commands(c, label),
            "settings": {k: v for k, v in values.items() if k not in shared},
        }
        for label, values in settings.items()
    ]
    return _template().render(
        title=c.title,
        dataset=c.dataset,
        warnings=c.warnings,
        tables=tables,
        notes=notes,
        plots=drawn,
        install=plots.INSTALL,
        models=models,
        shared=shared,
    )


def _settings(c: Compared, label: str) -> dict[str, str]:
    """A model's settings as JSON text; different ones of its seeds side by side."""
    settings = [run.result.get("settings", {}) for run in c.runs[label]]
    names = dict.fromkeys(name for s in settings for name in s if name != "seed")
    return {name: " | ".join(dict.fromkeys(_setting(s, name) for s in settings)) for name in names}


def _setting(settings: Mapping[str, Any], name: str) -> str:
    return json.dumps(settings[name], ensure_ascii=False) if name in settings else NO_VALUE


def _shared(models: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The settings that are the same for all models; none for a model alone."""
    if len(models) < 2:
        return {}
    first, *others = models
    return {k: v for k, v in first.items() if all(other.get(k) == v for other in others)}


def _commands(c: Compared, label: str) -> str:
    commands = (one_line(str(run.result.get("command", "")), 1000) for run in c.runs[label])
    return " ; ".join(dict.fromkeys(filter(None, commands)))
