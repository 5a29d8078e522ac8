"""Theory against independent quadrature, closed forms, published values and simulation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

import initlab.acts  # noqa: F401
from initlab import theory
from initlab.errors import Refused
from initlab.specs import ACTS
from initlab.theory import Act, Dense, MeanField, NoCritical, Norm, activation, critical, expect, expect_pair, trace
from initlab.theory.finite import constant_rank, dead_net, jacobian_moments, log_drift, square_variance

TEN_DIGITS = 1e-10
every_act = pytest.mark.parametrize("name", list(ACTS))


def option(name: str, **fields: Any) -> dict[str, Any]:
    return ACTS.typed({"name": name, **fields})


def adaptive(g: Callable[[float], float], q: float, kinks: tuple[float, ...]) -> float:
    """E g(x), x ~ N(0, q), by scipy's adaptive quadrature between the kinks: none of our nodes or panels."""
    ends = [-12 * math.sqrt(q), *sorted(k for k in kinks if abs(k) < 12 * math.sqrt(q)), 12 * math.sqrt(q)]
    # A split at 0 as well, and at +-1, so that no narrow bend is missed between the first points tried.
    ends = sorted({*ends, 0.0, *(s for s in (-1.0, 1.0) if abs(s) < ends[-1])})
    pieces = [
        integrate.quad(lambda x: g(x) * math.exp(-(x**2) / 2 / q), a, b, epsabs=1e-14, epsrel=1e-13, limit=500)[0]
        for a, b in itertools.pairwise(ends)
    ]
    return math.fsum(pieces) / math.sqrt(2 * math.pi * q)


@every_act
def test_formula_and_slope_are_those_of_the_module(name: str) -> None:
    module, phi = ACTS.build(option(name)).double(), activation(option(name))
    grid = np.linspace(-30, 30, 4001) + 1e-4  # beside every kink
    x = torch.from_numpy(grid).requires_grad_()
    y = module(x)
    slope = torch.autograd.grad(y.sum(), x)[0]
    # torch takes softplus, and mish through it, for x above 20: wrong by 2.1e-9 there.
    within = 3e-9 if name in ("softplus", "mish") else 1e-12
    np.testing.assert_allclose(phi.f(grid), y.detach().numpy(), atol=within, rtol=1e-12)
    np.testing.assert_allclose(phi.df(grid), slope.numpy(), atol=max(within, 1e-11), rtol=1e-11)


@every_act
@pytest.mark.parametrize("q", [0.04, 1.0, 30.0])
def test_moments_to_ten_digits(name: str, q: float) -> None:
    phi = activation(option(name))

    def at(f: Callable[[Any], Any]) -> Callable[[float], float]:
        return lambda x: float(f(np.array([x]))[0])

    pairs = [
        (theory.mean(phi, q), adaptive(at(phi.f), q, phi.kinks)),
        (theory.second_moment(phi, q), adaptive(lambda x: at(phi.f)(x) ** 2, q, phi.kinks)),
        (theory.slope_moment(phi, q), adaptive(lambda x: at(phi.df)(x) ** 2, q, phi.kinks)),
    ]
    for ours, other in pairs:
        assert ours == pytest.approx(other, rel=TEN_DIGITS, abs=1e-12)


@settings(max_examples=6)
@given(q=st.floats(0.01, 50), c=st.floats(-1, 1))
@example(q=50, c=1)
@example(q=50, c=-1)
@example(q=1, c=0)
@example(q=0.01, c=0.999999)
def test_pairs_have_their_closed_forms(q: float, c: float) -> None:
    """Arc-cosine kernels (Cho & Saul 2009), the arcsine kernel (Williams 1997), and E sin u sin v."""
    relu, erf, sin = (activation(name) for name in ("relu", "erf", "sin"))
    angle = math.acos(c)
    arc1 = q / (2 * math.pi) * (math.sin(angle) + (math.pi - angle) * c)
    arc0 = (math.pi - angle) / (2 * math.pi)
    kinks = (relu.kinks, relu.kinks)
    assert expect_pair(relu.f, relu.f, q, c, kinks) == pytest.approx(arc1, rel=1e-9, abs=1e-10 * q)
    assert expect_pair(relu.df, relu.df, q, c, kinks) == pytest.approx(arc0, rel=1e-9, abs=1e-9)
    assert expect_pair(erf.f, erf.f, q, c) == pytest.approx(
        2 / math.pi * math.asin(2 * q * c / (1 + 2 * q)), rel=1e-9, abs=1e-10
    )
    product = (math.exp(-q * (1 - c)) - math.exp(-q * (1 + c))) / 2
    assert expect_pair(sin.f, sin.f, q, c) == pytest.approx(product, rel=1e-9, abs=1e-10)


@given(mean=st.floats(-3, 3), q=st.floats(0, 10))
def test_polynomials_are_exact(mean: float, q: float) -> None:
    assert expect(lambda x: x**4, q, mean) == pytest.approx(mean**4 + 6 * mean**2 * q + 3 * q**2, rel=1e-12, abs=1e-14)


GAINS = {  # forward, backward: closed forms
    "identity": (1.0, 1.0),
    "relu": (math.sqrt(2), math.sqrt(2)),
    "leaky_relu": (math.sqrt(2 / 1.0001), math.sqrt(2 / 1.0001)),
    "prelu": (math.sqrt(2 / 1.0625), math.sqrt(2 / 1.0625)),
    "sin": (math.sqrt(2 / (1 - math.exp(-2))), math.sqrt(2 / (1 + math.exp(-2)))),
    "erf": (1 / math.sqrt(2 / math.pi * math.asin(2 / 3)), 1 / math.sqrt(4 / math.pi / math.sqrt(5))),
    "relu_squared": (math.sqrt(2 / 3), math.sqrt(1 / 2)),
    "hardtanh": (
        (2 * stats.norm.cdf(1) - 1 - 2 * stats.norm.pdf(1) + 2 * stats.norm.sf(1)) ** -0.5,
        (2 * stats.norm.cdf(1) - 1) ** -0.5,
    ),
}


@pytest.mark.parametrize("name", GAINS)
def test_gains_have_their_closed_forms(name: str) -> None:
    assert theory.gain(option(name), "forward") == pytest.approx(GAINS[name][0], rel=TEN_DIGITS)
    assert theory.gain(option(name), "backward") == pytest.approx(GAINS[name][1], rel=TEN_DIGITS)


def test_selu_keeps_mean_and_variance() -> None:
    assert theory.mean("selu", 1.0) == pytest.approx(0, abs=1e-10)
    assert theory.gain("selu", "forward") == pytest.approx(1, abs=1e-10)
    assert MeanField("selu", 1.0).chi_parallel(1.0) == pytest.approx(0.782648, abs=1e-6)


def test_a_formula_of_ones_own() -> None:
    own = activation(lambda x: np.tanh(x))
    assert theory.gain(own, "forward") == pytest.approx(theory.gain("tanh", "forward"), rel=1e-12)
    assert theory.gain(own, "backward") == pytest.approx(theory.gain("tanh", "backward"), rel=TEN_DIGITS)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(Refused, match=r"act=mine: theory has no formula of it. It has those of elu, erf, gelu"):
        activation("mine")
    with pytest.raises(Refused, match=r"gain: no kind of gain 'forwards'. Known: .*Did you mean forward"):
        theory.gain("tanh", "forwards")
    with pytest.raises(Refused, match="0 for every input"):
        theory.gain(lambda x: 0 * x, "forward")


@pytest.mark.parametrize("weight", [0.8, 1.3, 2.5])
@every_act
def test_the_variance_maps_slope(name: str, weight: float) -> None:
    field = MeanField(option(name), weight, 0.1)
    h = 1e-4
    difference = (field.variance(1 + h) - field.variance(1 - h)) / (2 * h)
    assert field.chi_parallel(1.0) == pytest.approx(difference, rel=1e-6)


def test_the_half_stable_points() -> None:
    """gelu's is (3 + sqrt 17) / 2 (Roberts, Yaida & Hanin 2022); silu's bias variance 0.555, not the 0.0555 in use."""
    gelu, silu = critical("gelu"), critical("silu")
    assert gelu.q == pytest.approx((3 + math.sqrt(17)) / 2, rel=1e-9)
    assert (gelu.weight_variance, gelu.bias_variance) == pytest.approx((1.98305826, 0.17292239), rel=1e-8)
    assert silu.q == pytest.approx(14.32017362, rel=1e-8)
    assert (silu.weight_variance, silu.bias_variance) == pytest.approx((1.98800468, 0.55514317), rel=1e-7)


@pytest.mark.parametrize("name", ["tanh", "sin", "softsign", "hardtanh", "elu"])
def test_small_signals_decide_where_they_shrink(name: str) -> None:
    assert critical(name).weight_variance == pytest.approx(1, rel=1e-9)
    assert (critical(name).bias_variance, critical(name).q) == (0, 0)


def test_the_limits_of_erf_and_the_relus() -> None:
    assert critical("erf").weight_variance == pytest.approx(math.pi / 4, rel=1e-9)
    assert theory.gain("relu", "critical") == pytest.approx(math.sqrt(2), rel=1e-12)
    assert critical(option("leaky_relu", negative_slope=0.5)).weight_variance == pytest.approx(1.6, rel=1e-12)


@every_act
def test_a_critical_point_is_one(name: str) -> None:
    """chi = 1 and q kept, where there is a point; at a limit q -> 0, nearly so at a small q."""
    try:
        point = critical(option(name))
    except NoCritical:
        assert name in ("sigmoid", "softplus", "relu_squared")
        return
    field = MeanField(option(name), point.weight_variance, point.bias_variance)
    q = point.q or 1e-8
    assert field.chi(q) == pytest.approx(1, abs=1e-9 if point.q else 1e-3)
    assert field.variance(q) == pytest.approx(q, rel=1e-9 if point.q else 1e-3)


def test_why_there_is_none() -> None:
    with pytest.raises(NoCritical, match=r"negative bias variance at every q below .* saturates the units"):
        critical("sigmoid")
    with pytest.raises(NoCritical, match="negative bias variance at every q:"):
        critical("softplus")
    with pytest.raises(NoCritical, match="the variance is unstable"):
        critical("relu_squared")


# weight variance, q*, chi_1, c*, xi_c at bias variance 0.05: Schoenholz's slice, by an independent program
SLICE = [
    (1.00, 0.19359, 0.75903, 1.0, 3.63, "ordered"),
    (1.50, 0.41804, 0.93864, 1.0, 15.79, "ordered"),
    (1.80, 0.59413, 1.00822, 0.95041, 125.8, "chaotic"),
    (2.50, 1.06396, 1.13352, 0.44680, 11.80, "chaotic"),
    (4.00, 2.19549, 1.34240, 0.16506, 6.98, "chaotic"),
]


@pytest.mark.parametrize(("weight", "q", "chi", "c", "depth", "phase"), SLICE)
def test_a_slice_of_tanhs_phases(weight: float, q: float, chi: float, c: float, depth: float, phase: str) -> None:
    field = MeanField("tanh", weight, 0.05)
    found = field.fixed_point()
    assert (found, field.chi(found)) == pytest.approx((q, chi), abs=6e-6)
    assert field.settled_correlation(found) == pytest.approx(c, abs=6e-6)
    assert field.correlation_depth() == pytest.approx(depth, rel=2e-3)
    assert field.phase() == phase


def test_odd_activations_without_biases_part_all_inputs() -> None:
    field = MeanField("tanh", 2.0)
    assert field.phase() == "chaotic" and field.settled_correlation(field.fixed_point()) == 0
    assert field.correlation_depth() > 0


def test_no_stable_variance() -> None:
    with pytest.raises(Refused, match="no stable variance; it runs to infinity"):
        MeanField("relu", 2.1).fixed_point()
    with pytest.raises(Refused, match="it runs to 0"):
        MeanField("relu", 1.9).fixed_point()


@pytest.mark.parametrize("kind", ["linear", "relu"])
def test_the_laws_of_finite_width(kind: Any) -> None:
    """One layer of width 16, and a chain of four, against 40,000 drawn nets: within 4 standard errors."""
    widths, nets = [16, 16, 16, 16], 40_000
    rng = np.random.default_rng(0)
    h = np.ones((nets, 16))
    gain = 2.0 if kind == "relu" else 1.0
    logs = []
    for n in widths:
        before = (h**2).mean(1)
        h = np.einsum("rij,rj->ri", rng.normal(size=(nets, n, 16)) * math.sqrt(gain / 16), h)
        h = np.maximum(h, 0) if kind == "relu" else h
        alive = (before > 0) & (h.any(1))
        logs.append(np.log((h[alive] ** 2).mean(1) / before[alive]))
    ratio = (h**2).mean(1)
    mean, variance = jacobian_moments(widths, kind)
    assert abs(ratio.mean() - mean) < 4 * ratio.std() / math.sqrt(nets)
    error = ((ratio - 1) ** 2).std() / math.sqrt(nets)
    assert abs(((ratio - 1) ** 2).mean() - variance) < 4 * error
    assert variance == square_variance(widths, kind)
    drift, spread = log_drift(16, kind)
    one = logs[0]
    assert abs(one.mean() - drift) < 4 * math.sqrt(spread / nets)
    assert abs(one.var() - spread) < 4 * ((one - one.mean()) ** 2).std() / math.sqrt(nets)


def test_nets_born_dead() -> None:
    """Width 2, ten layers: 0.9437 of 20,000 drawn nets (Clopper-Pearson at 99.9%); constant nets have rank one."""
    rng, nets = np.random.default_rng(1), 20_000
    h = np.ones((nets, 2))
    for _ in range(10):
        h = np.maximum(np.einsum("rij,rj->ri", rng.normal(size=(nets, 2, 2)), h), 0)
    dead = int((~h.any(1)).sum())
    interval = stats.binomtest(dead, nets).proportion_ci(0.999)
    assert interval.low < dead_net([2] * 10) < interval.high
    assert dead_net([2] * 10) == pytest.approx(0.9437, abs=5e-5)
    x = np.maximum(rng.normal(size=(50, 8)) @ np.full((8, 16), 0.63), 0)
    assert np.linalg.matrix_rank(x) == constant_rank(1) == 1


def chain(depth: int, act: str, variance: float, bias: float = 0.0, width: int = 100, norm: bool = False) -> list[Any]:
    ops: list[Any] = [Dense("fc1", 64, width, variance / 64, bias, gaussian=True)]
    for i in range(depth):
        ops += [*([Norm()] if norm else []), Act(option(act))]
        ops.append(Dense(f"fc{i + 2}", width, width, variance / width, bias, gaussian=True))
    return ops


def test_a_trace_of_relu_is_he() -> None:
    found = trace(chain(30, "relu", 2.0), 0.5)
    assert [layer.q for layer in found.layers] == pytest.approx([1.0] * 31)
    assert [layer.gradient for layer in found.layers] == pytest.approx([1.0] * 31)
    assert found.layers[3].mean == pytest.approx(1 / math.sqrt(2 * math.pi))
    assert found.layers[3].dead == pytest.approx(0.5) and found.verdict == "trains"
    assert found.layers[0].scatter == pytest.approx(math.sqrt(2 / 100))


def test_verdicts_have_their_reason() -> None:
    stalls = trace(chain(30, "relu", 1.0), 1.0)
    assert stalls.verdict == "vanishes" and stalls.reason == "gradient variance 2^-30 at fc1: this cell will stall."
    assert trace(chain(30, "relu", 4.0), 1.0).reason == "gradient variance 2^30 at fc1: this cell will diverge."
    reach = trace(chain(60, "tanh", 1.5, 0.05), 1.0)
    assert reach.verdict == "trains" and "trainable to depth about 6 xi = 95" in reach.reason
    far = trace(chain(120, "tanh", 1.5, 0.05), 1.0)
    assert far.verdict == "stalls" and "this net has 120 hidden layers" in far.reason
    assert trace(chain(30, "relu", 1.0, norm=True), 1.0).verdict == "trains"
    with pytest.raises(Refused, match="no weight to follow"):
        trace([], 1.0)


def test_a_norm_makes_scale_irrelevant() -> None:
    one, hundred = (trace(chain(5, "tanh", v, norm=True), 1.0) for v in (1.0, 1e4))
    assert [a.after for a in one.layers[:-1]] == pytest.approx([b.after for b in hundred.layers[:-1]])
    # Each layer's scale cancels against the norm's division by it, on the way back too.
    assert [a.gradient for a in one.layers[:-1]] == pytest.approx([b.gradient for b in hundred.layers[:-1]])
