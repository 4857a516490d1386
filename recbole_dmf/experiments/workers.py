"""Runs on Dask's workers: processes of this machine, or of many at a scheduler's address.

Dask finds a free worker and starts a run again whose worker has died; the run is a child process
of the worker, since its memory is measured alone and its crash must not end the worker.
"""

import contextlib
import logging
import os
import signal
import time
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recbole_dmf.errors import FAILED, UserError
from recbole_dmf.experiments.run_process import Place, Unwanted
from recbole_dmf.files import write_text
from recbole_dmf.version import __version__

if TYPE_CHECKING:
    from distributed import Client, Future

INSTALL = "pip install 'recbole-dmf[dask]'"
DAEMON = "DASK_DISTRIBUTED__WORKER__DAEMON"
# Dask has a worker give memory back at once; a run, which inherits it, would fetch the same pages
# again at each step and take up to twice as long.
TRIM = "MALLOC_TRIM_THRESHOLD_"
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_QUIET = {  # what Dask's own processes do all the time takes a tenth of a core from the runs
    "distributed.worker.profile.enabled": False,
    "distributed.worker.memory.monitor-interval": "5s",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.admin.tick.interval": "2s",
}
_POLL = 0.2  # seconds
_CONNECT = 30  # seconds


@dataclass(frozen=True)
class Jobs:
    """How many runs at a time, and where.

    Attributes:
        n: on this machine.
        scheduler: address of a Dask scheduler, whose workers are used; None: this machine.
    """

    n: int = 1
    scheduler: str | None = None

    @property
    def are_parallel(self) -> bool:
        return self.scheduler is not None or self.n > 1


ONE = Jobs()


@dataclass(frozen=True)
class Home:
    """What a worker must have in common with the command that plans the runs.

    Attributes:
        version: of this package.
        directory: where the command works.
        probe: a file in the results folder.
        threads: of each run; None: as the worker's environment says.
    """

    version: str
    directory: str
    probe: str
    threads: int | None


def require_dask() -> None:
    """Raise unless Dask is installed.

    Raises:
        UserError: it is not.
    """
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise UserError(f"--jobs and --scheduler need Dask. Install it with: {INSTALL}") from error


def threads_of_each(n_jobs: int) -> int:
    """The share of this machine's cores that each of `n_jobs` has; OMP_NUM_THREADS is a limit."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    share = max(1, (cores or 1) // n_jobs)
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(share, int(limit)) if limit.isdigit() and int(limit) else share


@contextmanager
def workers(jobs: Jobs, folder: Path) -> Iterator[tuple["Client", Home]]:
    """Connect to workers that were found fit; those of this machine live as long as the block.

    Args:
        jobs: how many, or where they are.
        folder: of the results, which every worker must see.

    Raises:
        UserError: Dask is not installed, no scheduler answers, or a worker has another version of
            this package or does not see the folder.
    """
    require_dask()
    probe = folder.resolve() / f".probe-{uuid.uuid4().hex}"
    threads = threads_of_each(jobs.n) if jobs.scheduler is None else None
    home = Home(__version__, os.getcwd(), str(probe), threads)
    with ExitStack() as stack:
        write_text(probe, "for the workers to see\n")
        stack.callback(probe.unlink, missing_ok=True)
        client = stack.enter_context(
            _local(jobs.n) if jobs.scheduler is None else _remote(jobs.scheduler)
        )
        _check_workers(client, home)
        yield client, home


@contextmanager
def _local(n: int) -> Iterator["Client"]:
    import dask
    from distributed import Client, LocalCluster, WorkerPlugin

    class LeaveInterruptToParent(WorkerPlugin):
        def setup(self, worker: Any) -> None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    # a daemonic process may have no children
    with (
        dask.config.set({"distributed.worker.daemon": False, **_QUIET}),
        LocalCluster(
            n_workers=n,
            threads_per_worker=1,
            memory_limit=0,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        client.register_plugin(LeaveInterruptToParent())
        yield client


@contextmanager
def _remote(address: str) -> Iterator["Client"]:
    from distributed import Client

    try:
        client = Client(address, timeout=_CONNECT, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"no Dask scheduler answers at --scheduler={address} ({error}); start one with "
            "`dask scheduler`, which prints its address."
        ) from error
    with client:
        yield client


def _check_workers(client: "Client", home: Home) -> None:
    """Refuse workers that would fail, or make other figures; wait for the first one."""
    if not client.nthreads():
        print("the scheduler has no worker yet; waiting for the first one", flush=True)
        while not client.nthreads():
            time.sleep(_POLL)
    try:
        answers = client.run(why_unfit, home, on_error="return")
    except (ImportError, AttributeError) as error:
        answers = {"of the scheduler": error}
    for address, answer in answers.items():
        if isinstance(answer, Exception):
            answer = f"it cannot import version {home.version} of recbole_dmf ({answer}). Install "
            answer += f"it there: pip install 'recbole-dmf[dask]=={home.version}'"
        if answer is not None:
            raise UserError(f"the worker {address} cannot be used: {answer}")


def why_unfit(home: Home) -> str | None:
    """On a worker: why it cannot make runs for `home`; None if it can."""
    import multiprocessing

    if home.version != __version__:
        return (
            f"it has version {__version__} of recbole_dmf, and the runs are planned by "
            f"{home.version}. Install the same there: pip install "
            f"'recbole-dmf[dask]=={home.version}'"
        )
    if multiprocessing.current_process().daemon:
        return f"it may have no child processes. Start it with {DAEMON}=False in its environment."
    for path in (home.probe, home.directory):
        if not os.path.exists(path):
            return (
                f"it does not see {path}. The folder of the results and the one where the command "
                "is given must be on a file system that all machines share, under the same path."
            )
    return None


def on_worker(home: Home, function: Callable[..., str | None], *args: Any) -> str | None:
    """On a worker: `function(place, *args)`, which says what went wrong; None for nothing."""
    from distributed import Status, get_worker

    worker = get_worker()
    key = worker.get_current_task()
    reason = why_unfit(home)
    if reason is not None:  # one that came later than the others
        return f"the worker {worker.address} cannot be used: {reason}"
    os.environ.pop(TRIM, None)  # a run is a child of a process that starts after this
    if home.threads is not None:
        os.environ.update(dict.fromkeys(THREADS, str(home.threads)))

    def is_wanted() -> bool:
        task = worker.state.tasks.get(key)
        running = worker.status is Status.running
        return running and task is not None and task.state == "executing"

    try:
        return function(Place(home.directory, home.threads, is_wanted), *args)
    except Unwanted:
        return "ended, since nobody waits for it"


def outcomes(
    client: "Client",
    home: Home,
    function: Callable[..., str | None],
    tasks: Sequence[tuple[Any, ...]],
    tell: Callable[[Sequence[int]], None],
) -> Generator[tuple[int, str | None], None, None]:
    """Call `function(place, *task)` on the workers for all tasks, as many at a time as they take.

    Args:
        client, home: of `workers`.
        function: of a module, as `on_worker` takes it.
        tasks: arguments of each call, plain values.
        tell: called again and again with the numbers of the tasks that are with a worker.

    Yields:
        The number of a task and what went wrong (None for nothing), as they end.

    Raises:
        UserError: the scheduler was lost.
    """
    waiting = deque(enumerate(tasks))
    running: dict[Future, int] = {}
    try:
        while waiting or running:
            # Not all at once: a task that waits behind another on a worker would die with it.
            while waiting and len(running) < _n_slots(client):
                number, task = waiting.popleft()
                key = f"run-{number}-{uuid.uuid4().hex}"
                running[client.submit(on_worker, home, function, *task, key=key)] = number
            tell(list(running.values()))
            for future in [future for future in running if future.done()]:
                number = running.pop(future)
                yield number, _outcome(future)
            if running:
                _wait_for_one(client, list(running))
    finally:
        if running:
            with contextlib.suppress(Exception):  # the scheduler may be gone
                client.cancel(list(running), force=True)


def _wait_for_one(client: "Client", running: "list[Future]") -> None:
    """Until a run has ended, or `_POLL` seconds; no worker is to wait for its next run."""
    from distributed import CancelledError, TimeoutError, wait

    # What was cancelled is for `_outcome` to say.
    with client.as_current(), contextlib.suppress(TimeoutError, CancelledError):
        wait(running, timeout=_POLL, return_when="FIRST_COMPLETED")


def _n_slots(client: "Client") -> int:
    try:
        return sum(client.nthreads().values())
    except (OSError, ValueError) as error:
        raise _lost(error) from error


def _outcome(future: "Future") -> str | None:
    from distributed import KilledWorker

    if future.status in ("cancelled", "lost"):
        raise _lost(future.status)
    error = future.exception()
    if isinstance(error, KilledWorker):
        return "its worker died, again and again (out of memory?)"
    return future.result() if error is None else f"{type(error).__name__}: {error}"


def _lost(reason: object) -> UserError:
    return UserError(
        f"the connection to the Dask scheduler was lost ({reason}). What is finished is kept; the "
        "same command continues from there.",
        FAILED,
    )


class Logs:
    """New lines of log files, as they appear."""

    def __init__(self) -> None:
        self._seen: dict[Path, int] = {}

    def skip(self, path: Path) -> None:
        """Leave out what is in a file already."""
        self._seen[path] = path.stat().st_size if path.is_file() else 0

    def tell(self, path: Path, name: str) -> None:
        """Print a file's new lines, each after `name`."""
        try:
            with path.open("rb") as file:
                file.seek(self._seen.get(path, 0))
                text, end, _ = file.read().rpartition(b"\n")
        except OSError:  # not there yet
            return
        self._seen[path] = self._seen.get(path, 0) + len(text) + len(end)
        for line in text.decode("utf-8", "replace").splitlines():
            if line.strip():
                print(f"{name} | {line}", flush=True)
