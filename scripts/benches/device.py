"""Seconds and bytes where tensors lie: on a GPU the clock waits for it, and its own memory is counted."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from initlab.training.device import wait

MB = 2**20


def seconds(device: torch.device, call: Callable[[], object]) -> float:
    """Of the call and all that it gave the device to do."""
    wait(device)
    began = time.perf_counter()
    call()
    wait(device)
    return time.perf_counter() - began


@contextmanager
def counted(device: torch.device) -> Iterator[Callable[[], float]]:
    """Megabytes that tensors have had at the most since this was entered; on a CPU those of the process, ever."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)

    def megabytes() -> float:
        if device.type == "cuda":
            return torch.cuda.max_memory_allocated(device) / MB
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB

    yield megabytes
