"""What orders or predicts results, seed by seed, so that `mean` of it has n = seeds.

    mean(slopes(np.log2(widths), np.log2(best_rates)), rng)       # does the best rate move with width?
    mean(rank_correlations(predicted, losses), rng, (-1.0, 1.0))
    mean(aucs(predicted, trained), rng, (0.0, 1.0))
    mean(areas(steps, accuracies, worst=0.0), rng)

``values`` is [S, P], the seeds and P places (cells, widths, depths, steps); a seed that lacks one is NaN in the result.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import integrate, stats

from initlab.stats.intervals import Floats


def slopes(x: ArrayLike, values: ArrayLike) -> Floats:
    """[S]: the slope of the least-squares line through each seed's values over x [P]."""
    centred = np.asarray(x, dtype=np.float64) - np.mean(np.asarray(x))
    return np.asarray(values, dtype=np.float64) @ centred / (centred @ centred)


def rank_correlations(predicted: ArrayLike, values: ArrayLike) -> Floats:
    """[S]: Spearman's correlation of each seed's values with what was predicted [P]; ties share their ranks.

    NaN for a seed whose values are all equal: they have no order. Infinite values are first or last.
    """
    values = np.asarray(values, dtype=np.float64)
    ranks = stats.rankdata(values, axis=1) - (values.shape[1] + 1) / 2
    ranks[np.isnan(values).any(axis=1)] = np.nan
    expected = stats.rankdata(predicted) - (values.shape[1] + 1) / 2
    size = np.sqrt((ranks**2).sum(axis=1) * (expected @ expected))
    return np.where(size > 0, ranks @ expected, np.nan) / np.where(size > 0, size, 1.0)


def aucs(scores: ArrayLike, happened: ArrayLike) -> Floats:
    """[S]: how often a place where it happened has a greater score than one where it did not, a tie being half.

    The area under the ROC curve, of scores [P] and happened [S, P] (0, 1, NaN). NaN for a seed that has only one kind.
    """
    scores, happened = np.asarray(scores, dtype=np.float64), np.asarray(happened, dtype=np.float64)
    wins = np.sign(scores[:, None] - scores[None, :]) / 2 + 0.5  # [P, P]
    both = happened.sum(axis=1) * (1 - happened).sum(axis=1)
    won = np.einsum("sp,pq,sq->s", happened, wins, 1 - happened)
    return np.where(both > 0, won, np.nan) / np.where(both > 0, both, 1.0)


def areas(steps: ArrayLike, values: ArrayLike, worst: float) -> Floats:
    """[S]: the mean height of each seed's curve [S, T] over the steps [T], by the trapezoidal rule.

    In the metric's own unit, so that it can be read beside a final value. What follows a divergence, NaN, counts as the
    ``worst`` that the metric can be.
    """
    at, heights = np.asarray(steps, dtype=np.float64), np.asarray(values, dtype=np.float64)
    return integrate.trapezoid(np.where(np.isnan(heights), worst, heights), at, axis=1) / (at[-1] - at[0])
