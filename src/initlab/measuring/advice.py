"""Which scheme and gain a net should start from: what theory offers for its activation and its roles, each probed.

    found = advise(net, (x, y), act="relu", seed=0)
    print(found.best.words, found.best.reason)

Theory makes the list, the probe decides: the least risk is recommended, and of equal ones the first of the list.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from initlab import theory
from initlab.errors import Refused
from initlab.measuring.probing import probe
from initlab.schemes.initial import initialize
from initlab.specs import ACTS

EQUAL = 0.05  # of the risk: less is no difference


@dataclass(frozen=True)
class Candidate:
    """A scheme as words for the command line, theory's reason for it, and what the probe found."""

    words: str
    reason: str
    risk: float
    verdict: str


@dataclass(frozen=True)
class Advice:
    best: Candidate
    others: tuple[Candidate, ...]


def advise(
    model: nn.Module, batch: tuple[Tensor, Tensor], act: str | Mapping[str, Any] = "relu", seed: int = 0
) -> Advice:
    """Probe the candidates on copies of ``model``. Raises Refused where none can be drawn for it."""
    option = ACTS.typed({"name": act} if isinstance(act, str) else act)
    probed = []
    for name, fields, reason in candidates(option):
        net = copy.deepcopy(model)
        try:
            initialize(net, name, act=option, seed=seed, data=batch[0], targets=batch[1], **fields)
        except Refused:
            continue  # not for this net: it has no such roles, or shapes, or is no chain
        found = probe(net, batch, full=False)
        words = " ".join([f"init={name}", *(f"init.{field}={value}" for field, value in fields.items())])
        probed.append(Candidate(words, reason, found.risk, found.verdict))
    if not probed:
        raise Refused("advice: no scheme on the list can be drawn for this net.")
    least = min(one.risk for one in probed)
    best = next(one for one in probed if one.risk <= least + EQUAL)
    return Advice(best, tuple(one for one in probed if one is not best))


def candidates(act: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """(scheme, fields, reason), the plainest first."""
    name = act["name"]
    forward = theory.gain(act, "forward")
    keeps = f"the gain {forward:.4g} = 1 / sqrt(E {name}(z)^2) keeps the signal's second moment at 1"
    yield "kaiming", {"gain": "forward"}, keeps
    alike = "all singular values of a layer are equal, so that none decays"
    try:
        point = theory.critical(act)
    except theory.NoCritical:
        pass
    else:
        gain = point.weight_variance**0.5
        at = f"the gain {gain:.4g} is {name}'s edge of chaos: chi = 1, a gradient keeps its variance"
        if abs(gain - forward) > 1e-6:  # else the two are one
            biases = f", with biases of variance {point.bias_variance:.3g}" if point.bias_variance else ""
            yield "critical", {}, at + biases
            yield "orthogonal", {"gain": "critical"}, f"{at}; {alike}"
    yield "orthogonal", {"gain": "forward"}, f"{keeps}; {alike}"
    yield "auto", {}, "each layer's variance follows what it receives, from the data through the net"
    for scheme, reason in RESIDUAL.items():
        yield scheme, {}, reason


RESIDUAL = {
    "depth_scaled": "L branches of 1 / sqrt(L) each multiply the variance by (1 + c / L)^L in all, which is bounded",
    "skipinit": "a branch starts at 0 times itself: the net is as deep as its stem, and grows as it learns",
    "fixup": "branches end in 0 and are scaled by depth, so that an update changes the net as much at any depth",
}
