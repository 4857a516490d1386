"""Ready-made parts (RecBole's option `benchmark_filename`) and ready-made candidates."""

from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recbole_dmf.data.atomic import read_inter
from recbole_dmf.data.split import Indices, Split, drop_duplicates
from recbole_dmf.errors import UserError
from recbole_dmf.options import clip


def part_names(option: Any) -> list[str]:
    """The names in `benchmark_filename`: train, perhaps valid, test.

    Raises:
        UserError: anything but two or three different names.
    """
    names = option if isinstance(option, list | tuple) else [option]
    plain = all(isinstance(n, str) and n and not set(n) & set("/\\\0") for n in names)
    if not plain or len(set(names)) != len(names) or len(names) not in (2, 3):
        raise UserError(
            f"benchmark_filename is {clip(repr(option))}; give the middle of the files' names, for "
            "instance [train, valid, test] for NAME.train.inter, NAME.valid.inter and "
            "NAME.test.inter, or [train, test]."
        )
    return list(names)


def find_parts(folder: Path, name: str) -> list[str] | None:
    """Parts of a data set that has `name.train.inter` and `name.test.inter` but no `name.inter`."""
    found = [
        part for part in ("train", "valid", "test") if (folder / f"{name}.{part}.inter").is_file()
    ]
    whole = (folder / f"{name}.inter").exists()
    return found if not whole and {"train", "test"} <= set(found) else None


def split_parts(
    user: NDArray,
    item: NDArray,
    timestamp: NDArray | None,
    parts: dict[str, int],
    seed: int,
    tokens: NDArray,
) -> tuple[Split, list[str]]:
    """The split that the files make.

    Of a (user, item) pair that occurs repeatedly, the last part's row is kept, and within a part
    the latest. Without a validation part, one random training interaction of each user with two or
    more is taken for validation, as leave-one-out does (Sec. 4.1).

    Args:
        user, item: int [n_rows], the parts' rows one after the other.
        timestamp: float64 [n_rows], or None.
        parts: name -> number of rows, in order: train, perhaps valid, test.
        seed: of the validation draw.
        tokens: the users' own ids by `user`, for messages.

    Returns:
        The split, and a text for everything that was decided or left out.

    Raises:
        UserError: a user has two interactions in test or validation, or a part is empty.
    """
    n_rows = len(user)
    rows = np.arange(n_rows)
    part = np.repeat(np.arange(len(parts)), list(parts.values()))
    place = np.empty(n_rows, dtype=np.int64)
    place[np.lexsort((rows, rows if timestamp is None else timestamp, part))] = rows
    kept = np.zeros(n_rows, dtype=bool)
    kept[drop_duplicates(user, item, place)] = True
    notes = []
    for number, name in enumerate(parts):
        if dropped := int((~kept & (part == number)).sum()):
            where = f"{name} or a later part" if number < len(parts) - 1 else name
            notes.append(
                f"{dropped} interaction(s) of {name} repeat a (user, item) pair of {where} and "
                "were left out."
            )
    chosen = [rows[kept & (part == number)] for number in range(len(parts))]
    for name, part_rows in list(zip(parts, chosen, strict=True))[1:]:
        _check_one_per_user(user[part_rows], name, tokens)
    if len(parts) == 2:
        held_out = chosen[0][_one_per_user(user[chosen[0]], seed)]
        chosen.insert(1, held_out)
        chosen[0] = np.setdiff1d(chosen[0], held_out, assume_unique=True)
        notes.append(
            f"no validation file: one random training interaction of each of {len(held_out)} "
            f"users (split_seed {seed}) validates."
        )
    _check_not_empty(chosen, parts)
    nobody = np.zeros(0, dtype=np.int64)
    train, valid, test = chosen
    return Split(train, valid, test, nobody, nobody, tied=0), notes


def _check_not_empty(chosen: list[Indices], parts: dict[str, int]) -> None:
    for name, part_rows in zip(("training", "validation", "test"), chosen, strict=True):
        if not len(part_rows):
            sizes = ", ".join(f"{n}: {size}" for n, size in parts.items())
            raise UserError(
                f"no {name} interaction is left (interactions in the files: {sizes}); are the "
                "parts different files of one data set?"
            )


def _check_one_per_user(user: NDArray, part: str, tokens: NDArray) -> None:
    ids, counts = np.unique(user, return_counts=True)
    if (counts > 1).any():
        token = str(tokens[ids[np.argmax(counts > 1)]])
        raise UserError(
            f"user {token!r} has {counts.max()} interactions in "
            f"the part '{part}' ({int((counts > 1).sum())} users have several), but one left-"
            "out item per user is ranked. Keep one each, or choose another split in eval_args."
        )


def _one_per_user(user: NDArray, seed: int) -> Indices:
    """A random row of each user that has two or more; int64, ascending."""
    order = np.argsort(user, kind="stable")
    _, starts, counts = np.unique(user[order], return_index=True, return_counts=True)
    several = counts > 1
    generator = np.random.default_rng([seed, 0x5A11])
    return np.sort(order[starts[several] + generator.integers(0, counts[several])])


def read_candidates(
    path: Path,
    target: dict[int, int],
    seen: sp.csr_matrix,
    ids: tuple[dict[str, int], dict[str, int]],
    fields: tuple[str, str] = ("user_id", "item_id"),
    separator: str = "\t",
) -> tuple[NDArray[np.int64], list[str]]:
    """Candidates from a file with a row per (user, candidate).

    Args:
        path: `NAME.PART.candidates`, with the header `user_id:token  item_id:token`.
        target: user -> left-out item, for every evaluated user.
        seen: [n_users, n_items], non-zero at all interactions of all parts.
        ids: the numbers of the users' and the items' own ids.
        fields: names of the two columns.
        separator: of the columns.

    Returns:
        int64 [len(target), width] in the order of `target`, -1 where a user has fewer, and a text
        for everything that is unusual. Repeated candidates and the target itself are left out;
        items that the user has interacted with are ranked as the file says.

    Raises:
        UserError: a line cannot be used, or a user of `target` has no candidates.
    """
    row, item = _candidate_pairs(path, target, ids, fields, separator)
    users, targets = (np.fromiter(v, np.int64, len(target)) for v in (target, target.values()))
    own = item == targets[row]
    again = np.ones(len(row), dtype=bool)
    again[np.unique(row * seen.shape[1] + item, return_index=True)[1]] = False
    again &= ~own
    keep = ~own & ~again
    row, item = row[keep], item[keep]
    counts = np.bincount(row, minlength=len(users))
    if not counts.all():
        empty = users[np.argmin(counts)]
        token = next(token for token, u in ids[0].items() if u == empty)
        raise UserError(
            f"{path}: user {str(token)!r} has a left-out interaction but no candidates "
            f"({int((counts == 0).sum())} such users). Add lines for them."
        )
    order = np.argsort(row, kind="stable")
    items = np.full((len(users), counts.max()), -1, dtype=np.int64)
    column = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    items[row[order], column] = item[order]
    seen_too = int((np.asarray(seen[users[row], item]) != 0).sum())
    return items, _notes(path.name, counts, int(again.sum()), int(own.sum()), seen_too)


def _notes(name: str, counts: NDArray[np.int64], again: int, own: int, seen_too: int) -> list[str]:
    """What is said of a file of candidates, of which each user has `counts`."""
    least, most = int(counts.min()), int(counts.max())
    notes = [f"{name}: {least if least == most else f'{least} to {most}'} candidates per user"]
    for number, what in (
        (again, "repeat another one of the same user and are ranked once"),
        (own, "are the left-out item itself and were left out of the candidates"),
        (
            seen_too,
            "are items that the user has interacted with; they are ranked, as the file says",
        ),
    ):
        if number:
            notes.append(f"{name}: {number} line(s) {what}.")
    return notes


def _candidate_pairs(
    path: Path,
    target: dict[int, int],
    ids: tuple[dict[str, int], dict[str, int]],
    fields: tuple[str, str],
    separator: str,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The place of each line's user in `target`, and the number of its item."""
    frame = read_inter(
        path,
        user_field=fields[0],
        item_field=fields[1],
        rating_field=None,
        time_field=None,
        separator=separator,
    )

    def numbers(column: int, known: dict[str, int], problem: str) -> NDArray[np.int64]:
        found = frame[fields[column]].map(known)
        if found.isna().any():
            row = int(np.argmax(found.isna()))
            raise UserError(
                f"{path}, line {frame.index[row] + 2}: {'user' if column == 0 else 'item'} "
                f"{frame[fields[column]].iloc[row]!r} {problem}"
            )
        return found.to_numpy(dtype=np.int64)

    where = {u: row for row, u in enumerate(target)}
    tested = {token: where[u] for token, u in ids[0].items() if u in where}
    return numbers(
        0, tested, "has candidates but no left-out interaction; remove its lines."
    ), numbers(
        1,
        {token: i for token, i in ids[1].items() if i != 0},  # RecBole's padding
        "has no interaction in any part, so no model knows it; remove the line, or, if the ids are "
        "whole numbers and it is not above the highest one, set candidate_items: raw.",
    )
