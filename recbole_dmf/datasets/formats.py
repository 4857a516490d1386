"""The formats that `recbole-dmf convert` reads, and how one is told from the source."""

from pathlib import Path

from recbole_dmf.datasets.archives import first_line, members
from recbole_dmf.datasets.json_lines import first_record
from recbole_dmf.datasets.lists import looks_like_lists
from recbole_dmf.datasets.ncf import is_ncf
from recbole_dmf.datasets.sources import REVIEW_KEYS, amazon_columns
from recbole_dmf.errors import UserError

FORMATS = ("movielens", "amazon", "table", "lists", "ncf")


def detect(source: Path) -> str:
    """The format of a source; UserError where it is none of `FORMATS`."""
    if is_ncf(source):
        return "ncf"
    names = members(source)
    if any(name in names for name in ("u.data", "ratings.dat", "ratings.csv")):
        return "movielens"
    if len(names) == 1 and source.is_file():
        ((name, member),) = names.items()
        suffix = Path(name).suffix.lower()
        if suffix in (".json", ".jsonl"):
            first = first_record(member) or {}
            amazons = any(set(keys) <= set(first) for keys in REVIEW_KEYS)
            return "amazon" if amazons else "table"
        if suffix == ".csv":
            first_fields = first_line(member).split(",")
            if "parent_asin" in first_fields or amazon_columns([first_fields]):
                return "amazon"
        if suffix == ".txt" and looks_like_lists(member):
            return "lists"
        if suffix in (".csv", ".tsv", ".txt", ".dat", ".parquet"):
            return "table"
    raise UserError(
        f"{source}: the format is not recognised from its name and contents. "
        f"Name it before the source: `recbole-dmf convert FORMAT {source} OUT` with FORMAT one of "
        f"{', '.join(FORMATS)}."
    )
