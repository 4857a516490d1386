"""Gather the interactions of a source block by block, with ids as text and checked numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from recbole_dmf.errors import UserError

FORBIDDEN = ("\t", "\n", "\r", "\0")


@dataclass(frozen=True)
class Interactions:
    """Who did what: row r is users[r], items[r], ratings[r] and times[r].

    users, items: categoricals of str. ratings, times: float64 [rows], None where unknown.
    left_out: a text for each kind of row of the source that is not among them.
    """

    users: pd.Categorical
    items: pd.Categorical
    ratings: np.ndarray | None
    times: np.ndarray | None
    left_out: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.users)

    def where(self, rows: np.ndarray) -> "Interactions":
        """The rows that a bool array [rows] chooses."""
        if rows.all():
            return self
        ratings = None if self.ratings is None else self.ratings[rows]
        times = None if self.times is None else self.times[rows]
        return replace(
            self, users=self.users[rows], items=self.items[rows], ratings=ratings, times=times
        )


@dataclass(frozen=True)
class LeaveOut:
    """Which rows of a source are left out, in place of an error or of being kept.

    below: ratings below this one; None keeps all. empty: rows with an empty or missing field.
    """

    below: float | None = None
    empty: bool = False


NOTHING = LeaveOut()


class Gatherer:
    """Collects blocks of interactions; ids are held once each, as text.

    Args:
        leave_out: rows to leave out; how many they are is said in the result.
    """

    def __init__(self, leave_out: LeaveOut = NOTHING) -> None:
        self.leave_out = leave_out
        self.n_empty = self.n_headers = self._n_below = 0
        self._ids: tuple[dict[str, int], dict[str, int]] = ({}, {})
        self._codes: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        self._ratings: list[np.ndarray] = []
        self._times: list[np.ndarray] = []

    def add(
        self,
        users: pd.Series,
        items: pd.Series,
        ratings: np.ndarray | None,
        times: np.ndarray | None,
        place: Callable[[int], str],
    ) -> None:
        """Add rows.

        Args:
            users, items: categoricals of str, every category in use.
            ratings, times: float64 or None; the same in every call.
            place: says where a row number is in the source.

        Raises:
            UserError: an id that no atomic file can hold, or a rating or time that cannot be used.
        """
        if ratings is not None and self.leave_out.below is not None:
            keep = ~(ratings < self.leave_out.below)  # NaN stays, for its message below
            self._n_below += int((~keep).sum())
            if not keep.all():
                users, items = (
                    column[keep].cat.remove_unused_categories() for column in (users, items)
                )
                rows = np.flatnonzero(keep)
                ratings, times = ratings[keep], None if times is None else times[keep]
                everywhere = place

                def place(row: int) -> str:
                    return everywhere(int(rows[row]))

        coded = [
            _coded(column, ids, place, role)
            for column, ids, role in zip((users, items), self._ids, ("user", "item"), strict=True)
        ]
        for values, role in ((ratings, "rating"), (times, "timestamp")):
            if values is not None and (bad := ~np.isfinite(values)).any():
                row = int(np.argmax(bad))
                raise UserError(
                    f"{place(row)}: the {role} is missing or not finite. Correct or remove it."
                )
        if ratings is not None and (bad := ratings <= 0).any():
            row = int(np.argmax(bad))
            raise UserError(
                f"{place(row)}: rating {ratings[row]:g}, but 0 stands for `no interaction`. "
                "If it means that there is no rating, leave such rows out by --min-rating=X, X the "
                "lowest of the scale; otherwise shift the ratings above 0."
            )
        for codes, parts in zip(coded, self._codes, strict=True):
            parts.append(codes)
        if ratings is not None:
            self._ratings.append(ratings)
        if times is not None:
            self._times.append(times)

    def result(self, place: str) -> Interactions:
        """All rows so far; UserError where there are none."""
        counts = (
            (self._n_below, f"rows with a rating below {self.leave_out.below}"),
            (self.n_empty, "rows with an empty or missing field"),
            (self.n_headers, "repeated header lines"),
        )
        left_out = tuple(f"{count:,} {what} left out" for count, what in counts if count)
        if not any(len(codes) for codes in self._codes[0]):
            found = f" ({', '.join(left_out)})" if left_out else ""
            raise UserError(
                f"{place}: no interactions{found}. Download it again or name another file."
            )
        users, items = (
            pd.Categorical.from_codes(np.concatenate(parts), pd.Index(list(ids), dtype=object))
            for parts, ids in zip(self._codes, self._ids, strict=True)
        )
        ratings = np.concatenate(self._ratings) if self._ratings else None
        times = np.concatenate(self._times) if self._times else None
        return Interactions(users, items, ratings, times, left_out)


def _coded(
    column: pd.Series, ids: dict[str, int], place: Callable[[int], str], role: str
) -> np.ndarray:
    texts = column.cat.categories
    for position, text in enumerate(texts):
        if text not in ids and (reason := _unfit(text)):
            row = int(np.argmax(column.cat.codes.to_numpy() == position))
            raise UserError(
                f"{place(row)}: the {role} id {text[:60]!r} {reason}. Rename or remove it."
            )
    table = np.array([ids.setdefault(text, len(ids)) for text in texts], dtype=np.int32)
    return table[column.cat.codes.to_numpy()]


def _unfit(text: str) -> str | None:
    """Why an atomic file cannot hold this id."""
    if not text:
        return "is empty (of a table, --drop-empty leaves such rows out)"
    if any(character in text for character in FORBIDDEN):
        return "has a tab, a line end or a NUL in it"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "is not valid Unicode"
    return None


def as_texts(values: pd.Series | Sequence, place: Callable[[int], str], role: str) -> pd.Series:
    """A column of ids (str or int) as a categorical of str; UserError for anything else."""
    column = pd.Series(values)
    if pd.api.types.is_float_dtype(column.dtype):
        raise UserError(
            f"{place(0)}: the {role} ids are floating-point numbers ({column.iloc[0]}). "
            "Make them strings or integers, with no missing ones."
        )
    try:
        codes, distinct = pd.factorize(column)
    except TypeError:
        raise UserError(f"{place(0)}: {role} ids are lists or objects, not strings.") from None
    if (codes < 0).any():
        row = int(np.argmax(codes < 0))
        raise UserError(f"{place(row)}: the {role} id is missing. Fill it in or remove the row.")
    for position, value in enumerate(distinct):
        if isinstance(value, bool | np.bool_) or not isinstance(value, str | int | np.integer):
            row = int(np.argmax(codes == position))
            kind = type(value).__name__
            raise UserError(
                f"{place(row)}: the {role} id is a {kind}. Make it a string or integer."
            )
    inner, texts = pd.factorize(np.array([str(value) for value in distinct], dtype=object))
    codes = inner[codes] if len(inner) else codes
    return pd.Series(pd.Categorical.from_codes(codes, pd.Index(texts, dtype=object)))
