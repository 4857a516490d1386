"""The one exception that users see: a message they can act on and an exit code."""

import errno
from pathlib import Path

# Exit codes of the commands, as README lists them.
FAILED = 1  # an error that nobody expected, or a run of a comparison failed
BAD_INPUT = 2  # options, files or data that cannot be used
NOT_FINITE = 3  # the loss or the scores became infinite or not a number
DEAD = 4  # the model scores everything alike
DISK_FULL = 5
NOT_WRITABLE = 6  # a read-only file or folder
OUT_OF_MEMORY = 7
UNKNOWN_USERS = 8  # some of the users are unknown to the model; the others are answered
INTERRUPTED = 130  # Ctrl-C
TERMINATED = 143  # SIGTERM

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)


class UserError(Exception):
    """Something that the user can put right.

    Args:
        message: what was wrong, where (file, line, field or option) and what to do.
        exit_code: process exit code of the command-line tools; 2 for bad input.
    """

    def __init__(self, message: str, exit_code: int = BAD_INPUT):
        super().__init__(message)
        self.exit_code = exit_code

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows, by IPython's convention: the message alone."""
        return [f"error: {self}"]


class CannotResume(UserError):
    """The unfinished run in a folder has other options or data, or its files are damaged."""


class Busy(UserError):
    """Another process is at work on the same folder."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, a batch queue's request to end; tidied up after as Ctrl-C is."""


def interruption(stop: KeyboardInterrupt) -> tuple[str, int]:
    """What stopped the program, in words, and the exit code."""
    if isinstance(stop, Terminated):
        return "terminated (SIGTERM)", TERMINATED
    return "interrupted", INTERRUPTED


def write_error(path: Path, error: OSError) -> UserError:
    """The error of a file or folder that could not be written."""
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return UserError(
            f"cannot write {path}: the disk is full ({reason}); free some space or choose another "
            "folder.",
            exit_code=DISK_FULL,
        )
    code = NOT_WRITABLE if error.errno in _FORBIDDEN else BAD_INPUT
    return UserError(f"cannot write {path}: {reason}; choose another folder.", code)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: Python's and NumPy's error, a fork's, or torch's allocators'."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    texts = ("out of memory", "not enough memory", "can't allocate memory")
    of_torch = isinstance(error, RuntimeError) and any(text in str(error) for text in texts)
    return of_torch or isinstance(error, MemoryError)
