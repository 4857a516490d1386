"""What the files of a data set say, as its property file."""

from pathlib import Path

import pandas as pd

from recbole_dmf.data.atomic import read_inter
from recbole_dmf.data.benchmark_files import find_parts
from recbole_dmf.data.header import header_fields
from recbole_dmf.datasets.writer import number_text
from recbole_dmf.errors import UserError

_OPTIONAL = ("rating", "timestamp")


def property_file(folder: Path) -> str:
    """The text of a property file for `<name>.inter` in a folder, name as the folder's.

    Raises:
        UserError: there is no such file, or it cannot be used.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder. Name the folder that holds the atomic files.")
    name = folder.resolve().name
    parts = find_parts(folder, name)
    files = [f"{name}.{part}.inter" for part in parts or ()] or [f"{name}.inter"]
    columns = [[field.name for field in header_fields(folder / file)] for file in files]
    present = [c for c in _OPTIONAL if all(c in fields for fields in columns)]
    rating, time = (column if column in present else None for column in _OPTIONAL)
    rows = pd.concat(
        [read_inter(folder / file, rating_field=rating, time_field=time) for file in files]
    )
    source = files[0] if len(files) == 1 else "all parts"
    lines = [("load_col:", f"(dict) the columns to read; the header of {source}")]
    names = ", ".join(("user_id", "item_id", *present))
    meaning = "Eq. (2)" if rating else "no rating, so every interaction counts as 1: Eq. (1)"
    lines.append((f"  inter: [{names}]", f"(list) {meaning}"))
    if parts:
        value = f"benchmark_filename: [{', '.join(parts)}]"
        lines.append((value, f"(list) the ready-made parts; the files {', '.join(files)}"))
    if rating:
        low, high = (number_text(v) for v in (rows[rating].min(), rows[rating].max()))
        where = f"the highest rating in {source} (the lowest is {low}); correct it if the scale"
        lines.append((f"max_rating: {high}", f"(float) max(R) of Eq. (12); {where} goes further"))
    lines.append(("normalize_all: False", "(bool) Eq. (2) keeps the ratings as they are"))
    width = max(len(text) for text, _ in lines)
    users, items = rows["user_id"].nunique(), rows["item_id"].nunique()
    head = f"# {name}, {users:,} users, {items:,} items, {len(rows):,} interactions.\n\n"
    return head + "".join(f"{text:<{width}} # {comment}\n" for text, comment in lines)
