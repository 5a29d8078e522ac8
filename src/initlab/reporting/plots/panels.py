"""Lines over a common axis, in small multiples, each named at its end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from initlab.reporting.figures import LABEL, LETTER, LINE, REST, SERIES, WIDTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
LEFT = 0.55  # what the y axis needs


@dataclass(frozen=True)
class Line:
    """A named line: ``x``, ``y`` [T], and a band from ``low`` to ``high`` [T] or None; NaN leaves a gap.

    ``marked`` is the index of a point to mark, ``series`` the colour in `SERIES`; None is grey and without a name.
    """

    name: str
    x: Array
    y: Array
    low: Array | None = None
    high: Array | None = None
    series: int | None = 0
    marked: int | None = None


@dataclass(frozen=True)
class Panel:
    title: str
    lines: Sequence[Line]


def lines(
    panels: Sequence[Panel],
    *,
    x: str,
    y: str,
    log_x: bool = False,
    log_y: bool = False,
    points: bool = False,
    height: float = 2.1,
) -> Figure:
    """Small multiples on common axes; each line's name stands at its end, in its colour."""
    from matplotlib.figure import Figure

    longest = max((len(line.name) for p in panels for line in p.lines if line.series is not None), default=0)
    gutter = 0.12 + LETTER * min(longest, 26)
    columns = max(1, min(3, len(panels), int((WIDTH - LEFT) / (1.35 + gutter))))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(WIDTH, rows * (height + 0.35) + 0.38))
    wide, tall = figure.get_size_inches()
    cell = (wide - LEFT) / columns
    shared: Axes | None = None
    for i, panel in enumerate(panels):
        row, column = divmod(i, columns)
        left, bottom = LEFT + column * cell, tall - (row + 1) * (height + 0.35) + 0.05
        box = (left / wide, bottom / tall, (cell - gutter) / wide, height / tall)
        axes = figure.add_axes(box, sharex=shared, sharey=shared)
        shared = shared or axes
        axes.set_title(panel.title)
        for line in panel.lines:
            _line(axes, line, points)
        if column:
            axes.tick_params(labelleft=False)
        if i + columns < len(panels):
            axes.tick_params(labelbottom=False)
    assert shared is not None
    _scale(shared, log_x, log_y, [line for panel in panels for line in panel.lines])
    for axes, panel in zip(figure.axes, panels, strict=True):
        _names(axes, panel.lines, height)
    figure.text(LEFT / wide, 0.03 / tall, x, ha="left", va="bottom")
    figure.text(0.02 / wide, 0.5, y, ha="left", va="center", rotation=90)
    return figure


def _line(axes: Axes, line: Line, points: bool) -> None:
    if line.series is None:
        axes.plot(line.x, line.y, color=REST[0], linewidth=0.7, alpha=0.6, zorder=2)
        return
    color = SERIES[line.series][0]
    if line.low is not None and line.high is not None:
        axes.fill_between(line.x, line.low, line.high, color=color, alpha=0.18, linewidth=0)
    axes.plot(line.x, line.y, color=color, linewidth=1.4, marker="o" if points else None, markersize=2.6, zorder=3)
    if line.marked is not None:
        axes.plot(line.x[line.marked], line.y[line.marked], "o", mfc="none", mec=color, mew=1.3, ms=6.5, zorder=4)


def _scale(axes: Axes, log_x: bool, log_y: bool, drawn: Sequence[Line]) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.margins(x=0.02 if not log_x else 0.04)
    if log_x:
        axes.set_xscale("log")
        _decades(axes.xaxis, *axes.get_xlim())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4))
    values = np.concatenate([line.y[np.isfinite(line.y)] for line in drawn] or [np.zeros(0)])
    if log_y and (values > 0).any():
        axes.set_yscale("log")
        axes.set_ylim(*_limits_log(values[values > 0], drawn))
        _decades(axes.yaxis, *axes.get_ylim())
    else:
        axes.set_ylim(*_limits(values if len(values) else np.array([0.0, 1.0])))
        axes.yaxis.set_major_locator(MaxNLocator(5))


def _limits(values: Array) -> tuple[float, float]:
    """As far as the lines go and a little more, but no farther than a line that leaves all others."""
    low, high = np.quantile(values, (0.1, 0.9))
    bottom, top = max(values.min(), 2 * low - high), min(values.max(), 2 * high - low)
    room = 0.08 * (top - bottom) or 0.1
    return float(bottom - room), float(top + room)


def _limits_log(values: Array, drawn: Sequence[Line]) -> tuple[float, float]:
    """The same on a logarithmic axis: what explodes leaves it at ten times where the lines begin."""
    first = [line.y[0] for line in drawn if len(line.y) and np.isfinite(line.y[0]) and line.y[0] > 0]
    top = min(values.max(), 10 * float(np.median(first or [values.max()])))
    return float(min(values.min(), top / 10) / 1.2), float(top * 1.2)


def _decades(axis: Any, low: float, high: float) -> None:
    """Ticks of a log axis at numbers that one would say: powers of ten, or 1, 2, 5 within few of them."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1, 2, 5) if last - first <= 2 else (1,)
    every = max(1, (last - first) // 6)
    ticks = [m * 10.0**k for k in range(first, last + 1, every) for m in steps]
    axis.set_major_locator(FixedLocator([t for t in ticks if low <= t <= high]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: power(value)))


def power(value: float) -> str:
    """A tick of a log axis: 0.001 to 1000 as a number, what lies beyond as a power of ten."""
    if 1e-3 <= value < 1e4:
        return f"{value:g}"
    exponent = math.floor(math.log10(value) + 1e-9)
    digits = f"{value / 10.0**exponent:g}"
    raised = str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{raised}" if digits == "1" else f"{digits}·10{raised}"


def _names(axes: Axes, drawn: Sequence[Line], height: float) -> None:
    """Each named line's name at its last finite point, moved apart where they would meet."""
    named = [(line, np.flatnonzero(np.isfinite(line.y))) for line in drawn if line.series is not None]
    named = [(line, finite) for line, finite in named if len(finite)]
    place = axes.transScale + axes.transLimits  # data -> the axes' unit square
    ends = [place.transform((line.x[finite[-1]], line.y[finite[-1]]))[1] for line, finite in named]
    ends = np.clip(ends, 0, 1).tolist()
    for (line, _), y in zip(named, apart(ends, LINE / height), strict=True):
        color = SERIES[line.series or 0][0]
        name = line.name if len(line.name) <= 26 else f"{line.name[:25]}…"
        axes.text(1.02, y, name, transform=axes.transAxes, color=color, fontsize=LABEL, va="center", clip_on=False)


def apart(places: Sequence[float], gap: float) -> list[float]:
    """Places on a line moved as little as need be for each pair to be ``gap`` apart, in their order.

    Neighbours that meet form a block around their mean place; blocks that meet are joined.
    """
    order = sorted(range(len(places)), key=lambda i: (places[i], i))
    blocks: list[list[float]] = []  # the places of a block's members
    for i in order:
        blocks.append([places[i]])
        while len(blocks) > 1 and _edge(blocks[-2], gap, +1) > _edge(blocks[-1], gap, -1):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    moved = [_edge(block, gap, -1) + gap * (k + 0.5) for block in blocks for k in range(len(block))]
    return [place for _, place in sorted(zip(order, moved, strict=True))]


def _edge(block: Sequence[float], gap: float, side: int) -> float:
    """A block's upper (+1) or lower (-1) end: its members take a gap each, around their mean."""
    return sum(block) / len(block) + side * gap * len(block) / 2
