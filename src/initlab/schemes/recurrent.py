"""The schemes for recurrent nets. They ask a weight's role whether it reads the state, and which gate a bias is of.

A gate keeps what is there if it multiplies the state before: the forget gate of an LSTM, the update gate of a GRU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from initlab.laws import Constant, Elementwise, Law, Normal, Weight
from initlab.schemes.inits import scaled
from initlab.schemes.structured import Fixed, Orthogonal, block
from initlab.specs import INITS

KEEPING = ("forget", "update")


@INITS.register("irnn")
def irnn(weight: Weight, *, scale: float, std: float) -> Law:
    """Recurrent weights are scale I, all others N(0, std^2). Le, Jaitly & Hinton 2015, sec. 3, with biases 0."""
    if _reads_state(weight):
        return Fixed(scale * torch.eye(*weight.shape, dtype=torch.float64), scale)
    return Normal(0.0, std)


@INITS.register("orthogonal_recurrent")
def orthogonal_recurrent(weight: Weight, *, scale: float) -> Law:
    """Recurrent weights are scale Q with Q Haar-distributed, each gate's its own; all others Xavier uniform."""
    if _reads_state(weight):
        return Orthogonal(scale, *block(weight))
    return scaled(weight, 1.0, "fan_avg", "uniform")


@INITS.register("forget_bias")
def forget_bias(weight: Weight, *, forget: float) -> Law:
    """The bias of the gate that keeps is ``forget``, other gates' 0. Gers et al. 2000; Jozefowicz et al. 2015.

    With inputs and states near 0 a memory decays as sigmoid(forget)^t, (1 - 1/T)^t for ln(T - 1).
    """
    if weight.role is not None and weight.role.kind == "gate":
        return Constant(forget if weight.role.gate in KEEPING else 0.0)
    return orthogonal_recurrent(weight, scale=1.0)


@INITS.register("chrono")
def chrono(weight: Weight, *, length: float) -> Law:
    """b ~ ln U(1, length - 1) of the gate that keeps, -b of the same unit's input gate. Tallec & Ollivier 2018."""
    if weight.role is not None and weight.role.kind == "gate":
        signs = dict.fromkeys(KEEPING, 1.0) | {"input": -1.0}
        sign = signs.get(weight.role.gate or "")
        return Constant(0.0) if sign is None else Chrono(length, sign)
    return orthogonal_recurrent(weight, scale=1.0)


@dataclass(frozen=True)
class Chrono(Elementwise):
    """sign ln U, U ~ U(1, length - 1): one draw a unit, the same for all gates of a cell."""

    length: float
    sign: float

    @property
    def mean(self) -> float:
        """E ln U of U(1, a): (a ln a - a + 1) / (a - 1)."""
        a = self.length - 1
        return self.sign * (a * math.log(a) / (a - 1) - 1)

    @property
    def std(self) -> float:
        """Var ln U of U(1, a): 1 - a ln^2 a / (a - 1)^2."""
        a = self.length - 1
        return math.sqrt(1 - a * math.log(a) ** 2 / (a - 1) ** 2)

    @property
    def low(self) -> float:
        return min(0.0, self.sign * math.log(self.length - 1))

    @property
    def high(self) -> float:
        return max(0.0, self.sign * math.log(self.length - 1))

    def cdf(self, x: Tensor) -> Tensor:
        below = (((self.sign * x).exp() - 1) / (self.length - 2)).clamp(0, 1)
        return below if self.sign > 0 else 1 - below

    def quantile(self, u: Tensor) -> Tensor:
        return self.sign * (1 + (self.length - 2) * u).log()

    def draw(self, weight: Weight) -> Tensor:
        cell = weight.name if weight.role is None or weight.role.cell is None else weight.role.cell
        return self.quantile(replace(weight, name=cell).uniform("chrono"))


def _reads_state(weight: Weight) -> bool:
    return weight.role is not None and weight.role.kind == "recurrent"
