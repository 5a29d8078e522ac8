"""What a signal is to wide-net theory, and what each op makes of it, forward and back.

A signal is described over the units of a layer: its second moment, its mean, and how far two inputs, and two positions
of one input, lie apart (the latter for attention). An activation can follow only what is Gaussian; a sum adds squares
only where one summand comes from fresh weights. Where that does not hold, `Stop` says so: theory goes no further.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from initlab.theory.attention import sharing
from initlab.theory.moments import alike, apart, mean, second_moment, slope_moment


class Stop(Exception):
    """Theory does not follow an op; the message says why."""


@dataclass(frozen=True)
class Dense:
    """A weight, or a kernel whose fans count its area: entries independent, of mean 0 and the given variance.

    ``rows`` of the matrix (None: fan_out); ``singular``: the value of all its singular values, if its law fixes them;
    ``mixes``: it sums over neighbouring positions, as a kernel does.
    """

    name: str
    fan_in: int
    fan_out: int
    weight_variance: float
    bias_variance: float = 0.0
    gaussian: bool = False
    rows: int | None = None
    singular: float | None = None
    mixes: bool = False


@dataclass(frozen=True)
class Norm:
    """Normalisation to variance 1 over a row's units, or over the rows of a (large) batch."""

    batch: bool = False


@dataclass(frozen=True)
class Act:
    """An elementwise activation, as an option {name, fields}."""

    option: Mapping[str, Any]


@dataclass(frozen=True)
class Scale:
    """Multiplication by a number, or by numbers of this root mean square."""

    factor: float


@dataclass(frozen=True)
class Drop:
    """Dropout: zero with probability p, else divided by 1 - p."""

    p: float


@dataclass(frozen=True)
class Shift:
    """Addition of constants of this mean square, the same for all inputs, ``between`` apart at two positions."""

    square: float
    between: float = 0.0


@dataclass(frozen=True)
class Constant:
    """What is the same for all inputs and was not made of them, of this mean square: the state before a sequence."""

    square: float


@dataclass(frozen=True)
class From:
    """What the op ``of`` (its index; -1: the input) gave."""

    of: int


@dataclass(frozen=True)
class Add:
    """The sum with what the op ``of`` gave."""

    of: int


@dataclass(frozen=True)
class Token:
    """One more position, of this mean square, beside ``positions`` of the input."""

    square: float
    positions: int


@dataclass(frozen=True)
class Attend:
    """The mean of values over positions by softmax(temperature q'k / sqrt(d)), q and k being what two ops gave."""

    query: int
    key: int
    positions: int
    temperature: float = 1.0


@dataclass(frozen=True)
class Beyond:
    """What theory has no law for."""

    why: str


Op: TypeAlias = Dense | Norm | Act | Scale | Drop | Shift | Constant | From | Add | Token | Attend | Beyond


@dataclass(frozen=True)
class Signal:
    """E x^2 and E x over units. ``apart`` is E (x - x')^2 / 2 for two inputs, so that their correlation is
    1 - apart / square (NaN: not known), ``between`` the same for two positions of one (NaN: not known, or none);
    ``normal``: N(0, square), made by the weights of the ops ``sources``. ``spread`` is how far E x x' differs from one
    pair of inputs to another: its standard deviation, so that (apart / spread)^2 counts the directions of a batch."""

    square: float
    apart: float
    between: float = math.nan
    mean: float = 0.0
    normal: bool = False
    sources: frozenset[int] = frozenset()
    spread: float = 0.0

    @property
    def correlation(self) -> float:
        return 1 - self.apart / self.square if self.square > 0 else 1.0

    def times(self, factor: float) -> Signal:
        """Multiplied by a number of this square."""
        square, apart, between = factor * self.square, factor * self.apart, factor * self.between
        mean, spread = math.sqrt(factor) * self.mean, factor * self.spread
        return replace(self, square=square, apart=apart, between=between, mean=mean, spread=spread)


def after(op: Op, x: Signal, index: int, earlier: Sequence[Signal]) -> Signal:
    """What ``op``, the one of this index, makes of a signal. Raises Stop."""
    match op:
        case Dense():
            factor = op.fan_in * op.weight_variance
            between = math.nan if op.mixes else factor * x.between
            square = factor * x.square + op.bias_variance
            spread = 0.0 if op.mixes else factor * x.spread
            return Signal(square, factor * x.apart, between, normal=True, sources=frozenset([index]), spread=spread)
        case Act():
            return _activated(op.option, x)
        case Norm():
            return _normed(x, op.batch)
        case Scale(factor):
            return x.times(factor**2)
        case Drop(p):
            return _dropped(x, p)
        case Shift(square, between):
            return replace(x, square=x.square + square, between=x.between + between)
        case Constant(square):
            return Signal(square, 0.0, 0.0)
        case From(of):
            return earlier[of + 1]
        case Add(of):
            return _sum(x, earlier[of + 1])
        case Token():
            return _beside_a_token(x, op)
        case Attend():
            return _attended(op, earlier[op.query + 1], earlier[op.key + 1], x)
        case Beyond(why):
            raise Stop(why)


def back(op: Op, x: Signal) -> float:
    """By what an op multiplies a gradient's variance on its way back to ``x``, which the op took. Raises Stop."""
    match op:
        case Dense():
            return op.fan_out * op.weight_variance
        case Act():
            return slope_moment(op.option, x.square)
        case Norm():
            return (1 + 2 * (x.spread / x.apart) ** 2) / x.apart if op.batch else 1 / (x.square - x.mean**2)
        case Scale(factor):
            return factor**2
        case Drop(p):
            return 1 / (1 - p)
        case Constant() | From():
            return 0.0
        case Attend() | Token():
            raise Stop("gradients are not followed through attention")
    return 1.0


def _activated(act: Mapping[str, Any], x: Signal) -> Signal:
    if not x.normal:
        raise Stop("an activation of what is not Gaussian")
    inputs, positions = (
        distance if math.isnan(distance) else apart(act, x.square, min(max(distance, 0.0), 2 * x.square))
        for distance in (x.apart, x.between)
    )
    spread = x.spread * alike(act, x.square, min(max(x.apart, 0.0), 2 * x.square)) if x.spread else 0.0
    return Signal(second_moment(act, x.square), inputs, positions, mean(act, x.square), spread=spread)


def _normed(x: Signal, batch: bool) -> Signal:
    variance = x.apart if batch else x.square - x.mean**2
    if not variance > 0:
        raise Stop("a norm of what does not vary, or is not known to")
    normed = replace(x.times(1 / variance), square=1.0, mean=0.0)
    return replace(normed, apart=1.0) if batch else normed


def _dropped(x: Signal, p: float) -> Signal:
    if p >= 1:
        raise Stop("dropout of everything")
    more = x.square * p / (1 - p)
    return replace(x, square=x.square + more, apart=x.apart + more, between=x.between + more, normal=False)


def _sum(x: Signal, y: Signal) -> Signal:
    if not ((x.normal or y.normal) and x.sources.isdisjoint(y.sources)):
        raise Stop("a sum of signals that are not independent")
    square, apart, between = x.square + y.square, x.apart + y.apart, x.between + y.between
    normal, sources = x.normal and y.normal, x.sources | y.sources
    return Signal(square, apart, between, x.mean + y.mean, normal, sources, x.spread + y.spread)


def _beside_a_token(x: Signal, op: Token) -> Signal:
    """Of all positions, and of all pairs of them."""
    share = op.positions / (op.positions + 1)
    mixed = 2 / (op.positions + 1)  # of the pairs
    between = (1 - mixed) * x.between + mixed * (x.square + op.square) / 2
    square = share * x.square + (1 - share) * op.square
    return replace(x, square=square, apart=share * x.apart, between=between)


def _attended(op: Attend, query: Signal, key: Signal, value: Signal) -> Signal:
    """Logits of a query are N(0, s^2) over the keys, s^2 = E q^2 times how far keys lie apart; those of two queries are
    as alike as these. At s = 0 attention is the plain mean, and all positions become one (Noci et al. 2022, sec. 3)."""
    if math.isnan(query.between + key.between + value.between):
        raise Stop("attention over positions whose likeness is not known")
    deviation = op.temperature * math.sqrt(query.square * key.between)
    alike = 1 - query.between / query.square if query.square > 0 else 1.0
    own, other = sharing(op.positions, deviation, min(max(alike, -1.0), 1.0))
    square = value.square - value.between * (1 - own)
    return Signal(square, math.nan, value.between * max(own - other, 0.0))
