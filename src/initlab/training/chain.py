"""A net as a chain of links that R runs pass through at once, and the way back: outputs, then gradients.

    chain = Chain.of(net)                                    # of a Sequential its layers, of any other net one link
    out, buffers, back = chain.forward(params, buffers, x)   # stacked tensors by name, x [R, B, *features]
    back(slope, Gradients(places))             # slope = dL/d out; dL/dp [R, ...] of every parameter, put there

Dense layers are batched matrix products, and what follows them is done in place: at these sizes a step costs what
moves through memory, and autograd keeps and copies half as much again. Every other part of the net is one vmap, and
autograd's; with one run, or where vmap does not take it, the part is what it is without a stack.

Letters: R runs, B rows, D and H features.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeGuard

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from initlab.acts import Elementwise
from initlab.training.tape import Gradients, Tensors, taped

Back = Callable[[Tensor, bool, Gradients], Tensor | None]  # dL/dy, whether dL/dx is wanted, where dL/dp goes -> dL/dx

# Activations whose slope is known from their output: they write over what they receive, and so does their way back.
_ops = torch.ops.aten
IN_PLACE: dict[type[nn.Module], tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    nn.ReLU: (torch.relu_, lambda dy, y: _ops.threshold_backward.grad_input(dy, y, 0, grad_input=dy)),
    nn.Tanh: (torch.tanh_, lambda dy, y: _ops.tanh_backward.grad_input(dy, y, grad_input=dy)),
    nn.Sigmoid: (torch.sigmoid_, lambda dy, y: _ops.sigmoid_backward.grad_input(dy, y, grad_input=dy)),
}
# What treats each number for itself takes a stack as it is.
POINTWISE: tuple[type[nn.Module], ...] = (
    *(nn.Identity, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.SELU, nn.ELU, nn.Mish, nn.Softplus, nn.Softsign, nn.Hardtanh),
    *(nn.Hardswish, Elementwise),
)


class Link(Protocol):
    """A part of a net: stacked tensors and x [R, B, ...] -> y [R, B, ...], its buffers after the pass, the way back.

    Without ``trained`` nothing is kept for the way back, which is then not to be called.
    """

    @property
    def trains(self) -> bool:
        """Whether it has parameters."""

    def __call__(self, params: Tensors, buffers: Tensors, x: Tensor, trained: bool) -> tuple[Tensor, Tensors, Back]: ...


@dataclass(frozen=True)
class Dense:
    """nn.Linear: x [R, B, D] -> [R, B, H]."""

    weight: str
    bias: str | None
    low: torch.dtype | None = None
    trains = True

    def __call__(self, params: Tensors, buffers: Tensors, x: Tensor, trained: bool) -> tuple[Tensor, Tensors, Back]:
        w, b = params[self.weight], None if self.bias is None else params[self.bias].unsqueeze(1)
        rows = x.reshape(len(x), -1, x.shape[-1])  # a sequence's positions are rows
        if self.low is not None:
            w, rows, b = w.to(self.low), rows.to(self.low), None if b is None else b.to(self.low)
        y = torch.bmm(rows, w.mT) if b is None else torch.baddbmm(b, rows, w.mT)

        def back(dy: Tensor, wanted: bool, grads: Gradients) -> Tensor | None:
            dy = dy.reshape(y.shape)
            if self.low is None:
                torch.bmm(dy.mT, rows, out=grads.of[self.weight])
            else:
                grads.of[self.weight].copy_(torch.bmm(dy.mT, rows))
            if self.bias is not None:
                place = grads.of[self.bias]
                torch.sum(dy, 1, dtype=place.dtype, out=place)
            return torch.bmm(dy, w).view(x.shape).to(x.dtype) if wanted else None

        return y.view(*x.shape[:-1], -1), {}, back


@dataclass(frozen=True)
class InPlace:
    """An activation of `IN_PLACE` between dense layers, so that nobody else holds its input or its output's slope."""

    kind: type[nn.Module]
    trains = False

    def __call__(self, params: Tensors, buffers: Tensors, x: Tensor, trained: bool) -> tuple[Tensor, Tensors, Back]:
        forward, slope = IN_PLACE[self.kind]
        y = forward(x)
        return y, {}, lambda dy, wanted, grads: slope(dy, y) if wanted else None


@dataclass(frozen=True)
class Flat:
    """nn.Flatten with its defaults: x [R, B, ...] -> [R, B, D]."""

    trains = False

    def __call__(self, params: Tensors, buffers: Tensors, x: Tensor, trained: bool) -> tuple[Tensor, Tensors, Back]:
        return x.flatten(2), {}, lambda dy, wanted, grads: dy.reshape(x.shape) if wanted else None


@dataclass(frozen=True)
class Part:
    """Any module, by vmap and autograd, or run by run. Raises what the module raises."""

    module: nn.Module
    stackable: bool = True
    pointwise: bool = False
    low: torch.dtype | None = None

    @cached_property
    def trains(self) -> bool:
        return any(True for _ in self.module.parameters())

    @cached_property
    def frozen(self) -> set[str]:
        return {name for name, p in self.module.named_parameters() if not p.requires_grad}

    @cached_property
    def writes(self) -> bool:
        """Whether it may write over what it receives: by a torch module that is told to, or in a user's own forward."""
        return any(
            getattr(m, "inplace", False) or not type(m).__module__.startswith(("torch.", "initlab."))
            for m in self.module.modules()
        )

    def __call__(self, params: Tensors, buffers: Tensors, x: Tensor, trained: bool) -> tuple[Tensor, Tensors, Back]:
        own = {name: params[name] for name, _ in self.module.named_parameters()}
        held = {name: buffers[name] for name, _ in self.module.named_buffers()}
        if not self.pointwise and (len(x) == 1 or not self.stackable):
            return self._run_by_run(own, held, x, trained)
        if not trained:
            return *self._all(own, held, x), _no_way_back
        y, after, tape = taped(self._all, own, held, x, self.frozen)

        def back(dy: Tensor, wanted: bool, grads: Gradients) -> Tensor | None:
            dx, slopes, none = tape(dy, wanted)
            grads.put(slopes, dx, [none] * len(dy))
            return dx

        return y, after, back

    def _all(self, params: Tensors, buffers: Tensors, x: Tensor) -> tuple[Tensor, Tensors]:
        if self.pointwise:
            return self.module(x.clone() if self.writes else x), {}
        shared = x.stride(0) == 0 and bool(params or buffers)  # something has to differ for vmap
        of = vmap(self.alone, in_dims=(0, 0, None if shared else 0))
        return of(params, buffers, x[0] if shared else x)

    def alone(self, params: Tensors, buffers: Tensors, x: Tensor) -> tuple[Tensor, Tensors]:
        """Of one run, x [B, ...]."""
        buffers = {name: b.clone() for name, b in buffers.items()}  # norms write into the ones they are given
        mixed = nullcontext() if self.low is None else torch.autocast(x.device.type, self.low, cache_enabled=False)
        with mixed:
            return functional_call(self.module, (params, buffers), (x.clone() if self.writes else x,)), buffers

    def _run_by_run(self, params: Tensors, buffers: Tensors, x: Tensor, trained: bool) -> tuple[Tensor, Tensors, Back]:
        ys, afters, tapes = [], [], []
        for r in range(len(x)):
            own, held = lane(params, r), lane(buffers, r)
            given = own, held, x[r]
            y, after, *tape = taped(self.alone, *given, self.frozen) if trained else self.alone(*given)
            ys.append(y)
            afters.append(after)
            tapes += tape

        def back(dy: Tensor, wanted: bool, grads: Gradients) -> Tensor | None:
            found = [tape(dy[r], wanted) for r, tape in enumerate(tapes)]
            dx = _stacked([dx for dx, _, _ in found]) if wanted else None
            slopes = {name: _stacked([slopes[name] for _, slopes, _ in found]) for name in params}
            grads.put(slopes, dx, [none for _, _, none in found])
            return dx

        return _stacked(ys), {name: _stacked([after[name] for after in afters]) for name in buffers}, back


def _stacked(each: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(each)) if len(each) > 1 else each[0].unsqueeze(0)


@dataclass(frozen=True)
class Chain:
    """``links`` in their order, ``first`` the first of them that has parameters; whether vmap takes the net.

    ``low``: the type in which products are made, if it is not the parameters' own. Parameters, their gradients and the
    outputs keep theirs; between two links lies what a link made.
    """

    links: Sequence[Link]
    first: int
    stackable: bool = True
    low: torch.dtype | None = None

    @classmethod
    def of(cls, net: nn.Module, stackable: bool = True, low: torch.dtype | None = None) -> Chain:
        """The links of a net. ``stackable``: vmap takes it; if not, all of it is trained run by run."""
        if not stackable or not _is_chain(net):
            return cls([Part(net, stackable, low=low)], 0, stackable, low)
        links = list(_links(net, low))
        return cls(links, next(i for i, link in enumerate(links) if link.trains), low=low)

    def forward(
        self, params: Tensors, buffers: Tensors, x: Tensor, trained: bool = True
    ) -> tuple[Tensor, Tensors, Callable[[Tensor, Gradients], None]]:
        """x [R, B, ...] -> outputs [R, B, ...], the buffers after the pass, and the way back.

        That takes dL/d out, which it may write over, and puts dL/dp of each parameter into the gradients' places.
        A batch that all runs share is one tensor, expanded.
        """
        backs: list[Back] = []
        for link in self.links:
            x, changed, back = link(params, buffers, x, trained)
            buffers = buffers | changed
            backs.append(back)

        def all_the_way(slope: Tensor, grads: Gradients) -> None:
            dy: Any = slope.to(x.dtype)
            while len(backs) > self.first:  # each is let go with what it kept
                back = backs.pop()
                dy = back(dy, len(backs) > self.first, grads)

        return x.to(next(iter(params.values())).dtype), buffers, all_the_way


def _is_chain(net: nn.Module) -> TypeGuard[nn.Sequential]:
    """A Sequential and nothing more, no parameter or buffer of which serves two of its layers."""
    if not isinstance(net, nn.Sequential) or type(net).forward is not nn.Sequential.forward or _hooked(net):
        return False
    every, own = (_own(net, once) for once in (False, True))
    return any(True for _ in net.parameters()) and not net._parameters and len(every) == len(own)


def _own(net: nn.Module, once: bool) -> list[str]:
    some = (net.named_parameters(remove_duplicate=once), net.named_buffers(remove_duplicate=once))
    return [name for named in some for name, _ in named]


def _hooked(module: nn.Module) -> bool:
    kinds = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
    return any(getattr(module, kind) for kind in kinds)


def _links(net: nn.Sequential, low: torch.dtype | None) -> Iterator[Link]:
    layers = net._modules  # named_children would leave out an activation that serves a second time
    kinds = [nn.Module, *(nn.Module if _hooked(layer) else type(layer) for layer in net), nn.Module]
    between: OrderedDict[str, nn.Module] = OrderedDict()  # neighbours that are one part
    for (name, module), around in zip(layers.items(), zip(kinds, kinds[1:], kinds[2:], strict=False), strict=True):
        if (link := _link(name, module, low, *around)) is None:
            between[name] = module
            continue
        if between:
            yield _part(between, low)
            between = OrderedDict()
        yield link
    if between:
        yield _part(between, low)


def _link(name: str, module: nn.Module, low: torch.dtype | None, before: type, kind: type, after: type) -> Link | None:
    """The link of its own that a layer is, if it is one; the kinds of its neighbours decide with its own."""
    if kind is nn.Linear and all(p.requires_grad for p in module.parameters()):
        return Dense(f"{name}.weight", None if module.bias is None else f"{name}.bias", low)
    if isinstance(module, nn.Flatten) and kind is nn.Flatten and (module.start_dim, module.end_dim) == (1, -1):
        return Flat()
    return InPlace(kind) if kind in IN_PLACE and before is after is nn.Linear else None


def _part(layers: OrderedDict[str, nn.Module], low: torch.dtype | None) -> Part:
    known = (*POINTWISE, *IN_PLACE)
    pointwise = all(type(module) in known and not _hooked(module) for module in layers.values())
    return Part(nn.Sequential(layers), pointwise=pointwise, low=low)


def _no_way_back(dy: Tensor, wanted: bool, grads: Gradients) -> Tensor | None:
    raise AssertionError("a pass without training has no way back")


def lane(tensors: Tensors, run: int) -> Tensors:
    """One run's tensors."""
    return {name: tensor[run] for name, tensor in tensors.items()}
