"""One sample: a value with its interval, by the method that holds its level at that number of seeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Floats = NDArray[np.float64]
Statistic = Callable[..., Floats]  # of values and the axis over which to take it

LEVEL = 0.95
RESAMPLES = 9999
ANYWHERE = (-np.inf, np.inf)
FLAT = 1e-12  # what differs by less, relative to its size, differs by rounding
BOOTSTRAP_FROM = 20  # seeds; below, the bootstrap's intervals are too short: docs/statistics.md


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval; `n` is the number of seeds, `method` how the interval was made.

    Without an interval `low` and `high` are None and `method` says why.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    method: str


def mean(values: ArrayLike, rng: np.random.Generator, bounds: tuple[float, float] = ANYWHERE) -> Estimate:
    """The mean of values [S]: Student's t below 20 seeds, BCa bootstrap from there on; NaN is left out.

    An interval is cut where the mean cannot lie: what is beyond its ``bounds`` covers nothing.
    """
    present = _present(values)
    value, n = _taken(np.mean, present), len(present)
    if reason := _no_interval(present):
        return Estimate(value, None, None, n, reason)
    if n < BOOTSTRAP_FROM:
        half = float(special.stdtrit(n - 1, (1 + LEVEL) / 2) * present.std(ddof=1) / np.sqrt(n))
        return Estimate(value, max(value - half, bounds[0]), min(value + half, bounds[1]), n, "t")
    return Estimate(value, *bca(present, np.mean, rng, expanded(n)), n, "BCa")


def iqm(values: ArrayLike, rng: np.random.Generator) -> Estimate:
    """The interquartile mean of values [S], with a BCa interval from 20 seeds on and none below.

    Agarwal et al. 2021, Deep RL at the edge of the statistical precipice. A quarter of infinite values is trimmed away.
    """
    present = _present(values)
    value, n = _taken(trimmed, present), len(present)
    reason = _no_interval(present) or (f"under {BOOTSTRAP_FROM} seeds" if n < BOOTSTRAP_FROM else None)
    if reason:
        return Estimate(value, None, None, n, reason)
    return Estimate(value, *bca(present, trimmed, rng, expanded(n)), n, "BCa")


def trimmed(values: Floats, axis: int = 0) -> Floats:
    """The mean without the lowest and the highest quarter (rounded down) of the values."""
    ordered = np.sort(values, axis=axis)
    cut = ordered.shape[axis] // 4
    return ordered.take(range(cut, ordered.shape[axis] - cut), axis=axis).mean(axis=axis)


def bca(values: Floats, statistic: Statistic, rng: np.random.Generator, level: float = LEVEL) -> tuple[float, float]:
    """The bias-corrected and accelerated bootstrap interval of a statistic of values [S, ...].

    Rows are resampled whole, so that cells [S, C] which share their seeds stay together. ``statistic(values, axis)``
    reduces [S, ...] to a number and [B, S, ...] to [B]. Efron 1987, Better bootstrap confidence intervals.
    """
    n = len(values)
    value = float(statistic(values, axis=0))
    resampled = statistic(values[_rows(n, rng)], axis=1)
    left_out = statistic(values[_others(n)], axis=1)
    bias = special.ndtri(np.mean(resampled < value) + np.mean(resampled == value) / 2)
    pull = left_out.mean() - left_out
    spread = np.sum(pull**2)
    acceleration = np.sum(pull**3) / (6 * spread**1.5) if spread > 0 else 0.0  # 0: no single seed matters to it
    z = bias + special.ndtri([(1 - level) / 2, (1 + level) / 2])
    low, high = np.quantile(resampled, special.ndtr(bias + z / (1 - acceleration * z)))
    return float(low), float(high)


def expanded(n: int) -> float:
    """The level at which a bootstrap of n values holds 95 %.

    Resamples spread by n where an unbiased estimate divides by n - 1, and know nothing of t's wider tails. Hesterberg
    2015, What teachers should know about the bootstrap, section 5.3 (the expanded percentile interval).
    """
    reach = np.sqrt(n / (n - 1)) * special.stdtrit(n - 1, (1 + LEVEL) / 2)
    return float(2 * special.ndtr(reach) - 1)


def proportion(successes: float, n: int) -> Estimate:
    """A share of n with Wilson's interval; half a success is a tie."""
    if n == 0:
        return Estimate(np.nan, None, None, 0, "no runs")
    share, z = successes / n, float(special.ndtri((1 + LEVEL) / 2))
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return Estimate(share, max(0.0, float(centre - half)), min(1.0, float(centre + half)), n, "Wilson")


def _present(values: ArrayLike) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    return array[~np.isnan(array)]


def flat(values: Floats) -> bool:
    """Whether they differ by rounding at most."""
    return bool(np.ptp(values) <= FLAT * np.abs(values).max())


def _taken(statistic: Statistic, present: Floats) -> float:
    """NaN of nothing, and of what is infinite both ways."""
    with np.errstate(invalid="ignore"):
        return float(statistic(present, axis=0)) if len(present) else np.nan


def _no_interval(present: Floats) -> str | None:
    """Why there is none, in words, or None."""
    if len(present) == 0:
        return "no runs"
    if not np.isfinite(present).all():
        return "diverged"
    if len(present) == 1:
        return "one seed"
    return "no spread" if flat(present) else None


def _rows(n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """[B, n] rows drawn with replacement, from raw words, as every version of numpy draws them alike."""
    raw = rng.bit_generator.random_raw(RESAMPLES * n).reshape(RESAMPLES, n)
    return ((raw >> np.uint64(11)).astype(np.float64) * 2.0**-53 * n).astype(np.int64)


def _others(n: int) -> NDArray[np.int64]:
    """[n, n - 1]: all rows but the first, all but the second, and so on."""
    grid = np.tile(np.arange(n), (n, 1))
    return grid[~np.eye(n, dtype=bool)].reshape(n, n - 1)
