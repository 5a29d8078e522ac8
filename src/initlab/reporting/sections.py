"""What the cells show: their table, the map of two axes, and the loss curves, as sections of a report.

Nothing is computed here that a reader could cite: values and intervals are those of `cells`, `speed` and `bands`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from initlab.analysis.bands import Band, bands
from initlab.analysis.cells import Cell, Cells
from initlab.analysis.runs import Axis
from initlab.analysis.speed import Speed
from initlab.reporting import plots
from initlab.reporting.document import Block, Figure, Paragraph, Section, Table
from initlab.reporting.figures import published
from initlab.reporting.wording import at, count, interval, joined, number, said, steps
from initlab.stats import Survival

BEST, WORST = 30, 5  # rows of a long table on the page; its csv has them all
PANELS, SERIES = 9, 8
NAMED = 3  # cells in a sentence
ACROSS = 24  # columns of a map that still can be read
LOSSES = {"val/loss": "The loss on the validation part", "train/loss": "The minibatches' loss, each before its update,"}


def metric_of(found: Cells) -> str:
    return joined(dict.fromkeys(f"test {cell.metric}" for cell in found.cells))


def axes_of(found: Cells, role: str) -> list[Axis]:
    return [axis for axis in found.axes if axis.role == role]


def table(found: Cells, speeds: Sequence[Speed]) -> Table:
    """The cells, best first: mean, interval, n, diverged, the nuisance axes' chosen values, steps to the threshold."""
    names, tuned = [axis.name for axis in axes_of(found, "scientific")], axes_of(found, "nuisance")
    needed = {label: took for speed in speeds for label, took in speed.steps.items()}
    ranked = found.ranked
    columns = [*names, metric_of(found), "95 % interval", "n", "diverged", *(axis.name for axis in tuned)]
    columns += ["steps to reach it"] if needed else []
    rows = [_row(cell, names, tuned, needed if needed else None) for cell in ranked]
    caption = f"Best first; mean over {count(len(found.seeds), 'seed')}. {found.rule}"
    if any(cell.edge for cell in ranked):
        caption += " *: the least or the greatest value tried, so that a better one may lie beyond."
    if found.uneven:
        fewer = "; ".join(where(cell) for cell in found.uneven[:NAMED])
        more = f"; and {len(found.uneven) - NAMED} more" if len(found.uneven) > NAMED else ""
        caption += f" Unequal budgets: fewer runs than others to choose from had {fewer}{more}."
    for speed in speeds if needed else ():
        caption += f" Steps: the median until val/{speed.scale} reaches {number(speed.threshold)}, {speed.rule}"
        caption += f" (in brackets how many did, where not all, by step {steps(speed.horizon)})."
    left = len(rows) - BEST - WORST
    if left > 1:
        rows = [*rows[:BEST], [f"… {left} more", *([""] * (len(columns) - 1))], *rows[-WORST:]]
        caption += " All cells are in tables/cells.csv."
    numeric = frozenset(range(len(names), len(columns)))
    exact = [_exact(cell, names, tuned, needed) for cell in ranked]
    return Table("cells", caption, columns, rows, numeric, max(1, len(names)), exact)


def _row(cell: Cell, names: Sequence[str], tuned: Sequence[Axis], needed: Mapping[str, Survival] | None) -> list[str]:
    settings = [said(cell.chosen.at[axis.name]) + "*" * (axis.name in cell.edge) for axis in tuned]
    took = [] if needed is None else [_took(needed.get(cell.label))]
    estimate = [number(cell.mean.value), interval(cell.mean), str(cell.mean.n), str(cell.chosen.counts["diverged"])]
    return [*(said(cell.at[name]) for name in names), *estimate, *settings, *took]


def _took(survival: Survival | None) -> str:
    if survival is None:
        return "–"
    some = f" ({survival.reached} of {survival.n})" if 0 < survival.reached < survival.n else ""
    return "never" if not survival.reached else f"{steps(survival.median.value)}{some}"


def _exact(
    cell: Cell, names: Sequence[str], tuned: Sequence[Axis], needed: Mapping[str, Survival]
) -> dict[str, object]:
    row: dict[str, object] = {name: said(cell.at[name]) for name in names}
    row |= {"metric": f"test/{cell.metric}", "mean": cell.mean.value, "low": cell.mean.low, "high": cell.mean.high}
    row |= {"interval": cell.mean.method, "n": cell.mean.n, "iqm": cell.iqm.value}
    row |= {status: cell.chosen.counts[status] for status in ("done", "diverged", "failed", "missing")}
    row |= {axis.name: said(cell.chosen.at[axis.name]) for axis in tuned} | {"edge": " ".join(cell.edge)}
    if (took := needed.get(cell.label)) is not None:
        row |= {"median steps": took.median.value, "low steps": took.median.low, "high steps": took.median.high}
        row |= {"reached": took.reached, "restricted mean steps": took.restricted.value, "horizon": took.horizon}
    return row


def heat(found: Cells) -> Section | None:
    """The first scientific axis down, the others across. None where there are not two."""
    axes = axes_of(found, "scientific")
    if len(axes) < 2:
        return None
    title = f"{axes[0].name} and {joined(axis.name for axis in axes[1:])}"
    across = {place(cell, axes)[1:]: _title(cell, axes[1:]) for cell in found.cells}
    metrics = {cell.metric for cell in found.cells}
    if len(across) > ACROSS or len(metrics) > 1:
        reason = f"{len(across)} columns" if len(across) > ACROSS else f"{joined(sorted(metrics))} on one scale"
        return Section("heat", f"Map of {title}", [Paragraph(f"There is no map of {reason}: see tables/cells.csv.")])
    by = {place(cell, axes): cell for cell in found.cells}
    down = [said(value) for value in axes[0].values]
    grid = [[by.get((row, *column)) for column in across] for row in down]
    values = np.array([[cell.mean.value if cell else np.nan for cell in row] for row in grid])
    texts = [[number(cell.mean.value) if cell else "" for cell in row] for row in grid]
    best = {cell.scale: cell for cell in reversed(found.ranked)}
    framed = [(i, j) for i, row in enumerate(grid) for j, cell in enumerate(row) if cell and cell is best[cell.scale]]
    figure = plots.heat(np.where(np.isfinite(values), values, np.nan), down, [*across.values()], texts, framed)
    named = "; ".join(f"the best is {cell.label} with {number(cell.mean.value)}" for cell in best.values())
    alt = f"Map of {metric_of(found)} by {title}; {named}."
    each = ", on each data set" if len(best) > 1 else ""
    caption = (
        f"Mean {metric_of(found)} of each cell. Framed: the best{each}. Hatched: no finite value, or no such cell."
    )
    return Section("heat", f"Map of {title}", [drawn(figure, "heat", caption, alt)])


def curves(found: Cells) -> Section:
    """The losses over steps, at each cell's chosen setting."""
    over = f"median and quartiles over {len(found.seeds)} seeds" if len(found.seeds) > 1 else "one seed: no band"
    blocks: list[Block] = []
    for metric, what in LOSSES.items():
        if by_cell := bands(found.cells, metric):
            blocks.append(_losses(found, by_cell, metric, f"{what} over steps: {over}."))
    return Section("curves", "Loss curves", blocks or [Paragraph("No run has a curve.")])


def _losses(found: Cells, by_cell: Mapping[str, Band], metric: str, what: str) -> Figure:
    panels, note = panelled(found, lambda cell: _curve(by_cell.get(cell.label)))
    caption = f"{what} A run counts as infinite once it has diverged; a line that leaves the top explodes.{note}"
    alt = f"{metric} over steps on a logarithmic axis, a line for each of {count(len(by_cell), 'cell')}."
    figure = plots.lines(panels, x="step", y=metric, log_y=True)
    return drawn(figure, f"curves-{metric.replace('/', '-')}", caption, alt)


def _curve(band: Band | None) -> dict[str, Any]:
    if band is None:
        return {"x": np.empty(0), "y": np.empty(0)}
    band = band.thinned()
    edges = {"low": band.low, "high": band.high} if band.n > 1 else {}
    return {"x": band.steps, "y": band.middle, **edges}


def panelled(found: Cells, line: Callable[[Cell], dict[str, Any]]) -> tuple[list[plots.Panel], str]:
    """A panel for each combination of the scientific axes but the first, whose values are its lines; what is left out.

    ``line`` gives a cell's data as keywords of `plots.Line`.
    """
    axes = axes_of(found, "scientific")
    groups: dict[tuple[str, ...], list[Cell]] = {}
    for cell in found.cells:
        groups.setdefault(place(cell, axes)[1:], []).append(cell)
    best = list(dict.fromkeys(place(cell, axes)[:1] for cell in found.ranked))
    order: list[tuple[str, ...]] = [(said(value),) for value in axes[0].values] if axes else [()]
    series = {which: i for i, which in enumerate(which for which in order if which in best[:SERIES])}

    def drawn_as(cell: Cell) -> plots.Line:
        which = place(cell, axes)[:1]
        return plots.Line(" ".join(which) or "all runs", series=series.get(which), **line(cell))

    panels = [plots.Panel(_title(cells[0], axes[1:]), [drawn_as(cell) for cell in cells]) for cells in groups.values()]
    note = f" The first {PANELS} of {len(panels)} panels are drawn." if len(panels) > PANELS else ""
    if len(best) > SERIES:
        note += f" Named are the {SERIES} values of {axes[0].name} with the best cells; the others are grey."
    return panels[:PANELS], note


def _title(cell: Cell, axes: Iterable[Axis]) -> str:
    """A cell's values as a heading; a number says of what."""
    values = ((axis.name.split(".")[-1], cell.at[axis.name]) for axis in axes)
    return " / ".join(said(value) if isinstance(value, str) else f"{name}={said(value)}" for name, value in values)


def place(cell: Cell, axes: Iterable[Axis]) -> tuple[str, ...]:
    return tuple(said(cell.at[axis.name]) for axis in axes)


def drawn(figure: Any, name: str, caption: str, alt: str, printed: bool = True) -> Figure:
    made = published(figure, name, alt, printed)
    return Figure(name, caption, alt, made.svg, made.pdf, made.png)


def where(cell: Cell) -> str:
    """A cell in words; a sweep without scientific axes has one, of all its runs."""
    return at(cell.at) or "all runs"
