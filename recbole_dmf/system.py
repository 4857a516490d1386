"""The operating system below: which ones this package runs on, and how memory is kept."""

import ctypes
import sys

from recbole_dmf.errors import UserError

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of GNU's malloc.h
_LARGEST_INT = 2**31 - 1
SYSTEMS = {"linux": "Linux", "darwin": "macOS"}


def check_system(platform: str = sys.platform) -> None:
    """Raise unless file locks, atomic writes and process groups are there as on Linux and macOS.

    Raises:
        UserError: another system, such as Windows.
    """
    if platform not in SYSTEMS:
        raise UserError(
            f"recbole-dmf runs on {' and '.join(SYSTEMS.values())}, and this system is {platform}: "
            "its file locks and atomic writes work otherwise. On Windows run it in WSL "
            "(`wsl --install`, then the same commands in its shell)."
        )


def keep_freed_memory() -> bool:
    """Have this process use memory that it has freed again, in place of asking for new.

    GNU's C library gives what is larger than 32 MB back at once, and the system then clears the
    next tensor's pages one by one: more than half of the time of an epoch of 20 million ratings.

    Returns:
        Whether the C library is one that can; others, such as macOS', are left as they are.
    """
    options = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _LARGEST_INT))
    return all([_call("mallopt", *option) == 1 for option in options])


def return_freed_memory() -> None:
    """Give what is free back to the system, where the C library can; for the end of a phase."""
    _call("malloc_trim", 0)


def _call(name: str, *args: int) -> int | None:
    """A function of the C library; None where it has none of that name."""
    function = getattr(ctypes.CDLL(None), name, None)
    return None if function is None else int(function(*args))
