"""How much the outcome hangs on what was tuned: the validation metric over each nuisance axis, scheme by scheme."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from initlab.analysis.cells import Cell, Cells, preference
from initlab.analysis.contrasts import Basin, basins
from initlab.analysis.runs import Axis
from initlab.reporting import plots
from initlab.reporting.document import Section, Table
from initlab.reporting.sections import axes_of, drawn, panelled, where
from initlab.reporting.wording import interval, joined, number, said

ROWS = 20


def sensitivity(found: Cells) -> list[Section]:
    """A section for each nuisance axis with three numbers or more."""
    wide = basins(found)
    return [
        _section(found, axis, [b for b in wide if b.axis == axis.name])
        for axis in axes_of(found, "nuisance")
        if any(b.axis == axis.name for b in wide)
    ]


def _section(found: Cells, axis: Axis, wide: Sequence[Basin]) -> Section:
    tried = sorted(value for value in axis.values if isinstance(value, int | float))
    metric = joined(dict.fromkeys(f"val/{cell.metric}" for cell in found.cells))
    panels, note = panelled(found, lambda cell: _line(cell, axis.name, tried))
    log = tried[0] > 0 and tried[-1] / tried[0] >= 10
    figure = plots.lines(panels, x=axis.name, y=metric, log_x=log, points=True)
    caption = (
        f"{metric} at the last step over {axis.name}: mean and 95 % interval over the seeds. "
        f"Circled: the value chosen. A line is broken off where the mean is not finite.{note}"
    )
    alt = f"{metric} over {axis.name}, a line for each of {len(found.cells)} cells."
    name = f"sensitivity-{axis.name.replace('.', '-')}"
    title = "Sensitivity to the learning rate" if axis.name == "optimizer.lr" else f"Sensitivity to {axis.name}"
    return Section(name, title, [drawn(figure, name, caption, alt), _table(found, wide, axis.name, name)])


def _line(cell: Cell, axis: str, tried: Sequence[float]) -> dict[str, Any]:
    """The best of the trials that share a value of the axis, value by value."""
    best = [
        max((t for t in cell.trials if t.at[axis] == value), key=lambda t: preference(t, cell.direction), default=None)
        for value in tried
    ]
    y, low, high = (
        np.array([np.nan if trial is None or (v := getattr(trial.mean, part)) is None else v for trial in best])
        for part in ("value", "low", "high")
    )
    chosen = cell.chosen.at[axis]
    marked = tried.index(chosen) if chosen in tried else None
    return {
        "x": np.array(tried, float),
        "y": np.where(np.isfinite(y), y, np.nan),
        "low": low,
        "high": high,
        "marked": marked,
    }


def _table(found: Cells, wide: Sequence[Basin], axis: str, name: str) -> Table:
    """The basins in the cells' order: a wide one around a poor value is no merit."""
    rank = {cell.label: i for i, cell in enumerate(found.ranked)}
    ordered = sorted(wide, key=lambda basin: rank[basin.cell.label])
    metric = joined(dict.fromkeys(f"val/{basin.cell.metric}" for basin in ordered))
    columns = ["cell", metric, "at", "decades", "95 % interval", "share"]
    rows = [
        [
            *(where(b.cell), number(b.cell.chosen.mean.value), said(b.cell.chosen.at[axis])),
            *(number(b.decades.value), interval(b.decades), number(b.share.value)),
        ]
        for b in ordered[:ROWS]
    ]
    exact: list[dict[str, object]] = [
        {"cell": where(b.cell), metric: b.cell.chosen.mean.value, axis: said(b.cell.chosen.at[axis])}
        | {"decades": b.decades.value, "low": b.decades.low, "high": b.decades.high, "share": b.share.value}
        for b in ordered
    ]
    caption = (
        f"The basin of each cell, best cell first: over how many powers of ten of {axis} its validation metric is "
        f"{joined(sorted({b.tolerance for b in ordered}))} that it has anywhere, and the share of the values tried."
    )
    if len(ordered) > ROWS:
        caption += f" The first {ROWS}; all of them are in tables/{name}.csv."
    return Table(name, caption, columns, rows, frozenset({1, 2, 3, 4, 5}), 1, exact)
