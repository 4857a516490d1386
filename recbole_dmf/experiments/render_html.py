"""Tables, notes, plots and settings as one HTML page that needs nothing else."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from recbole_dmf.experiments import plots
from recbole_dmf.experiments.checked_files import one_line
from recbole_dmf.experiments.result_tables import NO_VALUE, ResultTable
from recbole_dmf.experiments.runs import Compared

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


def render_html(
    c: Compared, tables: Sequence[ResultTable], notes: Sequence[str], drawn: Sequence[plots.Plot]
) -> str:
    """report.html."""
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


def _html_table(table: ResultTable) -> str:
    head = "".join(f"<th scope='col'>{escape(name)}</th>" for name in table.header)
    rows = []
    for row in table.rows:
        cells = (f"<b>{escape(text)}</b>" if bold else escape(text) for text, bold in row)
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return (
        f"<h2>{escape(table.title)}</h2>\n<div class='wide'><table>\n<thead><tr>{head}</tr></thead>"
        "\n<tbody>\n" + "\n".join(rows) + "\n</tbody></table></div>"
    )


def _html_settings(c: Compared) -> list[str]:
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
            dict.fromkeys(one_line(str(r.result.get("command", "")), 1000) for r in c.runs[label])
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
    return json.dumps(settings[name], ensure_ascii=False) if name in settings else NO_VALUE


def _pairs_table(pairs: Mapping[str, str]) -> str:
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in pairs.items()
    )
    return f"<table class='settings'><tbody>{rows}</tbody></table>" if rows else "<p>None.</p>"
