"""Two samples that share their seeds, and a family of such comparisons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

from initlab.stats.intervals import LEVEL, Estimate, Floats, mean, proportion


@dataclass(frozen=True)
class Comparison:
    """``a`` against ``b``, paired by seed.

    `difference` is the mean of a - b, `p` that of `test` (None without one) against no difference, `effect` Hedges' g
    of the differences, `superiority` the share of seeds at which a is greater, a tie being half.
    """

    difference: Estimate
    p: float | None
    test: str
    effect: Estimate
    superiority: Estimate


def compare(a: ArrayLike, b: ArrayLike, rng: np.random.Generator) -> Comparison:
    """Values [S] of two cells on the same seeds. Wilcoxon's signed ranks take the place of t where a run diverged."""
    paired = differences(a, b)
    greater = float(np.sum(paired > 0) + np.sum(paired == 0) / 2)
    p, test = _tested(paired)
    return Comparison(mean(paired, rng), p, test, effect(paired), proportion(greater, len(paired)))


def differences(a: ArrayLike, b: ArrayLike) -> Floats:
    """a - b over the seeds that both have; 0 where both diverged, infinite where one did."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    both = ~np.isnan(a) & ~np.isnan(b)
    equal = a[both] == b[both]
    return np.where(equal, 0.0, np.subtract(a[both], b[both], where=~equal, out=np.zeros(int(both.sum()))))


def effect(paired: Floats) -> Estimate:
    """Hedges' g of differences [S]: their mean in standard deviations, with the exact interval (noncentral t).

    Hedges 1981, Distribution theory for Glass's estimator of effect size.
    """
    n = len(paired)
    if n < 2 or not np.isfinite(paired).all():
        return Estimate(np.nan, None, None, n, "one seed" if n == 1 else "no runs" if n == 0 else "diverged")
    spread = paired.std(ddof=1)
    if spread == 0:
        return Estimate(0.0 if paired[0] == 0 else np.nan, None, None, n, "no spread")
    unbiased = np.exp(special.gammaln((n - 1) / 2) - special.gammaln((n - 2) / 2)) * np.sqrt(2 / (n - 1))  # 0 at n = 2
    t = float(paired.mean() / spread * np.sqrt(n))
    low, high = special.nctdtrinc(n - 1, [(1 + LEVEL) / 2, (1 - LEVEL) / 2], t) / np.sqrt(n)
    return Estimate(float(unbiased * t / np.sqrt(n)), float(low), float(high), n, "noncentral t")


def holm(p: ArrayLike) -> Floats:
    """P values [F] adjusted so that the chance of any false finding in the family stays below the level. Holm 1979."""
    given = np.asarray(p, dtype=np.float64)
    order = np.argsort(given, kind="stable")
    scaled = given[order] * np.arange(len(given), 0, -1)
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def _tested(paired: Floats) -> tuple[float | None, str]:
    if len(paired) < 2:
        return None, "one seed" if len(paired) else "no runs"
    if (paired == 0).all():
        return 1.0, "all equal"
    if not np.isfinite(paired).all():
        return float(stats.wilcoxon(paired, zero_method="zsplit").pvalue), "Wilcoxon"
    spread = paired.std(ddof=1)
    if spread == 0:
        return 0.0, "paired t"
    t = abs(paired.mean()) / spread * np.sqrt(len(paired))
    return float(2 * special.stdtr(len(paired) - 1, -t)), "paired t"
