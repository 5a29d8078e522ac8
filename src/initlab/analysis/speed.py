"""How fast a cell learns: the steps until its validation metric reaches a threshold, censored where it never does.

    for found in speed(cells):           # Speed: threshold, horizon, and a Survival a cell; one a scale
        found.steps["init=xavier"].median

One threshold holds for all cells that are compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from initlab import streams
from initlab.analysis.cells import Cell, Cells
from initlab.analysis.runs import Run
from initlab.analysis.series import Curve, series
from initlab.stats import Survival, first_reached, survival

SHARE = 0.9  # of the way from before training to the best cell's end


@dataclass(frozen=True)
class Speed:
    """Of the cells of one scale: a `threshold` for all, and by each cell's label the steps that it needed.

    `horizon` is the last step that every run was trained to: no cell is favoured by being trained longer.
    """

    scale: str
    metric: str
    threshold: float
    horizon: float
    steps: Mapping[str, Survival]
    rule: str  # in words, where the threshold comes from


def speed(found: Cells, threshold: float | None = None) -> tuple[Speed, ...]:
    """One a scale, of the validation metric at each cell's chosen setting. A run that diverged never arrives.

    Where seeds are crossed, a unit's time is the median of its runs'. Without a threshold: 90 % of the way from the
    median before training to the best cell's mean at the end.
    """
    scales = dict.fromkeys(cell.scale for cell in found.cells)
    every = (_speed([cell for cell in found.cells if cell.scale == scale], threshold) for scale in scales)
    return tuple(one for one in every if one)


def _speed(cells: Sequence[Cell], threshold: float | None) -> Speed | None:
    metric, direction = cells[0].metric, cells[0].direction
    runs = [run for cell in cells for run in cell.chosen.runs if run]
    curves = {run.record["key"]: curve for run, curve in series(runs, f"val/{metric}") if len(curve[0])}
    if not curves:
        return None
    rule = "given"
    if threshold is None:
        threshold = _threshold(cells, list(curves.values()))
        rule = f"{SHARE:.0%} of the way from the median before training to the best cell's mean at the end"
    horizon = float(min(steps[-1] for steps, _ in curves.values()))

    def time(run: Run) -> float:
        if run.record["status"] == "diverged":
            return np.inf
        return first_reached(*curves[run.record["key"]], threshold, direction)

    found = {}
    for cell in cells:
        times: dict[int, list[float]] = {}
        for run, unit in zip(cell.chosen.runs, cell.chosen.units.tolist(), strict=True):
            if run and run.record["key"] in curves:
                times.setdefault(unit, []).append(time(run))
        if times:
            rng = streams.generator(0, "statistics", f"steps to {metric}: {cell.label}")
            found[cell.label] = survival([np.median(of_unit) for of_unit in times.values()], horizon, rng)
    return Speed(cells[0].scale, metric, threshold, horizon, found, rule)


def _threshold(cells: Sequence[Cell], curves: Sequence[Curve]) -> float:
    before = float(np.nanmedian([values[0] for _, values in curves]))
    ends = [cell.chosen.mean.value for cell in cells if np.isfinite(cell.chosen.mean.value)]
    best = (max if cells[0].direction == "max" else min)(ends, default=before)
    return before + SHARE * (best - before)
