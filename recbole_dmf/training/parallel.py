"""Data-parallel training over torch.distributed: gloo on CPUs, nccl on GPUs."""

import logging
import os
import signal

import torch
import torch.distributed as dist

from recbole_dmf.errors import UserError
from recbole_dmf.installation import PACKAGE, check_same_package

_LAUNCHED_BY = "RECBOLE_DMF_PACKAGE"  # the launching process's copy of the package


def rank() -> int:
    """This process's number; 0 without other processes."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def join() -> None:
    """Join the processes that `launch` or torchrun started; nothing happens when run alone.

    Raises:
        UserError: this process runs another copy of the package than `launch`.
    """
    check_same_package(os.environ.get(_LAUNCHED_BY, str(PACKAGE)))
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def leave() -> None:
    """Part from the other processes."""
    if dist.is_initialized():
        dist.destroy_process_group()


def share_text(text: str) -> str:
    """The first process's `text`, in every process."""
    if world_size() == 1:
        return text
    found = [text]
    dist.broadcast_object_list(found, src=0)
    return found[0]


def sum_gradients(parameters) -> None:
    """Replace each gradient by its sum over all processes."""
    if world_size() == 1:
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        dist.all_reduce(parameter.grad)


def sum_over_processes(value: torch.Tensor) -> torch.Tensor:
    """`value` summed over all processes, in place."""
    if world_size() > 1:
        dist.all_reduce(value)
    return value


def wait() -> None:
    """Go on when every process has come this far."""
    if world_size() > 1:
        dist.barrier()


def launch(argv: list[str], nproc: int, machines: dict[str, str]) -> int:
    """Run the command `argv` by torchrun in `nproc` processes of this machine.

    Args:
        argv: arguments of `run_recbole` without those of this function.
        nproc: processes to start here.
        machines: RecBole's options for several machines, each with `nproc` processes:
            `world_size` (processes in all), `group_offset` (rank of the first one here), `ip` and
            `port` of the first machine.

    Returns:
        The exit code of the process that failed first, else 0.

    Raises:
        UserError: the numbers make no sense.
    """
    # They take a second to import, and only this function needs them.
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    options = ["--standalone", f"--nproc_per_node={nproc}"]
    if (several := _machines(nproc, machines)) is not None:
        options[0:1] = several
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // max(1, nproc))))
    os.environ[_LAUNCHED_BY] = str(PACKAGE)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    logging.disable(logging.ERROR)  # the processes say themselves what went wrong
    try:
        torchrun.run(torchrun.parse_args([*options, "-m", "recbole_dmf.cli", *argv]))
    except ChildFailedError as error:
        codes = [failure.exitcode for failure in error.failures.values()]
        return next((code for code in codes if code > 0), 128 - codes[0])
    except SignalException as stop:  # the processes got it as well, have saved and reported
        return 128 + stop.sigval
    finally:
        del os.environ[_LAUNCHED_BY]
        logging.disable(logging.NOTSET)
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


def _machines(nproc: int, machines: dict[str, str]) -> list[str] | None:
    """Torchrun's options for several machines, None for this one alone."""
    try:
        total = int(machines.get("world_size", -1))
        offset = int(machines.get("group_offset", 0))
        port = int(machines.get("port", 5678))  # RecBole's default
    except ValueError as error:
        raise UserError(f"world_size, group_offset and port are whole numbers: {error}.") from error
    total = nproc if total <= 0 else total
    if nproc < 1 or offset < 0 or offset + nproc > total:
        raise UserError(
            f"nproc {nproc} from group_offset {offset} on does not fit into world_size {total}."
        )
    if total % nproc or offset % nproc:
        raise UserError(
            f"world_size {total} and group_offset {offset} are not multiples of nproc {nproc}: "
            "start as many processes on every machine."
        )
    if total == nproc:
        return None
    return [
        f"--nnodes={total // nproc}",
        f"--node_rank={offset // nproc}",
        f"--master_addr={machines.get('ip', 'localhost')}",
        f"--master_port={port}",
    ]
