"""The device on which stacks lie: when it is done, whether it still computes, and whether a wider stack fits there.

wait(device)                           # for what a GPU has been given to do
usable(device)                         # whether anything can be computed there yet
no_waiting(device)                     # within it nobody may wait
watch(device)                          # from here on a GPU's peak is counted
...                                    # a stack of 8 runs computes
fits(2.0, device)                      # whether one of 16 leaves half of what is free
reclaim(device)                        # what is left of stacks that have ended
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

# What CUDA's libraries say in place of torch's own error where they ask for memory by themselves.
WORDS = ("DefaultCPUAllocator", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
MUCH = 0.05  # of a GPU's memory


def out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(word in str(error) for word in WORDS)


def wait(device: torch.device) -> None:
    """Until a GPU has done what it was given; a CPU has. Raises RuntimeError where it computes nothing any more."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def usable(device: torch.device) -> bool:
    """Whether anything can be computed there yet: some errors leave CUDA broken for the rest of a process."""
    try:
        wait(device)
    except RuntimeError:
        return False
    return True


@contextmanager
def no_waiting(device: torch.device) -> Iterator[None]:
    """Within it torch raises where the host would wait for a GPU, by its sync debug mode."""
    if device.type != "cuda":
        yield
        return
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def watch(device: torch.device) -> None:
    """From here on the most that stacks take on a GPU is counted anew; of a process nothing has to be."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def fits(times: float, device: torch.device) -> bool:
    """Whether a stack so many times as wide as the last leaves half of what is free beside that one."""
    found = _of_gpu(device) if device.type == "cuda" else _of_process()
    return found is None or found[0] * (times - 1) < found[1] / 2


def reclaim(device: torch.device) -> None:
    """Free what ended stacks have of a GPU, if that is much.

    Lightning's trainer and its module hold each other, and Python's collector, which would find them, does not know how
    full a GPU is: the next stack would lie beside the last, and beside what the last one's graph keeps to itself. It
    takes tenths of a second to look at all that is there.
    """
    if device.type != "cuda" or not usable(device):
        return
    if torch.cuda.memory_reserved(device) > MUCH * torch.cuda.mem_get_info(device)[1]:
        gc.collect()
        torch.cuda.empty_cache()  # a graph's memory too, and so that what is left tells of what is in use


def _of_gpu(device: torch.device) -> tuple[int, int]:
    """Bytes that tensors took at the most since `watch`, and those beside them.

    What torch holds and no tensor uses is free to it: it gives that back where nothing else is left.
    """
    peak = torch.cuda.max_memory_allocated(device)
    free, _ = torch.cuda.mem_get_info(device)
    return peak, free + torch.cuda.memory_reserved(device) - peak


def _of_process() -> tuple[int, int] | None:
    """Bytes of this process, and those that the machine has left; None where it does not say."""
    status, meminfo = Path("/proc/self/statm"), Path("/proc/meminfo")
    if not status.exists() or not meminfo.exists():
        return None
    mine = int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    free = next(1024 * int(line.split()[1]) for line in meminfo.read_text().splitlines() if "MemAvailable" in line)
    return mine, free
