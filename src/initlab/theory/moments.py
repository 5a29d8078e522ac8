"""Moments of an activation and of its slope, under a Gaussian pre-activation."""

from __future__ import annotations

import math

import numpy as np

from initlab.theory.activations import Act, activation
from initlab.theory.gaussian import expect


def mean(act: Act, q: float, mean: float = 0.0) -> float:
    """E phi(x), x ~ N(mean, q)."""
    phi = activation(act)
    return expect(phi.f, q, mean, phi.kinks)


def second_moment(act: Act, q: float, mean: float = 0.0) -> float:
    """E phi(x)^2, x ~ N(mean, q)."""
    phi = activation(act)
    return expect(lambda x: phi.f(x) ** 2, q, mean, phi.kinks)


def slope_moment(act: Act, q: float, mean: float = 0.0) -> float:
    """E phi'(x)^2, x ~ N(mean, q): what a gradient's mean square is multiplied by."""
    phi = activation(act)
    return expect(lambda x: phi.df(x) ** 2, q, mean, phi.kinks)


def dead(act: Act, q: float, mean: float = 0.0) -> float:
    """P(phi'(x) = 0), x ~ N(mean, q): the share of units that pass no gradient."""
    phi = activation(act)
    return expect(lambda x: (phi.df(x) == 0).astype(float), q, mean, phi.kinks)


LITTLE = 0.1  # of the steepest slope near 0


def saturated(act: Act, q: float, mean: float = 0.0) -> float:
    """P(|phi'(x)| < a tenth of its greatest at -1, 0, 1), x ~ N(mean, q): the share of units with little gradient."""
    phi = activation(act)
    bound = LITTLE * float(np.abs(phi.df(np.array([-1.0, 0.0, 1.0]))).max())
    grid = np.linspace(-20, 20, 4001)
    little = np.abs(phi.df(grid)) < bound
    ends = grid[1:][little[1:] != little[:-1]]
    return expect(lambda x: (np.abs(phi.df(x)) < bound).astype(float), q, mean, (*phi.kinks, *ends))


def apart(act: Act, q: float, distance: float) -> float:
    """E (phi(u) - phi(v))^2 / 2 for u, v ~ N(0, q) with E (u - v)^2 / 2 = ``distance``, at most 2 q.

    On a grid of the mean and the difference of u and v: relative precision about 1e-3, also where they are close, so
    that 1 - correlation keeps its digits however small it is.
    """
    phi = activation(act)
    middle = math.sqrt(max(q - distance / 2, 0.0)) * _GRID[:, None]
    half = math.sqrt(distance / 2) * _GRID[None, :]
    squares = (phi.f(middle + half) - phi.f(middle - half)) ** 2
    return float(_DENSITY @ squares @ _DENSITY) / 2


def alike(act: Act, q: float, distance: float) -> float:
    """E phi'(u) phi'(v) for such u, v: by how much E phi(u) phi(v) follows E u v."""
    phi = activation(act)
    middle = math.sqrt(max(q - distance / 2, 0.0)) * _GRID[:, None]
    half = math.sqrt(distance / 2) * _GRID[None, :]
    return float(_DENSITY @ (phi.df(middle + half) * phi.df(middle - half)) @ _DENSITY)


_GRID = np.linspace(-8, 8, 161)
_DENSITY = np.exp(-(_GRID**2) / 2) / np.exp(-(_GRID**2) / 2).sum()
