"""A cell's curves as one: the middle and the band of its seeds over the steps.

    bands(found.cells, "val/loss")           # {cell's label: Band}, of the runs at its chosen setting

The median and the quartiles, not the mean: a single run that spikes or diverges moves them no further than one run may,
also on a logarithmic axis. A run counts as the worst from the step on at which it diverged.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from initlab.analysis.cells import Cell
from initlab.analysis.series import series

Floats = NDArray[np.float64]
QUARTILES = (0.25, 0.5, 0.75)
POINTS = 160  # of a curve that is looked at; more lie closer than a screen shows


@dataclass(frozen=True)
class Band:
    """A metric over ``steps`` [T]: ``middle``, ``low``, ``high`` [T] over ``n`` runs; infinite where they diverged."""

    steps: NDArray[np.int64]
    middle: Floats
    low: Floats
    high: Floats
    n: int

    def thinned(self, most: int = POINTS) -> Band:
        """At most so many of the points, evenly, the first and the last among them."""
        if len(self.steps) <= most:
            return self
        kept = np.linspace(0, len(self.steps) - 1, most).round().astype(int)
        return Band(self.steps[kept], self.middle[kept], self.low[kept], self.high[kept], self.n)


def bands(cells: Iterable[Cell], metric: str) -> dict[str, Band]:
    """By the cells' labels; a cell none of whose runs has the metric is left out."""
    cells = tuple(cells)
    chosen = {run.record["key"]: cell for cell in cells for run in cell.chosen.runs if run}
    runs = [run for cell in cells for run in cell.chosen.runs if run]
    gathered: dict[str, list[tuple[NDArray[np.int64], Floats]]] = {}
    for run, curve in series(runs, metric):
        gathered.setdefault(chosen[run.record["key"]].label, []).append(curve)
    return {cell.label: band(gathered[cell.label], metric) for cell in cells if cell.label in gathered}


def band(curves: Sequence[tuple[NDArray[np.int64], Floats]], metric: str) -> Band:
    """Of runs' steps and values [T] each; where their steps differ, over those that all have."""
    shared = curves[0][0]
    for steps, _ in curves[1:]:
        shared = np.intersect1d(shared, steps)
    values = np.array([values[np.isin(steps, shared)] for steps, values in curves])
    worst = np.inf if metric.endswith("loss") else -np.inf
    ordered = np.sort(np.where(np.isnan(values), worst, values), axis=0)
    low, middle, high = (_quantile(ordered, share) for share in QUARTILES)
    return Band(shared, middle, low, high, len(ordered))


def _quantile(ordered: Floats, share: float) -> Floats:
    """[T] of sorted [S, T], linear between neighbours; infinite next to an infinite one, where numpy says NaN."""
    below, above = ordered[math.floor(share * (len(ordered) - 1))], ordered[math.ceil(share * (len(ordered) - 1))]
    part = share * (len(ordered) - 1) % 1
    finite = np.isfinite(below) & np.isfinite(above)
    between = below + part * np.subtract(above, below, out=np.zeros_like(below), where=finite)
    return np.where(np.isposinf(above) & (part > 0), above, between)
