"""Softmax of Gaussian logits: how unevenly attention at init spreads over positions."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from initlab.streams import uniforms

DRAWS = 2000


def sharing(positions: int, deviation: float, alike: float) -> tuple[float, float]:
    """E sum_j p_j^2 of p = softmax(N(0, deviation^2)) over positions, and E sum_j p_j p'_j of two whose logits have the
    correlation ``alike``: both 1 / positions at deviation 0, and 1 and less at infinity.

    The mean of `DRAWS` fixed draws, good to about a hundredth.
    """
    first, fresh = _normals(positions)
    second = alike * first + math.sqrt(1 - alike**2) * fresh
    own, other = _softmax(deviation * first), _softmax(deviation * second)
    return float((own**2).sum(1).mean()), float((own * other).sum(1).mean())


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.exp(logits - logits.max(1, keepdims=True))
    shares: NDArray[np.float64] = weights / weights.sum(1, keepdims=True)
    return shares


@cache
def _normals(positions: int) -> NDArray[np.float64]:
    from scipy.special import ndtri

    return np.asarray(ndtri(uniforms((2, DRAWS, positions), 0, "theory", "attention")))
