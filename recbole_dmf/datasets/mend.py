"""A copy of a data folder that can be used."""

import shutil
from pathlib import Path

import pandas as pd

from recbole_dmf.data.split import drop_duplicates
from recbole_dmf.datasets.lenient import ReadableRows, read_lenient
from recbole_dmf.datasets.settings import column_names, read_settings, separator_of
from recbole_dmf.datasets.summary import in_seconds
from recbole_dmf.datasets.writer import write_atomic
from recbole_dmf.errors import UserError


def fix_folder(
    folder: Path, out: Path, properties: dict | None = None, drop_unrated: bool = False
) -> list[str]:
    """Write a mended copy of a data folder.

    Text becomes UTF-8 with line feeds, separators and types are put right, lines that cannot be
    read are left out, the latest of duplicated (user, item) pairs is kept, and timestamps are
    written in seconds. Files named after `folder` are named after `out`. Ratings are not changed.
    A file of users or items of which nothing can be read is left out.

    Args:
        folder: the data folder.
        out: a new or empty folder.
        properties: as for `check_folder`.
        drop_unrated: leave out the interactions with a rating of 0 or less, which mean none.

    Returns:
        What was changed, one text per kind of change and file.

    Raises:
        UserError: `out` is `folder` or not empty, or a file cannot be mended.
    """
    folder, out = Path(folder), Path(out)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder. Name the folder that holds the atomic files.")
    if out.resolve() == folder.resolve():
        raise UserError(f"--fix={out} is the folder itself. Name another one for the mended copy.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--fix={out} exists already. Name a new or empty folder.")
    old, new = folder.resolve().name, out.resolve().name
    if properties is None:
        properties, _ = read_settings(folder / f"{old}.yaml")
    columns, _ = column_names(properties)
    separator, _ = separator_of(properties)
    changes: list[str] = []
    tables, copies = {}, {}
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        name = path.name
        target = out / (new + name[len(old) :] if name.startswith(f"{old}.") else name)
        if path.suffix in (".inter", ".item", ".user"):
            table, more = _mended(path, columns, separator, drop_unrated)
            changes += more
            if table is not None:
                tables[target] = table
        else:
            copies[target] = path
    for target, table in tables.items():
        header = [f"{field.name}:{field.type}" for field in table.fields]
        written = [table.columns[name] for name in table.columns]
        if target.suffix != ".inter":
            written = [_quoted(column) for column in written]
        write_atomic(target, header, written, separator)
    for target, path in copies.items():
        shutil.copyfile(path, target)
    return changes


def _quoted(column: pd.Series) -> pd.Series:
    """Texts that start with a quote in quotes, since RecBole takes it for one around the text."""
    texts = column.cat.categories
    changed = ['"' + t.replace('"', '""') + '"' if t.startswith('"') else t for t in texts]
    return column if changed == list(texts) else column.cat.rename_categories(changed)


def _mended(
    path: Path, columns: dict[str, str], separator: str, drop_unrated: bool
) -> tuple[ReadableRows | None, list[str]]:
    ids = {columns["user"]: "token", columns["item"]: "token"}
    if path.suffix == ".inter":
        types = ids | {columns["rating"]: "float", columns["time"]: "float"}
    else:
        types = {columns[path.suffix[1:]]: "token"}
    side = path.suffix != ".inter"
    table, findings = read_lenient(path, types, separator, quotes=side)
    if table is None:
        reason = f"nothing in it can be read ({findings[-1].message})"
        if side:
            return None, [f"{path.name}: {reason}; left out"]
        raise UserError(f"{path}: {reason}. Write it again.")
    changes = [f"{found.message} (line {found.line})" for found in findings]
    if left_out := table.n_lines - len(table.lines):
        changes.append(f"{left_out} of {table.n_lines} lines left out")
    for name in table.columns.columns[table.columns.dtypes == "category"]:
        texts = table.columns[name].cat.categories
        if texts.str.contains(separator, regex=False).any():
            changes.append(f"{name}: {separator!r} inside of texts became a space")
            plain = table.columns[name].astype(object).str.replace(separator, " ", regex=False)
            table.columns[name] = plain.astype("category")
    if path.suffix == ".inter" and ids.keys() <= set(table.columns):
        table, more = _mend_interactions(table, columns, drop_unrated)
        changes += more
    return table, [f"{path.name}: {change}" for change in changes]


def _mend_interactions(
    table: ReadableRows, columns: dict[str, str], drop_unrated: bool
) -> tuple[ReadableRows, list[str]]:
    changes: list[str] = []
    times, frame, lines = None, table.columns, table.lines
    name = columns["time"]
    if name in frame:
        times, changes = in_seconds(frame[name].to_numpy())
        if changes:
            frame[name] = times
    name = columns["rating"]
    if drop_unrated and name in frame:
        rated = (frame[name] > 0).to_numpy()
        changes.append(f"{(~rated).sum()} interactions without a rating (0 or less) left out")
        frame, lines = frame[rated].reset_index(drop=True), lines[rated]
        times = None if times is None else times[rated]
        if not rated.any():
            raise UserError("no interaction has a rating above 0; mend without --drop-unrated.")
    users, items = (frame[columns[role]].cat.codes.to_numpy() for role in ("user", "item"))
    keep = drop_duplicates(users, items, times)
    if twice := len(frame) - len(keep):
        changes.append(f"{twice} duplicated (user, item) pairs left out, the latest kept")
        frame = frame.iloc[keep].reset_index(drop=True)
    return ReadableRows(table.fields, frame, lines[keep], table.n_lines), changes
