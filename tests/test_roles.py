"""Roles: what a net declares, what reaches a scheme, and what is refused in words, while planning and afterwards."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import nn

import initlab
import initlab.archs
from initlab import roles
from initlab.config import typed
from initlab.errors import Refused
from initlab.fields import Field, Number
from initlab.laws import Constant, Law, Normal, Weight
from initlab.roles import Role
from initlab.schemes.apply import draw
from initlab.slots import slots
from initlab.specs import ACTS, ARCHS, INITS
from nets import small_arch, small_net

RELU = ACTS.typed({"name": "relu"})


@pytest.fixture
def rezero(monkeypatch: pytest.MonkeyPatch) -> str:
    """A scheme that decides on the branches' numbers, and needs them; weights of deviation 1 / block's number."""
    monkeypatch.setattr(INITS, "_specs", dict(INITS._specs))
    monkeypatch.setattr(INITS, "_functions", dict(INITS._functions))
    fields = {"scale": Field(0.0, Number())}
    INITS.declare("rezero_", fields=fields, needs=("branch_scale",), decides=("branch_scale",))

    @INITS.register("rezero_")
    def scheme(weight: Weight, *, scale: float) -> Law:
        assert weight.role is not None
        if weight.role.kind == "branch_scale":
            return Constant(scale)
        return Normal(0.0, 1 / (1 + (weight.role.block or 0)))

    return "rezero_"


def net(**fields: Any) -> nn.Module:
    return ARCHS.build(ARCHS.typed({"name": "resmlp", "depth": 3, "width": 8, **fields}), (5,), 2, nn.Tanh)


@pytest.mark.parametrize("name", ARCHS)
def test_the_spec_offers_what_the_nets_declare(name: str) -> None:
    """For every value of every field on which it depends: no word more, no word less."""
    offers = ARCHS[name].facts["roles"]
    fields = {field: values for conditions in offers.values() for field, values in conditions.items()}
    choices = {field: getattr(ARCHS[name].fields[field].check, "words", (False, True)) for field in fields}
    for values in product(*choices.values()):
        option = small_arch(name, **dict(zip(choices, values, strict=True)))
        offered = {word for word, needs in offers.items() if all(option[f] in allowed for f, allowed in needs.items())}
        places = slots(small_net(option))
        assert roles.words(place.role for place in places) == offered
        assert all(place.role for place in places if place.part in ("weight", "bias"))


def test_a_layer_of_a_branch_knows_its_place() -> None:
    found = {place.name: place.role for place in slots(net(residual="scale", layers=2))}
    assert found["blocks.1.branch.fc1.weight"] == Role("hidden", block=1, blocks=3, layer=1, layers=2)
    last = found["blocks.2.branch.fc2.bias"]
    assert last == Role("hidden", block=2, blocks=3, layer=2, layers=2) and last.last
    assert found["blocks.0.scale"] == Role("branch_scale", block=0, blocks=3)
    assert (found["stem.weight"], found["readout.weight"]) == (Role("input"), Role("readout"))
    assert not Role("hidden").last


def test_a_role_reaches_the_scheme(rezero: str) -> None:
    model = initlab.initialize(net(residual="scale"), rezero, scale=0.25)
    parameters = dict(model.named_parameters())
    assert [parameters[f"blocks.{i}.scale"].item() for i in range(3)] == [0.25] * 3
    plain = dict(initlab.initialize(net(residual="scale"), "normal").named_parameters())
    third = parameters["blocks.2.branch.fc1.weight"]
    torch.testing.assert_close(third, plain["blocks.2.branch.fc1.weight"] / 3)


def test_a_number_keeps_its_neutral_value_under_a_scheme_that_does_not_decide_on_it() -> None:
    parameters = dict(initlab.initialize(net(residual="fixup"), "kaiming").named_parameters())
    assert parameters["blocks.0.scale"].item() == 1.0
    assert parameters["blocks.0.branch.shift1_in.shift"].item() == 0.0


def test_a_rule_can_be_for_a_role() -> None:
    """The readout at zero; and SkipInit as a rule: the one number that it sets has a role that no weight has."""
    rules = [{"role": "readout", "name": "zeros"}, {"role": "branch_scale", "name": "constant", "value": 0.5}]
    parameters = dict(initlab.initialize(net(residual="scale"), "kaiming", rules=rules).named_parameters())
    assert (parameters["readout.weight"] == 0).all() and (parameters["stem.weight"] != 0).all()
    assert parameters["blocks.1.scale"].item() == 0.5


def test_a_foreign_net_is_given_its_roles(rezero: str) -> None:
    class Foreign(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.alpha = nn.Linear(4, 4), nn.Parameter(torch.ones(()))

    given = {"one": Role("hidden", block=1, blocks=2), "alpha": Role("branch_scale", block=1, blocks=2)}
    model = initlab.initialize(Foreign(), rezero, scale=0.5, roles=given)
    assert model.alpha.item() == 0.5
    drawn = draw(slots(Foreign(), given), INITS.typed({"name": rezero, "scale": 0.5}), RELU, 0)
    assert set(drawn) == {"one.weight", "one.bias", "alpha"}
    with pytest.raises(Refused) as refusal:
        initlab.initialize(Foreign(), rezero)
    assert str(refusal.value) == (
        "init=rezero_: needs the role branch_scale, which no layer of this net has. A net declares its roles: "
        "net.roles = {'fc1': Role('input'), ...}, or initialize(..., roles={...})."
    )


def test_a_role_of_what_is_not_there_is_refused() -> None:
    with pytest.raises(Refused) as refusal:
        slots(nn.Sequential(nn.Linear(2, 2)), {"1": Role("readout")})
    assert str(refusal.value) == "roles['1']: no module or parameter '1'. Known: 0, 0.bias, 0.weight."
    with pytest.raises(Refused, match=r"role: no kind of layer 'readuot'\. Known: .* Did you mean readout\?"):
        Role("readuot")


@pytest.mark.parametrize("place", [{"block": 3}, {"block": 4, "blocks": 4}, {"block": -1, "blocks": 4}])
def test_a_block_is_one_of_blocks(place: dict[str, int]) -> None:
    """Without their number tfixup would have none of layers to divide by."""
    with pytest.raises(Refused, match=r"not allowed\. A block needs blocks, how many there are, and counts from 0"):
        Role("value", **place)


@pytest.mark.parametrize(("place", "lacks"), [({"heads": 2}, "block"), ({"block": 0, "blocks": 2}, "heads")])
def test_mimetic_needs_to_tell_attentions_apart(place: dict[str, int], lacks: str) -> None:
    """Both factors of a product are of one draw, their block's: without it two attentions would have equal weights."""
    kinds = {"q": "query", "k": "key", "v": "value", "o": "attention_output"}
    model = nn.ModuleDict({f"{name}{i}": nn.Linear(4, 4) for i in range(2) for name in kinds})
    given = {f"{name}{i}": Role(kind, **place) for i in range(2) for name, kind in kinds.items()}
    with pytest.raises(Refused, match=f"init=mimetic: the role query of q0.weight does not say its {lacks}, by which"):
        initlab.initialize(model, "mimetic", roles=given)
    whole = {f"{name}{i}": Role(kind, i, 2, heads=2) for i in range(2) for name, kind in kinds.items()}
    drawn = dict(initlab.initialize(model, "mimetic", roles=whole).named_parameters())
    assert all(not torch.equal(drawn[f"{name}0.weight"], drawn[f"{name}1.weight"]) for name in kinds)


def config(arch: dict[str, Any], init: dict[str, Any]) -> Any:
    raw = {"dataset": {"name": "gaussian"}, "act": {"name": "relu"}, "optimizer": {"name": "sgd"}}
    return typed(raw | {"arch": arch, "init": init})


def test_a_plan_refuses_a_scheme_whose_role_the_net_lacks(rezero: str) -> None:
    assert config({"name": "resmlp", "residual": "scale"}, {"name": rezero})
    for arch in ({"name": "mlp"}, {"name": "resmlp"}):
        with pytest.raises(Refused) as refusal:
            config(arch, {"name": rezero})
        assert str(refusal.value).startswith(
            f"init=rezero_: needs a net with the role branch_scale; this one of arch={arch['name']} has not. "
            "These have: resmlp with arch.residual=scale or fixup"
        )
    with pytest.raises(Refused, match=r"init\.rules\[0\]\.role=branch_bias: needs a net with the role branch_bias"):
        config({"name": "mlp"}, {"name": "kaiming", "rules": [{"role": "branch_bias", "name": "zeros"}]})
    with pytest.raises(Refused, match=r"init\.rules\[0\]\.role: no role 'raedout'.*Did you mean readout"):
        config({"name": "mlp"}, {"name": "kaiming", "rules": [{"role": "raedout", "name": "zeros"}]})
    with pytest.raises(Refused, match=r"init\.rules\[0\]=rezero_: needs a net with the role branch_scale"):
        config({"name": "mlp"}, {"name": "kaiming", "rules": [{"role": "readout", "name": rezero}]})


def test_an_architecture_of_a_users_own_is_asked_later() -> None:
    roles.check("init=fixup", ["residual"], {"name": "theirs"}, {"theirs": None})
