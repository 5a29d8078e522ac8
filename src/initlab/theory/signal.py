"""What a signal is to wide-net theory, and what each op makes of it, forward and back.

A signal is described over the units of a layer: its second moment, its mean, and how far two inputs, and two positions
of one input, lie apart. An activation can follow only what is Gaussian; a sum adds squares only where one summand
comes from fresh weights. Where that does not hold, `Stop` says so: theory goes no further.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from initlab.theory.moments import apart, mean, second_moment, slope_moment


class Stop(Exception):
    """Theory does not follow an op; the message says why."""


@dataclass(frozen=True)
class Dense:
    """A weight, or a kernel whose fans count its area: entries independent, of mean 0 and the given variance.

    ``rows`` of the matrix (None: fan_out); ``singular``: the value of all its singular values, if its law fixes them.
    """

    name: str
    fan_in: int
    fan_out: int
    weight_variance: float
    bias_variance: float = 0.0
    gaussian: bool = False
    rows: int | None = None
    singular: float | None = None


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
    """Addition of constants of this mean square, the same for all inputs: biases, positions."""

    square: float


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
class Beyond:
    """What theory has no law for."""

    why: str


Op: TypeAlias = Dense | Norm | Act | Scale | Drop | Shift | Constant | From | Add | Beyond


@dataclass(frozen=True)
class Signal:
    """E x^2 and E x over units; ``apart`` E (x - x')^2 / 2 for two inputs, so that their correlation is
    1 - apart / square; ``normal``: N(0, square), made by the weights of the ops ``sources``."""

    square: float
    apart: float
    mean: float = 0.0
    normal: bool = False
    sources: frozenset[int] = frozenset()

    @property
    def correlation(self) -> float:
        return 1 - self.apart / self.square if self.square > 0 else 1.0


def after(op: Op, x: Signal, index: int, earlier: Sequence[Signal]) -> Signal:
    """What ``op``, the one of this index, makes of a signal. Raises Stop."""
    match op:
        case Dense():
            factor = op.fan_in * op.weight_variance
            square = factor * x.square + op.bias_variance
            return Signal(square, factor * x.apart, normal=True, sources=frozenset([index]))
        case Act():
            if not x.normal:
                raise Stop("an activation of what is not Gaussian")
            square, apart_ = second_moment(op.option, x.square), apart(op.option, x.square, x.apart)
            return Signal(square, min(apart_, 2 * square), mean(op.option, x.square))
        case Norm():
            variance = x.apart if op.batch else x.square - x.mean**2
            if not variance > 0:
                raise Stop("a norm of what does not vary")
            if op.batch:
                return replace(x, square=1.0, apart=1.0, mean=0.0)
            return replace(x, square=1.0, apart=x.apart / variance, mean=0.0)
        case Scale(factor):
            return _scaled(x, factor)
        case Drop(p):
            if p >= 1:
                raise Stop("dropout of everything")
            grown = x.square / (1 - p)
            return Signal(grown, grown - (x.square - x.apart), x.mean)
        case Shift(square):
            return replace(x, square=x.square + square)
        case Constant(square):
            return Signal(square, 0.0)
        case From(of):
            return earlier[of + 1]
        case Add(of):
            return _sum(x, earlier[of + 1])
        case Beyond(why):
            raise Stop(why)


def _scaled(x: Signal, factor: float) -> Signal:
    return replace(x, square=factor**2 * x.square, apart=factor**2 * x.apart, mean=factor * x.mean)


def _sum(x: Signal, y: Signal) -> Signal:
    if not ((x.normal or y.normal) and x.sources.isdisjoint(y.sources)):
        raise Stop("a sum of signals that are not independent")
    return Signal(x.square + y.square, x.apart + y.apart, x.mean + y.mean, x.normal and y.normal, x.sources | y.sources)


def back(op: Op, x: Signal) -> float:
    """By what an op multiplies a gradient's variance on its way back to ``x``, which the op took."""
    match op:
        case Dense():
            return op.fan_out * op.weight_variance
        case Act():
            return slope_moment(op.option, x.square)
        case Norm():
            return 1 / (x.apart if op.batch else x.square - x.mean**2)
        case Scale(factor):
            return factor**2
        case Drop(p):
            return 1 / (1 - p)
        case Constant() | From():
            return 0.0
    return 1.0
