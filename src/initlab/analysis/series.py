"""The curves of many runs, each file read once.

for block in blocks(runs, ["val/loss"]):                     # a file and a metric at a time
    block.runs, block.steps, block.samples, block.values     # R runs, [T], [T], [R, T]
for run, (steps, values) in series(runs, "val/loss"):        # [T], [T]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from initlab.analysis.runs import Run

Curve = tuple[NDArray[np.int64], NDArray[np.float64]]  # steps [T], values [T], NaN from a divergence on


@dataclass(frozen=True)
class Block:
    """One metric of runs that were trained together: ``steps`` and ``samples`` [T], ``values`` [R, T]."""

    metric: str
    runs: tuple[Run, ...]
    steps: NDArray[np.int64]
    samples: NDArray[np.int64]
    values: NDArray[np.float64]


def blocks(runs: Sequence[Run], metrics: Sequence[str] | None = None) -> Iterator[Block]:
    """The named metrics, or all, of the runs that have curves, file by file."""
    sweeps = {id(run.sweep): run.sweep for run in runs}
    for at, sweep in sweeps.items():
        own = {run.record["key"]: run for run in runs if id(run.sweep) == at and "curves" in run.record}
        for records, found in sweep.stacked(run.record for run in own.values()):
            together = tuple(own[record["key"]] for record in records)
            for metric in metrics or found:
                if metric in found:
                    series = found[metric]
                    yield Block(metric, together, series.steps, series.samples, series.values)


def series(runs: Sequence[Run], metric: str) -> Iterator[tuple[Run, Curve]]:
    """Each run that has the metric with its curve of it."""
    for block in blocks(runs, [metric]):
        for run, values in zip(block.runs, block.values, strict=True):
            yield run, (block.steps, values)
