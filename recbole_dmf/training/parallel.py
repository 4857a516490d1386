"""Data-parallel training over torch.distributed: gloo on CPUs, nccl on GPUs."""

import os
import socket
import subprocess
import sys
import time

import torch
import torch.distributed as dist

from recbole_dmf.errors import Terminated, UserError


def rank() -> int:
    """This process's number; 0 without other processes."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def join() -> None:
    """Join the processes that `launch` or torchrun started; nothing happens when run alone."""
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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def launch(argv: list[str], nproc: int, machines: dict[str, str]) -> int:
    """Run the command `argv` in `nproc` processes of this machine and wait for them.

    Args:
        argv: arguments of `run_recbole` without those of this function.
        nproc: processes to start here.
        machines: RecBole's options for several machines: `world_size` (processes in all),
            `group_offset` (rank of the first one here), `ip` and `port` of the first machine.

    Returns:
        The first exit code that is not 0, else 0.

    Raises:
        UserError: the numbers make no sense.
    """
    try:
        total = int(machines.get("world_size", -1))
        offset = int(machines.get("group_offset", 0))
        port = int(machines.get("port", 0)) or _free_port()
    except ValueError as error:
        raise UserError(f"world_size, group_offset and port are whole numbers: {error}.") from error
    total = nproc if total <= 0 else total
    if nproc < 1 or offset < 0 or offset + nproc > total:
        raise UserError(
            f"nproc {nproc} from group_offset {offset} on does not fit into world_size {total}."
        )
    threads = max(1, (os.cpu_count() or 1) // nproc)
    processes = []
    for local_rank in range(nproc):
        environment = {
            **os.environ,
            "RANK": str(offset + local_rank),
            "LOCAL_RANK": str(local_rank),
            "WORLD_SIZE": str(total),
            "MASTER_ADDR": machines.get("ip", "localhost"),
            "MASTER_PORT": str(port),
        }
        environment.setdefault("OMP_NUM_THREADS", str(threads))
        command = [sys.executable, "-m", "recbole_dmf.cli", *argv]
        processes.append(subprocess.Popen(command, env=environment))
    codes: list[int | None] = [None]
    try:
        while None in codes and not any(codes):
            time.sleep(0.05)
            codes = [process.poll() for process in processes]
    except KeyboardInterrupt as stop:  # Ctrl-C reached the children as well, SIGTERM did not
        for process in processes if isinstance(stop, Terminated) else ():
            process.terminate()
        codes = [process.wait() for process in processes]  # they save and report
    finally:
        for process in processes:
            process.terminate()
            process.wait()
    return next((code for code in codes if code), 0)
