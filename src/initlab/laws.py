"""What an initial weight follows: a law says what an entry's distribution is, and draws it from the seed's uniforms.

    law = Normal(0.0, 0.1)
    law.mean, law.std, law.low, law.high      # of an entry
    law.draw(weight)                          # float64, of the weight's shape

A scheme is a function of a `Weight` that returns its law; the laws whose entries hang together are in `structured.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor

from initlab.errors import Refused
from initlab.roles import Role
from initlab.streams import uniforms


@dataclass(frozen=True)
class Weight:
    """A tensor to be drawn: [out, in, *kernel] as torch stores it, its fans per unit, its run and its layer's kind.

    ``parts`` are the projections that lie in it along dimension 0 (q, k and v; the gates of an LSTM), ``groups`` those
    of a convolution; ``signal`` is the mean square of what it receives, where somebody has followed the net to there;
    ``role`` is what its layer is to the net, where the net declares it; ``growth``, how many times the inputs and the
    outputs of the net of base width it has.
    """

    name: str
    shape: tuple[int, ...]
    fan_in: int
    fan_out: int
    act: Mapping[str, Any]
    seed: int
    layer: str = "other"
    groups: int = 1
    parts: int = 1
    signal: float | None = None
    role: Role | None = None
    growth: tuple[float, float] = (1.0, 1.0)

    def uniform(self, stream: str = "") -> Tensor:
        """U(0, 1), float64, open at both ends: the same for every scheme under one seed, so comparisons are paired.

        ``stream`` names a further draw, independent of the first.
        """
        name = f"{self.name}#{stream}" if stream else self.name
        return torch.from_numpy(uniforms(self.shape, self.seed, "init", name))

    def normal(self, stream: str = "") -> Tensor:
        """N(0, 1), float64: the inverse CDF of `uniform`."""
        return torch.special.ndtri(self.uniform(stream))


class Law(Protocol):
    """The distribution of an entry: its moments, its support [low, high], its CDF or None; and how all are drawn.

    ``singular`` is the one value of all nonzero singular values of each block [out, in * field], if the law fixes them.
    """

    @property
    def mean(self) -> float: ...
    @property
    def std(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def singular(self) -> float | None: ...
    def cdf(self, x: Tensor) -> Tensor | None: ...
    def draw(self, weight: Weight) -> Tensor: ...


class Elementwise:
    """Entries are independent, each the quantile of its own uniform."""

    singular = None

    def quantile(self, u: Tensor) -> Tensor:
        raise NotImplementedError

    def draw(self, weight: Weight) -> Tensor:
        return self.quantile(weight.uniform())


@dataclass(frozen=True)
class Constant(Elementwise):
    """W = mean."""

    mean: float
    std = 0.0

    @property
    def low(self) -> float:
        return self.mean

    @property
    def high(self) -> float:
        return self.mean

    def cdf(self, x: Tensor) -> Tensor:
        return (x >= self.mean).double()

    def draw(self, weight: Weight) -> Tensor:
        return torch.full(weight.shape, self.mean, dtype=torch.float64)


@dataclass(frozen=True)
class Normal(Elementwise):
    """N(mean, std^2)."""

    mean: float
    std: float
    low = -math.inf
    high = math.inf

    def cdf(self, x: Tensor) -> Tensor:
        return torch.special.ndtr((x - self.mean) / self.std) if self.std else (x >= self.mean).double()

    def quantile(self, u: Tensor) -> Tensor:
        return self.mean + self.std * torch.special.ndtri(u)


@dataclass(frozen=True)
class Uniform(Elementwise):
    """U(low, high)."""

    low: float
    high: float

    @property
    def mean(self) -> float:
        return (self.low + self.high) / 2

    @property
    def std(self) -> float:
        return (self.high - self.low) / math.sqrt(12)

    def cdf(self, x: Tensor) -> Tensor:
        return ((x - self.low) / (self.high - self.low)).clamp(0, 1)

    def quantile(self, u: Tensor) -> Tensor:
        return self.low + (self.high - self.low) * u


@dataclass(frozen=True)
class Symmetric(Uniform):
    """U(-high, high), rounded as high (2 u - 1): the biases' law, whose last bits differ from Uniform's."""

    def quantile(self, u: Tensor) -> Tensor:
        return self.high * (2 * u - 1)


@dataclass(frozen=True)
class Truncated(Elementwise):
    """N(center, spread^2) given low <= W <= high. Raises Refused for an interval without mass."""

    center: float
    spread: float
    low: float
    high: float

    @cached_property
    def _tail(self) -> tuple[float, Tensor, Tensor]:
        """(sign, CDF at the one end, CDF at the other), on the side of the mean where the CDF keeps its digits."""
        below, above = (
            (torch.tensor(x, dtype=torch.float64) - self.center) / self.spread for x in (self.low, self.high)
        )
        sign = -1.0 if below > 0 else 1.0  # right of the mean, mirrored: 1 - Phi would lose digits there
        # torch's ndtr is (1 + erf) / 2, which has no digits left at -8 sigma; its log_ndtr is exact.
        start, end = torch.special.log_ndtr(sign * below).exp(), torch.special.log_ndtr(sign * above).exp()
        if start == end:
            raise Refused(
                f"[{self.low}, {self.high}]: N({self.center}, {self.spread}^2) has no mass there that float64 can hold."
            )
        return sign, start, end

    @property
    def mean(self) -> float:
        return self.center + self.spread * self._standard[0]

    @property
    def std(self) -> float:
        return self.spread * self._standard[1]

    @cached_property
    def _standard(self) -> tuple[float, float]:
        """Mean and deviation for center 0 and spread 1, from the density at the ends over the mass between them."""
        a, b = ((x - self.center) / self.spread for x in (self.low, self.high))
        _, start, end = self._tail
        mass = abs(float(end - start)) * math.sqrt(2 * math.pi)
        at_a, at_b = math.exp(-(a**2) / 2) / mass, math.exp(-(b**2) / 2) / mass
        shift = at_a - at_b
        return shift, math.sqrt(1 + a * at_a - b * at_b - shift**2)

    def cdf(self, x: Tensor) -> Tensor:
        sign, start, end = self._tail
        inside = (x.clamp(self.low, self.high) - self.center) / self.spread
        return (torch.special.log_ndtr(sign * inside).exp() - start) / (end - start)

    def quantile(self, u: Tensor) -> Tensor:
        """From whichever tail keeps its digits."""
        sign, start, end = self._tail
        inside = sign * self.spread * torch.special.ndtri(start + (end - start) * u)
        return (self.center + inside).clamp(self.low, self.high)
