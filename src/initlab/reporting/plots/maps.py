"""A map of two axes: a number in each field, and its colour."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from initlab.reporting.figures import INK, LABEL, LETTER, LINE, PAPER, REST, WIDTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ON_DARK, ON_LIGHT = "#fefefe", "#0a0a0a"  # on a field, not on the page: not recoloured


def heat(
    values: NDArray[np.float64],
    rows: Sequence[str],
    columns: Sequence[str],
    texts: Sequence[Sequence[str]],
    framed: Iterable[tuple[int, int]] = (),
) -> Figure:
    """``values`` [rows, columns] as colours with their ``texts``; what is not finite is hatched."""
    from matplotlib.figure import Figure

    longest = LETTER * max(map(len, columns))
    margin = 0.15 + LETTER * max(map(len, rows))
    field = min(1.05, (WIDTH - margin - 0.1) / len(columns))
    tall, turned = (0.3 if field > 0.5 else 0.24), longest > field
    top = 0.12 + (0.75 * longest if turned else LINE)
    width, height = margin + field * len(columns) + 0.1, top + tall * len(rows) + 0.06
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((margin / width, 0.06 / height, field * len(columns) / width, tall * len(rows) / height))
    axes.set(xlim=(0, len(columns)), ylim=(len(rows), 0))
    _fields(axes, values, texts, set(framed), LABEL if field > 0.5 else 5.5)
    axes.set_xticks([j + 0.5 for j in range(len(columns))], columns)
    axes.set_yticks([i + 0.5 for i in range(len(rows))], rows)
    axes.xaxis.tick_top()
    for label in axes.get_xticklabels() if turned else ():
        label.set(rotation=45, ha="left", rotation_mode="anchor")
    axes.tick_params(length=0, labelsize=LABEL, labelcolor=INK[0])
    axes.grid(False)
    axes.spines[:].set_visible(False)
    return figure


def _fields(
    axes: Axes, values: NDArray[np.float64], texts: Sequence[Sequence[str]], framed: set[tuple[int, int]], size: float
) -> None:
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    for i, j in np.ndindex(values.shape):
        if np.isfinite(values[i, j]):
            share = (values[i, j] - low) / (high - low) if high > low else 0.5
            ink = ON_DARK if share < 0.55 else ON_LIGHT
            axes.add_patch(Rectangle((j, i), 1, 1, fc=colormaps["cividis"](share), ec=PAPER[0], lw=1.2))
        else:
            ink = INK[0]
            axes.add_patch(Rectangle((j, i), 1, 1, fc="none", ec=REST[0], lw=0.4, hatch="////"))
        if (i, j) in framed:
            axes.add_patch(Rectangle((j + 0.05, i + 0.1), 0.9, 0.8, fc="none", ec=ink, lw=1.1))
        axes.text(j + 0.5, i + 0.5, texts[i][j], ha="center", va="center", color=ink, fontsize=size)
