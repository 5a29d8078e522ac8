"""What an update did to each layer of each run of a stack: gradient norms, updates against weights, activations.

    signals(program, before, after, x, y)      # {"signal/gradient/fc1": [R], "signal/update/fc1": [R], ...}

It is taken between two states, from the batch that led from one to the other, by a pass of its own, in the weights' own
precision: the step is what it is without. ``gradient`` is the norm of dL/dW, ``update`` |W' - W| over the
greater of |W| and |W'| (NaN where both are 0), ``dead`` the share of an activation's units
(channels of an image, else the last dimension) whose slope is 0 for every row of the batch, ``mean`` what it gives on
average over units and rows. An activation with a parameter, and one that is no module, has neither; of one module that
serves several sizes they are the first's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from initlab.measuring.kinds import is_activation, slope
from initlab.training.chain import lane
from initlab.training.step import Program, State, loss
from initlab.training.tape import Tensors


def signals(program: Program, before: State, after: State, x: Tensor, y: Tensor) -> Tensors:
    """Metric -> its value of each run, [R]; of what lies in ``after`` as it is in a run that has diverged."""
    leaves = {name: p.detach().requires_grad_() for name, p in before.params.items()}
    program.net.train()
    out, received = _pass(program, leaves, before.buffers, x)
    taken = torch.autograd.grad(loss(program.task, out, y).sum(), list(leaves.values()), materialize_grads=True)
    found = {}
    for (name, p), gradient in zip(before.params.items(), taken, strict=True):
        if p.dim() > 2:  # a weight, with the runs in front
            layer = name.removesuffix(".weight")
            found[f"signal/gradient/{layer}"] = _norm(gradient)
            new = after.params[name]
            found[f"signal/update/{layer}"] = _norm(new - p) / torch.maximum(_norm(p), _norm(new))  # NaN: both are 0
    modules = dict(program.net.named_modules())
    for name, z in received.items():
        found[f"signal/dead/{name}"] = _dead(modules[name], z)
        found[f"signal/mean/{name}"] = modules[name](z.clone()).flatten(1).mean(1)
    return found


def _pass(program: Program, params: Tensors, buffers: Tensors, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Outputs [R, B, ...], and what each activation received [R, calls, B, ...]."""

    def one(params: Tensors, buffers: Tensors, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        with _kept(program.net) as received:
            out = functional_call(program.net, (params, {name: b.clone() for name, b in buffers.items()}), (x,))
        return out, {name: torch.stack(calls).detach() for name, calls in received.items()}

    if program.chain.stackable:
        return vmap(one)(params, buffers, x)
    each = [one(lane(params, r), lane(buffers, r), x[r]) for r in range(len(x))]
    return torch.stack([out for out, _ in each]), {
        name: torch.stack([received[name] for _, received in each]) for name in each[0][1]
    }


@contextmanager
def _kept(net: nn.Module) -> Iterator[dict[str, list[Tensor]]]:
    """What the activations without parameters receive while this is entered."""
    received: dict[str, list[Tensor]] = {}

    def keep(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            calls = received.setdefault(name, [])
            if not calls or calls[0].shape == args[0].shape:  # of one that serves several sizes, the first
                calls.append(args[0].clone())

        return hook

    chosen = [(n, m) for n, m in net.named_modules() if not list(m.parameters()) and is_activation(m)]
    handles = [module.register_forward_pre_hook(keep(name)) for name, module in chosen]
    try:
        yield received
    finally:
        for handle in handles:
            handle.remove()


def _dead(act: nn.Module, z: Tensor) -> Tensor:
    """Of z [R, calls, B, ...]: the share of units without a slope for every call and row."""
    dead = slope(act, z) == 0
    units = dead.movedim(3 if z.dim() == 6 else -1, 1)
    return units.flatten(2).all(2).to(z.dtype).mean(1)


def _norm(stacked: Tensor) -> Tensor:
    return torch.linalg.vector_norm(stacked.detach().flatten(1), dim=1)
