"""Estimates beside each other on one axis, as forest plots have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from initlab.reporting.figures import INK, LABEL, LETTER, MUTED, PAPER, SERIES, WIDTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW = 0.2


@dataclass(frozen=True)
class Dot:
    """An estimate and its interval, if it has one; those of a ``group`` stand together."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    group: str = ""


def forest(dots: Sequence[Dot], x: str) -> Figure:
    """Dots with their intervals over a line at zero; hollow where the interval holds it, or there is none."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    groups = list(dict.fromkeys(dot.group for dot in dots))
    rows: list[str | Dot] = []
    for group in groups:
        rows += [group, *(dot for dot in dots if dot.group == group)]
    margin = 0.2 + LETTER * max(len(dot.name) for dot in dots)
    height = ROW * len(rows) + 0.55
    figure = Figure(figsize=(WIDTH, height))
    box = (margin / WIDTH, 0.45 / height, (WIDTH - margin - 0.2) / WIDTH, ROW * len(rows) / height)
    axes = figure.add_axes(box)
    for place, row in enumerate(rows):
        if isinstance(row, Dot):
            _dot(axes, row, place)
        else:
            beside = axes.get_yaxis_transform()
            axes.text(0, place, row, transform=beside, va="center", fontsize=LABEL, color=MUTED[0])
    axes.axvline(0, color=INK[0], linewidth=0.8, zorder=1)
    axes.set(ylim=(len(rows) - 0.5, -0.5))
    named = [(place, row.name) for place, row in enumerate(rows) if isinstance(row, Dot)]
    axes.set_yticks([place for place, _ in named], [name for _, name in named])
    axes.tick_params(axis="y", labelcolor=INK[0], labelsize=LABEL)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.grid(False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(x, loc="left")
    return figure


def _dot(axes: Axes, dot: Dot, place: int) -> None:
    clear = dot.low is not None and dot.high is not None and (dot.low > 0 or dot.high < 0)
    color = SERIES[0][0] if clear else MUTED[0]
    if dot.low is not None and dot.high is not None:
        axes.plot([dot.low, dot.high], [place, place], color=color, linewidth=1.6, solid_capstyle="butt")
    axes.plot(dot.value, place, "o", color=color, markersize=4, markerfacecolor=color if clear else PAPER[0])
