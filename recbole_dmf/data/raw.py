"""Read raw text from files, folders, zip and gzip archives in blocks, and gather interactions."""

import codecs
import gzip
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
from tqdm import tqdm

from recbole_dmf.errors import UserError

BLOCK = 1 << 25
MAX_RATIO = 200  # text shrinks to a fifth or so; more than this is no rating data
FREE_SIZE = 16 << 20  # bytes that may come out of any archive
FORBIDDEN = ("\t", "\n", "\r", "\0")


@dataclass(frozen=True)
class Member:
    """A file that can be read: on its own, in a folder or in an archive.

    place: its name in messages. size: bytes to come, None where unknown.
    """

    place: str
    size: int | None
    open: Callable[[], IO[bytes]]


@dataclass(frozen=True)
class Interactions:
    """Who did what: row r is users[r], items[r], ratings[r] and times[r].

    users, items: categoricals of str. ratings, times: float64 [rows], None where unknown.
    """

    users: pd.Categorical
    items: pd.Categorical
    ratings: np.ndarray | None
    times: np.ndarray | None

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


def members(source: Path) -> dict[str, Member]:
    """The files in a folder or zip archive, or a file itself, by name (without folder or `.gz`).

    Nothing is ever extracted to the disk. Of equal names in an archive, the outermost counts.

    Raises:
        UserError: `source` does not exist or is a damaged archive.
    """
    if not source.exists():
        raise UserError(
            f"{source}: no such file or folder. Download the raw data "
            "(MovieLens: https://grouplens.org/datasets/movielens/) and name it."
        )
    if source.is_dir():
        return {
            _stem(path.name): _file(path) for path in sorted(source.iterdir()) if path.is_file()
        }
    if source.suffix.lower() != ".zip":
        return {_stem(source.name): _file(source)}
    try:
        with zipfile.ZipFile(source) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise UserError(
            f"{source} is not a usable zip archive: {error}. Download it again."
        ) from None
    found: dict[str, Member] = {}
    for info in sorted(infos, key=lambda info: info.filename.count("/")):
        if not info.filename.startswith("__MACOSX/"):
            name = _stem(info.filename.rpartition("/")[2])
            found.setdefault(name, _zipped(source, info))
    return found


def _stem(name: str) -> str:
    return name.removesuffix(".gz")


def _file(path: Path) -> Member:
    if path.suffix == ".gz":
        return Member(str(path), None, lambda: gzip.open(path, "rb"))  # type: ignore[arg-type,return-value]
    return Member(str(path), path.stat().st_size, lambda: path.open("rb"))


def _zipped(source: Path, info: zipfile.ZipInfo) -> Member:
    def opened() -> IO[bytes]:
        if info.file_size > MAX_RATIO * info.compress_size + FREE_SIZE:
            raise UserError(
                f"{source}: {info.filename} claims to unpack to {info.file_size >> 20} MB from "
                f"{info.compress_size >> 10} KB, which no rating data does. Download it again."
            )
        return zipfile.ZipFile(source).open(info)

    return Member(f"{source}:{info.filename}", info.file_size, opened)


@contextmanager
def reading(member: Member) -> Iterator[IO[bytes]]:
    """The open stream; whatever is wrong with the file or archive becomes a UserError."""
    try:
        with member.open() as stream:
            yield stream
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise UserError(f"{member.place} cannot be read: {error}. Download it again.") from None
    except (RuntimeError, NotImplementedError) as error:  # how zipfile reports these two
        raise UserError(
            f"{member.place} cannot be unpacked: {error}. "
            "Encrypted or unusual archives have to be unpacked first."
        ) from None


def blocks(member: Member) -> Iterator[tuple[int, bytes]]:
    """Whole lines of a text file, some ten MB at a time, each with its first line's number.

    A byte-order mark is left out; every block ends with a line feed.
    """
    line, rest, done = 1, b"", 0
    with (
        reading(member) as stream,
        tqdm(total=member.size, unit="B", unit_scale=True, disable=None, leave=False) as bar,
    ):
        while chunk := stream.read(BLOCK):
            if done == 0:
                chunk = chunk.removeprefix(codecs.BOM_UTF8)
            done += len(chunk)
            bar.update(len(chunk))
            _check_size(member, done)
            chunk = rest + chunk
            cut = chunk.rfind(b"\n") + 1
            chunk, rest = chunk[:cut], chunk[cut:]
            if len(rest) > BLOCK:
                raise UserError(f"{member.place}, line {line}: not a text file with lines.")
            if chunk:
                yield line, chunk
                line += chunk.count(b"\n")
    if rest:
        yield line, rest + b"\n"
    elif done == 0:
        raise UserError(f"{member.place} is empty. Download it again.")


class _Joined(io.RawIOBase):
    """The blocks of a member as one stream of bytes."""

    def __init__(self, member: Member) -> None:
        self._blocks = blocks(member)
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        if not self._left:
            self._left = memoryview(next(self._blocks, (0, b""))[1])
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size


def stream(member: Member) -> io.BufferedReader:
    """The lines of a text file as `blocks` gives them, as one stream."""
    return io.BufferedReader(_Joined(member), 1 << 20)


def _check_size(member: Member, done: int) -> None:
    if member.size is None and done > MAX_RATIO * Path(member.place).stat().st_size + FREE_SIZE:
        raise UserError(f"{member.place} unpacks to over {done >> 20} MB: this is no rating data.")


def whole_text(member: Member) -> str:
    """A small file as text: UTF-8, or else Latin-1 as in the older MovieLens sets."""
    data = b"".join(block for _, block in blocks(member))
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


class Gatherer:
    """Collects blocks of interactions; ids are held once each, as text."""

    def __init__(self) -> None:
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
                "Shift the ratings above 0, or leave the row or the rating column out."
            )
        for codes, parts in zip(coded, self._codes, strict=True):
            parts.append(codes)
        if ratings is not None:
            self._ratings.append(ratings)
        if times is not None:
            self._times.append(times)

    def result(self, place: str) -> Interactions:
        """All rows so far; UserError where there are none."""
        if not any(len(codes) for codes in self._codes[0]):
            raise UserError(f"{place}: no interactions. Download it again or name another file.")
        users, items = (
            pd.Categorical.from_codes(np.concatenate(parts), pd.Index(list(ids), dtype=object))
            for parts, ids in zip(self._codes, self._ids, strict=True)
        )
        ratings = np.concatenate(self._ratings) if self._ratings else None
        times = np.concatenate(self._times) if self._times else None
        return Interactions(users, items, ratings, times)


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
        return "is empty"
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
