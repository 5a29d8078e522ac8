"""The schemes that look at data do what their papers say, in a net and in a run; a batch is its seed's alone."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from conftest import small
from initlab import initialize
from initlab.command import main
from initlab.datasets import load
from initlab.errors import Refused
from initlab.laws import Law, Normal, Weight
from initlab.schemes.adapt import ROWS, Adapted, Batches
from initlab.schemes.initial import initial
from initlab.schemes.learned import EPSILON, gradient_quotient
from initlab.slots import slots
from initlab.specs import ACTS, INITS
from initlab.training.module import StackModule
from initlab.training.nets import build_net

ROOT = Path(__file__).resolve().parent.parent
ADAPTING = ["lsuv", "data_dependent", "metainit", "gradinit"]
DATA = torch.from_numpy(np.random.default_rng(0).normal(1.0, 2.0, (300, 3, 6, 6)))
LABELS = torch.arange(300) % 4


def net(depth: int = 3, act: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Convolutions, a norm, a pooling and linear layers, in float64."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(conv=nn.Conv2d(3, 5, 3), act=act(), flatten=nn.Flatten())
    width = 5 * 4 * 4
    for i in range(depth):
        layers |= {f"fc{i}": nn.Linear(width, 12), f"act{i}": act()}
        width = 12
    return nn.Sequential(layers | {"head": nn.Linear(width, 4)}).double()


def outputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """What each layer with a weight gives."""
    seen: dict[str, Tensor] = {}
    for name, module in model.named_children():
        if hasattr(module, "weight"):
            module.register_forward_hook(lambda m, _, out, name=name: seen.update({name: out.detach()}))
    model(x)
    return seen


def batch(seed: int = 0) -> Tensor:
    return Batches(DATA, LABELS, seed)()[0]


def test_a_batch_is_rows_of_the_data_by_its_seed_and_number() -> None:
    """Distinct rows with their own labels; for a smaller data set all of them."""
    batches = Batches(DATA, LABELS, 3)
    x, y = batches(0)
    assert x.shape[0] == ROWS and y is not None and len(torch.unique(x.flatten(1), dim=0)) == ROWS
    matches = (x[:, None] == DATA[None]).flatten(2).all(2)
    assert (matches.sum(1) == 1).all() and torch.equal(LABELS[matches.double().argmax(1)], y)
    assert torch.equal(batches(0)[0], x) and not torch.equal(batches(1)[0], x)
    assert not torch.equal(Batches(DATA, LABELS, 4)(0)[0], x)
    assert len(Batches(DATA[:9], LABELS[:9], 3)(0)[0]) == 9


@pytest.mark.parametrize("act", [nn.ReLU, nn.Tanh])
def test_lsuv_gives_every_layer_unit_variance(act: type[nn.Module]) -> None:
    """To the tolerance, on its batch, by scaling orthonormal weights: what is left of each is its direction."""
    model = initialize(net(act=act), "lsuv", data=DATA, tolerance=1e-6)
    for name, out in outputs(model, batch()).items():
        assert out.var().item() == pytest.approx(1, abs=1e-6), name
    w = model.fc1.weight
    gram = w @ w.T  # type: ignore[operator]
    torch.testing.assert_close(gram, gram[0, 0] * torch.eye(12, dtype=torch.float64), rtol=0, atol=1e-12)


def test_lsuv_follows_the_order_of_calls_not_of_names() -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last, self.first = nn.Linear(8, 2), nn.Linear(6, 8)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(torch.tanh(3 * self.first(x)))

    x = torch.from_numpy(np.random.default_rng(1).normal(size=(100, 6)))
    model = initialize(Backwards().double(), "lsuv", data=x, tolerance=1e-9)
    assert outputs(model, Batches(x, None, 0)()[0])["last"].var().item() == pytest.approx(1, abs=1e-9)


def test_lsuv_stops_at_its_tolerance_and_its_tries_and_tells() -> None:
    """A layer that is near enough is left alone; one that gives nothing cannot be scaled."""
    act = ACTS.typed({"name": "relu"})
    model = net()
    _, (told,) = initial(model, INITS.typed({"name": "lsuv"}), act, 0, DATA)
    assert all(abs(did["variance"] - 1) <= 0.1 and did["tries"] <= 1 for did in told["tensors"].values())
    assert told["scheme"] == "lsuv" and list(told["tensors"]) == [p.name for p in slots(model) if p.part == "weight"]
    wide = initial(model, INITS.typed({"name": "lsuv", "tolerance": 1e9}), act, 0, DATA)[1][0]
    assert all(did["tries"] == 0 and did["scale"] == 1 for did in wide["tensors"].values())
    dead = initial(model, INITS.typed({"name": "lsuv"}), act, 0, torch.zeros_like(DATA))[1][0]
    assert all(did == {"scale": 1.0, "variance": 0.0, "tries": 0} for did in dead["tensors"].values())


def test_data_dependent_gives_every_unit_mean_0_and_variance_1() -> None:
    model = initialize(net(act=nn.Tanh), "data_dependent", data=DATA)
    for name, out in outputs(model, batch()).items():
        units = out.movedim(1, 0).flatten(1)
        torch.testing.assert_close(units.mean(1), torch.zeros(len(units), dtype=torch.float64), rtol=0, atol=1e-12)
        torch.testing.assert_close(units.var(1), torch.ones(len(units), dtype=torch.float64), msg=name)


@pytest.mark.parametrize("layer", [nn.ConvTranspose2d(3, 6, 2), nn.ConvTranspose2d(3, 6, 2, groups=3)])
def test_data_dependent_takes_transposed_convolutions(layer: nn.Module) -> None:
    model = nn.Sequential(OrderedDict(up=layer)).double()
    out = outputs(initialize(model, "data_dependent", data=DATA), batch())["up"]
    torch.testing.assert_close(out.movedim(1, 0).flatten(1).var(1), torch.ones(6, dtype=torch.float64))


def test_the_gradient_quotient_is_its_definition() -> None:
    """Against the Hessian written out, of a net of 13 parameters."""
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1, bias=False), nn.Flatten(0)).double()
    initialize(model, "kaiming", bias="normal")
    x, y = torch.randn(7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), torch.ones(7).double()
    params = dict(model.named_parameters())
    sizes = [p.numel() for p in params.values()]

    def of(flat: Tensor) -> Tensor:
        parts = [part.view_as(p) for part, p in zip(flat.split(sizes), params.values(), strict=True)]
        out = torch.func.functional_call(model, dict(zip(params, parts, strict=True)), (x,))
        return F.mse_loss(out, y)

    theta = torch.cat([p.detach().flatten() for p in params.values()])
    g, h = torch.autograd.functional.jacobian(of, theta), torch.autograd.functional.hessian(of, theta)
    sign = torch.where(g >= 0, 1.0, -1.0)
    expected = (((g - h @ g) / (g + EPSILON * sign)) - 1).abs().mean()
    torch.testing.assert_close(gradient_quotient(model, params, x, y), expected, rtol=1e-10, atol=1e-12)


def test_metainit_brings_the_gradient_quotient_down() -> None:
    """From a start that is twice too large; only norms change, and biases not at all."""
    act, option = ACTS.typed({"name": "relu"}), INITS.typed({"name": "metainit", "gain": 2.8, "steps": 60})
    model = net(act=nn.Tanh)
    drawn, (told,) = initial(model, option, act, 0, DATA, LABELS)
    start = initial(model, INITS.typed({"name": "kaiming", "gain": 2.8}), act, 0)[0]
    assert told["last gradient quotient"] < told["first gradient quotient"] / 3
    for name, did in told["tensors"].items():
        torch.testing.assert_close(drawn[name], did["scale"] * start[name], rtol=1e-12, atol=0)
    assert all((drawn[name] == 0).all() for name in drawn.keys() - told["tensors"].keys())


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_gradinit_makes_the_first_step_better(optimizer: str) -> None:
    """Trained one step on one batch, the loss on another is lower than from where it started; scales stay in bounds."""
    act, eta = ACTS.typed({"name": "relu"}), 0.1 if optimizer == "sgd" else 0.003
    fields = {"optimizer": optimizer, "eta": eta, "gain": 2.8, "steps": 60, "least": 0.3, "lr": 0.03}
    gamma = 1.0 if optimizer == "sgd" else 30.0
    model = net()
    drawn, (told,) = initial(model, INITS.typed({"name": "gradinit", "gamma": gamma} | fields), act, 0, DATA, LABELS)
    start = initial(model, INITS.typed({"name": "kaiming", "gain": 2.8}), act, 0)[0]
    assert 0.3 <= min(did["scale"] for did in told["tensors"].values()) < 0.95

    def after_a_step(params: dict[str, Tensor]) -> float:
        leaves = {name: p.clone().requires_grad_() for name, p in params.items()}
        loss = F.cross_entropy(torch.func.functional_call(model, leaves, (DATA[:150],)), LABELS[:150])
        grads = torch.autograd.grad(loss, list(leaves.values()))
        moves = [g if optimizer == "sgd" else g.sign() for g in grads]
        moved = {name: p - eta * m for (name, p), m in zip(leaves.items(), moves, strict=True)}
        return F.cross_entropy(torch.func.functional_call(model, moved, (DATA[150:],)), LABELS[150:]).item()

    assert after_a_step(drawn) < after_a_step(start) - 0.1


def test_gradinit_first_brings_a_large_gradient_down() -> None:
    option = INITS.typed({"name": "gradinit", "gain": 4.0, "gamma": 1e-9, "steps": 40, "lr": 0.03})
    model, act = net(), ACTS.typed({"name": "relu"})

    def norm(params: dict[str, Tensor]) -> float:
        leaves = {name: p.clone().requires_grad_() for name, p in params.items()}
        loss = F.cross_entropy(torch.func.functional_call(model, leaves, (DATA,)), LABELS)
        return math.sqrt(sum(g.square().sum().item() for g in torch.autograd.grad(loss, list(leaves.values()))))

    before = norm(initial(model, INITS.typed({"name": "kaiming", "gain": 4.0}), act, 0)[0])
    assert norm(initial(model, option, act, 0, DATA, LABELS)[0]) < before / 3


class Cusp(nn.Module):
    """Passes values on; from the sixth call on with a derivative, of the order above ``power``, that is not finite."""

    def __init__(self, power: float) -> None:
        super().__init__()
        self.power, self.calls = power, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x + (0 * x).abs() ** self.power if self.calls > 5 else x


@pytest.mark.parametrize(("power", "scheme"), [(2.5, {"name": "metainit"}), (1.5, {"name": "gradinit", "gamma": 1e-9})])
def test_scales_stay_where_their_slope_is_lost(power: float, scheme: dict[str, Any]) -> None:
    """The objective is finite and its slope is not: what was reached until then is kept, and no NaN enters a weight."""
    act, model = ACTS.typed({"name": "relu"}), nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 4), Cusp(power))
    x, y = torch.linspace(-1, 1, 80, dtype=torch.float64).view(20, 4), torch.arange(20) % 4
    drawn, (told,) = initial(model, INITS.typed(scheme | {"steps": 20}), act, 0, x, y)
    assert all(value.isfinite().all() for value in drawn.values())
    assert all(math.isfinite(did["scale"]) and did["scale"] != 1 for did in told["tensors"].values())


@pytest.mark.parametrize("name", ADAPTING)
def test_rules_keep_layers_out(name: str) -> None:
    """A layer of another scheme is not touched, nor told of; a rule may be what looks at data."""
    rules = [{"param": "fc1.*", "name": "orthogonal", "bias": "constant"}]
    steps = {"steps": 3} if name in ("metainit", "gradinit") else {}
    act, model = ACTS.typed({"name": "relu"}), net()
    drawn, (told,) = initial(model, INITS.typed({"name": name, "rules": rules} | steps), act, 0, DATA, LABELS)
    plain = initial(model, INITS.typed({"name": "orthogonal", "bias": "constant"}), act, 0)[0]
    assert "fc1.weight" not in told["tensors"] and "fc0.weight" in told["tensors"]
    assert torch.equal(drawn["fc1.weight"], plain["fc1.weight"]) and torch.equal(drawn["fc1.bias"], plain["fc1.bias"])
    rule = INITS.typed({"name": "zeros", "rules": [{"param": "conv*", "name": name} | steps]})
    drawn, (told,) = initial(model, rule, act, 0, DATA, LABELS)
    assert list(told["tensors"]) == ["conv.weight"] and (drawn["fc0.weight"] == 0).all()


@pytest.mark.parametrize("name", ADAPTING)
def test_a_scheme_that_looks_at_data_is_refused_without(name: str) -> None:
    with pytest.raises(Refused, match=f"init={name}: adapts the weights to a batch, so it needs data"):
        initialize(net(), name)
    if name in ("metainit", "gradinit"):
        with pytest.raises(Refused, match="and their targets"):
            initialize(net(), name, data=DATA)


def test_initialize_makes_the_commands_weights() -> None:
    """Given the training data of a run, its net starts from the run's weights; modes stay as they are."""
    config = small(seed=3, init={"name": "lsuv"}, arch={"norm": "batch"})
    data = load(config["dataset"])
    module = StackModule([config], data)
    module.prepare()
    model = build_net(config, data).eval()
    model.append(nn.Dropout(0.5).train())
    initialize(model, "lsuv", act="tanh", seed=3, data=torch.tensor(data.train.x))
    for name, p in model.named_parameters():
        assert torch.equal(p, module.state.params[name][0])
    assert (model.norm1.running_mean == 0).all() and not model.norm1.training  # type: ignore[union-attr]
    assert model[-1].training


def test_a_scheme_of_ones_own_can_look_at_data() -> None:
    """By returning a law whose draw is adapted: here the net's outputs get the scale that is asked for."""

    class Louder:
        targets = False

        def __call__(self, net: nn.Module, places: Any, batches: Batches) -> dict[str, Any]:
            x, _ = batches()
            factor = 7 / net(x).std().item()
            net.get_parameter("head.weight").mul_(factor)
            return {"tensors": {"head.weight": {"scale": factor}}}

    def own(weight: Weight) -> Law:
        return Adapted(Normal(0.0, weight.fan_in**-0.5), Louder())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(INITS, "_specs", dict(INITS._specs))
        patch.setattr(INITS, "_functions", dict(INITS._functions))
        INITS.register("louder")(own)
        model = initialize(net(), "louder", data=DATA)
    assert model(batch()).std().item() == pytest.approx(7)


def test_a_sweep_tells_what_was_done_to_each_layer(tmp_path: Path) -> None:
    """adapted.json, of the runs whose scheme looked at data, and of these alone."""
    words = ["init=lsuv,xavier", "dataset=gaussian", "arch.depth=2", "arch.width=8", "trainer.max_steps=3"]
    assert main(ROOT, ["-m", *words, f"hydra.sweep.dir={tmp_path}/sweep"]) == 0
    folders = {path.parent.name: path for path in (tmp_path / "sweep" / "runs").glob("*/adapted.json")}
    assert list(folders) == ["init=lsuv"]
    told = json.loads(folders["init=lsuv"].read_text())
    assert told["schema"] == 1 and told["adapted"][0]["tensors"]["fc1.weight"]["tries"] >= 1
