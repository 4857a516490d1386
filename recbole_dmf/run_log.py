"""A run's messages: on standard output and in its folder."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recbole_dmf.errors import write_error
from recbole_dmf.run_folder import RUN_LOG


class _LogFile(logging.FileHandler):
    """A full disk ends the run; logging's own answer is a traceback for each message."""

    def handleError(self, record):
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            raise write_error(Path(self.baseFilename), error) from error
        super().handleError(record)


@contextmanager
def run_log(folder: Path, level: str, silent: bool) -> Iterator[None]:
    """Show and keep messages for the time of the run.

    Args:
        folder: of the run.
        level: of `logging`, for example "INFO".
        silent: of the processes that train together all but one show and keep nothing.
    """
    root = logging.getLogger()
    if silent:
        root.setLevel(logging.ERROR)
        yield
        return
    handlers_before, level_before = root.handlers[:], root.level
    file = _LogFile(folder / RUN_LOG, encoding="utf-8")
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout), file]
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(message)s"))
    root.handlers = handlers
    root.setLevel(level)
    try:
        yield
    finally:
        root.handlers = handlers_before
        root.setLevel(level_before)
        file.close()
