"""The slope under which a deep chain of leaky rectifiers keeps two inputs apart just as much as it should.

tailored_slope(50)                   # 0.430517...: fifty layers bring correlation 0 to 0.9, under ReLU to 0.988
"""

from __future__ import annotations

import math

ETA = 0.9


def correlation(c: float, slope: float) -> float:
    """A layer's map of correlations, for max(x, slope x) with the gain that keeps second moments. Cho & Saul 2009."""
    c = min(c, 1.0)
    bend = (1 - slope) ** 2 / (math.pi * (1 + slope**2))
    return c + bend * (math.sqrt(1 - c * c) - c * math.acos(c))


def tailored_slope(depth: int, eta: float = ETA) -> float:
    """The negative slope for which ``depth`` layers map correlation 0 to ``eta``; 0, ReLU's, if that stays below it.

    Zhang, Botev & Martens 2022 (TAT), eq. 8: the correlation map of the whole net at 0 is eta. Twelve digits.
    """

    def whole(slope: float) -> float:
        c = 0.0
        for _ in range(depth):
            c = correlation(c, slope)
        return c

    low, high = 0.0, 1.0  # the more linear, the less it brings together
    if whole(low) <= eta:
        return 0.0
    while high - low > 1e-14:
        middle = (low + high) / 2
        low, high = (middle, high) if whole(middle) > eta else (low, middle)
    return float(f"{high:.12g}")
