"""What the files of a data set say, as its property file."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pandas as pd

from recbole_dmf.data.atomic import read_inter
from recbole_dmf.data.benchmark_files import find_parts
from recbole_dmf.data.header import header_fields
from recbole_dmf.data.lines import listed
from recbole_dmf.datasets.writer import number_text
from recbole_dmf.errors import UserError
from recbole_dmf.literals import literal

DEFAULTS = {"user": "user_id", "item": "item_id", "rating": "rating", "timestamp": "timestamp"}
OPTIONS = {
    "user": ("USER_ID_FIELD", "users"),
    "item": ("ITEM_ID_FIELD", "items"),
    "rating": ("RATING_FIELD", "ratings"),
    "timestamp": ("TIME_FIELD", "times"),
}


def property_file(folder: Path, columns: Mapping[str, str] | None = None) -> str:
    """The text of a property file for `<name>.inter` in a folder, name as the folder's.

    Args:
        folder: the data folder.
        columns: names of the columns `user`, `item`, `rating` and `timestamp` where they are not
            RecBole's (`user_id`, `item_id`, `rating`, `timestamp`).

    Raises:
        UserError: there is no such file, or it cannot be used.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder. Name the folder that holds the atomic files.")
    name = folder.resolve().name
    parts = find_parts(folder, name)
    files = [f"{name}.{part}.inter" for part in parts or ()] or [f"{name}.inter"]
    names = {**DEFAULTS, **(columns or {})}
    headers = [[field.name for field in header_fields(folder / file)] for file in files]
    for role in columns or {}:
        if not all(names[role] in fields for fields in headers):
            raise UserError(
                f"{folder / files[0]}, line 1: no column {names[role]!r} (--{role}); there are "
                f"{listed(headers[0])}."
            )
    user, item = names["user"], names["item"]
    rating, time = (
        names[role] if all(names[role] in fields for fields in headers) else None
        for role in ("rating", "timestamp")
    )
    read = partial(
        read_inter, user_field=user, item_field=item, rating_field=rating, time_field=time
    )
    rows = pd.concat([read(folder / file) for file in files])
    source = files[0] if len(files) == 1 else "all parts"
    lines = [("load_col:", f"(dict) the columns to read; the header of {source}")]
    present = ", ".join(_yaml(column) for column in (user, item, rating, time) if column)
    meaning = "Eq. (2)" if rating else "no rating, so every interaction counts as 1: Eq. (1)"
    lines.append((f"  inter: [{present}]", f"(list) {meaning}"))
    if parts:
        value = f"benchmark_filename: [{', '.join(parts)}]"
        lines.append((value, f"(list) the ready-made parts; the files {', '.join(files)}"))
    if rating:
        low, high = (number_text(v) for v in (rows[rating].min(), rows[rating].max()))
        where = f"the highest rating in {source} (the lowest is {low}); correct it if the scale"
        lines.append((f"max_rating: {high}", f"(float) max(R) of Eq. (12); {where} goes further"))
    lines += [
        (f"{option}: {_yaml(names[role])}", f"(str) the column of the {what}")
        for role, (option, what) in OPTIONS.items()
        if names[role] != DEFAULTS[role]
    ]
    lines.append(("normalize_all: False", "(bool) Eq. (2) keeps the ratings as they are"))
    width = max(len(text) for text, _ in lines)
    users, items = rows[user].nunique(), rows[item].nunique()
    head = f"# {name}, {users:,} users, {items:,} items, {len(rows):,} interactions.\n\n"
    return head + "".join(f"{text:<{width}} # {comment}\n" for text, comment in lines)


def _yaml(name: str) -> str:
    """A column's name as YAML, in quotes where it would mean something else."""
    plain = name.replace("_", "").isalnum() and name.isascii() and literal(name) == name
    return name if plain else json.dumps(name, ensure_ascii=False)
