"""The schemes that learn one scale a tensor from gradients, before training: MetaInit and GradInit.

MetaInit(steps=100, lr=0.1, momentum=0.9)(net, places, batches)     # net's weights rescaled in place
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from initlab.gains import Gain, gain_of
from initlab.laws import Law, Weight
from initlab.schemes.adapt import Adapted, Batches, Told
from initlab.schemes.inits import scaled
from initlab.slots import Slot
from initlab.specs import INITS
from initlab.training.optimizers import Hyper, adam
from initlab.training.step import loss, task_of
from initlab.training.tape import Tensors

EPSILON = 1e-5  # in the gradient quotient's denominator, as published


@dataclass(frozen=True)
class MetaInit:
    """Signed momentum descent on the norm of each weight, down the gradient quotient."""

    steps: int
    lr: float
    momentum: float
    targets = True

    @torch.enable_grad()
    def __call__(self, net: nn.Module, places: Sequence[Slot], batches: Batches) -> Told:
        start = _start(net, [place.name for place in places if place.part == "weight"])
        norms = torch.stack([w.norm() for w in start.values()])
        scales, velocity, quotients = torch.ones_like(norms), torch.zeros_like(norms), []
        good = scales
        for t in range(self.steps):
            quotient = gradient_quotient(net, _scaled(net, start, scales.requires_grad_()), *batches(t))
            quotients.append(quotient.item())
            good = scales if math.isfinite(quotients[-1]) else good
            slope = _slope(quotient, scales)
            if slope is None:
                scales = good
                break
            side = scales.detach().sign()
            velocity = self.momentum * velocity - self.lr * (side * slope).sign()
            # A norm that would fall below zero turns its weight around, as in the paper's code.
            scales = side * (scales.detach().abs() + velocity / norms)
        return _told(net, start, scales, quotients, "gradient quotient")


@dataclass(frozen=True)
class GradInit:
    """Adam on a scale for each tensor: down the loss after the optimizer's first step, or the gradient's norm if large.

    ``optimizer``: sgd steps by eta g, adam by eta sign(g); the norm is L2 or L1 accordingly.
    """

    steps: int
    lr: float
    optimizer: Literal["sgd", "adam"]
    eta: float
    gamma: float
    least: float
    targets = True

    @torch.enable_grad()
    def __call__(self, net: nn.Module, places: Sequence[Slot], batches: Batches) -> Told:
        start = _start(net, [place.name for place in places if place.part != "kept"])
        scales = torch.ones(len(start), dtype=torch.float64)
        update, slots, factors = adam(beta1=0.9, beta2=0.999, eps=1e-8)
        hyper = Hyper(torch.tensor(self.lr, dtype=torch.float64), None, None, None)
        kept, losses = tuple(torch.zeros_like(scales) for _ in range(slots(hyper))), []
        good = scales
        for t in range(self.steps):
            objective, before = self._objective(net, _scaled(net, start, scales.requires_grad_()), batches, t)
            losses.append(before)
            good = scales if math.isfinite(objective.item()) else good
            slope = _slope(objective, scales)
            if slope is None:
                scales = good
                break
            now = torch.tensor(factors(t + 1), dtype=scales.dtype).unbind()
            scales, kept = update(scales.detach(), slope, kept, hyper, now)
            scales = scales.clamp(min=self.least)
        return _told(net, start, scales, losses, "loss")

    def _objective(self, net: nn.Module, params: Tensors, batches: Batches, t: int) -> tuple[Tensor, float]:
        """What goes down, and the loss of the step's batch before the optimizer's step."""
        (x, y), (other_x, other_y) = batches(t), batches(t + 1)
        assert y is not None and other_y is not None
        here = _loss(net, params, x, y)
        grads = torch.autograd.grad(here, list(params.values()), create_graph=True, materialize_grads=True)
        flat = torch.cat([g.flatten() for g in grads])
        norm = flat.abs().sum() if self.optimizer == "adam" else flat.norm()
        if norm.item() > self.gamma:
            return norm, here.item()
        steps = [g.detach() if self.optimizer == "sgd" else g.detach().sign() for g in grads]
        moved = {name: p - self.eta * s for (name, p), s in zip(params.items(), steps, strict=True)}
        half = len(x) // 2  # the batch that judges the step shares half of its rows with the one that makes it
        x, y = torch.cat([x[:half], other_x[half:]]), torch.cat([y[:half], other_y[half:]])
        return _loss(net, moved, x, y), here.item()


def gradient_quotient(net: nn.Module, params: Tensors, x: Tensor, y: Tensor | None) -> Tensor:
    """(1/N) sum |(g - H g) / (g + eps sign(g)) - 1| over all parameters: how much one step of g changes g itself."""
    assert y is not None
    values = list(params.values())
    grads = torch.autograd.grad(_loss(net, params, x, y), values, create_graph=True, materialize_grads=True)
    half = torch.stack([g.square().sum() for g in grads]).sum() / 2  # its gradient is H g
    products = torch.autograd.grad(half, values, create_graph=True, materialize_grads=True)
    pairs = zip(grads, products, strict=True)
    parts = [((g - h) / (g + EPSILON * (2 * (g >= 0) - 1)) - 1).abs().sum() for g, h in pairs]
    return torch.stack(parts).sum() / sum(p.numel() for p in values)


@INITS.register("metainit")
def metainit(weight: Weight, *, gain: Gain, steps: int, lr: float, momentum: float) -> Law:
    """N(0, gain^2 / fan_in), then norms that make the gradient quotient small.

    Dauphin & Schoenholz 2019, algorithm 1.
    """
    base = scaled(weight, gain_of(gain, weight.act, math.sqrt(2)), "fan_in", "normal")
    return Adapted(base, MetaInit(steps, lr, momentum))


@INITS.register("gradinit")
def gradinit(
    weight: Weight,
    *,
    gain: Gain,
    steps: int,
    lr: float,
    optimizer: Literal["sgd", "adam"],
    eta: float,
    gamma: float,
    least: float,
) -> Law:
    """N(0, gain^2 / fan_in), then scales that make the first step's loss small. Zhu et al. 2021, algorithm 1."""
    base = scaled(weight, gain_of(gain, weight.act, math.sqrt(2)), "fan_in", "normal")
    return Adapted(base, GradInit(steps, lr, optimizer, eta, gamma, least))


def _start(net: nn.Module, names: Sequence[str]) -> Tensors:
    """The tensors among ``names`` that are not zero, so that a scale means something."""
    params = dict(net.named_parameters())
    return {name: params[name].detach().clone() for name in names if params[name].any()}


def _scaled(net: nn.Module, start: Tensors, scales: Tensor) -> Tensors:
    """All parameters of the net, those of ``start`` times their scales [T]."""
    return dict(net.named_parameters()) | {name: w * s for (name, w), s in zip(start.items(), scales, strict=True)}


def _loss(net: nn.Module, params: Tensors, x: Tensor, y: Tensor) -> Tensor:
    with sdpa_kernel(SDPBackend.MATH):  # attention's other kernels have no second derivative
        out = functional_call(net, params, (x,))
    return loss(task_of(out, y, "targets"), out.unsqueeze(0), y.unsqueeze(0)).squeeze(0)


def _slope(objective: Tensor, scales: Tensor) -> Tensor | None:
    """None where it, or what it is the slope of, is not finite: there is no way down from there."""
    if not math.isfinite(objective.item()):
        return None
    (slope,) = torch.autograd.grad(objective, scales)
    return slope if slope.isfinite().all() else None


def _told(net: nn.Module, start: Tensors, scales: Tensor, course: list[float], what: str) -> Told:
    """Write the scaled tensors into the net; their scales, and the first and the last value of what was minimised."""
    params = dict(net.named_parameters())
    with torch.no_grad():
        for (name, w), scale in zip(start.items(), scales.detach(), strict=True):
            params[name].copy_(w * scale)
    ends = {
        f"{when} {what}": course[i] if math.isfinite(course[i]) else None for when, i in (("first", 0), ("last", -1))
    }
    return {"tensors": {name: {"scale": s} for name, s in zip(start, scales.tolist(), strict=True)}} | ends
