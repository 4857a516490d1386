"""Everything in a data folder that makes a run fail or mislead."""

from pathlib import Path

import numpy as np
import pandas as pd

from recbole_dmf.data.atomic import EXACT_FLOAT
from recbole_dmf.data.lines import listed
from recbole_dmf.data.split import MIN_INTERACTIONS, drop_duplicates, latest_rows, leave_one_out
from recbole_dmf.datasets.lenient import (
    SEVERITIES,
    Finding,
    ReadableRows,
    read_lenient,
    repeated,
)
from recbole_dmf.datasets.settings import column_names, read_settings, separator_of, unknown_options
from recbole_dmf.datasets.summary import MILLISECONDS, cold_items
from recbole_dmf.errors import UserError

N_CANDIDATES = 100
OUTLIER = 5  # times the 99th percentile


def check_folder(
    folder: Path, properties: dict | None = None, known_options: set[str] | None = None
) -> list[Finding]:
    """All problems of the atomic files and the property file in a folder, worst first.

    Args:
        folder: holds `<name>.inter` and perhaps `.item`, `.user` and `.yaml`, name as the folder's.
        properties: RecBole's settings for this data (field names, `field_separator`, and
            `max_rating`, the highest rating of the scale); by default those in `<name>.yaml`.
        known_options: the options there are; None leaves the settings' names unchecked.

    Raises:
        UserError: `folder` is not a folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder. Name the folder that holds the atomic files.")
    name = folder.resolve().name
    findings: list[Finding] = []
    if properties is None:
        properties, findings = read_settings(folder / f"{name}.yaml")
    findings += unknown_options(f"{name}.yaml", properties, known_options)
    columns, more = column_names(properties)
    findings += more
    separator, more = separator_of(properties)
    findings += more
    paths = sorted(folder.glob("*.inter"))
    if not (folder / f"{name}.inter").exists() and not any(
        path.name.startswith(f"{name}.") for path in paths
    ):
        message = "no such file" + (f"; there is {paths[0].name}" if paths else "")
        remedy = "Give the interactions the folder's name, or make them with `recbole-dmf convert`."
        findings.append(Finding("error", f"{name}.inter", None, None, message, remedy))
    for path in paths:
        findings += _check_interactions(path, columns, separator, properties)
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def _check_interactions(
    path: Path, columns: dict[str, str], separator: str, properties: dict
) -> list[Finding]:
    ids = {columns["user"]: "token", columns["item"]: "token"}
    types = ids | {columns["rating"]: "float", columns["time"]: "float"}
    table, findings = read_lenient(path, types, separator)
    if table is None:
        return findings
    present = list(table.columns)
    for role, name in columns.items():
        if name not in present:
            severity = {"rating": "note", "time": "warning"}.get(role, "error")
            remedy = {
                "rating": "Without ratings every interaction counts as 1.",
                "time": "Without times, the last line of each user becomes the test item.",
            }.get(role, f"Rename a column to `{name}:token`, or set the option that names it.")
            message = f"no such column; there are {listed(present)}"
            findings.append(Finding(severity, path.name, 1, name, message, remedy))
    if not ids.keys() <= set(present):
        return findings

    times = None
    if columns["rating"] in present:
        findings += _check_ratings(path.name, table, columns["rating"], properties)
    if columns["time"] in present:
        times = table.columns[columns["time"]].to_numpy()
        findings += _check_times(path.name, table.lines, columns["time"], times)
    for role in ("user", "item"):
        findings += _check_ids(path.name, table, columns[role])
    findings += _check_pairs(path.name, table, columns, times)
    if path.stem == path.resolve().parent.name:  # not for the parts of a benchmark split
        findings += _check_split(path.name, table, columns, times)
        for role in ("item", "user"):
            other = path.with_suffix(f".{role}")
            if other.exists():
                findings += _check_side(other, columns[role], table, separator, role)
    return findings


def _check_ratings(file: str, table: ReadableRows, name: str, properties: dict) -> list[Finding]:
    values = table.columns[name].to_numpy()
    remedy = (
        "0 stands for `no interaction`: leave the lines out (`--fix OUT --drop-unrated`, or the "
        "option val_interval), or shift the ratings."
    )
    zero = repeated("error", file, table.lines[values <= 0], name, "a rating of 0 or less", remedy)
    top = properties.get("max_rating")
    if top is None:
        usual = float(np.percentile(values, 99))
        high = table.lines[values > OUTLIER * max(usual, 1.0)]
        message = f"ratings far above the rest (99 % are at most {usual:g})"
        remedy = "All ratings are divided by the highest one: correct it, or set `max_rating`."
        return zero + repeated("warning", file, high, name, message, remedy)
    if isinstance(top, bool) or not isinstance(top, int | float) or not top > 0:
        message = f"max_rating: {top!r} is not a number above 0"
        return [*zero, Finding("error", "settings", None, None, message, "Write a number.")]
    message = f"ratings above max_rating, {top:g}"
    remedy = "Correct the rating, or `max_rating` in the settings."
    return zero + repeated("error", file, table.lines[values > top], name, message, remedy)


def _check_times(file: str, lines: np.ndarray, name: str, times: np.ndarray) -> list[Finding]:
    known = np.abs(times[times != 0])
    far = known > MILLISECONDS
    findings = []

    def found(severity: str, rows: np.ndarray, message: str, remedy: str) -> None:
        findings.extend(repeated(severity, file, lines[rows], name, message, remedy))

    everywhere = np.ones(len(times), dtype=bool)
    file_order = "Each user's test item is then the last of the file; give true times."
    if len(known) == 0:
        nobody = "Nobody's latest item is known, so nobody is tested: give true times, or none."
        found("error", everywhere, "all timestamps are 0", nobody)
    elif len(times) > 1 and (times == times[0]).all():
        found("warning", everywhere, "all timestamps are equal", file_order)
    else:
        message = "0 as timestamp, which usually means unknown"
        found("note", times == 0, message, "Make sure that each user's latest time is true.")
    too_large = np.abs(times) >= EXACT_FLOAT
    seconds = "Write seconds since 1970; `--fix OUT` does it."
    found("error", too_large, "a timestamp too large to be held exactly", seconds)
    if far.any() and not far.all():
        rare = far.mean() < 0.5
        rows = (times != 0) & ((np.abs(times) > MILLISECONDS) == rare)
        found("error", rows, "timestamps in different units", "Write all of them in seconds.")
    elif far.any() and not too_large.all():
        found("warning", everywhere, "timestamps in milliseconds, not seconds", seconds)
    return findings


def _check_ids(file: str, table: ReadableRows, name: str) -> list[Finding]:
    column = table.columns[name]
    categories = column.cat.categories
    stripped = categories.str.strip()
    padded = np.asarray(stripped != categories) & np.asarray(stripped.duplicated(keep=False))
    codes = column.cat.codes.to_numpy()
    message = "ids that differ from another one by spaces around them only"
    remedy = "They count as two different ids; remove the spaces if they are not."
    findings = repeated("warning", file, table.lines[padded[codes]], name, message, remedy)
    reserved = table.lines[(column == "[PAD]").to_numpy()]
    remedy = "Rename it: RecBole uses it for its row 0."
    return findings + repeated("error", file, reserved, name, "the id [PAD]", remedy)


def _codes(column: pd.Series) -> np.ndarray:
    """Codes 0..n-1, each of which occurs: rows may have been left out since parsing."""
    return pd.factorize(column.cat.codes.to_numpy())[0]


def _check_pairs(
    file: str, table: ReadableRows, columns: dict[str, str], times: np.ndarray | None
) -> list[Finding]:
    users, items = _codes(table.columns[columns["user"]]), _codes(table.columns[columns["item"]])
    again = np.delete(table.lines, drop_duplicates(users, items, times))
    message = "the same user and item as on another line"
    return repeated("warning", file, again, None, message, "Only the latest line will be used.")


def _check_split(
    file: str, table: ReadableRows, columns: dict[str, str], times: np.ndarray | None
) -> list[Finding]:
    """What leave-one-out with 100 candidates makes of the interactions, counted as a run does."""
    names, lines = table.columns[columns["user"]], table.lines
    users, items = _codes(names), _codes(table.columns[columns["item"]])
    kept = drop_duplicates(users, items, times)
    users, items, lines = _renumber(users[kept]), _renumber(items[kept]), lines[kept]
    times = times[kept] if times is not None and times.any() else None
    split = leave_one_out(users, times, seed=0)  # who is tested depends on no seed
    test, level = latest_rows(users, times)
    n_users, n_items = len(test), int(items.max()) + 1
    unseen = n_items - np.bincount(users)
    tested, short, untimed = np.zeros((3, n_users), bool)
    tested[users[split.test]] = short[split.short_users] = untimed[split.untimed_users] = True

    def of_users(severity: str, chosen: np.ndarray, message: str, remedy: str) -> list[Finding]:
        who = names[kept].iloc[test[chosen]]
        message = f"{chosen.sum()} of {n_users} users {message}, e.g. {', '.join(who[:3])}"
        where = np.sort(lines[test[chosen]])
        return repeated(severity, file, where, columns["user"], message, remedy)

    few = f"have fewer than {MIN_INTERACTIONS} interactions"
    left = f"have fewer than {N_CANDIDATES} items that they have not rated"
    order = "The last of them in the file becomes the test item."
    unknown = "have 0 as their latest timestamp"
    out = "They are trained on, but not tested"
    everything = "have rated every item"
    findings = of_users("warning", short, few, f"{out}.")
    findings += of_users("warning", tested & (unseen == 0), everything, f"{out}.")
    tested &= unseen > 0
    among = "They cannot be ranked among 100."
    findings += of_users("warning", tested & (unseen < N_CANDIDATES), left, among)
    findings += of_users("note", tested & (level > 1), "have several latest items", order)
    times_unknown = f"{out}, as long as their times are unknown."
    findings += of_users("warning", untimed, unknown, times_unknown)
    if cold := cold_items(items, test):
        message = f"{cold} of {n_users} users' latest items occur in no other interaction"
        remedy = "Nothing is known about these test items in training."
        findings.append(Finding("note", file, None, columns["item"], message, remedy))
    return findings


def _renumber(codes: np.ndarray) -> np.ndarray:
    return pd.factorize(codes)[0]


def _check_side(
    path: Path, name: str, interactions: ReadableRows, separator: str, role: str
) -> list[Finding]:
    table, findings = read_lenient(path, {name: "token"}, separator, quotes=True)
    if table is None:
        return findings
    if name not in table.columns:
        message = f"no such column; there are {listed(table.columns)}"
        return [*findings, Finding("error", path.name, 1, name, message, "Rename a column.")]
    column = table.columns[name]
    twice = table.lines[column.duplicated().to_numpy()]
    message = f"the same {role} again"
    findings += repeated("warning", path.name, twice, name, message, "Only the first line is used.")
    seen = set(interactions.columns[name].cat.categories)
    unused = table.lines[~column.isin(seen).to_numpy()]
    message = f"{role}s without any interaction"
    remedy = "They are never trained on and never recommended."
    findings += repeated("note", path.name, unused, name, message, remedy)
    if missing := sorted(seen - set(column)):
        message = f"{len(missing)} {role}s with interactions are not listed, e.g. {missing[0]!r}"
        remedy = (
            "RecBole leaves their interactions out of a run that reads this file; "
            "`filter_inter_by_user_or_item: False` keeps them, without features."
        )
        findings.append(Finding("warning", path.name, None, name, message, remedy))
    return findings


def show(findings: list[Finding]) -> str:
    """The findings as text, grouped by severity, with counts and first lines."""
    texts = []
    for severity in SEVERITIES:
        group = [finding for finding in findings if finding.severity == severity]
        if group:
            texts.append(f"{severity}s ({len(group)})")
        for found in group:
            where = found.file + (f", column {found.column}" if found.column else "")
            if found.lines and found.count > 1:
                more = ", ..." if found.count > len(found.lines) else ""
                numbered = ", ".join(map(str, found.lines)) + more
                where += f", {found.count} lines ({numbered})"
            elif found.line is not None:
                where += f", line {found.line}"
            texts.append(f"  {where}: {found.message}. {found.remedy}".rstrip())
    return "\n".join(texts)
