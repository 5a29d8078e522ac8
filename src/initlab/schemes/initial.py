"""A net, a scheme and data -> its initial weights.

initialize(model, "kaiming", act="relu", seed=0)          # any nn.Module, in place
initial(model, option, act, seed, x, y)                   # {name: float64 tensor}, the net left alone
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from initlab.errors import Refused
from initlab.roles import Role
from initlab.schemes.adapt import Adaptation, Adapted, Batches, Told
from initlab.schemes.apply import check_roles, draw, law, scheme_of, signals, unmatched, weight_of
from initlab.slots import NORMS, Slot, slots
from initlab.specs import ACTS, INITS

M = TypeVar("M", bound=nn.Module)


@torch.no_grad()
def initial(
    model: nn.Module,
    option: Mapping[str, Any],
    act: Mapping[str, Any],
    seed: int,
    x: Tensor | None = None,
    y: Tensor | None = None,
    roles: Mapping[str, Role] | None = None,
    base: nn.Module | None = None,
) -> tuple[dict[str, Tensor], list[Told]]:
    """The initial float64 tensor of every place that a scheme decides, and what was done to them after the draw.

    ``x`` [N, ...] and ``y`` [N, ...] are data, for the schemes that look at them, ``base`` the net of base width, for
    those that ask for it. Raises Refused where one needs what is not given.
    """
    places = slots(model, roles, base)
    for scheme in (option, *option["rules"]):
        if base is None and INITS[scheme["name"]].facts.get("base"):
            raise Refused(f"init={scheme['name']}: compares widths, so it needs base, the same net of base width.")
    drawn = draw(places, option, act, seed, signals(model, option, act, x, roles, base))
    adapting = _adaptations(places, option, act)
    if not adapting:
        return drawn, []
    net = _copy(model, drawn)
    told = []
    for scheme, by, own in adapting:
        if x is None or (by.targets and y is None):
            needed = "data, rows of what the net takes" + (", and their targets" if by.targets else "")
            raise Refused(f"init={scheme}: adapts the weights to a batch, so it needs {needed}.")
        told.append({"scheme": scheme} | by(net, own, Batches(x, y, seed)))
    parameters = dict(net.named_parameters())
    return {name: parameters[name].detach() for name in drawn}, told


def _adaptations(
    places: Sequence[Slot], option: Mapping[str, Any], act: Mapping[str, Any]
) -> list[tuple[str, Adaptation, list[Slot]]]:
    """The schemes of a run that look at data, each with the places that are its own."""
    found: dict[int, tuple[str, Adaptation, list[Slot]]] = {}
    for place in places:
        scheme = scheme_of(place, option)
        if place.part == "weight" and id(scheme) not in found:
            of = law(place, option, weight_of(place, act, 0, 1.0))
            if isinstance(of, Adapted):
                own = [p for p in places if scheme_of(p, option) is scheme]
                found[id(scheme)] = scheme["name"], of.by, own
    return list(found.values())


def _copy(model: nn.Module, drawn: Mapping[str, Tensor]) -> nn.Module:
    """The net with the drawn weights, in float64 on the CPU. Norms take their batch's statistics; no dropout."""
    net = copy.deepcopy(model).to("cpu", torch.float64).eval()
    for module in net.modules():
        if isinstance(module, NORMS):
            module.train()
    for name, p in net.named_parameters():
        p.copy_(drawn.get(name, p))
    return net


@torch.no_grad()
def initialize(
    model: M,
    init: str,
    *,
    act: str | Mapping[str, Any] = "relu",
    seed: int = 0,
    data: Tensor | None = None,
    targets: Tensor | None = None,
    roles: Mapping[str, Role] | None = None,
    base: nn.Module | None = None,
    **fields: Any,
) -> M:
    """Initialise a net's parameters in place by a registered scheme, and return the net.

    ``fields`` are the scheme's own (gain, mode, ...) and bias, bias_value, rules; ``act`` is the activation that
    gain=torch, forward, backward and critical ask about; ``data`` [N, ...] are rows of what the net takes, for the
    schemes that look at them (auto, lsuv, ...), and ``targets`` [N, ...] what it should give for them, for those that
    follow a gradient (metainit, gradinit): integers are classes; ``roles``, by names of modules or parameters, are what
    the layers are to the net, for the schemes that ask (by default the net's attribute `roles`); ``base`` is the same
    net of base width, for mup. The draw is float64,
    cast to each parameter's dtype and copied to its device; it depends on (seed, parameter name, shape, scheme, role,
    data) alone. Raises Refused (a ValueError) for a name or a field that is not there, a value out of range, a rule
    that matches nothing, a role that the net lacks, data that are missing, or a weight that the scheme cannot fill.

        >>> initialize(torch.nn.Linear(20, 64), "kaiming", mode="fan_out", seed=1)
        Linear(in_features=20, out_features=64, bias=True)
    """
    option = INITS.typed({"name": init, **fields})
    activation = ACTS.typed({"name": act} if isinstance(act, str) else act)
    places = slots(model, roles)
    check_roles(places, option)
    for i in unmatched(places, option["rules"]):
        known = ", ".join(place.name for place in places if place.part in ("weight", "bias"))
        raise Refused(f"init.rules[{i}]: matches no weight or bias. Known: {known}.")
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for name, value in initial(model, option, activation, seed, data, targets, roles, base)[0].items():
        parameters[name].copy_(value)
    return model
