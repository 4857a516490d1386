"""Read text from files, folders, zip and gzip archives in blocks, without unpacking to the disk."""

import codecs
import gzip
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tqdm import tqdm

from recbole_dmf.errors import UserError

BLOCK = 1 << 25
MAX_RATIO = 200  # text shrinks to a fifth or so; more than this is no rating data
FREE_SIZE = 16 << 20  # bytes that may come out of any archive


@dataclass(frozen=True)
class Member:
    """A file that can be read: on its own, in a folder or in an archive.

    place: its name in messages. size: bytes to come, None where unknown.
    """

    place: str
    size: int | None
    open: Callable[[], IO[bytes]]


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

    A byte-order mark is left out, UTF-16 that has one becomes UTF-8; every block ends with a line
    feed.
    """
    line, rest, done, utf16 = 1, b"", 0, None
    with (
        reading(member) as stream,
        tqdm(total=member.size, unit="B", unit_scale=True, disable=None, leave=False) as bar,
    ):
        while chunk := stream.read(BLOCK):
            if done == 0:
                if chunk.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                    utf16 = codecs.getincrementaldecoder("utf-16")()
                chunk = chunk.removeprefix(codecs.BOM_UTF8)
            done += len(chunk)
            bar.update(len(chunk))
            _check_size(member, done)
            if utf16 is not None:
                chunk = _as_utf8(utf16, chunk, member.place)
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


def _as_utf8(decoder: codecs.IncrementalDecoder, chunk: bytes, place: str) -> bytes:
    try:
        return decoder.decode(chunk).encode()
    except UnicodeError as error:
        raise UserError(f"{place}: damaged UTF-16 ({error}). Save it as UTF-8.") from None


class _Joined(io.RawIOBase):
    """The blocks of a member as one stream of bytes, each changed by `change`."""

    def __init__(self, member: Member, change: Callable[[bytes], bytes]) -> None:
        self._blocks = (change(block) for _, block in blocks(member))
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        if not self._left:
            self._left = memoryview(next(self._blocks, b""))
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size


def stream(
    member: Member, change: Callable[[bytes], bytes] = lambda block: block
) -> io.BufferedReader:
    """The lines of a text file as `blocks` gives them, each block changed, as one stream."""
    return io.BufferedReader(_Joined(member, change), 1 << 20)


def first_line(member: Member) -> str:
    """The first line of a text file without its end."""
    data = next(blocks(member))[1]
    return data.partition(b"\n")[0].decode("utf-8", "replace").strip("\r\ufeff")


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
