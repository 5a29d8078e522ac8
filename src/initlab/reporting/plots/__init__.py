"""The report's figures, drawn from plain arrays: no file is read here and no statistic is made.

    with figures.style():
        figure = lines([Panel("relu", [Line("xavier", steps, median, low, high)])], x="step", y="val/loss", log_y=True)
        figure = heat(means, ["xavier"], ["relu", "tanh"], texts, framed=[(0, 1)])
        figure = forest([Dot("xavier", 0.01, -0.02, 0.04, group="init")], "difference")

Sizes are in inches. A figure is as wide as two columns of a paper, and its parts are placed by hand, so that names have
room where they belong: beside what they name.
"""

from initlab.reporting.plots.criteria import Criterion, criteria
from initlab.reporting.plots.forests import Dot, forest
from initlab.reporting.plots.maps import heat
from initlab.reporting.plots.panels import Line, Panel, apart, lines, power

__all__ = ["Criterion", "Dot", "Line", "Panel", "apart", "criteria", "forest", "heat", "lines", "power"]
