"""Two samples that share their seeds, and a family of such comparisons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from initlab.stats.intervals import FLAT, LEVEL, Estimate, Floats, flat, mean, proportion

PERMUTED = 13  # pairs, up to which scipy's signed ranks go through all signs where there are ties


@dataclass(frozen=True)
class Comparison:
    """``a`` against ``b``, paired by seed.

    `difference` is the mean of a - b, `p` that of `test` (None without one) against no difference, `effect` Hedges' g
    of the differences, `superiority` the share of seeds at which a is better, a tie being half.
    """

    difference: Estimate
    p: float | None
    test: str
    effect: Estimate
    superiority: Estimate


def compare(a: ArrayLike, b: ArrayLike, rng: np.random.Generator, direction: str = "max") -> Comparison:
    """Values [S] of two cells on the same seeds; ``direction`` max or min says which is better."""
    paired = differences(a, b)
    ahead = paired if direction == "max" else -paired
    wins = float(np.sum(ahead > 0) + np.sum(ahead == 0) / 2)
    p, test = against_none(paired)
    return Comparison(mean(paired, rng), p, test, effect(paired), proportion(wins, len(paired)))


def differences(a: ArrayLike, b: ArrayLike) -> Floats:
    """a - b over the seeds that both have; 0 where both diverged, infinite where one did."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    both = ~np.isnan(a) & ~np.isnan(b)
    equal = a[both] == b[both]
    return np.where(equal, 0.0, np.subtract(a[both], b[both], where=~equal, out=np.zeros(int(both.sum()))))


def effect(paired: Floats) -> Estimate:
    """Hedges' g of differences [S]: their mean in standard deviations, with the exact interval (noncentral t).

    None of fewer than three: what makes it unbiased is 0 at two. Hedges 1981, Distribution theory for Glass's estimator
    of effect size.
    """
    n = len(paired)
    if n < 3 or not np.isfinite(paired).all():
        return Estimate(np.nan, None, None, n, ("no runs", "one seed", "two seeds")[n] if n < 3 else "diverged")
    if flat(paired):
        return Estimate(0.0 if paired[0] == 0 else np.nan, None, None, n, "no spread")
    unbiased = np.exp(special.gammaln((n - 1) / 2) - special.gammaln((n - 2) / 2)) * np.sqrt(2 / (n - 1))
    t = float(paired.mean() / paired.std(ddof=1) * np.sqrt(n))
    low, high = special.nctdtrinc(n - 1, [(1 + LEVEL) / 2, (1 - LEVEL) / 2], t) / np.sqrt(n)
    return Estimate(float(unbiased * t / np.sqrt(n)), float(low), float(high), n, "noncentral t")


def equivalence(paired: ArrayLike, margin: float) -> float | None:
    """The p value of two one-sided tests (TOST) that the mean of differences [S] lies within +-margin; None without n.

    The two are the same, to the margin, at the 5 % level if it is below .05: the 90 % interval then lies within.
    Schuirmann 1987, A comparison of the two one-sided tests procedure.
    """
    given = np.asarray(paired, dtype=np.float64)
    n = len(given)
    if n < 2:
        return None
    if not np.isfinite(given).all():
        return 1.0
    if flat(given):
        return float(abs(given[0]) >= margin)
    error = given.std(ddof=1) / np.sqrt(n)
    return float(special.stdtr(n - 1, (abs(given.mean()) - margin) / error))


def holm(p: ArrayLike) -> Floats:
    """P values [F] adjusted so that the chance of any false finding in the family stays below the level. Holm 1979."""
    given = np.asarray(p, dtype=np.float64)
    order = np.argsort(given, kind="stable")
    scaled = given[order] * np.arange(len(given), 0, -1)
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def p_values(values: Floats) -> Floats:
    """[C, C]: `against_none` for each pair of the cells [C, S], NaN where there is no test."""
    found = np.full((len(values), len(values)), np.nan)
    for i in range(len(values) - 1):
        found[i, i + 1 :] = found[i + 1 :, i] = _tested_with(values[i], values[i + 1 :])
    return found


def against_none(paired: Floats) -> tuple[float | None, str]:
    """The p value of differences [S] against a mean of none, and by which test.

    Paired t; Wilcoxon's signed ranks where a difference is infinite, or where all are equal and t knows no spread.
    """
    if len(paired) < 2:
        return None, "one seed" if len(paired) else "no seed in common"
    if (paired == 0).all():
        return 1.0, "all equal"
    finite = bool(np.isfinite(paired).all())
    if finite and flat(paired) and len(paired) <= PERMUTED:
        return 2.0 ** (1 - len(paired)), "Wilcoxon"  # all lean one way, as of 2^n choices of signs only two do
    if not finite or flat(paired):
        return float(stats.wilcoxon(paired, zero_method="zsplit").pvalue), "Wilcoxon"
    return float(_t_test(paired.mean(), paired.std(ddof=1), len(paired))), "paired t"


def signed_ranks(paired: Floats) -> float:
    """The sum of the ranks of differences [S], each with its sign: positive where they lean that way."""
    return float(np.sum(np.sign(paired) * stats.rankdata(np.abs(paired))))


def against_share(happened: Floats, share: float) -> float | None:
    """The exact p value of yes and no [S] against a share of yes; None without any."""
    if len(happened) == 0:
        return None
    return float(stats.binomtest(int(happened.sum()), len(happened), min(max(share, 0.0), 1.0)).pvalue)


def equivalences(values: Floats, margins: Floats) -> Floats:
    """[C, C]: `equivalence` of each pair of the cells [C, S], within the margin [C] of the earlier of the two."""
    found = np.full((len(values), len(values)), np.nan)
    for i in range(len(values) - 1):
        mean, spread, n, plain = _moments(values[i], values[i + 1 :])
        with np.errstate(invalid="ignore", divide="ignore"):
            p = special.stdtr(n - 1, (np.abs(mean) - margins[i]) / (spread / np.sqrt(n)))
        p = np.where(spread > 2 * FLAT * np.abs(mean), p, np.abs(mean) >= margins[i])
        p = np.where(plain, p, 1.0)
        found[i, i + 1 :] = found[i + 1 :, i] = np.where(n < 2, np.nan, p)
    return found


def _tested_with(one: Floats, others: Floats) -> Floats:
    """[C]: the p values of values [S] against each of [C, S], t for all at once."""
    mean, spread, n, plain = _moments(one, others)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = _t_test(mean, spread, n)
    for row in np.flatnonzero(~plain | (n < 2) | (spread <= 2 * FLAT * np.abs(mean))):
        p, _ = against_none(differences(one, others[row]))
        found[row] = np.nan if p is None else p
    return found


def _moments(one: Floats, others: Floats) -> tuple[Floats, Floats, Floats, NDArray[np.bool_]]:
    """[C] each: mean and deviation of the differences from values [S] to [C, S], n, and whether they are finite."""
    present = ~np.isnan(others) & ~np.isnan(one)
    with np.errstate(invalid="ignore"):
        paired = np.where(others == one, 0.0, others - one)
    finite = present & np.isfinite(paired)
    n = present.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.sum(paired, axis=1, where=finite) / n
        spread = np.sqrt(np.sum((paired - mean[:, None]) ** 2, axis=1, where=finite) / (n - 1))
    return mean, spread, n, (finite == present).all(axis=1)


def _t_test(mean: Floats, spread: Floats, n: Any) -> Floats:
    return 2 * special.stdtr(n - 1, -np.abs(mean) / spread * np.sqrt(n))
