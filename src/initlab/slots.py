"""The places of a net's parameters: what each is, its layer's kind, its role, its shape and its fans.

slots(nn.Linear(20, 64))[0]        # Slot("weight", part="weight", layer="linear", shape=(64, 20), fan_in=20, ...)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.parametrize import is_parametrized

from initlab.errors import Refused, unknown
from initlab.roles import Role

NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm)


@dataclass(frozen=True)
class Slot:
    """A parameter's place: its name, what it is, its layer's kind (see `rules.LAYERS`), shape, fans and role."""

    name: str
    part: Literal["weight", "bias", "norm_weight", "norm_bias", "kept"]
    layer: str
    shape: tuple[int, ...]
    fan_in: int
    fan_out: int
    groups: int = 1  # of a convolution
    parts: int = 1  # projections that lie in it along dimension 0
    weight: str = ""  # of a bias: the name of its weight
    padding: int | None = None  # of an embedding: the row that is zero and never trained
    role: Role | None = None  # as the net declares it
    base: tuple[int, ...] | None = None  # its shape in the net of base width, where there is one

    @property
    def growth(self) -> tuple[float, float]:
        """(inputs, outputs) over those in the net of base width. A vector has outputs alone, and so has an embedding's
        table, whose rows are picked rather than summed.
        """
        if self.base is None or not self.shape:
            return 1.0, 1.0
        sides = [mine / theirs for mine, theirs in zip(self.shape, self.base, strict=True)]
        if self.part != "weight":
            return 1.0, sides[0]
        if self.layer == "embedding":
            return sides[0], sides[1]
        return (sides[0], sides[1]) if self.layer == "conv_transpose" else (sides[1], sides[0])


def slots(model: nn.Module, roles: Mapping[str, Role] | None = None, base: nn.Module | None = None) -> list[Slot]:
    """The places of all parameters of a net, in its order; a tied one counts where it comes first.

    ``roles`` name modules or parameters; by default they are the net's own attribute `roles`, if it has one. ``base``
    is the same net of another width. Raises Refused for a role of what is not there, for a base net with other
    parameters, and for a parametrized layer, whose parameters are no longer its weight.
    """
    shapes = _shapes(model, base)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    declared = getattr(model, "roles", {}) if roles is None else roles
    known = [*(name for name, _ in model.named_modules()), *names.values()]
    for name in declared:
        if name not in known:
            raise unknown(f"roles[{name!r}]", name, known[1:], "module or parameter")
    places = []
    for prefix, module in model.named_modules():
        if is_parametrized(module):
            raise Refused(f"{prefix or 'the net'}: is parametrized. Initialise it first, then parametrize it.")
        for leaf, parameter in module.named_parameters(recurse=False):
            name = f"{prefix}.{leaf}" if prefix else leaf
            if names[id(parameter)] == name:
                role = declared.get(name, declared.get(prefix))
                places.append(replace(_slot(module, leaf, parameter, names), role=role, base=shapes.get(name)))
    return places


def _shapes(model: nn.Module, base: nn.Module | None) -> dict[str, tuple[int, ...]]:
    """The shapes of the base net's parameters, which have to be the net's own but for their sizes."""
    if base is None:
        return {}
    shapes = {name: tuple(parameter.shape) for name, parameter in base.named_parameters()}
    for name, parameter in model.named_parameters():
        if len(shapes.get(name, ())) != parameter.dim():
            raise Refused(
                f"base: has no parameter {name} of {parameter.dim()} dimensions, as the net has. It is to be "
                "the same net of another width."
            )
    return shapes


def _slot(module: nn.Module, leaf: str, parameter: nn.Parameter, names: Mapping[int, str]) -> Slot:
    name, shape, layer = names[id(parameter)], tuple(parameter.shape), _layer(module)
    groups = module.groups if isinstance(module, _ConvNd) else 1
    if isinstance(module, NORMS):
        return Slot(name, "norm_bias" if "bias" in leaf else "norm_weight", layer, shape, 1, 1)
    if "bias" in leaf and len(shape) == 1:
        weight = _weight_of(module, leaf)
        if weight is None:
            return Slot(name, "bias", layer, shape, 1, 1)
        return Slot(name, "bias", layer, shape, fans(weight.shape, layer, groups)[0], 1, weight=names[id(weight)])
    if len(shape) < 2:
        return Slot(name, "kept", layer, shape, 1, 1)
    fan_in, fan_out = fans(shape, layer, groups)
    parts, padding = _parts(module, leaf), getattr(module, "padding_idx", None)
    return Slot(name, "weight", layer, shape, fan_in, fan_out // parts, groups, parts, padding=padding)


def _weight_of(module: nn.Module, bias: str) -> nn.Parameter | None:
    """A bias's weight: bias_hh_l1 and weight_hh_l1, in_proj_bias and in_proj_weight, or else the layer's first."""
    weights = {leaf: p for leaf, p in module.named_parameters(recurse=False) if p.dim() > 1}
    return weights.get(bias.replace("bias", "weight"), next(iter(weights.values()), None))


def _layer(module: nn.Module) -> str:
    kinds = {
        "linear": nn.Linear,
        "attention": nn.MultiheadAttention,
        "recurrent": nn.RNNBase | nn.RNNCellBase,
        "embedding": nn.Embedding | nn.EmbeddingBag,
    }
    if isinstance(module, _ConvNd):
        return "conv_transpose" if module.transposed else "conv"
    return next((kind for kind, classes in kinds.items() if isinstance(module, classes)), "other")


def _parts(module: nn.Module, leaf: str) -> int:
    """How many projections a weight holds along dimension 0: q, k, v, or the gates of a recurrent layer."""
    if leaf == "in_proj_weight":
        return 3
    if leaf.startswith(("weight_ih", "weight_hh")):
        return 4 if isinstance(module, nn.LSTM | nn.LSTMCell) else 3 if isinstance(module, nn.GRU | nn.GRUCell) else 1
    return 1


def fans(shape: Sequence[int], layer: str = "linear", groups: int = 1) -> tuple[int, int]:
    """(fan_in, fan_out): how many inputs a unit sums over, and how many units an input feeds.

    torch stores [out, in / groups, *kernel], transposed convolutions [in, out / groups, *kernel]. torch's own helper
    counts fan_out of a grouped convolution over all groups, and swaps the two for a transposed one. Strides are not
    counted, as in He et al. 2015. An embedding [rows, features] is counted as the output layer that it may be tied to,
    as torch does. Raises Refused for fewer than two dimensions.
    """
    if len(shape) < 2:
        raise Refused(f"shape {list(shape)}: a fan needs at least two dimensions, [out, in, ...].")
    field = math.prod(shape[2:])
    if layer == "conv_transpose":
        return shape[0] // groups * field, shape[1] * field
    return shape[1] * field, shape[0] // groups * field
