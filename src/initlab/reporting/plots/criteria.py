"""Estimates, each against the bounds that it was to stay within."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from initlab.reporting.figures import FAINT, INK, LABEL, LETTER, PAPER, SERIES, WIDTH
from initlab.reporting.plots.forests import Dot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROW, HEAD, FOOT = 0.2, 0.3, 0.42


@dataclass(frozen=True)
class Criterion:
    """A check's estimates on an axis of their own, between ``low`` and ``high``, either of which may be infinite."""

    title: str
    dots: Sequence[Dot]
    low: float
    high: float


def criteria(checks: Sequence[Criterion]) -> Figure:
    """The checks below each other: the ground that the criterion allows, dots with intervals; hollow: without one."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    margin = 0.2 + LETTER * max(len(dot.name) for check in checks for dot in check.dots)
    heights = [ROW * len(check.dots) for check in checks]
    height = sum(heights) + (HEAD + FOOT) * len(checks)
    figure, top = Figure(figsize=(WIDTH, height)), height
    for check, tall in zip(checks, heights, strict=True):
        top -= HEAD + tall
        axes = figure.add_axes((margin / WIDTH, top / height, (WIDTH - margin - 0.2) / WIDTH, tall / height))
        top -= FOOT
        for place, dot in enumerate(check.dots):
            whole = dot.low is not None and dot.high is not None
            if dot.low is not None and dot.high is not None:
                axes.plot([dot.low, dot.high], [place, place], color=SERIES[0][0], linewidth=1.6)
            if math.isfinite(dot.value):
                face = SERIES[0][0] if whole else PAPER[0]
                axes.plot(dot.value, place, "o", color=SERIES[0][0], markersize=4, markerfacecolor=face)
        bounds = [bound for bound in (check.low, check.high) if math.isfinite(bound)]
        for bound in bounds:
            axes.axvline(bound, color=INK[0], linewidth=0.8)
        axes.margins(x=0.08)
        left, right = axes.get_xlim()
        axes.axvspan(max(check.low, left), min(check.high, right), color=FAINT[0], zorder=0)
        axes.set(xlim=(left, right), ylim=(len(check.dots) - 0.5, -0.5))
        axes.set_title(check.title, color=INK[0])
        axes.set_yticks(range(len(check.dots)), [dot.name for dot in check.dots])
        axes.tick_params(axis="y", labelcolor=INK[0], labelsize=LABEL)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.grid(False)
        axes.spines["left"].set_visible(False)
    return figure
