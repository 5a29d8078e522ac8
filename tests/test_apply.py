"""A net and a scheme -> its weights: fans are numbers of connections, and `initialize` takes any module.

Connections are counted, not computed: where no weight is zero, an output depends on an input if and only if that entry
of the Jacobian is not zero.
"""

from __future__ import annotations

import importlib
import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

import initlab
from initlab.errors import Refused
from initlab.laws import Normal, Weight
from initlab.schemes.apply import check, draw
from initlab.schemes.initial import initialize
from initlab.slots import Slot, fans, slots
from initlab.specs import ACTS, INITS

Function = Callable[[Tensor], Tensor]


class Residual(nn.Module):
    """A block of a ResNet: every kind of parameter that a convolutional net has, and one that is none of them."""

    def __init__(self, channels: int = 4) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.act = nn.PReLU(channels, init=0.3)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn2 = nn.GroupNorm(2, channels)
        self.scale = nn.Parameter(torch.tensor(0.7))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * self.bn2(self.conv2(self.act(self.bn1(self.conv1(x)))))


class Language(nn.Module):
    """Embedding, attention, norm and recurrence; the output layer's weight is the embedding's."""

    def __init__(self, rows: int = 11, features: int = 8) -> None:
        super().__init__()
        self.embed = nn.Embedding(rows, features, padding_idx=3)
        self.attend = nn.MultiheadAttention(features, 2)
        self.norm = nn.LayerNorm(features)
        self.lstm = nn.LSTM(features, features, num_layers=2)
        self.head = nn.Linear(features, rows)
        self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        x = self.norm(x + self.attend(x, x, x, need_weights=False)[0])
        return self.head(self.lstm(x)[0][:, -1])


def place(model: nn.Module, name: str) -> Slot:
    return next(place for place in slots(model) if place.name == name)


def parameters(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def connections(function: Function, *shape: int) -> tuple[int, int]:
    """(inputs of an output, outputs of an input), the most that any has: those away from the borders."""
    x = torch.full(shape, 0.1)
    jacobian = torch.autograd.functional.jacobian(function, x).reshape(-1, x.numel()) != 0
    return int(jacobian.sum(1).max()), int(jacobian.sum(0).max())


def filled(model: nn.Module, value: float = 0.1) -> nn.Module:
    """The module with all parameters of one value; no product of them is zero."""
    for p in model.parameters():
        nn.init.constant_(p, value)
    return model


def values_only(attention: nn.MultiheadAttention) -> Function:
    """One token, of which attention gives the value, and an output projection that hands it on."""
    nn.init.eye_(attention.out_proj.weight)
    query = torch.ones(1, attention.embed_dim)
    keys = torch.ones(1, attention.kdim)
    return lambda x: attention(query, keys, x, need_weights=False)[0]


def hidden_to_hidden(layer: nn.RNNBase) -> Function:
    """A recurrent layer's step as a function of its hidden state, which an LSTM has beside its memory."""
    x = torch.ones(1, 5)
    if isinstance(layer, nn.LSTM):
        return lambda h: layer(x, (h, torch.zeros_like(h)))[0]
    return lambda h: layer(x, h)[0]


CONVOLUTIONS: list[tuple[nn.Module, tuple[int, ...]]] = [
    (nn.Conv1d(4, 6, 3, padding=1), (1, 4, 7)),
    (nn.Conv2d(4, 6, (3, 5), padding=(1, 2)), (1, 4, 7, 9)),
    (nn.Conv2d(4, 6, 3, padding=2, dilation=2), (1, 4, 9, 9)),
    (nn.Conv3d(2, 3, 3, padding=1), (1, 2, 5, 5, 5)),
    (nn.Conv2d(4, 6, 3, padding=1, groups=2), (1, 4, 7, 7)),
    (nn.Conv2d(4, 8, 3, padding=1, groups=4), (1, 4, 7, 7)),
    (nn.ConvTranspose1d(4, 6, 3, padding=1), (1, 4, 7)),
    (nn.ConvTranspose2d(4, 6, (3, 5), padding=(1, 2)), (1, 4, 7, 9)),
    (nn.ConvTranspose2d(4, 6, 3, padding=1, groups=2), (1, 4, 7, 7)),
    (nn.ConvTranspose3d(2, 3, 3, padding=1), (1, 2, 5, 5, 5)),
]


@pytest.mark.parametrize(("layer", "shape"), [(nn.Linear(5, 7), (1, 5)), *CONVOLUTIONS], ids=str)
def test_fans_are_numbers_of_connections(layer: nn.Module, shape: tuple[int, ...]) -> None:
    """fan_in: how many inputs a unit sums over; fan_out: how many units an input feeds. The bias has its weight's."""
    weight = place(layer, "weight")
    assert (weight.fan_in, weight.fan_out) == connections(filled(layer), *shape)
    assert place(layer, "bias").fan_in == weight.fan_in


@pytest.mark.parametrize("fused", [True, False], ids=["in_proj_weight", "v_proj_weight"])
def test_fans_of_attention_are_those_of_a_projection(fused: bool) -> None:
    """q, k and v lie in one tensor, and each is a projection of its own."""
    attention = nn.MultiheadAttention(6, 2, vdim=None if fused else 4, kdim=None if fused else 3, bias=False)
    counted = connections(values_only(filled(attention)), 1, 6 if fused else 4)
    weight = place(attention, "in_proj_weight" if fused else "v_proj_weight")
    assert (weight.fan_in, weight.fan_out) == counted
    if not fused:
        assert (place(attention, "k_proj_weight").fan_in, place(attention, "k_proj_weight").fan_out) == (3, 6)


@pytest.mark.parametrize("layer", [nn.RNN(5, 4), nn.LSTM(5, 4), nn.GRU(5, 4)], ids=str)
def test_fans_of_a_recurrent_layer_are_those_of_a_gate(layer: nn.RNNBase) -> None:
    """The gates lie in one tensor, and an input feeds each unit once in each; a bias has its own weight's fan_in."""
    filled(layer)
    into, back = place(layer, "weight_ih_l0"), place(layer, "weight_hh_l0")
    assert (into.fan_in, into.fan_out) == connections(lambda x: layer(x)[0], 1, 5)
    assert (back.fan_in, back.fan_out) == connections(hidden_to_hidden(layer), 1, 4)
    assert place(layer, "bias_ih_l0").fan_in == into.fan_in
    assert place(layer, "bias_hh_l0").fan_in == back.fan_in


def test_fans_of_an_embedding_are_those_of_the_output_layer_that_it_may_be_tied_to() -> None:
    table = nn.Embedding(11, 8)
    counted = connections(lambda h: F.linear(h, filled(table).weight), 1, 8)
    assert (place(table, "weight").fan_in, place(table, "weight").fan_out) == counted


def test_a_vector_has_no_fans() -> None:
    with pytest.raises(Refused, match=r"shape \[5\]: a fan needs at least two dimensions"):
        fans((5,))


def test_initialize_draws_in_place_and_returns_the_model() -> None:
    model = nn.Linear(20, 8)
    weight = model.weight
    assert initlab.initialize(model, "kaiming") is model
    assert model.weight is weight
    expected = draw(slots(model), INITS.typed({"name": "kaiming"}), ACTS.typed({"name": "relu"}), 0)
    assert torch.equal(model.weight, expected["weight"].float())
    assert torch.equal(model.bias, torch.zeros(8))


def test_norms_become_the_identity_and_slopes_and_scales_stay() -> None:
    """The layers between are drawn; what is neither weight, bias nor norm keeps its value."""
    block = Residual()
    for norm in (block.bn1, block.bn2):
        nn.init.constant_(norm.weight, 5.0)
        nn.init.constant_(norm.bias, 5.0)
    initlab.initialize(block, "constant", value=2.0, bias="constant")
    expected = {
        "conv1.weight": 2.0,
        "conv2.weight": 2.0,
        "conv2.bias": 0.1,
        "bn1.weight": 1.0,
        "bn1.bias": 0.0,
        "bn2.weight": 1.0,
        "bn2.bias": 0.0,
        "act.weight": 0.3,
        "scale": 0.7,
    }
    values = parameters(block)
    assert values.keys() == expected.keys()
    assert all((values[name] == torch.tensor(value)).all() for name, value in expected.items())


@pytest.mark.parametrize("name", list(INITS))
def test_any_scheme_takes_attention_recurrence_and_tied_weights(name: str) -> None:
    """All is drawn, nothing is untied, and the row of an embedding that is never trained stays zero."""
    model = Language()
    if INITS[name].facts.get("signal"):
        with pytest.raises(Refused, match=f"init={name}: follows the signal.*needs data"):
            initlab.initialize(model, name)
        return
    if INITS[name].facts.get("needs"):
        with pytest.raises(Refused, match=f"init={name}: needs the role"):
            initlab.initialize(model, name)
        return
    tokens = torch.arange(60).reshape(12, 5) % 11
    few = {"steps": 3} if "steps" in INITS.own(name) else {}
    initlab.initialize(model, name, seed=1, data=tokens, targets=tokens[:, 0], **few)
    assert model.head.weight is model.embed.weight
    assert all(p.isfinite().all() for p in model.parameters())
    assert (model.embed.weight[3] == 0).all()
    drawn = draw(slots(model), INITS.typed({"name": name}), ACTS.typed({"name": "relu"}), 1)
    assert drawn.keys() == {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize("make", [Residual, Language])
def test_seed_and_names_decide_the_weights(make: Callable[[], nn.Module]) -> None:
    first, again, other = (parameters(initlab.initialize(make(), "kaiming", seed=s, bias="uniform")) for s in (1, 1, 2))
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    drawn = [place.name for place in slots(make()) if place.part in ("weight", "bias")]
    assert not any(torch.equal(first[name], other[name]) for name in drawn)
    bits = {first[name].double().sum().item() for name in drawn}
    assert len(bits) == len(drawn)  # tensors of one shape have draws of their own


def test_dtype_flags_and_mode_are_kept() -> None:
    model = Residual().to(torch.bfloat16).eval()
    model.conv1.weight.requires_grad_(False)
    initlab.initialize(model, "xavier")
    assert all(p.dtype == torch.bfloat16 and p.grad is None and p.is_leaf for p in model.parameters())
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == ["conv1.weight"]
    assert not any(module.training for module in model.modules())


def test_the_device_is_kept() -> None:
    """A parameter without storage stays without, which shows that it was not replaced by what was drawn on the CPU."""
    model = initlab.initialize(nn.Linear(3, 2, device="meta"), "xavier")
    assert all(p.is_meta for p in model.parameters())


def test_the_net_is_left_alone_by_a_refusal() -> None:
    """The last layer's rule cannot be carried out: the first layer keeps its weights too."""
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    before = parameters(model)
    with pytest.raises(Refused, match="gain=torch: torch has no gain for act=gelu"):
        initlab.initialize(model, "kaiming", act="gelu", rules=[{"param": "1.*", "name": "xavier", "gain": "torch"}])
    assert all(torch.equal(value, before[name]) for name, value in parameters(model).items())


def test_a_parametrized_layer_is_refused() -> None:
    """Its parameters are a length and a direction: no law of a weight says anything of them."""
    with pytest.raises(Refused, match="0: is parametrized"):
        initlab.initialize(nn.Sequential(weight_norm(nn.Linear(3, 3))), "xavier")


@pytest.mark.parametrize(
    ("fields", "value"),
    [
        ({}, 0.0),
        ({"bias": "zeros", "bias_value": 3.0}, 0.0),
        ({"bias": "constant"}, 0.1),
        ({"bias": "constant", "bias_value": -2}, -2.0),
    ],
)
def test_constant_biases(fields: dict[str, Any], value: float) -> None:
    model = initlab.initialize(nn.Linear(20, 8).double(), "xavier", **fields)
    assert (model.bias == value).all()


@pytest.mark.parametrize(("fields", "std"), [({}, 1 / math.sqrt(25)), ({"bias_value": 0.5}, 0.5)])
def test_normal_biases(fields: dict[str, Any], std: float) -> None:
    """Mean and deviation of 10,000 at five sigma."""
    bias = initlab.initialize(nn.Linear(25, 10_000).double(), "xavier", bias="normal", **fields).bias.detach()
    assert abs(bias.mean()) <= 5 * std / 100
    assert float(bias.std()) == pytest.approx(std, rel=5 / math.sqrt(2 * 10_000))


@pytest.mark.parametrize(("fields", "bound"), [({}, 1 / math.sqrt(25)), ({"bias_value": 0.5}, 0.5)])
def test_uniform_biases(fields: dict[str, Any], bound: float) -> None:
    """Of 10,000 the largest is within a factor 1 - 1e-2 of the bound but for a chance below e^-100; mean at 5 sigma."""
    bias = initlab.initialize(nn.Linear(25, 10_000).double(), "xavier", bias="uniform", **fields).bias
    assert 0.99 * bound <= bias.abs().max() <= bound
    assert abs(bias.mean()) <= 5 * bound / math.sqrt(3 * 10_000)


def ruled(model: nn.Module, *rules: dict[str, Any], **fields: Any) -> dict[str, float]:
    """The value that each weight and bias is filled with, of rules with constant schemes."""
    initlab.initialize(model.double(), "zeros", rules=list(rules), **fields)
    drawn = [place.name for place in slots(model) if place.part in ("weight", "bias")]
    values = parameters(model)
    assert all((values[name] == values[name].flatten()[0]).all() for name in drawn)
    return {name: float(values[name].flatten()[0]) for name in drawn}


def test_a_rule_by_name() -> None:
    model = nn.ModuleDict({"fc1": nn.Linear(3, 3), "fc2": nn.Linear(3, 3)})
    rule = {"param": "fc1.*", "name": "constant", "value": 2, "bias": "constant", "bias_value": 5}
    assert ruled(model, rule) == {"fc1.weight": 2, "fc1.bias": 5, "fc2.weight": 0, "fc2.bias": 0}


LAYERS: dict[str, nn.Module] = {
    "linear": nn.Linear(3, 3),
    "conv": nn.Conv1d(3, 3, 1),
    "conv_transpose": nn.ConvTranspose2d(3, 3, 1),
    "embedding": nn.Embedding(3, 3),
    "recurrent": nn.GRUCell(3, 3),
    "attention": nn.MultiheadAttention(3, 1),
    "other": nn.Bilinear(3, 3, 3),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_a_rule_by_kind_of_layer(kind: str) -> None:
    """Exactly the layers of that kind; attention's output projection is a linear layer of its own."""
    values = ruled(nn.ModuleDict(LAYERS), {"layer": kind, "name": "ones", "bias": "constant", "bias_value": 1})
    output = {"attention.out_proj.weight", "attention.out_proj.bias"}
    named = {name for name in values if name.startswith(f"{kind}.")} - output
    assert {name for name, value in values.items() if value == 1} == (named | output if kind == "linear" else named)


def test_the_first_rule_that_matches_decides() -> None:
    model = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)})
    first, second = {"param": "a.weight", "name": "ones"}, {"layer": "linear", "name": "constant", "value": 2}
    assert ruled(model, first, second) == {"a.weight": 1, "a.bias": 0, "b.weight": 2, "b.bias": 0}
    assert ruled(model, second, first) == {"a.weight": 2, "a.bias": 0, "b.weight": 2, "b.bias": 0}


def test_a_bias_follows_its_own_rule_or_else_its_weights() -> None:
    """Its own first; else the rule of its layer's weight, of the same gates in a recurrent layer; else the run's."""

    def rule(param: str, value: float) -> dict[str, Any]:
        return {"param": param, "name": "ones", "bias": "constant", "bias_value": value}

    model = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3), "c": nn.Linear(3, 3)})
    values = ruled(model, rule("?.weight", 2), rule("a.bias", 3), rule("c.*", 4))
    assert (values["a.bias"], values["b.bias"], values["c.bias"]) == (3, 2, 4)
    values = ruled(nn.LSTM(3, 3, num_layers=2), rule("weight_hh_l1", 7))
    assert {name for name, value in values.items() if value == 7} == {"bias_hh_l1"}


def test_the_bias_of_a_tied_layer_follows_the_weight_under_its_one_name() -> None:
    model = nn.ModuleDict({"embed": nn.Embedding(5, 3), "head": nn.Linear(3, 5)})
    model["head"].weight = model["embed"].weight
    values = ruled(model, {"param": "embed.weight", "name": "ones", "bias": "constant", "bias_value": 7})
    assert values == {"embed.weight": 1, "head.bias": 7}


def test_a_rule_that_matches_nothing_is_refused_with_the_names() -> None:
    """A norm is no place of a rule, and is not offered as one."""
    with pytest.raises(Refused) as refusal:
        initlab.initialize(
            Residual(), "xavier", rules=[{"layer": "conv", "name": "ones"}, {"param": "bn*", "name": "ones"}]
        )
    assert str(refusal.value) == (
        "init.rules[1]: matches no weight or bias. Known: conv1.weight, conv2.weight, conv2.bias."
    )


@pytest.mark.parametrize(
    ("init", "fields", "message"),
    [
        ("kaimin", {}, "init: no init 'kaimin'.*Did you mean kaiming"),
        ("kaiming", {"mod": "fan_in"}, "init.mod: no field of init=kaiming_normal 'mod'.*Did you mean mode"),
        ("kaiming", {"mode": "fan_on"}, "init.mode=fan_on: not allowed. .* fan_in or fan_out. Did you mean fan_in?"),
        ("kaiming", {"gain": "critcal"}, r"critical or a number > 0\. Did you mean critical\?"),
        ("kaiming", {"gain": "\u22121"}, r"a number > 0\. \u2212 is the minus of print \(U\+2212\).* typed with -"),
        (
            "kaiming",
            {"gain": -1},
            "init.gain takes default or torch or forward or backward or critical or a number > 0",
        ),
        ("xavier", {"act": "rellu"}, "act: no act 'rellu'.*Did you mean relu"),
        ("xavier", {"act": {"name": "leaky_relu", "slope": 1}}, "act.slope: .*Did you mean negative_slope"),
        ("uniform", {"a": 2.0, "b": 1.0}, "init.a=2.0, init.b=1.0: not allowed. init=uniform needs a < b"),
        (
            "xavier",
            {"bias": "one"},
            "init.bias=one: not allowed. init.bias takes zeros or constant or uniform",
        ),
        ("xavier", {"rules": "*"}, r"init.rules=\*: not allowed. init.rules takes a list of rules"),
        ("xavier", {"rules": [{"name": "ones"}]}, r"init.rules\[0\]=.*has one of param, layer and role"),
        ("xavier", {"rules": [{"param": "*", "layer": "conv", "name": "ones"}]}, "has one of param, layer and role"),
        ("xavier", {"rules": [{"layer": "convv", "name": "ones"}]}, r"init.rules\[0\].layer.*Did you mean conv\?"),
        ("xavier", {"rules": [{"param": "*", "name": "oness"}]}, r"init.rules\[0\]: .*Did you mean ones\?"),
        ("xavier", {"rules": [{"param": "*", "name": "xavier", "gian": 1}]}, r"init.rules\[0\].gian: .*mean gain\?"),
        ("xavier", {"rules": [{"param": "*", "name": "ones", "rules": []}]}, "a rule has no rules of its own"),
    ],
)
def test_what_is_not_there_is_refused_with_the_nearest(init: str, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused, match=message):
        initlab.initialize(nn.Linear(3, 3), init, **fields)


@pytest.fixture
def scratch(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    for table in ("_specs", "_functions", "aliases"):
        monkeypatch.setattr(INITS, table, dict(getattr(INITS, table)))


def mine(weight: Weight, *, scale: float = 1.0, flip: bool = False) -> Tensor:
    """N(0, scale^2 / fan_in)."""
    return (-1 if flip else 1) * scale / math.sqrt(weight.fan_in) * weight.normal()


@pytest.mark.usefixtures("scratch")
def test_an_own_scheme_is_one_decorated_function() -> None:
    """Its keywords are its fields, it takes the shared ones, and it can be named in a rule."""
    assert initlab.register_init("mine")(mine) is mine
    lecun = initlab.initialize(nn.Linear(20, 8).double(), "lecun", seed=4).weight
    model = nn.Linear(20, 8).double()
    assert torch.equal(initlab.initialize(model, "mine", seed=4).weight, lecun)
    initlab.initialize(model, "mine", seed=4, scale=2, flip=True, bias="constant")
    assert torch.equal(model.weight, -2 * lecun)
    assert (model.bias == 0.1).all()
    initlab.initialize(model, "zeros", seed=4, rules=[{"layer": "linear", "name": "mine", "scale": 3}])
    torch.testing.assert_close(model.weight, 3 * lecun, rtol=1e-14, atol=0.0)
    with pytest.raises(Refused, match=r"init.scal: no field of init=mine 'scal'.*Did you mean scale\?"):
        initlab.initialize(model, "mine", scal=2)
    assert INITS["mine"].doc == "N(0, scale^2 / fan_in)."


def test_an_own_scheme_is_gone_after_its_test() -> None:
    assert "mine" not in INITS


@pytest.mark.usefixtures("scratch")
def test_an_own_scheme_may_return_a_law() -> None:
    """It is drawn from the same uniforms as the scheme of the same law."""
    initlab.register_init("mine")(lambda weight, *, scale=1.0: Normal(0.0, scale / math.sqrt(weight.fan_in)))
    mine = initlab.initialize(nn.Linear(20, 8), "mine", scale=1.5).weight
    assert torch.equal(mine, initlab.initialize(nn.Linear(20, 8), "lecun", gain=1.5).weight)


def test_a_weight_that_a_scheme_cannot_fill_is_refused_before_anything_is_drawn() -> None:
    """By `check`, which a command asks before it makes a folder, and by initialize, which leaves the net alone."""
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Conv2d(4, 3, 3))
    option, before = INITS.typed({"name": "delta_orthogonal"}), parameters(net)
    message = re.escape(
        "init=delta_orthogonal: 1.weight is conv [3, 4, 3, 3]; init=delta_orthogonal takes convolutions with at least "
        "as many outputs as inputs a group, and what is no convolution. Give it another scheme by a rule"
    )
    with pytest.raises(Refused, match=message):
        check(net, option, ACTS.typed({"name": "relu"}), None)
    with pytest.raises(Refused, match=message):
        initlab.initialize(net, "delta_orthogonal")
    assert all(torch.equal(value, before[name]) for name, value in parameters(net).items())
    initlab.initialize(net, "delta_orthogonal", rules=[{"param": "1.*", "name": "xavier"}])


@pytest.mark.usefixtures("scratch")
def test_a_name_is_given_once() -> None:
    initlab.register_init("mine")(mine)
    for name in ("mine", "kaiming_normal", "kaiming"):
        with pytest.raises(Refused, match=f"init={name}: the name is taken"):
            initlab.register_init(name)(mine)


@pytest.mark.usefixtures("scratch")
def test_own_schemes_that_could_not_work_are_refused() -> None:
    """A field without a default, a field that every scheme has anyway, and a tensor of another shape."""
    with pytest.raises(Refused, match=r"<lambda>\(scale\): a field of an own option needs a default"):
        initlab.register_init("first")(lambda weight, *, scale: weight.normal())
    with pytest.raises(Refused, match="init=second: each init has bias anyway"):
        initlab.register_init("second")(lambda weight, *, bias=0.0: weight.normal())
    initlab.register_init("third")(lambda weight: weight.normal().T)
    with pytest.raises(Refused, match=r"init=third: made \[20, 8\] for weight of \[8, 20\]"):
        initlab.initialize(nn.Linear(20, 8), "third")


def test_the_package_is_light_and_its_two_names_stay() -> None:
    """`import initlab` costs no torch, and no module that is loaded later takes the place of its functions."""
    code = "import sys, initlab; assert not {'torch', 'numpy', 'hydra', 'lightning'} & sys.modules.keys(), 'heavy'"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for module in Path(initlab.__file__).parent.glob("**/[a-z]*.py"):
        importlib.import_module(".".join(module.relative_to(Path(initlab.__file__).parents[1]).with_suffix("").parts))
    assert initlab.initialize is initialize and initlab.register_init == INITS.register
