"""How the benchmarks measure time and memory, and how a child process reports what it measured."""

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from pathlib import Path

from recbole_dmf.manifest import peak_memory_mb

WARM_UP = 5  # steps that are not timed
_FORGET_PEAK = Path("/proc/self/clear_refs")  # Linux alone; see proc(5)
_peaks_before = [0.0]


def wait_for_device() -> None:
    """Let the GPU finish what it was given; without one in use there is nothing to wait for."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()


def seconds_of(function: Callable) -> float:
    wait_for_device()
    start = time.perf_counter()
    function()
    wait_for_device()
    return time.perf_counter() - start


def median_seconds(function: Callable, repeats: int) -> float:
    return statistics.median(seconds_of(function) for _ in range(repeats))


def measure_steps(
    batches: Sized, step: Callable, n_steps: int, device: str | None
) -> tuple[float, float]:
    """Seconds and mean processor seconds of a training step, drawing the batch included.

    The median of single steps on a CPU; on a GPU, where a step begins before the last one has
    ended, the mean of all. An epoch is drawn once, and again only if it is shorter than the
    warm-up.
    """
    n_steps = max(1, min(n_steps, len(batches) - WARM_UP - 1))
    iterator = _endless(batches)
    for _ in range(WARM_UP):
        step(next(iterator))

    def one() -> None:
        step(next(iterator))

    def all_of_them() -> None:
        for _ in range(n_steps):
            one()

    cpu = time.process_time()
    if device == "cuda":
        seconds = seconds_of(all_of_them) / n_steps
    else:
        seconds = median_seconds(one, n_steps)
    return seconds, (time.process_time() - cpu) / n_steps


def _endless(batches) -> Iterator:
    while True:
        yield from batches


def report(**measured) -> None:
    """What a child process has measured so far; the parent keeps it even if the child dies."""
    print(json.dumps(measured), flush=True)


def forget_peak_memory() -> None:
    """Let `peak_memory_mb` begin anew, where the system can; `report_memory` remembers."""
    _peaks_before.append(peak_memory_mb())
    if _FORGET_PEAK.exists():
        _FORGET_PEAK.write_text("5")


def report_memory(prefix: str = "") -> None:
    """Peak memory so far, of the process and on the GPU if one is in use, in MiB."""
    report(**{f"{prefix}peak_memory_mb": max(*_peaks_before, peak_memory_mb())})
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        report(**{f"{prefix}peak_gpu_memory_mb": torch.cuda.max_memory_allocated() / 2**20})


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Report the seconds, the processor's, and the peak memory of a block."""
    forget_peak_memory()
    wait_for_device()
    start, cpu = time.perf_counter(), time.process_time()
    yield
    wait_for_device()
    report(**{f"{name}_seconds": time.perf_counter() - start})
    report(**{f"{name}_cpu_seconds": time.process_time() - cpu})
    report(**{f"{name}_peak_memory_mb": peak_memory_mb()})
