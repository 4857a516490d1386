"""The audit of a comparison's data set: its file in the comparison's folder, and its look."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from tabulate import tabulate

from recbole_dmf.errors import UserError
from recbole_dmf.evaluation.metrics import READINGS, WARM
from recbole_dmf.experiments.checked_files import field, one_line, read_json
from recbole_dmf.files import make_folder, write_text
from recbole_dmf.manifest import commit, versions

AUDIT = "audit.json"
HEADER = ("Finding", "Values", "Verdict")
AGAIN = "the same `recbole-dmf compare` or `reproduce` command makes it anew"


def write_audit(path: Path, found: dict[str, Any], command: str) -> None:
    """Write what `audit.audit` found; the folder is made where there is none."""
    make_folder(path.parent)
    about = {"command": command, "versions": versions(), "commit": commit()}
    write_text(path, json.dumps({**about, **found}, indent=2) + "\n")


def read_audit(folder: Path, data_sha256: Collection[str]) -> dict[str, Any] | None:
    """The audit in a comparison's folder; None where there is none or it is of other data.

    Args:
        folder: of the comparison.
        data_sha256: of its runs' data.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / AUDIT
    if not path.is_file():
        return None
    found = read_json(path, f"delete it; {AGAIN}")
    if field(found, "data_sha256", str, path) not in data_sha256:
        return None
    field(found, "dataset", str, path)
    _check(isinstance(found.get("misleads"), bool), "misleads", path)
    _check(found.get("headline") in (*READINGS, WARM), "headline", path)
    for finding in field(found, "findings", list, path):
        for name, kind in (("name", str), ("values", dict), ("verdict", str)):
            field(finding, name, kind, path)
        _check(isinstance(finding.get("misleads"), bool), "findings.misleads", path)
        numbers = finding["values"].values()
        _check(all(isinstance(n, int | float) for n in numbers), "findings.values", path)
    return found


def _check(right: bool, name: str, path: Path) -> None:
    if not right:
        raise UserError(f"{path}: field '{name}' is damaged; delete the file, {AGAIN}.")


def rows(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """A line per finding, under `HEADER`; those that mislead first."""
    ordered = sorted(found["findings"], key=lambda finding: not finding["misleads"])
    return [(f["name"], _shown(f["values"]), f["verdict"]) for f in ordered]


def _shown(values: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.3f}" if isinstance(value, float) else f"{name} {value:,}"
        for name, value in values.items()
    )


def misleading(found: dict[str, Any]) -> list[str]:
    """The names of the findings that mislead."""
    return [finding["name"] for finding in found["findings"] if finding["misleads"]]


def summary(found: dict[str, Any]) -> str:
    """One sentence for a report."""
    names = misleading(found)
    if not names:
        return f"{found['dataset']}: all findings are harmless."
    return one_line(f"{found['dataset']}: figures mislead by {', '.join(names)}.")


def audit_text(found: dict[str, Any]) -> str:
    """All findings for a console."""
    table = tabulate(rows(found), HEADER, tablefmt="simple", maxcolwidths=[26, 34, 56])
    return f"{summary(found)} Figures to lead with: {found['headline']}.\n\n{table}"
