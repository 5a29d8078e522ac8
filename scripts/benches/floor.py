"""The bare training of MLP 4x128 against what its matrix products alone would take on this processor.

Every core has a process with one thread, and all are at work at once, as in a sweep. The floor is the floating-point
operations of an update: 2 B a b for each product of a layer [a -> b] on B rows: the outputs, the weights' gradient and
the inputs' gradient, which the first layer does not need; over the rate of torch.bmm at the hidden layers' shape, the
three in turn (x W', dy' x, dy W), each as torch stores them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from scripts.benches.rows import ROOT, Row

SIZES, ROWS = [64, 128, 128, 128, 128, 10], 128
EPOCHS = 3


def operations(sizes: Sequence[int], rows: int) -> int:
    """Floating-point operations of the products of an update of one dense net, ``sizes`` from its inputs to outputs."""
    return 3 * sum(2 * rows * a * b for a, b in pairwise(sizes)) - 2 * rows * sizes[0] * sizes[1]


class Work(NamedTuple):
    """What an update of a run cannot do without."""

    moved: int  # bytes
    operations: int

    def floor(self, bandwidth: float, rate: float) -> float:
        """Seconds, at so many bytes and operations a second."""
        return max(self.moved / bandwidth, self.operations / rate)


def work(sizes: Sequence[int], rows: int, slots: int = 0, number: int = 4) -> Work:
    """Of a dense net, ``sizes`` from its inputs to its outputs, on a batch of ``rows``; a ``number`` has so many bytes.

    Read and written once each: the parameters and the optimizer's slots, the outputs of each layer (for the way back),
    the batch with its targets (of 8 bytes), which is gathered.
    """
    pairs = list(pairwise(sizes))
    parameters = sum((a + 1) * b for a, b in pairs)
    outputs = rows * sum(b for _, b in pairs)
    once = number * ((1 + slots) * parameters + outputs + rows * sizes[0]) + 8 * rows
    return Work(2 * once, operations(sizes, rows))


FLOPS = operations(SIZES, ROWS)


def rows(folder: Path, repeats: int) -> Iterator[Row]:
    from initlab.executors.layout import cores

    for width in (8, 16, 32):
        found = [_together(cores(), width, folder) for _ in range(repeats)]
        updates, rates = ([one[i] for one in found] for i in (0, 1))
        yield Row(
            f"an update of a run, MLP 4x128, stacks of {width}, {cores()} processes",
            [1e6 * one for one in updates],
            "us",
            f"the floor is {FLOPS / 1e6:.1f} MFLOP at {min(rates) / 1e9:.0f} to {max(rates) / 1e9:.0f} GFLOP/s",
        )
        yield Row("  over the floor", [one * rate / FLOPS for one, rate in found], "times")


def _together(processes: int, width: int, folder: Path) -> tuple[float, float]:
    """Seconds of an update of a run, and operations a second, of all the processes together."""
    context = get_context("fork")
    barrier, answers = context.Barrier(processes), context.SimpleQueue()
    workers = [context.Process(target=_alone, args=(width, folder, barrier, answers)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    found = [answers.get() for _ in workers]
    for worker in workers:
        worker.join()
    return 1 / sum(1 / update for update, _ in found), sum(rate for _, rate in found)


def _alone(width: int, folder: Path, barrier: Any, answers: Any) -> None:
    import torch

    from initlab.datasets import load
    from initlab.planning import plan
    from initlab.planning.compose import Composer
    from initlab.training.module import Chunk, StackModule

    torch.set_num_threads(1)
    words = [f"seed=range({width})", "arch.width=128", "arch.depth=4", f"hydra.sweep.dir={folder}"]
    runs = plan.make(Composer(ROOT / "conf"), words, multirun=True).runs
    module = StackModule([run.config for run in runs], load(runs[0].config["dataset"]))
    module.prepare()
    module.on_train_epoch_start()
    x, w = torch.rand(width, ROWS, 128), torch.rand(width, 128, 128)
    took = []
    for _ in range(1 + EPOCHS):
        barrier.wait()
        start = time.perf_counter()
        module.training_step(Chunk(0, 0, module.batches), 0)
        took.append((time.perf_counter() - start) / module.batches / width)
    products = []
    for _ in range(1 + EPOCHS):
        barrier.wait()
        start = time.perf_counter()
        for _ in range(100):
            torch.bmm(x, w.mT)
            torch.bmm(x.mT, x)
            torch.bmm(x, w)
        products.append((time.perf_counter() - start) / 100)
    answers.put((min(took[1:]), 3 * 2 * width * ROWS * 128 * 128 / min(products[1:])))
