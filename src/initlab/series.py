"""The curves of many runs, each file read once.

for block in blocks(runs, ["val/loss"]):                     # a file and a metric at a time
    block.runs, block.steps, block.samples, block.values     # R runs, [T], [T], [R, T]
for run, (steps, values) in series(runs, "val/loss"):        # [T], [T]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from initlab.runs import Run

Curve = tuple[NDArray[np.int64], NDArray[np.float64]]  # steps [T], values [T], NaN from a divergence on


@dataclass(frozen=True)
class Block:
    """One metric of runs that were trained together: ``steps`` and ``samples`` [T], ``values`` [R, T]."""

    metric: str
    runs: tuple[Run, ...]
    steps: NDArray[np.int64]
    samples: NDArray[np.int64]
    values: NDArray[np.float64]


def blocks(runs: Iterable[Run], metrics: Sequence[str] | None = None) -> Iterator[Block]:
    """The named metrics, or all, of the runs that have curves, file by file."""

    def file(run: Run) -> str:
        return str(run.sweep.folder / run.record["curves"])

    for path, group in groupby(sorted((run for run in runs if "curves" in run.record), key=file), key=file):
        together = tuple(group)
        with np.load(path, allow_pickle=False) as arrays:
            row = {key: i for i, key in enumerate(arrays["key"].tolist())}
            rows = [row[run.record["key"]] for run in together]
            for metric in metrics or [name for name in arrays.files if f"{name}.step" in arrays.files]:
                if metric in arrays.files:
                    steps, samples, values = (arrays[f"{metric}{part}"] for part in (".step", ".samples", ""))
                    yield Block(metric, together, steps, samples, values[rows])


def series(runs: Iterable[Run], metric: str) -> Iterator[tuple[Run, Curve]]:
    """Each run that has the metric with its curve of it."""
    for block in blocks(runs, [metric]):
        for run, values in zip(block.runs, block.values, strict=True):
            yield run, (block.steps, values)
