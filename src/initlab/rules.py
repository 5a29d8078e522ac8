"""Rules give some parameters another scheme than the rest of the net.

    init.rules=[{param: "fc1.*", name: zeros}, {layer: conv, name: orthogonal, gain: 1.4}, {role: readout, name: zeros}]

A rule says where (``param``, a glob over parameter names, ``layer``, a kind of layer, or ``role``, a kind of role that
the net declares) and what (a scheme and its fields). The first rule that matches a weight decides; a weight that none
matches takes the run's own scheme. A bias follows the ``bias`` and ``bias_value`` of the first rule that matches
itself, else of the scheme of its layer's weight; a number with a role that no weight has (branch_scale) follows the
scheme of a rule for that role.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from initlab.errors import Refused, unknown
from initlab.roles import KINDS

if TYPE_CHECKING:
    from initlab.registry import Registry

PLACES = ("param", "layer", "role")
LAYERS = ("linear", "conv", "conv_transpose", "embedding", "recurrent", "attention", "other")


@dataclass(frozen=True)
class Rules:
    """The check of ``init.rules``: a list of rules, each typed by the scheme it names."""

    inits: Registry
    allowed: str = "a list of rules such as {param: 'fc1.*', name: zeros} or {layer: conv, name: orthogonal}"

    def __call__(self, value: object) -> list[dict[str, Any]]:
        if not isinstance(value, list):
            raise ValueError
        return [self._typed(rule, f"init.rules[{i}]") for i, rule in enumerate(value)]

    def _typed(self, rule: object, where: str) -> dict[str, Any]:
        given = [place for place in PLACES if place in rule] if isinstance(rule, Mapping) else []
        if not isinstance(rule, Mapping) or len(given) != 1:
            raise Refused(
                f"{where}={rule}: a rule has one of param, layer and role, a scheme's name and its fields; "
                f"{self.allowed}."
            )
        place = given[0]
        if place == "layer" and rule["layer"] not in LAYERS:
            raise unknown(f"{where}.layer", rule["layer"], LAYERS, "kind of layer")
        if place == "role" and rule["role"] not in KINDS:
            raise unknown(f"{where}.role", rule["role"], KINDS, "role")
        if "rules" in rule:
            raise Refused(f"{where}.rules: a rule has no rules of its own.")
        scheme = self.inits.typed({k: v for k, v in rule.items() if k != place}, where)
        del scheme["rules"]
        return {place: str(rule[place])} | scheme
