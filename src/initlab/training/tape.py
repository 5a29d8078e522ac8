"""A part of a net by autograd: its outputs, and the way back from them.

    y, after, tape = taped(function, params, buffers, x)
    dx, slopes, none = tape(dy, True)          # dL/dx, dL/dp, and the names of those that have no gradient

Letters: R runs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Tensors = dict[str, Tensor]
Tape = Callable[[Tensor, bool], tuple[Any, Tensors, Collection[str]]]


@dataclass
class Gradients:
    """dL/dp [R, ...] by name, put into the tensors ``of`` that it is made with.

    ``none``: by name, [R], which runs have no gradient of a parameter: where torch says None, here are zeros.
    """

    of: Tensors
    none: Tensors = field(default_factory=dict)

    def put(self, slopes: Tensors, dx: Tensor | None, none: Sequence[Collection[str]]) -> None:
        """Autograd's in place of those that are here; copied if not their own, as they will be written to.

        ``none``: of each run, the names of the parameters that have no gradient.
        """
        taken = set() if dx is None else {dx.untyped_storage().data_ptr()}
        for name, slope in slopes.items():
            place = slope.untyped_storage().data_ptr()  # parts of one tensor may overlap
            if slope.is_contiguous() and place not in taken:
                self.of[name] = slope
            else:
                self.of[name].copy_(slope)
            taken.add(place)
        for name in {name for names in none for name in names}:
            flags = [slopes[name].new_full((), name in names, dtype=torch.bool) for names in none]
            self.none[name] = torch.stack(flags)


def taped(
    function: Callable[[Tensors, Tensors, Tensor], tuple[Tensor, Tensors]],
    params: Tensors,
    buffers: Tensors,
    x: Tensor,
    frozen: Collection[str] = (),
) -> tuple[Tensor, Tensors, Tape]:
    """What it gives, and by autograd the way back: dL/dy, and whether dL/dx is wanted -> it, and dL/dp.

    A parameter that is ``frozen`` has no gradient, and neither has one that the pass does not use.
    """
    leaves = {name: p.detach().requires_grad_(name not in frozen) for name, p in params.items()}
    x = x.detach().requires_grad_(x.is_floating_point())
    with torch.enable_grad():
        y, after = function(leaves, buffers, x)

    def tape(dy: Tensor, wanted: bool) -> tuple[Any, Tensors, Collection[str]]:
        asked = [leaf for leaf in leaves.values() if leaf.requires_grad] + ([x] if wanted else [])
        taken = torch.autograd.grad(y, asked, dy, allow_unused=True) if asked and y.requires_grad else ()
        found = {id(leaf): slope for leaf, slope in zip(asked, taken, strict=False) if slope is not None}
        none = {name for name, leaf in leaves.items() if id(leaf) not in found}

        def of(leaf: Tensor) -> Tensor:
            return found[id(leaf)] if id(leaf) in found else torch.zeros_like(leaf)

        return (of(x) if wanted else None), {name: of(p) for name, p in leaves.items()}, none

    return y.detach(), {name: b.detach() for name, b in after.items()}, tape
