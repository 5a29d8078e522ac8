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
    """Times to an event, in steps. `median` is Kaplan-Meier's, infinite if under half arrived by the `horizon`.

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

    A run that diverged never arrives: it is at risk until the horizon, not lost to sight when it diverged. The median's
    interval inverts the log-log interval of the survival curve (Brookmeyer and Crowley 1982).
    """
    given = np.asarray(times, dtype=np.float64)
    given = given[~np.isnan(given)]
    arrived = given <= horizon
    capped = np.where(arrived, given, horizon)
    return Survival(_median(capped, arrived), mean(capped, rng), int(arrived.sum()), len(given), horizon)


def _median(times: Floats, arrived: np.ndarray) -> Estimate:
    n = len(times)
    if n == 0:
        return Estimate(np.nan, None, None, 0, "no runs")
    if not arrived.any():
        return Estimate(np.inf, None, None, n, "none arrived")
    curve = stats.ecdf(stats.CensoredData(times[arrived], right=times[~arrived])).sf
    at, left = curve.quantiles, curve.probabilities
    value = _crossing(at, left)
    if n == 1:
        return Estimate(value, None, None, 1, "one seed")
    with np.errstate(all="ignore"):
        band = curve.confidence_interval(LEVEL, method="log-log")
    low = _crossing(at, np.nan_to_num(band.low.probabilities, nan=0.0))
    high = _crossing(at, np.nan_to_num(band.high.probabilities, nan=1.0))
    return Estimate(value, low, high, n, "Kaplan-Meier")


def _crossing(times: Floats, left: Floats) -> float:
    """The first time at which no more than half are left."""
    (past,) = np.nonzero(left <= 0.5 + 1e-12)
    return float(times[past[0]]) if len(past) else np.inf
