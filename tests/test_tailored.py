"""The slope that is tailored to a depth: the paper's equation, theory's own map, and a net that follows it."""

from __future__ import annotations

import math

import pytest
import torch

import initlab.archs  # noqa: F401  (the nets join their registry)
from conftest import small
from initlab import initialize, theory
from initlab.config import key
from initlab.errors import Refused
from initlab.specs import ACTS, ARCHS
from initlab.theory.tailored import correlation, tailored_slope


@pytest.mark.parametrize(
    ("depth", "slope", "relu"), [(20, 0.18138, 0.9484), (50, 0.43052, 0.9879), (100, 0.57044, 0.9964)]
)
def test_the_map_of_all_layers_is_eta_at_zero(depth: int, slope: float, relu: float) -> None:
    """Figures from an independent solution; and the equation itself, whose value ReLU overshoots."""
    assert tailored_slope(depth) == pytest.approx(slope, abs=5e-6)
    ends = {}
    for alpha in (tailored_slope(depth), 0.0):
        c = 0.0
        for _ in range(depth):
            c = correlation(c, alpha)
        ends[alpha] = c
    assert ends[tailored_slope(depth)] == pytest.approx(0.9, abs=1e-10)
    assert ends[0.0] == pytest.approx(relu, abs=5e-5)


def test_a_net_that_relu_does_not_harm_keeps_it() -> None:
    assert tailored_slope(10) == 0.0 and tailored_slope(0) == 0.0
    assert tailored_slope(10, eta=0.8) > 0


@pytest.mark.parametrize("slope", [0.0, 0.2, 0.7])
def test_the_map_is_theorys(slope: float) -> None:
    act = ACTS.typed({"name": "leaky_relu", "negative_slope": slope})
    field = theory.MeanField(act, theory.gain(act, "forward") ** 2, 0.0)
    for c in (0.0, 0.3, 0.95):
        assert correlation(c, slope) == pytest.approx(field.correlation(c, 1.0), abs=1e-10)


def test_a_net_of_twenty_layers_follows() -> None:
    """Two orthogonal inputs, orthogonal weights of width 500: their cosine at the end, over 4 nets, is near 0.9."""
    slope = tailored_slope(20)
    option = ARCHS.typed({"name": "mlp", "depth": 20, "width": 500})
    act = ACTS.typed({"name": "leaky_relu", "negative_slope": slope})
    net = ARCHS.build(option, (500,), 3, lambda: torch.nn.LeakyReLU(slope)).double()
    net = torch.nn.Sequential(*list(net)[:-1])
    x = torch.eye(2, 500, dtype=torch.float64) * math.sqrt(500)
    with torch.no_grad():
        ends = [net(x) for net in (initialize(net, "orthogonal", gain="torch", act=act, seed=s) for s in range(4))]
    cosines = torch.stack([torch.cosine_similarity(*out, dim=0) for out in ends])
    assert float(cosines.mean()) == pytest.approx(0.9, abs=0.02)


def test_the_plan_solves_it_for_the_nets_depth() -> None:
    """It is the number from then on: the same run as with the number, and its key."""
    act = {"name": "leaky_relu", "negative_slope": "tat"}
    found = small(act=act, arch={"depth": 50})
    assert found["act"]["negative_slope"] == tailored_slope(50)
    given = small(act=act | {"negative_slope": tailored_slope(50)}, arch={"depth": 50})
    assert key(found, "data") == key(given, "data")
    assert small(act=act, arch={"sizes": [8] * 20})["act"]["negative_slope"] == tailored_slope(20)


def test_it_is_refused_where_no_depth_says_it() -> None:
    act = {"name": "leaky_relu", "negative_slope": "tat"}
    with pytest.raises(
        Refused, match=r"act\.negative_slope=tat: is solved for a chain.*arch=resmlp is none\. These are: mlp, cnn"
    ):
        small(act=act, arch={"name": "resmlp"})
    with pytest.raises(Refused, match=r"act\.negative_slope=tat: not allowed"):
        initialize(torch.nn.Linear(2, 2), "kaiming", act=act)
