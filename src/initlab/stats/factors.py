"""What an axis does, over all others: each effect is a contrast made within a seed, so that n is the number of seeds.

``values`` is [S, A1, ..., Ak], the seeds and the grid of the axes, NaN where there is no run. An effect of one axis is
its value's mean over the rest of the grid, less the mean of all its values; an interaction of two is what their cell
has beyond the sum of both effects. Only the balanced part of the grid enters: where a combination of the others lacks a
value of the axis in every seed, it is left out, and so is a seed that lacks a run of what remains. The effects of a
seed with an infinite value are NaN: no sum is left of them.
"""

from __future__ import annotations

import numpy as np

from initlab.stats.intervals import FLAT, Floats


def main_effects(values: Floats, axis: int) -> Floats:
    """[S', A]: the effect of each value of grid axis ``axis`` (0 is the first after the seeds), seed by seed."""
    front = np.moveaxis(values, axis + 1, 1)
    mean = _averaged(front.reshape(len(values), front.shape[1], -1))
    return _rounded(mean - mean.mean(axis=1, keepdims=True), mean)


def interactions(values: Floats, first: int, second: int) -> Floats:
    """[S', A, B]: the interaction of each pair of values of two grid axes, seed by seed."""
    front = np.moveaxis(values, (first + 1, second + 1), (1, 2))
    seeds, a, b = front.shape[:3]
    flat = _averaged(front.reshape(seeds, a * b, -1))
    mean = flat.reshape(len(flat), a, b)  # also of no seed
    rows, columns = mean.mean(axis=2, keepdims=True), mean.mean(axis=1, keepdims=True)
    return _rounded(mean - rows - columns + mean.mean(axis=(1, 2), keepdims=True), mean)


def _averaged(values: Floats) -> Floats:
    """[S', A] of [S, A, O], over the balanced part: first without an O that some A never has, then without a seed."""
    whole = values[:, :, ~np.isnan(values).all(axis=0).any(axis=0)]
    complete = ~np.isnan(whole).any(axis=(1, 2)) & (whole.shape[2] > 0)
    mean = whole[complete].sum(axis=2) / max(1, whole.shape[2])
    return np.where(np.isfinite(mean).all(axis=1, keepdims=True), mean, np.nan)


def _rounded(effects: Floats, of: Floats) -> Floats:
    """Without what is rounding alone, which would pass for a small effect of great certainty."""
    return np.where(np.abs(effects) < FLAT * np.abs(of).max(initial=0.0), 0.0, effects)
