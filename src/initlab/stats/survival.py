"""How long until something happens, where for some it has not happened yet: censored, never averaged.

when = first_reached(steps, values, 0.9, "max")      # the step, or inf
survival(times, horizon=1000)                        # Survival: median, restricted mean, how many arrived
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from initlab.stats.intervals import LEVEL, Estimate, Floats, mean


@dataclass(frozen=True)
class Survival:
    """Times to an event, in steps. `median` is infinite if under half arrived by the `horizon`, and so are its ends.

    `restricted` is the mean of min(time, horizon): what a reader may compare where some never arrive.
    """

    median: Estimate
    restricted: Estimate
    reached: int
    n: int
    horizon: float


def first_reached(steps: ArrayLike, values: ArrayLike, threshold: float, direction: str) -> float:
    """The first of the steps [T] at which values [T] are at the threshold or past it; infinite if never."""
    steps, values = np.asarray(steps, dtype=np.float64), np.asarray(values, dtype=np.float64)
    (there,) = np.nonzero(values >= threshold if direction == "max" else values <= threshold)
    return float(steps[there[0]]) if len(there) else np.inf


def survival(times: ArrayLike, horizon: float, rng: np.random.Generator) -> Survival:
    """Times [S], infinite for what had not arrived by the horizon, NaN for no run; later arrivals count as none.

    A run that diverged never arrives: it is at risk until the horizon, not lost to sight when it diverged. As all are
    followed to the same horizon, the Kaplan-Meier curve is the share that has not arrived, and the exact interval of
    its median lies between two order statistics (David and Nagaraja 2003, section 7.1), from six seeds on.
    """
    given = np.asarray(times, dtype=np.float64)
    given = np.sort(given[~np.isnan(given)])
    given[given > horizon] = np.inf
    restricted = mean(np.minimum(given, horizon), rng, bounds=(0.0, horizon))
    return Survival(_median(given), restricted, int(np.isfinite(given).sum()), len(given), horizon)


def _median(times: Floats) -> Estimate:
    """Of sorted times [S]: the first at which half or more have arrived."""
    n = len(times)
    if n == 0:
        return Estimate(np.nan, None, None, 0, "no runs")
    value = float(times[(n - 1) // 2])
    rank = int(stats.binom.ppf((1 - LEVEL) / 2, n, 0.5))  # the ranks from here to its mirror cover the median
    if rank == 0:
        return Estimate(value, None, None, n, "one seed" if n == 1 else "under 6 seeds")
    return Estimate(value, float(times[rank - 1]), float(times[n - rank]), n, "order statistics")
