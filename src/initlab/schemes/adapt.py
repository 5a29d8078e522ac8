"""The schemes that look at data: weights are drawn from a law, then adapted to what some rows do in the net.

    law = INITS.build({"name": "lsuv", "tolerance": 0.1, "tries": 10}, weight)     # Adapted(Orthogonal, by=Lsuv)
    told = law.by(net, places, Batches(x, y, seed))                                # changes net's weights in place

An adaptation gets a net of its own (float64, on the CPU, thrown away after), the places that it may change, and a
stream of batches; it returns what it did to each tensor. Those that learn scales by gradients are in `learned.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from initlab.laws import Law, Weight
from initlab.schemes.inits import scaled
from initlab.schemes.structured import Orthogonal, block
from initlab.slots import Slot
from initlab.specs import INITS
from initlab.streams import permutation

ROWS = 256  # of the data, at most, in a batch
Told = dict[str, Any]  # {"tensors": {name: {what: number}}, and numbers on the whole}


@dataclass(frozen=True, eq=False)
class Batches:
    """``batches(t)`` is x [B, ...] and y [B, ...]: the first rows of the permutation (seed, "adapt", "batch t")."""

    x: Tensor
    y: Tensor | None
    seed: int

    def __call__(self, t: int = 0) -> tuple[Tensor, Tensor | None]:
        rows = torch.from_numpy(permutation(len(self.x), self.seed, "adapt", f"batch {t}")[:ROWS].copy())
        return _double(self.x[rows]), None if self.y is None else _double(self.y[rows])


class Adaptation(Protocol):
    """Changes the tensors of ``places`` in ``net`` in place; ``targets``: it reads the batches' y."""

    @property
    def targets(self) -> bool: ...
    def __call__(self, net: nn.Module, places: Sequence[Slot], batches: Batches) -> Told: ...


@dataclass(frozen=True)
class Adapted:
    """A law whose draw is adapted to data afterwards: moments, support and distribution are those of the draw."""

    base: Law
    by: Adaptation

    @property
    def mean(self) -> float:
        return self.base.mean

    @property
    def std(self) -> float:
        return self.base.std

    @property
    def low(self) -> float:
        return self.base.low

    @property
    def high(self) -> float:
        return self.base.high

    @property
    def singular(self) -> float | None:
        return self.base.singular

    def cdf(self, x: Tensor) -> Tensor | None:
        return self.base.cdf(x)

    def draw(self, weight: Weight) -> Tensor:
        return self.base.draw(weight)


@dataclass(frozen=True)
class UnitVariance:
    """Layer after layer, in the order in which the net calls them, W <- W / std(y) until |var(y) - 1| <= tolerance."""

    tolerance: float
    tries: int
    targets = False

    def __call__(self, net: nn.Module, places: Sequence[Slot], batches: Batches) -> Told:
        x, _ = batches()
        told = {}
        for name, layer in _called(net, places, x):
            scale, variance, tries = 1.0, _output(net, layer, x).var().item(), 0
            while abs(variance - 1) > self.tolerance and tries < self.tries and 0 < variance < math.inf:
                layer.weight.div_(math.sqrt(variance))
                scale /= math.sqrt(variance)
                variance, tries = _output(net, layer, x).var().item(), tries + 1
            told[name] = {"scale": scale, "variance": variance, "tries": tries}
        return {"tensors": told}


@dataclass(frozen=True)
class UnitNormal:
    """Layer after layer: each unit's output gets mean 0 and variance 1, by its row of the weight and its bias."""

    targets = False

    def __call__(self, net: nn.Module, places: Sequence[Slot], batches: Batches) -> Told:
        x, _ = batches()
        free = {place.name for place in places}
        told = {}
        for name, layer in _called(net, places, x):
            units = _output(net, layer, x).movedim(1 if isinstance(layer, _ConvNd) else -1, 0).flatten(1)
            std = units.std(1)
            std = std.where(std > 0, 1.0)  # a unit that gives one value stays as it is
            layer.weight.div_(_along(layer, std))
            bias = f"{name.removesuffix('weight')}bias"
            if bias in free:
                layer.bias.sub_(units.mean(1)).div_(std)
            scales = 1 / std
            told[name] = {"smallest scale": scales.min().item(), "largest scale": scales.max().item()}
        return {"tensors": told}


@INITS.register("lsuv")
def lsuv(weight: Weight, *, tolerance: float, tries: int) -> Law:
    """Orthonormal, then each layer scaled to outputs of variance 1 on a batch. Mishkin & Matas 2016, algorithm 1."""
    return Adapted(Orthogonal(1.0, *block(weight)), UnitVariance(tolerance, tries))


@INITS.register("data_dependent")
def data_dependent(weight: Weight) -> Law:
    """N(0, 1/fan_in), then each unit's output normalised on a batch, by its weights and its bias.

    Krahenbuhl et al. 2016, algorithm 1 (within-layer); Salimans & Kingma 2016, eq. 6.
    """
    return Adapted(scaled(weight, 1.0, "fan_in", "normal"), UnitNormal())


def _along(layer: Any, units: Tensor) -> Tensor:
    """A number of each unit [U], as it meets its weights: [out, in, ...], transposed [in, out / groups, ...]."""
    taps = [1] * (layer.weight.dim() - 2)
    if not getattr(layer, "transposed", False):
        return units.view(-1, 1, *taps)
    rows = units.view(layer.groups, -1).repeat_interleave(len(layer.weight) // layer.groups, dim=0)
    return rows.view(*rows.shape, *taps)


def _called(net: nn.Module, places: Sequence[Slot], x: Tensor) -> list[tuple[str, Any]]:
    """(weight's name, layer) of the linear and convolutional layers among the places, in the order of first use."""
    names = {place.name for place in places if place.part == "weight"}
    order: dict[str, nn.Module] = {}
    handles = []
    for prefix, module in net.named_modules():
        name = f"{prefix}.weight" if prefix else "weight"
        if name in names and isinstance(module, nn.Linear | _ConvNd):
            handles.append(
                module.register_forward_hook(lambda m, _, out, name=name: order.update({name: order.get(name, m)}))
            )
    try:
        net(x)
    finally:
        for handle in handles:
            handle.remove()
    return list(order.items())


def _output(net: nn.Module, layer: nn.Module, x: Tensor) -> Tensor:
    """What a layer gives for a batch; of one that is called several times, all of it, one call behind the other."""
    outputs: list[Tensor] = []
    handle = layer.register_forward_hook(lambda m, _, out: outputs.append(out.detach()))
    try:
        net(x)
    finally:
        handle.remove()
    return torch.cat(outputs)


def _double(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().double() if tensor.is_floating_point() else tensor.detach().cpu()
