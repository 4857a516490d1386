"""MovieLens and Amazon: the layouts of their files."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from recbole_dmf.data.lines import blocks_without, check_text, parse_rows
from recbole_dmf.datasets.archives import Member, blocks, first_line, members, whole_text
from recbole_dmf.datasets.gather import NOTHING, Gatherer, Interactions, LeaveOut, as_texts
from recbole_dmf.datasets.json_lines import first_record, records
from recbole_dmf.errors import UserError

COLUMNS = ("user_id", "item_id", "rating", "timestamp")
KINDS = dict(zip(COLUMNS, ("token", "token", "float", "float"), strict=True))
REVIEW_KEYS = (
    ("reviewerID", "asin", "overall", "unixReviewTime"),
    ("user_id", "parent_asin", "rating", "timestamp"),
    ("user_id", "asin", "rating", "timestamp"),
)
_YEAR = re.compile(r"(.*?)\s*\((\d{4})\)\s*")


@dataclass(frozen=True)
class Source:
    """What a source holds; tables: rows of `.item` and `.user` below their header, by suffix."""

    interactions: Interactions
    tables: dict[str, list[list[str]]] = field(default_factory=dict)


def read_lines(
    member: Member,
    separator: str,
    names: Sequence[str],
    header: str | None = None,
    leave_out: LeaveOut = NOTHING,
) -> Interactions:
    """Interactions from lines without quotes; repeated header lines are left out.

    Args:
        separator: between fields, `::` or a single character.
        names: of the columns, with `COLUMNS` among them, at least without the timestamp; other
            ones are not read.
        header: the first line, where there has to be one.
        leave_out: rows to leave out.
    """
    gatherer = Gatherer(leave_out)
    kinds = {name: kind for name, kind in KINDS.items() if name in names}
    headers = set() if header is None else {header.encode()}
    for line, data in blocks(member):
        check_text(member.place, data, line=line)
        if line == 1 and header is not None:
            found, _, data = data.partition(b"\n")
            if found.strip().decode() != header:
                raise UserError(
                    f"{member.place}, line 1: {found.decode()[:80]!r} instead of the header "
                    f"{header!r}. Convert it as a table: `recbole-dmf convert table ...`."
                )
            line = 2
        if separator == "::":
            data = data.replace(b"::", b"\t")
        one = "\t" if separator == "::" else separator
        again: list[int] = []
        for start, end, row in blocks_without(data, headers, 0, again):
            first = row + line
            frame = parse_rows(member.place, data[start:end], one, list(names), kinds, line=first)

            def place(row: int, first: int = first) -> str:
                return f"{member.place}, line {row + first}"

            times = frame["timestamp"].to_numpy() if "timestamp" in kinds else None
            ratings = frame["rating"].to_numpy()
            gatherer.add(frame["user_id"], frame["item_id"], ratings, times, place)
        gatherer.n_headers += len(again)
    return gatherer.result(member.place)


def movielens(source: Path, leave_out: LeaveOut = NOTHING) -> Source:
    """MovieLens 100k, 1M, 10M, 20M, 25M or 32M, as a folder, zip archive or ratings file."""
    found = members(source)
    if "u.data" in found:
        interactions = read_lines(found["u.data"], "\t", COLUMNS, None, leave_out)
    elif "ratings.dat" in found:
        interactions = read_lines(found["ratings.dat"], "::", COLUMNS, None, leave_out)
    elif "ratings.csv" in found:
        header = "userId,movieId,rating,timestamp"
        interactions = read_lines(found["ratings.csv"], ",", COLUMNS, header, leave_out)
    else:
        raise UserError(
            f"{source}: no u.data, ratings.dat or ratings.csv in it"
            + (f", only {', '.join(list(found)[:5])}" if found else "")
            + ". Name an archive or folder from https://grouplens.org/datasets/movielens/."
        )
    tables = {}
    for name in ("u.item", "movies.dat", "movies.csv"):
        if name in found:
            tables["item"] = _movies(found[name], name)
    for name in ("u.user", "users.dat"):
        if name in found:
            tables["user"] = _people(found[name], name)
    return Source(interactions, tables)


def _records(member: Member, name: str, n_fields: int) -> Iterator[list[str]]:
    """The fields of each line of a small side file."""
    text = whole_text(member)
    rows: Iterable[list[str]]
    separators = {"u.item": "|", "u.user": "|", "movies.dat": "::", "users.dat": "::"}
    if name in separators:
        rows = [line.split(separators[name]) for line in text.splitlines() if line]
    else:
        rows = csv.reader(io.StringIO(text))
    try:
        for number, row in enumerate(rows, 1):
            if len(row) < n_fields:
                raise UserError(
                    f"{member.place}, line {number}: {len(row)} fields instead of {n_fields}. "
                    "Correct the line, or leave the file out."
                )
            yield [" ".join(value.split()) for value in row]
    except csv.Error as error:
        raise UserError(f"{member.place}: {error}. Download it again.") from None


def _movies(member: Member, name: str) -> list[list[str]]:
    rows = [["item_id:token", "movie_title:token_seq", "release_year:token", "genre:token_seq"]]
    for record in _records(member, name, 24 if name == "u.item" else 3):
        if record[0] == "movieId":
            continue
        if name == "u.item":
            genres = [GENRES[k] for k, flag in enumerate(record[5:24]) if flag == "1"]
        else:
            genres = [] if record[-1].startswith("(") else record[-1].split("|")
        parts = _YEAR.fullmatch(record[1])
        title, year = parts.groups() if parts else (record[1], "")
        rows.append([record[0], title, year, " ".join(genres)])
    return rows


def _people(member: Member, name: str) -> list[list[str]]:
    order = (0, 1, 2, 3, 4) if name == "u.user" else (0, 2, 1, 3, 4)  # 1M: gender before age
    header = ["user_id:token", "age:token", "gender:token", "occupation:token", "zip_code:token"]
    return [header] + [[record[k] for k in order] for record in _records(member, name, 5)]


GENRES = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Thriller", "War", "Western"),
)


def amazon(source: Path, leave_out: LeaveOut = NOTHING) -> Source:
    """Amazon reviews of 2014, 2018 or 2023: ratings-only CSV or JSON lines, also gzipped."""
    found = members(source)
    if len(found) != 1 or source.is_dir():
        raise UserError(f"{source}: name one ratings or reviews file (.csv, .json, .jsonl, .gz).")
    ((name, member),) = found.items()
    if Path(name).suffix.lower() != ".csv":
        return Source(_reviews(member, leave_out))
    first = first_line(member)
    if "parent_asin" in first or "user_id" in first:
        columns = first.split(",")
        renamed = {"parent_asin": "item_id"} if "parent_asin" in columns else {"asin": "item_id"}
        names = [renamed.get(column, column) for column in columns]
        if not set(COLUMNS) <= set(names) or len(set(names)) < len(names):
            raise UserError(
                f"{member.place}, line 1: columns {first}, but user_id, parent_asin, rating and "
                "timestamp are needed. Convert it as a table."
            )
        return Source(read_lines(member, ",", names, first, leave_out))
    sample = next(blocks(member))[1].decode("utf-8", "replace").splitlines()[:1000]
    order = amazon_columns([line.split(",") for line in sample])
    if order is None:
        raise UserError(
            f"{member.place}, line 1: {first[:80]!r} is not `user,item,rating,timestamp` (2014), "
            "`item,user,rating,timestamp` (2018) nor a header (2023). Convert it as a table: "
            "`recbole-dmf convert table ... --columns=user,item,rating,timestamp --user=user ...`."
        )
    return Source(read_lines(member, ",", order, None, leave_out))


def amazon_columns(rows: list[list[str]]) -> tuple[str, ...] | None:
    """The order of the columns: product codes have ten characters, users 12 or more, mostly."""
    rows = [row for row in rows if len(row) == 4]
    products = [sum(len(row[column]) == 10 for row in rows) for column in (0, 1)]
    if not rows or max(products) < 0.9 * len(rows) or min(products) > 0.1 * len(rows):
        return None
    names = ("item_id", "user_id") if products[0] > products[1] else ("user_id", "item_id")
    return (*names, "rating", "timestamp")


def _reviews(member: Member, leave_out: LeaveOut) -> Interactions:
    gatherer = Gatherer(leave_out)
    first = first_record(member)
    keys = next((keys for keys in REVIEW_KEYS if first and set(keys) <= set(first)), None)
    wanted = keys or REVIEW_KEYS[0]
    for reviews, lines in records(member):

        def place(row: int, lines: list[int] = lines) -> str:
            return f"{member.place}, line {lines[row]}"

        for row, review in enumerate(reviews):
            if not set(wanted) <= set(review):
                raise UserError(
                    f"{place(row)}: no review with the keys {', '.join(wanted)}. Correct or "
                    "remove the line; lines of other shops are read by `recbole-dmf convert table "
                    "SOURCE OUT --user=KEY --item=KEY`."
                )
        users, items, ratings, times = ([review[key] for review in reviews] for key in wanted)
        gatherer.add(
            as_texts(users, place, "user"),
            as_texts(items, place, "item"),
            _floats(ratings, place, "rating"),
            _floats(times, place, "timestamp"),
            place,
        )
    return gatherer.result(member.place)


def _floats(values: Sequence, place: Callable[[int], str], role: str) -> np.ndarray:
    try:
        return np.array(values, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        for row, value in enumerate(values):
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise UserError(
                    f"{place(row)}: the {role} {str(value)[:60]!r} is not a number. Correct it."
                ) from None
        raise UserError(f"{place(0)}: a {role} is too large. Correct it.") from None
