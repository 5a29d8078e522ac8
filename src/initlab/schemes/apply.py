"""A net's places and a scheme -> the law of each, and its draw.

    draw(slots(model), option, act={"name": "relu"}, seed=0)          # {name: float64 tensor}, the net left alone

A weight (two or more dimensions) takes the scheme's law, a bias the scheme's `bias`; norms start as the identity
(weight 1, bias 0); what is none of these (a learnable slope, a scale) keeps the value that its module gave it. A scheme
can ask for more: what has a role of its fact ``decides`` takes its law, a bias or a lone number too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn

import initlab.schemes.attention
import initlab.schemes.branches
import initlab.schemes.learned
import initlab.schemes.recurrent  # noqa: F401  (the functions join the registry)
from initlab.errors import Refused
from initlab.gains import critical_of
from initlab.laws import Constant, Law, Normal, Symmetric, Weight
from initlab.roles import WEIGHTLESS, Role, words
from initlab.schemes import mup
from initlab.schemes.structured import Fixed
from initlab.slots import Slot, slots
from initlab.specs import INITS, OPTIMIZERS
from initlab.walk import follow

BIAS_CONSTANT = 0.1


def draw(
    places: Iterable[Slot],
    option: Mapping[str, Any],
    act: Mapping[str, Any],
    seed: int,
    received: Mapping[str, float] | None = None,
) -> dict[str, Tensor]:
    """The initial float64 tensor of every place that a scheme decides. ``option`` and ``act`` are typed options.

    ``received`` is what `signals` makes of a net for the schemes that ask for it: weight -> mean square of its input.
    """
    drawn = {}
    for place in places:
        if not decided(place, option):
            continue
        weight = weight_of(place, act, seed, (received or {}).get(place.name))
        drawn[place.name] = law(place, option, weight).draw(weight)
        if place.padding is not None:
            drawn[place.name][place.padding] = 0.0
    return drawn


def weight_of(place: Slot, act: Mapping[str, Any], seed: int, signal: float | None = None) -> Weight:
    return Weight(
        place.name,
        place.shape,
        place.fan_in,
        place.fan_out,
        act,
        seed,
        place.layer,
        place.groups,
        place.parts,
        signal,
        place.role,
        place.growth,
    )


def rates(places: Iterable[Slot], option: Mapping[str, Any], optimizer: str) -> dict[str, float]:
    """Parameter -> the factor of its learning rate, where a scheme has one for this optimizer and it is not 1."""
    found = {}
    for place in places:
        if INITS[scheme_of(place, option)["name"]].facts.get("base"):
            found[place.name] = mup.rate(place.growth, adaptive=OPTIMIZERS[optimizer].facts["adaptive"])
    return {name: factor for name, factor in found.items() if factor != 1}


def law(place: Slot, option: Mapping[str, Any], weight: Weight) -> Law:
    """What a place follows: its scheme's law, its scheme's bias law, or a norm's 1 or 0. Raises Refused."""
    scheme = scheme_of(place, option)
    if place.part == "weight":
        _check_shape(place, scheme)
    elif not _decides(scheme, place):
        if place.part == "bias":
            return _bias(place, scheme, weight.act)
        return Constant(float(place.part == "norm_weight"))
    made: Law | Tensor = INITS.build(scheme, weight)
    if not isinstance(made, Tensor):
        return made
    if made.shape != place.shape:
        raise Refused(f"init={scheme['name']}: made {list(made.shape)} for {place.name} of {list(place.shape)}.")
    return Fixed(made)


def _bias(place: Slot, scheme: Mapping[str, Any], act: Mapping[str, Any]) -> Law:
    word, value = scheme["bias"], scheme["bias_value"]
    natural = 1 / math.sqrt(place.fan_in) if value == "default" else float(value)
    if word == "uniform":
        return Symmetric(-natural, natural)
    if word == "normal":
        return Normal(0.0, abs(natural))
    if word == "critical":
        return Normal(0.0, math.sqrt(critical_of(act).bias_variance))
    constant = BIAS_CONSTANT if value == "default" else float(value)
    return Constant(constant if word == "constant" else 0.0)


def decided(place: Slot, option: Mapping[str, Any]) -> bool:
    """Whether a scheme decides a place's values; if not, its module's stay."""
    return place.part != "kept" or _decides(scheme_of(place, option), place)


def _decides(scheme: Mapping[str, Any], place: Slot) -> bool:
    """Whether what is no weight follows the law of a scheme, or of a rule, that is for its role."""
    if place.role is None:
        return False
    kind = place.role.kind
    return kind in INITS[scheme["name"]].facts.get("decides", ()) or (kind in WEIGHTLESS and scheme.get("role") == kind)


def check(model: nn.Module, option: Mapping[str, Any], act: Mapping[str, Any], x: Tensor | None) -> None:
    """Raises Refused for a scheme that cannot fill a weight of this net, or cannot follow the net to it."""
    places = slots(model)
    for place in places:
        if place.part == "weight":
            _check_shape(place, scheme_of(place, option))
    check_roles(places, option)
    signals(model, option, act, x)


def check_roles(places: Iterable[Slot], option: Mapping[str, Any]) -> None:
    """Raises Refused for a scheme that needs a role which no layer has, or a field that such a role lacks."""
    places = list(places)
    had = words(place.role for place in places)
    for place in places:
        facts = INITS[(scheme := scheme_of(place, option))["name"]].facts
        if place.role is None or place.role.kind not in facts.get("needs", ()):
            continue
        if lacking := [field for field in facts.get("asks", ()) if getattr(place.role, field) is None]:
            raise Refused(
                f"init={scheme['name']}: the role {place.role.kind} of {place.name} does not say its "
                f"{' and '.join(lacking)}, by which the scheme tells one attention from the other. Add them: "
                f"Role({place.role.kind!r}, block=0, blocks=8, heads=4)."
            )
    for scheme in (option, *option["rules"]):
        for word in INITS[scheme["name"]].facts.get("needs", ()):
            if word not in had:
                raise Refused(
                    f"init={scheme['name']}: needs the role {word}, which no layer of this net has. A net declares its "
                    f"roles: net.roles = {{'fc1': Role('input'), ...}}, or initialize(..., roles={{...}})."
                )


def _check_shape(place: Slot, scheme: Mapping[str, Any]) -> None:
    takes = INITS[scheme["name"]].facts.get("takes")
    if takes is not None and not takes.holds(place.shape, place.layer, place.groups):
        groups = f" in {place.groups} groups" if place.groups > 1 else ""
        raise Refused(
            f"init={scheme['name']}: {place.name} is {place.layer} {list(place.shape)}{groups}; init={scheme['name']} "
            f"takes {takes.words}. Give it another scheme by a rule, or the net another."
        )


def signals(
    model: nn.Module,
    option: Mapping[str, Any],
    act: Mapping[str, Any],
    x: Tensor | None,
    roles: Mapping[str, Role] | None = None,
    base: nn.Module | None = None,
) -> dict[str, float]:
    """Weight -> mean square of what it receives if all is drawn from its law; empty if no scheme asks for it.

    ``x`` are rows of data. Raises Refused where the net cannot be followed, see `walk`.
    """
    named = {place.name: place for place in slots(model, roles, base)}
    asking = [
        p for p in named.values() if p.part == "weight" and INITS[scheme_of(p, option)["name"]].facts.get("signal")
    ]
    if not asking:
        return {}
    name = scheme_of(asking[0], option)["name"]
    if x is None:
        raise Refused(f"init={name}: follows the signal through the net, so it needs data: rows of what the net takes.")

    def power(layer: str, square: float) -> float:
        """E y^2 of the layer's output, exact for weights of mean 0, and else as if its inputs had mean 0."""
        variance = 0.0
        for leaf in ("weight", "bias"):
            place = named.get(f"{layer}.{leaf}" if layer else leaf)
            if place is not None:
                of = law(place, option, weight_of(place, act, 0, square))
                variance += (of.mean**2 + of.std**2) * (place.fan_in * square if leaf == "weight" else 1.0)
        return variance

    try:
        followed = follow(model, x, power)
    except Refused as refusal:
        raise Refused(f"init={name}: cannot follow the signal. {refusal}.") from None
    # twelve digits: a sum's last bits depend on the machine, and a draw should not
    received = {f"{layer}.weight" if layer else "weight": float(f"{s:.12g}") for layer, s in followed.items()}
    for place in asking:
        if place.name not in received:
            raise Refused(f"init={name}: cannot follow the signal. {place.name}: is no layer that the net passes.")
    return received


def scheme_of(place: Slot, option: Mapping[str, Any]) -> Mapping[str, Any]:
    """The scheme of a place: the first rule that names it, or else its weight, or else the run's own."""
    for name in (place.name, place.weight):
        for rule in option.get("rules", ()):
            if _matches(rule, name, place):
                return rule
    return option


def _matches(rule: Mapping[str, Any], name: str, place: Slot) -> bool:
    if "param" in rule:
        return fnmatchcase(name, rule["param"])
    if "role" in rule:
        return place.role is not None and rule["role"] == place.role.kind
    return bool(rule["layer"] == place.layer)


def unmatched(places: Iterable[Slot], rules: Sequence[Mapping[str, Any]]) -> list[int]:
    """The numbers of the rules that decide on nothing of this net."""
    named = list(places)

    def decides(rule: Mapping[str, Any], place: Slot) -> bool:
        return _matches(rule, place.name, place) and (place.part in ("weight", "bias") or _decides(rule, place))

    return [i for i, rule in enumerate(rules) if not any(decides(rule, place) for place in named)]
