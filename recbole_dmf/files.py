"""Files that are complete or absent: written under a temporary name, flushed, then renamed."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from recbole_dmf.errors import NOT_WRITABLE, UserError, write_error
from recbole_dmf.system import check_system

check_system()

import fcntl  # noqa: E402


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path in the folder of `path` that takes its name when the block succeeds.

    File and folder are flushed to the disk. Nothing is left behind when the block fails or is
    interrupted; an older file stays as it was.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        _flush(temporary)
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
        _flush(path.parent)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Until the disk has the file; on macOS fsync alone stops at the disk's own cache."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
        if sys.platform == "darwin":
            with suppress(OSError):  # file systems on a network do not know it
                fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
    finally:
        os.close(handle)


def remove_temporary_files(folder: Path) -> None:
    """Remove what `atomic_path` left in a folder when its process was killed."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def make_folder(path: Path) -> Path:
    """Create a folder and its parents.

    Raises:
        UserError: it cannot be created or written.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot create the folder {path}: {error.strerror}; choose another one.",
            write_error(path, error).exit_code,
        ) from error
    if not os.access(path, os.W_OK):
        raise UserError(f"cannot write into the folder {path}; choose another one.", NOT_WRITABLE)
    return path
