"""The optimizers: one pure update of one stacked tensor, with every run's own hyper-parameters.

    update, slots = OPTIMIZERS.build({"name": "sgd", "nesterov": False, ...})
    slots(hyper)                               # how many tensors of a parameter's shape it keeps; they start as zeros
    p, kept = update(p, g, kept, hyper, t)

p, g and each slot are [R, ...]; the fields of `Hyper` broadcast against them, [R, 1, ...]; t counts updates from 1. An
update may write over g, since a sum costs less than memory that is new.
The formulas are torch.optim's, in its order of operations: torch's own classes take one lr for all.
"""

from __future__ import annotations

from collections.abc import Callable
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


Update = Callable[[Tensor, Tensor, Slots, Hyper, int], tuple[Tensor, Slots]]


class Optimizer(NamedTuple):
    """The update of a parameter, and how many slots it has under given hyper-parameters."""

    update: Update
    slots: Callable[[Hyper], int]


@OPTIMIZERS.register("sgd")
def sgd(*, nesterov: bool) -> Optimizer:
    """torch.optim.SGD without dampening. A zero first buffer gives the first gradient, as torch's copy of it does."""

    def update(p: Tensor, g: Tensor, slots: Slots, hyper: Hyper, t: int) -> tuple[Tensor, Slots]:
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

    def update(p: Tensor, g: Tensor, slots: Slots, hyper: Hyper, t: int) -> tuple[Tensor, Slots]:
        if hyper.weight_decay is not None:
            g = g.addcmul(hyper.weight_decay, p)
        return _moments(p, g, slots, hyper.lr, t, beta1, beta2, eps)

    return Optimizer(update, slots=lambda hyper: 2)


@OPTIMIZERS.register("adamw")
def adamw(*, beta1: float, beta2: float, eps: float) -> Optimizer:
    """torch.optim.AdamW: the decay acts on the weight alone. Loshchilov & Hutter 2019, algorithm 2."""

    def update(p: Tensor, g: Tensor, slots: Slots, hyper: Hyper, t: int) -> tuple[Tensor, Slots]:
        if hyper.weight_decay is not None:
            p = p * (1 - hyper.lr * hyper.weight_decay)
        return _moments(p, g, slots, hyper.lr, t, beta1, beta2, eps)

    return Optimizer(update, slots=lambda hyper: 2)


def _moments(
    p: Tensor, g: Tensor, slots: Slots, lr: Tensor, t: int, beta1: float, beta2: float, eps: float
) -> tuple[Tensor, Slots]:
    first = slots[0].lerp(g, 1 - beta1)
    second = (beta2 * slots[1]).addcmul(g, g, value=1 - beta2)
    denominator = second.sqrt().div_((1 - beta2**t) ** 0.5).add_(eps)
    return p.addcdiv((lr / (1 - beta1**t)) * first, denominator, value=-1), (first, second)
