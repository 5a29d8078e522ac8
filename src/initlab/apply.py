"""A net and a scheme -> its initial weights.

    initialize(model, "kaiming", act="relu", seed=0)                  # any nn.Module, in place
    draw(slots(model), option, act={"name": "relu"}, seed=0)          # {name: float64 tensor}, the net left alone

A weight (two or more dimensions) takes the scheme's law, a bias the scheme's `bias`; norms start as the identity
(weight 1, bias 0); what is none of these (a learnable slope, a scale) keeps the value that its module gave it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.parametrize import is_parametrized

import initlab.inits  # noqa: F401  (the functions join the registry)
from initlab.errors import Refused
from initlab.inits import Weight
from initlab.specs import ACTS, INITS
from initlab.streams import uniforms

M = TypeVar("M", bound=nn.Module)
NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm)
BIAS_CONSTANT = 0.1


@dataclass(frozen=True)
class Slot:
    """A parameter's place: its name, what it is, its layer's kind (see `rules.LAYERS`), shape and fans."""

    name: str
    part: Literal["weight", "bias", "norm_weight", "norm_bias", "kept"]
    layer: str
    shape: tuple[int, ...]
    fan_in: int
    fan_out: int
    weight: str = ""  # of a bias: the name of its weight
    padding: int | None = None  # of an embedding: the row that is zero and never trained


def slots(model: nn.Module) -> list[Slot]:
    """The places of all parameters of a net, in its order; a tied one counts where it comes first.

    Raises Refused for a parametrized layer, whose parameters are no longer its weight.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    places = []
    for prefix, module in model.named_modules():
        if is_parametrized(module):
            raise Refused(f"{prefix or 'the net'}: is parametrized. Initialise it first, then parametrize it.")
        for leaf, parameter in module.named_parameters(recurse=False):
            if names[id(parameter)] == (f"{prefix}.{leaf}" if prefix else leaf):
                places.append(_slot(module, leaf, parameter, names))
    return places


def _slot(module: nn.Module, leaf: str, parameter: nn.Parameter, names: Mapping[int, str]) -> Slot:
    name, shape, layer = names[id(parameter)], tuple(parameter.shape), _layer(module)
    groups = module.groups if isinstance(module, _ConvNd) else 1
    if isinstance(module, NORMS):
        return Slot(name, "norm_bias" if "bias" in leaf else "norm_weight", layer, shape, 1, 1)
    if "bias" in leaf and len(shape) == 1:
        weight = _weight_of(module, leaf)
        if weight is None:
            return Slot(name, "bias", layer, shape, 1, 1)
        return Slot(name, "bias", layer, shape, fans(weight.shape, layer, groups)[0], 1, names[id(weight)])
    if len(shape) < 2:
        return Slot(name, "kept", layer, shape, 1, 1)
    fan_in, fan_out = fans(shape, layer, groups)
    padding = getattr(module, "padding_idx", None)
    return Slot(name, "weight", layer, shape, fan_in, fan_out // _fused(module, leaf), padding=padding)


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


def _fused(module: nn.Module, leaf: str) -> int:
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


def draw(places: Iterable[Slot], option: Mapping[str, Any], act: Mapping[str, Any], seed: int) -> dict[str, Tensor]:
    """The initial float64 tensor of every place that a scheme decides. ``option`` and ``act`` are typed options."""
    drawn = {}
    for place in places:
        scheme = _scheme(place, option)
        if place.part == "weight":
            drawn[place.name] = _weight(place, scheme, act, seed)
        elif place.part == "bias":
            drawn[place.name] = _bias(place, scheme, seed)
        elif place.part != "kept":
            drawn[place.name] = torch.full(place.shape, float(place.part == "norm_weight"), dtype=torch.float64)
    return drawn


def _scheme(place: Slot, option: Mapping[str, Any]) -> Mapping[str, Any]:
    """The scheme of a place: the first rule that names it, or else its weight, or else the run's own."""
    for name in (place.name, place.weight):
        for rule in option.get("rules", ()):
            if _matches(rule, name, place.layer):
                return rule
    return option


def _matches(rule: Mapping[str, Any], name: str, layer: str) -> bool:
    return fnmatchcase(name, rule["param"]) if "param" in rule else rule["layer"] == layer


def unmatched(places: Iterable[Slot], rules: Sequence[Mapping[str, Any]]) -> list[int]:
    """The numbers of the rules that name no weight and no bias of this net."""
    named = [(p.name, p.layer) for p in places if p.part in ("weight", "bias")]
    return [i for i, rule in enumerate(rules) if not any(_matches(rule, name, layer) for name, layer in named)]


def _weight(place: Slot, scheme: Mapping[str, Any], act: Mapping[str, Any], seed: int) -> Tensor:
    weight = Weight(place.name, place.shape, place.fan_in, place.fan_out, act, seed, place.layer)
    drawn: Tensor = INITS.build(scheme, weight)
    if drawn.shape != place.shape:
        raise Refused(f"init={scheme['name']}: made {list(drawn.shape)} for {place.name} of {list(place.shape)}.")
    if place.padding is not None:
        drawn[place.padding] = 0.0
    return drawn


def _bias(place: Slot, scheme: Mapping[str, Any], seed: int) -> Tensor:
    law, value = scheme["bias"], scheme["bias_value"]
    if law == "uniform":
        bound = 1 / math.sqrt(place.fan_in) if value == "default" else float(value)
        return bound * (2 * torch.from_numpy(uniforms(place.shape, seed, "init", place.name)) - 1)
    constant = BIAS_CONSTANT if value == "default" else float(value)
    return torch.full(place.shape, constant if law == "constant" else 0.0, dtype=torch.float64)


@torch.no_grad()
def initialize(model: M, init: str, *, act: str | Mapping[str, Any] = "relu", seed: int = 0, **fields: Any) -> M:
    """Initialise a net's parameters in place by a registered scheme, and return the net.

    ``fields`` are the scheme's own (gain, mode, ...) and bias, bias_value, rules; ``act`` is the activation that
    gain="torch" asks about. The draw is float64, cast to each parameter's dtype and copied to its device; it depends
    on (seed, parameter name, shape, scheme) alone. Raises Refused (a ValueError) for a name or a field that is not
    there, a value out of range, or a rule that matches nothing.

        >>> initialize(torch.nn.Linear(20, 64), "kaiming", mode="fan_out", seed=1)
        Linear(in_features=20, out_features=64, bias=True)
    """
    option = INITS.typed({"name": init, **fields})
    activation = ACTS.typed({"name": act} if isinstance(act, str) else act)
    places = slots(model)
    for i in unmatched(places, option["rules"]):
        known = ", ".join(place.name for place in places if place.part in ("weight", "bias"))
        raise Refused(f"init.rules[{i}]: matches no weight or bias. Known: {known}.")
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for name, value in draw(places, option, activation, seed).items():
        parameters[name].copy_(value)
    return model
