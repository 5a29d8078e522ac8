"""The curves of many runs, each file read once.

for run, (steps, values) in series(runs, "val/loss"):        # [T], [T]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from initlab.runs import Run

Curve = tuple[NDArray[np.int64], NDArray[np.float64]]  # steps [T], values [T], NaN from a divergence on


def series(runs: Iterable[Run], metric: str) -> Iterator[tuple[Run, Curve]]:
    """Each run that has the metric with its curve of it, a file at a time."""

    def file(run: Run) -> str:
        return str(run.sweep.folder / run.record["curves"])

    for path, group in groupby(sorted((run for run in runs if "curves" in run.record), key=file), key=file):
        with np.load(path, allow_pickle=False) as arrays:
            if metric not in arrays.files:
                continue
            rows = {key: row for row, key in enumerate(arrays["key"].tolist())}
            steps, values = arrays[f"{metric}.step"], arrays[metric]
            yield from ((run, (steps, values[rows[run.record["key"]]])) for run in group)
