"""The article on initialising PyTorch parameters: its MyModel through the config, its formulas, its advice, its errata.

docs/article.md maps each of them to a config; this file holds that page to the code, and torch to what the page says
of it.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import initlab
from initlab.config import Config
from initlab.datasets import load
from initlab.planning.compose import Composer
from initlab.planning.plan import make
from initlab.streams import uniforms
from initlab.training.module import StackModule

CONF = Path(__file__).parent.parent / "conf"
EXPERIMENT = CONF / "experiment" / "article_mymodel.yaml"
SHAPES = {"fc1.weight": (64, 20), "fc1.bias": (64,), "fc2.weight": (10, 64), "fc2.bias": (10,)}
FAN_IN, FAN_OUT = 20, 64  # of fc1


class MyModel(nn.Module):
    """Written by hand, as the article's reader would: 20 -> 64 -> 10, ReLU."""

    def __init__(self, act: Callable[[Tensor], Tensor] = torch.relu) -> None:
        super().__init__()
        self.act = act
        self.fc1 = nn.Linear(20, 64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


@pytest.fixture(autouse=True)
def _own_generator() -> Iterator[None]:
    """Torch's own schemes draw from the global generator: each test has it to itself, seeded."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


# --- MyModel ----------------------------------------------------------------------------------------------------------


def planned(*overrides: str) -> Config:
    return make(Composer(CONF), ["+experiment=article_mymodel", *overrides], multirun=False).runs[0].config


def drawn(config: Config) -> dict[str, Tensor]:
    """The initial parameters of the run's own training module."""
    module = StackModule([config], load(config["dataset"]))
    module.prepare()
    return {name: stacked[0] for name, stacked in module.state.params.items()}


def test_the_experiment_is_the_articles_model() -> None:
    config = planned()
    assert (config["dataset"]["name"], config["dataset"]["features"], config["dataset"]["classes"]) == (
        "gaussian",
        20,
        10,
    )
    assert [config["arch"][field] for field in ("name", "depth", "width", "norm")] == ["mlp", 1, 64, "none"]
    assert config["act"] == {"name": "relu"}
    init = config["init"]
    assert (init["name"], init["mode"], init["nonlinearity"]) == ("kaiming_normal", "fan_in", "relu")
    assert (init["bias"], init["gain"], init["rules"]) == ("zeros", "default", [])


def test_the_experiment_is_short() -> None:
    lines = [line.strip() for line in EXPERIMENT.read_text().splitlines()]
    assert len([line for line in lines if line and not line.startswith("#")]) <= 10


def test_the_built_net_has_the_articles_shapes() -> None:
    assert {name: tuple(p.shape) for name, p in drawn(planned()).items()} == SHAPES


@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize("init", ["kaiming_normal", "xavier_uniform", "torch_default"])
def test_a_hand_written_net_starts_from_the_runs_weights(init: str, seed: int) -> None:
    run = drawn(planned(f"init={init}", f"seed={seed}"))
    model = initlab.initialize(MyModel(), init, act="relu", seed=seed)
    assert {name: tuple(p.shape) for name, p in model.named_parameters()} == SHAPES
    for name, p in model.named_parameters():
        assert torch.equal(p, run[name]), name


# --- its formulas -----------------------------------------------------------------------------------------------------


def law_uniform(low: float, high: float) -> Callable[[Tensor], Tensor]:
    return lambda u: low + (high - low) * u


def law_normal(std: float) -> Callable[[Tensor], Tensor]:
    return lambda u: std * math.sqrt(2) * torch.erfinv(2 * u - 1)


def law_constant(value: float) -> Callable[[Tensor], Tensor]:
    return lambda u: torch.full_like(u, value)


XAVIER, HE, HE_OUT = math.sqrt(6 / (FAN_IN + FAN_OUT)), math.sqrt(6 / FAN_IN), math.sqrt(6 / FAN_OUT)
LEAKY = {"nonlinearity": "leaky_relu", "negative_slope": 0.2}
LAWS: dict[str, tuple[str, dict[str, Any], Callable[[Tensor], Tensor]]] = {
    "zeros": ("zeros", {}, law_constant(0.0)),
    "ones": ("ones", {}, law_constant(1.0)),
    "constant": ("constant", {}, law_constant(0.63)),
    "uniform by default": ("uniform", {}, law_uniform(-1 / math.sqrt(FAN_IN), 1 / math.sqrt(FAN_IN))),
    "torch's uniform_": ("uniform", {"a": 0.0, "b": 1.0}, law_uniform(0, 1)),
    "normal": ("normal", {}, law_normal(1.0)),
    "xavier uniform": ("xavier_uniform", {}, law_uniform(-XAVIER, XAVIER)),
    "xavier normal": ("xavier_normal", {}, law_normal(math.sqrt(2 / (FAN_IN + FAN_OUT)))),
    "xavier": ("xavier", {}, law_normal(math.sqrt(2 / (FAN_IN + FAN_OUT)))),
    "kaiming uniform": ("kaiming_uniform", {}, law_uniform(-HE, HE)),
    "kaiming uniform, fan_out": ("kaiming_uniform", {"mode": "fan_out"}, law_uniform(-HE_OUT, HE_OUT)),
    "kaiming normal": ("kaiming_normal", {}, law_normal(math.sqrt(2 / FAN_IN))),
    "kaiming normal, fan_out": ("kaiming_normal", {"mode": "fan_out"}, law_normal(math.sqrt(2 / FAN_OUT))),
    "kaiming, leaky": ("kaiming", LEAKY, law_normal(math.sqrt(2 / (1 + 0.2**2) / FAN_IN))),
    "torch_default": ("torch_default", {}, law_uniform(-1 / math.sqrt(FAN_IN), 1 / math.sqrt(FAN_IN))),
}


@pytest.mark.parametrize(("init", "fields", "law"), LAWS.values(), ids=LAWS.keys())
def test_formula(init: str, fields: dict[str, Any], law: Callable[[Tensor], Tensor]) -> None:
    """Element by element: the stated quantile function of the stream's uniform draw."""
    model = initlab.initialize(MyModel().double(), init, seed=3, **fields)
    expected = law(torch.from_numpy(uniforms((FAN_OUT, FAN_IN), 3, "init", "fc1.weight")))
    torch.testing.assert_close(model.fc1.weight.detach(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("init", ["xavier", "kaiming", "uniform", "normal", "constant"])
def test_biases_start_at_zero(init: str) -> None:
    model = initlab.initialize(MyModel(), init)
    assert not model.fc1.bias.any() and not model.fc2.bias.any()


# --- never constant weights -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("init", ["zeros", "ones", "constant"])
def test_constant_weights_keep_the_units_of_a_layer_equal(init: str) -> None:
    """After any number of steps: equal rows of fc1, equal columns of fc2, both of rank at most one."""
    model = initlab.initialize(MyModel(torch.tanh).double(), init, act="tanh")
    data = load(planned()["dataset"]).train
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.tensor(data.x[:256]).double() / 20, torch.tensor(data.y[:256])  # small, so that tanh is not flat
    before = [p.detach().clone() for p in (model.fc2.weight, model.fc2.bias)]
    for _ in range(20):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert any(not torch.equal(p, b) for p, b in zip((model.fc2.weight, model.fc2.bias), before, strict=True))
    first, second = model.fc1.weight.detach(), model.fc2.weight.detach()
    torch.testing.assert_close(first, first[:1].expand_as(first), rtol=0, atol=1e-12)
    torch.testing.assert_close(second, second[:, :1].expand_as(second), rtol=0, atol=1e-12)
    assert torch.linalg.matrix_rank(first, atol=1e-9) <= 1 and torch.linalg.matrix_rank(second, atol=1e-9) <= 1


# --- errata: torch as it is -------------------------------------------------------------------------------------------


def defaults(function: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def test_torchs_uniform_is_from_0_to_1_and_its_normal_standard() -> None:
    assert (defaults(nn.init.uniform_)["a"], defaults(nn.init.uniform_)["b"]) == (0.0, 1.0)
    weight = nn.init.uniform_(torch.empty(400, 400))
    assert 0 <= weight.min() < 0.001 and 0.999 < weight.max() <= 1
    assert weight.mean() == pytest.approx(0.5, abs=0.005)
    assert (defaults(nn.init.normal_)["mean"], defaults(nn.init.normal_)["std"]) == (0.0, 1.0)


@pytest.mark.parametrize("name", ["kaiming_uniform_", "kaiming_normal_"])
def test_torchs_kaiming_is_leaky_relu_of_slope_0_by_default(name: str) -> None:
    function = getattr(nn.init, name)
    assert defaults(function)["nonlinearity"] == "leaky_relu"
    assert (defaults(function)["a"], defaults(function)["mode"]) == (0, "fan_in")
    torch.manual_seed(1)
    weight = function(torch.empty(64, 20))
    torch.manual_seed(1)
    assert torch.equal(weight, function(torch.empty(64, 20), nonlinearity="relu"))


def test_torchs_gains() -> None:
    gain = nn.init.calculate_gain
    assert gain("linear") == gain("sigmoid") == 1
    assert gain("relu") == gain("leaky_relu", 0) == math.sqrt(2)
    assert gain("leaky_relu", 0.2) == pytest.approx(math.sqrt(2 / 1.04))
    assert (gain("tanh"), gain("selu")) == (5 / 3, 3 / 4)
    for missing in ("gelu", "silu"):
        with pytest.raises(ValueError, match="Unsupported nonlinearity"):
            gain(missing)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("phi", "expected"),
    [(torch.relu, math.sqrt(2)), (torch.tanh, 1.592537), (torch.selu, 1.0)],
    ids=["relu", "tanh", "selu"],
)
def test_moment_gains(phi: Callable[[Tensor], Tensor], expected: float) -> None:
    """1 / sqrt(E phi(z)^2), z ~ N(0, 1), by the midpoint rule over z."""
    z = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 10_000 - 10
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    assert 1 / math.sqrt(float((phi(z).square() * density).sum()) / 10_000) == pytest.approx(expected, abs=1e-5)


def test_torchs_linear_by_default() -> None:
    """W and b ~ U(-1/sqrt(fan_in), 1/sqrt(fan_in)), of which torch_default is the named form."""
    layer = nn.Linear(100, 4000)
    for p in (layer.weight.detach(), layer.bias.detach()):
        assert 0.099 < p.abs().max() <= 0.1
        assert p.std() == pytest.approx(1 / math.sqrt(3 * 100), rel=0.05)
    named = initlab.initialize(nn.Linear(100, 4000), "torch_default")
    for p in (named.weight.detach(), named.bias.detach()):
        assert 0.099 < p.abs().max() <= 0.1
        assert p.std() == pytest.approx(1 / math.sqrt(3 * 100), rel=0.05)
    assert nn.init.calculate_gain("leaky_relu", math.sqrt(5)) == pytest.approx(1 / math.sqrt(3))


@pytest.mark.parametrize("function", [nn.init.xavier_normal_, nn.init.kaiming_normal_], ids=lambda f: f.__name__)
def test_torchs_normal_schemes_are_not_truncated(function: Callable[[Tensor], Tensor]) -> None:
    """N(0, 1) leaves +-2 with probability 0.0455; a law truncated there never does."""
    weight = function(torch.empty(500, 500))
    assert (weight.abs() > 2 * weight.std()).double().mean() == pytest.approx(0.0455, abs=0.005)
    truncated = initlab.initialize(nn.Linear(500, 500), "lecun", distribution="truncated").weight.detach()
    assert truncated.std() == pytest.approx(1 / math.sqrt(500), rel=0.02)  # the variance is corrected for the cut
    assert truncated.abs().max() <= 2 / 0.8796 / math.sqrt(500)
