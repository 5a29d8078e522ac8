"""What an update of a stack costs on this device, by the stack's width: a few updates of each, and nothing is kept.

    rehearsed(configs, share=0.03)      # Rehearsal(steps=180, seconds={1: 1.0e-3, 2: 1.3e-3, ...}, ended="...")

Widths double while an update of a run gets cheaper, memory lasts, and the time spent stays below a share of what the
runs would take one by one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from initlab.config import Config
from initlab.datasets import Data, load
from initlab.training.module import Chunk, StackModule, device_of

WARM, TIMED = 2, 3  # updates; the quickest of those timed counts, as whatever else a machine does only adds
DEARER = 1.05  # so many times the least that an update of a run has cost, twice in a row: wider will not do


@dataclass(frozen=True)
class Rehearsal:
    """``seconds`` of an update, by width; ``steps`` of a run. ``ended``: why there is no wider one, in words."""

    steps: int
    seconds: dict[int, float]
    ended: str


def rehearsed(configs: Sequence[Config], share: float, widths: Sequence[int] | None = None) -> Rehearsal:
    """Time the runs of a group as one stack, the first 1, 2, 4, ... of them, or the ``widths`` given."""
    data = load(configs[0]["dataset"])
    seconds: dict[int, float] = {}
    steps, began, allowed = 0, time.perf_counter(), 0.0
    for width in widths or _doubled(len(configs)):
        if seconds:
            last = max(seconds)
            expected = (WARM + TIMED) * seconds[last] * width / last
            if time.perf_counter() - began + expected > allowed:
                return Rehearsal(steps, seconds, f"wider ones would take more than {100 * share:.2g} % of the time")
            if not _fits(width / last):
                return Rehearsal(steps, seconds, "wider ones might not fit into memory")
        try:
            steps, seconds[width] = _update(configs[:width], data)
        except (MemoryError, RuntimeError) as error:
            if not seconds or not out_of_memory(error):
                raise
            return Rehearsal(steps, seconds, f"{width} do not fit into memory")
        if len(seconds) == 1:
            allowed = share * len(configs) * steps * seconds[width] / width
        if widths is None and _dearer(seconds):
            return Rehearsal(steps, seconds, "wider ones cost more")
    return Rehearsal(steps, seconds, "these are all")


def out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def _doubled(runs: int) -> list[int]:
    return [*(2**i for i in range((runs - 1).bit_length())), runs]


def _dearer(seconds: dict[int, float]) -> bool:
    each = [seconds[width] / width for width in sorted(seconds)]
    return len(each) > 2 and min(each[-2:]) > DEARER * min(each)


def _update(configs: Sequence[Config], data: Data) -> tuple[int, float]:
    """Steps of a run, and seconds of one of the stack. The learning rate is 0, so that no run dies of it."""
    module = StackModule(configs, data).to(device_of(configs[0]))
    module.prepare(rehearsal=True)
    still = module.program.hyper._replace(lr=torch.zeros_like(module.program.hyper.lr))
    module.program = replace(module.program, hyper=still)
    module.on_train_epoch_start()
    taken = []
    for i in range(WARM + TIMED):
        began = time.perf_counter()
        module.training_step(Chunk(0, i % module.batches, 1), 0)
        if module.device.type == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - began)
    return module.steps, min(taken[WARM:])


def _fits(times: float) -> bool:
    """Whether a stack so many times as wide as the last leaves half of what memory is free; on a GPU it is tried."""
    status, meminfo = Path("/proc/self/statm"), Path("/proc/meminfo")
    if not status.exists() or not meminfo.exists():
        return True
    mine = int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    free = next(1024 * int(line.split()[1]) for line in meminfo.read_text().splitlines() if "MemAvailable" in line)
    return mine * (times - 1) < free / 2
