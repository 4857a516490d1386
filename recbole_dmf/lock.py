"""A lock that the operating system gives back when its holder ends, however it ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recbole_dmf.errors import Busy
from recbole_dmf.system import check_system

check_system()  # a message in place of "No module named 'fcntl'"

import fcntl  # noqa: E402


@contextmanager
def locked(path: Path, refusal: str | None = None) -> Iterator[None]:
    """Hold the lock `path`; the file is made if need be and stays.

    Args:
        path: the lock's file; its folder exists.
        refusal: message if another process holds it; None: wait for it.

    Raises:
        Busy: another process holds it.
    """
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if refusal else 0))
        except BlockingIOError:
            raise Busy(str(refusal)) from None
        yield


def is_held(path: Path) -> bool:
    """Whether a process holds the lock `path`; it may not be there at all."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
