"""The installed commands `run_recbole` and `recbole-dmf`."""

import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from recbole_dmf.errors import (
    DISK_FULL,
    FAILED,
    OUT_OF_MEMORY,
    Terminated,
    UserError,
    interruption,
    is_out_of_memory,
    write_error,
)
from recbole_dmf.options import nearest
from recbole_dmf.system import check_system

# In the order of the help text; each is `main` of the module of its name in `commands`.
COMMANDS = {
    "compare": "several models in one table",
    "reproduce": "a table of the paper, all of them, or its claims judged by finished runs",
    "report": "redraw a comparison's report",
    "tune": "search options by validation",
    "audit": "what makes figures on a data set mislead",
    "convert": "other rating files -> atomic files",
    "check": "what is wrong with my atomic files?",
    "init-dataset": "write a data set's property file",
    "generate": "data of any size, for trials",
    "recommend": "items for users, known or new",
    "export": "vectors and weights for other programs",
    "import-checkpoint": "a plain checkpoint from one that RecBole pickled",
    "doctor": "versions, device, and mixes known to be bad",
}


def guarded(main: Callable[[list[str]], int], argv: list[str]) -> int:
    """Run a command; errors end in one message on standard error and an exit code of `errors`."""
    debug = "--debug" in argv
    argv = [word for word in argv if word != "--debug"]
    try:
        check_system()
        with _terminable():
            return main(argv)
    except BrokenPipeError:
        return FAILED
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            traceback.print_exc()
        message, code = explain(error)
        print(f"error: {message}", file=sys.stderr)
        return code


def explain(error: BaseException) -> tuple[str, int]:
    """What to say of an error, and the exit code."""
    if isinstance(error, UserError):
        return str(error), error.exit_code
    if isinstance(error, KeyboardInterrupt):
        what, code = interruption(error)
        return f"{what}.", code
    if is_out_of_memory(error):
        return "out of memory; try a smaller batch or model, or end other programs.", OUT_OF_MEMORY
    if isinstance(error, OSError):
        failed = write_error(Path(str(error.filename or "a file")), error)
        if failed.exit_code == DISK_FULL:
            return str(failed), DISK_FULL
    reason = str(error).strip() or type(error).__name__
    return f"{reason}\n(--debug shows where it happened)", FAILED


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM as an exception, so that a batch queue's end is tidied up after as Ctrl-C is."""

    def terminate(*_):
        raise Terminated

    if threading.current_thread() is not threading.main_thread():  # they get no signals
        yield
        return
    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def command_help() -> str:
    """What `recbole-dmf --help` prints."""
    lines = ["usage: recbole-dmf COMMAND [--option=value ...]", ""]
    lines += [f"  {name:<18}{what}" for name, what in COMMANDS.items()]
    lines += ["", "recbole-dmf COMMAND --help says more; run_recbole trains a single model.", ""]
    return "\n".join(lines)


def dispatch(argv: list[str]) -> int:
    """Run a command of `recbole-dmf`; returns its exit code.

    Raises:
        UserError: there is no such command, or what the command raises.
    """
    if not argv or argv[0] in ("--help", "-h"):
        print(command_help(), end="")
        return 0
    name, *rest = argv
    if name not in COMMANDS:
        raise UserError(
            f"there is no command '{name}'{nearest(name, COMMANDS)}; known: {', '.join(COMMANDS)}."
        )
    return main_of(name)(rest)


def main_of(command: str) -> Callable[[list[str]], int]:
    """The function of a command; its module is imported only now, since many take seconds."""
    return import_module(f"recbole_dmf.commands.{command.replace('-', '_')}").main


def recbole_dmf_main() -> None:
    """Entry point of `recbole-dmf`."""
    sys.exit(guarded(dispatch, sys.argv[1:]))


def run_recbole_main() -> None:
    """Entry point of `run_recbole`."""
    sys.exit(guarded(main_of("run"), sys.argv[1:]))


if __name__ == "__main__":
    run_recbole_main()
