"""The signal is followed rightly, against what layers receive when a wide net computes it; what is no chain is not."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional as F

from conftest import small
from initlab import initialize
from initlab.datasets import load
from initlab.errors import Refused
from initlab.training.module import StackModule
from initlab.walk import Signal, follow, steps

NORMAL = Signal.normal(1.0)


def data(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) + 0.5


def one(layer: str, square: float) -> float:
    return 1.0


def test_a_normal_signal_has_its_moments() -> None:
    assert NORMAL.mean == pytest.approx(0, abs=1e-14)
    assert NORMAL.square == pytest.approx(1, rel=1e-12)
    relu = Signal(NORMAL.values.relu(), NORMAL.probabilities)
    assert relu.square == pytest.approx(0.5, rel=1e-12)
    assert relu.mean == pytest.approx(1 / math.sqrt(2 * math.pi), rel=1e-5)
    assert Signal.normal(2.5).square == pytest.approx(2.5, rel=1e-12)


@pytest.mark.parametrize("cells", [2, 4, 9])
def test_the_greatest_of_cells_is_an_order_statistic(cells: int) -> None:
    """Moments of scipy's law of the maximum, by quadrature; the grid is off by its step, 0.0045."""
    density = lambda z: cells * stats.norm.cdf(z) ** (cells - 1) * stats.norm.pdf(z)  # noqa: E731
    z = np.linspace(-10, 10, 100_001)
    mean, square = (float(np.trapezoid(z**power * density(z), z)) for power in (1, 2))
    greatest = NORMAL.greatest(cells)
    assert float(greatest.probabilities.sum()) == pytest.approx(1)
    assert greatest.mean == pytest.approx(mean, abs=0.005)
    assert greatest.square == pytest.approx(square, abs=0.01)


def test_the_mean_of_cells_and_dropout() -> None:
    relu = Signal(NORMAL.values.relu(), NORMAL.probabilities)
    four, kept = relu.averaged(4), relu.dropped(0.2)
    assert four.mean == pytest.approx(relu.mean)
    assert four.square - four.mean**2 == pytest.approx((relu.square - relu.mean**2) / 4)
    assert (kept.mean, kept.square) == (pytest.approx(relu.mean), pytest.approx(relu.square / 0.8))
    assert relu.dropped(1.0).square == 0
    assert (relu.standardised().mean, relu.standardised().square) == (pytest.approx(0, abs=1e-12), pytest.approx(1))


NETS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "relu": (
        nn.Sequential(nn.Linear(50, 1500), nn.ReLU(), nn.Linear(1500, 1500), nn.ReLU(), nn.Linear(1500, 9)),
        (50,),
    ),
    "gelu, in place, dropout": (
        nn.Sequential(
            nn.Flatten(),
            nn.Linear(60, 1500),
            nn.GELU(),
            nn.Dropout(0.4),
            nn.Linear(1500, 1500),
            nn.ReLU(inplace=True),
            nn.Linear(1500, 9),
        ),
        (3, 20),
    ),
    "norms after the activation": (
        nn.Sequential(
            nn.Linear(50, 1500),
            nn.Softplus(),
            nn.LayerNorm(1500),
            nn.Linear(1500, 1500),
            nn.BatchNorm1d(1500),
            nn.Tanh(),
            nn.Linear(1500, 9),
        ),
        (50,),
    ),
    "convolutions": (
        nn.Sequential(
            nn.Conv2d(40, 200, 1),
            nn.Tanh(),
            nn.AvgPool2d(2, stride=3),
            nn.Conv2d(200, 100, 1),
            nn.Softsign(),
            nn.MaxPool2d((1, 2), stride=2),
            nn.Flatten(),
            nn.Linear(400, 9),
        ),
        (40, 12, 12),
    ),
}


@pytest.mark.parametrize("kind", NETS)
def test_layers_receive_what_is_followed(kind: str) -> None:
    """The same net computes it, with Gaussian weights that give each output variance 1: within 10% on one draw.

    A second moment over some hundred units varies by some percent, as the rows share the weights. The positions
    that are pooled are independent here: noise through 1 x 1 kernels, and odd functions, so that none has a mean.
    """
    net, shape = NETS[kind]
    net = net.double()
    x = data(200, *shape) - 0.5 * (kind == "convolutions")
    received = follow(net, x, one)
    measured: dict[str, float] = {}
    hooks = [
        module.register_forward_pre_hook(lambda m, a, name=name: measured.update({name: float(a[0].square().mean())}))
        for name, module in net.named_modules()
        if name in received
    ]
    initialize(net, "auto", data=x)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        net.train()(x)
    for hook in hooks:
        hook.remove()
    assert measured.keys() == received.keys()
    assert measured == pytest.approx(received, rel=0.1)


def test_what_the_layers_before_draw_counts() -> None:
    """Rules and biases included: the output's variance is that of the laws, not the 1 that auto would give."""
    x = torch.ones(4, 20, dtype=torch.float64)
    net = nn.Sequential(nn.Linear(20, 30), nn.Identity(), nn.Linear(30, 1000)).double()
    rule = {"param": "0.*", "name": "normal", "std": 0.5, "bias": "constant", "bias_value": 2}
    initialize(net, "auto", data=x, rules=[rule])
    variance = 1 / (30 * (20 * 0.25 + 4))
    assert float(net[2].weight.detach().square().mean()) == pytest.approx(variance, rel=5 * math.sqrt(2 / 30_000))


def test_auto_by_rule_among_others() -> None:
    """Where another scheme decides and auto comes by a rule, it alone is scaled."""
    x = data(10, 20)
    net = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 3000)).double()
    initialize(net, "zeros", bias="constant", bias_value=-1, data=x, rules=[{"param": "0.*", "name": "lecun"}])
    net[0].weight.data.zero_()
    with pytest.raises(Refused, match=r"init=auto: .*2.weight receives, but it receives nothing but zeros"):
        initialize(net, "zeros", data=x, rules=[{"param": "2.*", "name": "auto"}])


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.fc(x)


class Functional(nn.Module):
    """An activation that is no module is seen where it stands between two, in place or not."""

    def __init__(self, inplace: bool, last: bool = False) -> None:
        super().__init__()
        self.a, self.b, self.inplace, self.last = nn.Linear(4, 4), nn.Linear(4, 4), inplace, last

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        h = h if self.last else F.relu(h, inplace=self.inplace)
        h = self.b(h)
        return F.relu(h) if self.last else h


class Reshaping(nn.Module):
    """A chain that is no Sequential, with a reshape by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.b, self.a, self.act = nn.Linear(8, 4), nn.Conv1d(1, 2, 1), nn.Tanh()

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.act(self.a(x)).flatten(1))


shared = nn.Linear(4, 4)
UNFOLLOWED: dict[str, tuple[nn.Module, str]] = {
    "residual": (Residual(), "the net: gives something else than what fc gives"),
    "residual inside": (nn.Sequential(Residual(), nn.Linear(4, 4)), "1: receives something else than what 0.fc gives"),
    "functional": (Functional(False), "b: receives something else than what a gives"),
    "functional in place": (Functional(True), "b: receives something else than what a gives"),
    "functional at the end": (Functional(False, last=True), "the net: gives something else than what b gives"),
    "softmax": (nn.Sequential(nn.Linear(4, 4), nn.Softmax(-1), nn.Linear(4, 4)), "1: Softmax is no elementwise module"),
    "recurrent": (nn.Sequential(nn.LSTM(4, 4)), "0: receives something else.*or gives more than one tensor"),
    "twice": (nn.Sequential(shared, nn.ReLU(), shared), "0: is passed twice"),
    "glu": (nn.Sequential(nn.Linear(4, 4), nn.GLU(), nn.Linear(2, 4)), "1: GLU is no elementwise module"),
}


@pytest.mark.parametrize("kind", UNFOLLOWED)
def test_what_is_no_chain_is_refused_with_the_place(kind: str) -> None:
    net, message = UNFOLLOWED[kind]
    with pytest.raises(Refused, match=f"init=auto: cannot follow the signal. {message}"):
        initialize(net, "auto", data=torch.randn(3, 4))


def test_a_chain_need_not_be_a_sequential() -> None:
    net = Reshaping().train()
    net.act.eval()
    assert [step.name for step in steps(net, torch.randn(5, 1, 4))] == ["a", "act", "b"]
    assert [m.training for m in (net, net.a, net.act)] == [True, True, False]
    assert not any(module._forward_hooks for module in net.modules())


def test_following_leaves_the_net_as_it_was() -> None:
    """Statistics of norms and modes, even where it is refused."""
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), Residual())
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(Refused):
        initialize(net, "auto", data=torch.randn(3, 4))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(module.training and not module._forward_hooks for module in net.modules())


@pytest.mark.parametrize("act", ["relu", "tanh", "gelu"])
def test_a_run_with_auto_starts_with_outputs_of_variance_one(act: str) -> None:
    """Through the module, on the run's own data: each hidden layer's pre-activations, 600 units wide, within 15%."""
    config = small(init={"name": "auto"}, act={"name": act}, arch={"width": 600, "depth": 4})
    module = StackModule([config], load(config["dataset"]))
    module.prepare()
    h = torch.tensor(module.data.train.x, dtype=torch.float64)
    params = {name: p[0] for name, p in module.state.params.items()}
    phi = {"relu": F.relu, "tanh": torch.tanh, "gelu": F.gelu}[act]
    for i in range(1, 5):
        z = F.linear(h.flatten(1), params[f"fc{i}.weight"])
        assert float(z.square().mean()) == pytest.approx(1, rel=0.15)
        h = phi(z)
