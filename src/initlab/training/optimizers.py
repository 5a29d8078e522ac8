"""The optimizers: one pure update of one stacked tensor, with every run's own hyper-parameters.

    update, slots, factors = OPTIMIZERS.build({"name": "sgd", "nesterov": False, ...})
    slots(hyper)                               # how many tensors of a parameter's shape it keeps; they start as zeros
    factors(t)                                 # the numbers that depend on t, which counts updates from 1
    p, kept = update(p, g, kept, hyper, now)   # now: these, each a tensor without dimensions, on p's device

p, g and each slot are [R, ...]; the fields of `Hyper` broadcast against them, [R, 1, ...]. An update may write over g,
since a sum costs less than memory that is new.
The formulas are torch.optim's, in its order of operations: torch's own classes take one lr for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from initlab.specs import OPTIMIZERS

Slots = tuple[Tensor, ...]


class Hyper(NamedTuple):
    """What each run has for itself. None: neutral for every run, so that the term is left out, which changes no bit."""

    lr: Tensor
    weight_decay: Tensor | None
    momentum: Tensor | None
    clip: Tensor | None  # infinity passes any gradient; the step clips, before the update


Update = Callable[[Tensor, Tensor, Slots, Hyper, Sequence[Tensor]], tuple[Tensor, Slots]]


class Optimizer(NamedTuple):
    """The update of a parameter, how many slots it has under given hyper-parameters, and its factors at update t."""

    update: Update
    slots: Callable[[Hyper], int]
    factors: Callable[[int], tuple[float, ...]] = lambda t: ()


@OPTIMIZERS.register("sgd")
def sgd(*, nesterov: bool) -> Optimizer:
    """torch.optim.SGD without dampening. A zero first buffer gives the first gradient, as torch's copy of it does."""

    def update(p: Tensor, g: Tensor, slots: Slots, hyper: Hyper, now: Sequence[Tensor]) -> tuple[Tensor, Slots]:
        if hyper.weight_decay is not None:
            g = g.addcmul(hyper.weight_decay, p)
        if hyper.momentum is None:
            return torch.addcmul(p, hyper.lr, g, value=-1, out=g), ()
        if nesterov:
            buffer = g.addcmul(hyper.momentum, slots[0])
            return torch.addcmul(p, hyper.lr, g.addcmul_(hyper.momentum, buffer), value=-1, out=g), (buffer,)
        buffer = torch.addcmul(g, hyper.momentum, slots[0], out=g)
        return p.addcmul(hyper.lr, buffer, value=-1), (buffer,)

    return Optimizer(update, slots=lambda hyper: 0 if hyper.momentum is None else 1)


@OPTIMIZERS.register("adam")
def adam(*, beta1: float, beta2: float, eps: float) -> Optimizer:
    """torch.optim.Adam: the decay is part of the gradient. Kingma & Ba 2015, algorithm 1."""

    def update(p: Tensor, g: Tensor, slots: Slots, hyper: Hyper, now: Sequence[Tensor]) -> tuple[Tensor, Slots]:
        if hyper.weight_decay is not None:
            g = g.addcmul(hyper.weight_decay, p)
        return _moments(p, g, slots, hyper.lr, now, beta1, beta2, eps)

    return Optimizer(update, slots=lambda hyper: 2, factors=_corrections(beta1, beta2))


@OPTIMIZERS.register("adamw")
def adamw(*, beta1: float, beta2: float, eps: float) -> Optimizer:
    """torch.optim.AdamW: the decay acts on the weight alone. Loshchilov & Hutter 2019, algorithm 2."""

    def update(p: Tensor, g: Tensor, slots: Slots, hyper: Hyper, now: Sequence[Tensor]) -> tuple[Tensor, Slots]:
        if hyper.weight_decay is not None:
            p = p * (1 - hyper.lr * hyper.weight_decay)
        return _moments(p, g, slots, hyper.lr, now, beta1, beta2, eps)

    return Optimizer(update, slots=lambda hyper: 2, factors=_corrections(beta1, beta2))


def _corrections(beta1: float, beta2: float) -> Callable[[int], tuple[float, ...]]:
    """Of the moments' bias towards their start, which is 0."""
    return lambda t: (1 - beta1**t, (1 - beta2**t) ** 0.5)


def _moments(
    p: Tensor, g: Tensor, slots: Slots, lr: Tensor, now: Sequence[Tensor], beta1: float, beta2: float, eps: float
) -> tuple[Tensor, Slots]:
    first = slots[0].lerp(g, 1 - beta1)
    second = (beta2 * slots[1]).addcmul(g, g, value=1 - beta2)
    denominator = second.sqrt().div_(now[1]).add_(eps)
    return p.addcdiv((lr / now[0]) * first, denominator, value=-1), (first, second)
