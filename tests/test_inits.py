"""The schemes: each draws the law that it declares, is a function of seed and name alone, and agrees with torch.

What every scheme must do is asked of every scheme in the registry, none named; the formulas of the papers are written
here once more for those that have one. A draw is deterministic, so no test can fail by chance: the bounds are those
that a true sample breaks with probability `ALPHA` (Kolmogorov-Smirnov) or at five sigma (moments).
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import special, stats
from scipy.stats.distributions import rv_frozen
from torch import Tensor, nn

from conftest import small
from initlab import initialize
from initlab.datasets import load
from initlab.errors import Refused
from initlab.gains import torch_gain
from initlab.laws import Constant, Elementwise, Weight
from initlab.laws import Law as Declared
from initlab.schemes.apply import draw
from initlab.schemes.inits import TRUNCATED_STD
from initlab.schemes.structured import Fixed
from initlab.slots import slots
from initlab.specs import ACTS, INITS
from initlab.specs.init import NONLINEARITIES, SOLVED
from initlab.streams import uniforms
from initlab.training.module import StackModule
from initlab.training.nets import build_net
from nets import arch_for, base_for, data_for, small_net

ALPHA = 1e-6
SHAPES = [(64, 32), (32, 64), (48, 16, 3, 3), (1, 1)]
LARGE = [(400, 300), (300, 400), (64, 40, 7, 7)]  # about 100,000 elements, fan_in and fan_out apart
every_scheme = pytest.mark.parametrize("name", list(INITS))


def symmetric(bound: float) -> rv_frozen:
    return stats.uniform(-bound, 2 * bound)


def normal(variance: float) -> rv_frozen:
    return stats.norm(0, math.sqrt(variance))


# The law of a scheme under some options, of fan_in i and fan_out o: a distribution, a constant's value, or "Q".
Law = rv_frozen | float | str

# calculate_gain, from its documentation; leaky_relu with the default slope of the activation, 0.01.
TORCH_GAINS = {
    "identity": 1.0,
    "sigmoid": 1.0,
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "leaky_relu": math.sqrt(2 / (1 + 0.01**2)),
    "selu": 3 / 4,
}

# (scheme, its fields, the run's activation) and the law.
OPTIONS: list[tuple[str, dict[str, Any], str, Callable[[int, int], Law]]] = [
    ("zeros", {}, "relu", lambda i, o: 0.0),
    ("ones", {}, "relu", lambda i, o: 1.0),
    ("constant", {}, "relu", lambda i, o: 0.63),
    ("uniform", {}, "relu", lambda i, o: symmetric(i**-0.5)),
    ("normal", {}, "relu", lambda i, o: normal(1)),
    ("trunc_normal", {}, "relu", lambda i, o: stats.truncnorm(-2, 2)),
    ("xavier_uniform", {}, "relu", lambda i, o: symmetric(math.sqrt(6 / (i + o)))),
    ("xavier_normal", {}, "relu", lambda i, o: normal(2 / (i + o))),
    ("kaiming_uniform", {}, "relu", lambda i, o: symmetric(math.sqrt(6 / i))),
    ("kaiming_normal", {}, "relu", lambda i, o: normal(2 / i)),
    ("lecun", {}, "relu", lambda i, o: normal(1 / i)),
    ("orthogonal", {}, "relu", lambda i, o: "Q"),
    ("delta_orthogonal", {}, "relu", lambda i, o: "Q"),
    ("torch_default", {}, "relu", lambda i, o: symmetric(math.sqrt(1 / i))),
    ("too_small", {}, "tanh", lambda i, o: normal(0.01 * 2 / i)),
    ("too_large", {}, "tanh", lambda i, o: normal(9 * 2 / i)),
    ("too_large", {"gain": "torch", "factor": 2}, "tanh", lambda i, o: normal(4 * 25 / 9 / i)),
    ("auto", {}, "relu", lambda i, o: normal(1 / (0.5 * i))),
    ("auto", {"distribution": "uniform"}, "relu", lambda i, o: symmetric(math.sqrt(3 / (0.5 * i)))),
    ("variance_scaling", {"scale": 3.0}, "relu", lambda i, o: normal(3 / i)),
    ("variance_scaling", {"scale": 3.0, "mode": "fan_out"}, "relu", lambda i, o: normal(3 / o)),
    (
        "variance_scaling",
        {"mode": "fan_avg", "distribution": "uniform"},
        "relu",
        lambda i, o: symmetric((6 / (i + o)) ** 0.5),
    ),
    # jax's and Keras' he_normal: the truncation at two sigma is made up for
    (
        "variance_scaling",
        {"scale": 2, "distribution": "truncated"},
        "relu",
        lambda i, o: stats.truncnorm(-2, 2, 0, math.sqrt(2 / i) / 0.87962566103423978),
    ),
    ("constant", {"value": -2.5}, "relu", lambda i, o: -2.5),
    ("uniform", {"a": 0.0, "b": 1.0}, "relu", lambda i, o: stats.uniform(0, 1)),
    ("uniform", {"a": -1}, "relu", lambda i, o: stats.uniform(-1, 1 + i**-0.5)),
    ("uniform", {"b": 3}, "relu", lambda i, o: stats.uniform(-(i**-0.5), 3 + i**-0.5)),
    ("normal", {"mean": 3.0, "std": 0.5}, "relu", lambda i, o: stats.norm(3, 0.5)),
    ("normal", {"mean": 3.0, "std": 0}, "relu", lambda i, o: 3.0),
    # the ends are values; scipy takes them in units of std from the mean
    ("trunc_normal", {"mean": 1.0, "std": 2.0}, "relu", lambda i, o: stats.truncnorm(-1.5, 0.5, 1, 2)),
    ("trunc_normal", {"std": 0.02}, "relu", lambda i, o: stats.truncnorm(-100, 100, 0, 0.02)),
    ("trunc_normal", {"a": 5.0, "b": 6.0}, "relu", lambda i, o: stats.truncnorm(5, 6)),
    ("trunc_normal", {"a": -9.0, "b": -8.0}, "relu", lambda i, o: stats.truncnorm(-9, -8)),
    ("xavier_uniform", {"gain": "torch"}, "tanh", lambda i, o: symmetric(5 / 3 * math.sqrt(6 / (i + o)))),
    ("xavier_normal", {"gain": 0.5}, "tanh", lambda i, o: normal(0.5 / (i + o))),
    ("kaiming_normal", {}, "tanh", lambda i, o: normal(2 / i)),
    ("kaiming_normal", {"gain": "torch"}, "tanh", lambda i, o: normal(25 / 9 / i)),
    ("kaiming_normal", {"mode": "fan_out"}, "relu", lambda i, o: normal(2 / o)),
    ("kaiming_uniform", {"mode": "fan_out"}, "relu", lambda i, o: symmetric(math.sqrt(6 / o))),
    ("kaiming_uniform", {"nonlinearity": "linear"}, "relu", lambda i, o: symmetric(math.sqrt(3 / i))),
    (
        "kaiming_normal",
        {"nonlinearity": "leaky_relu", "negative_slope": 0.5},
        "relu",
        lambda i, o: normal(2 / 1.25 / i),
    ),
    ("lecun", {"distribution": "uniform"}, "relu", lambda i, o: symmetric(math.sqrt(3 / i))),
    (
        "lecun",
        {"distribution": "truncated", "gain": 2.0},
        "relu",
        lambda i, o: stats.truncnorm(-2, 2, 0, 2 / math.sqrt(i) / stats.truncnorm(-2, 2).std()),
    ),
]


def weight(
    shape: tuple[int, ...] = (64, 32), seed: int = 0, tensor: str = "fc1.weight", act: str = "relu", **more: Any
) -> Weight:
    """A weight that receives a signal of mean square 0.5."""
    field = math.prod(shape[2:])
    fans, layer = (shape[1] * field, shape[0] * field), "conv" if field > 1 else "linear"
    return Weight(tensor, shape, *fans, ACTS.typed({"name": act}), seed, **{"layer": layer, "signal": 0.5} | more)


def declared(name: str, of: Weight, **fields: Any) -> Declared:
    return INITS.build(INITS.typed({"name": name} | fields), of)


def drawn(name: str, of: Weight, **fields: Any) -> NDArray[np.float64]:
    return declared(name, of, **fields).draw(of).numpy()


def moments_and_shape_follow(sample: NDArray[np.float64], law: rv_frozen) -> bool:
    """Mean and variance at five sigma of their sampling, and the empirical CDF within its bound.

    The mean of n has deviation sigma / sqrt(n), the variance sigma^2 sqrt((kurtosis - 1) / n), and the CDF is off by
    more than sqrt(ln(2 / ALPHA) / 2n) with probability ALPHA (Dvoretzky, Kiefer & Wolfowitz; Massart 1990).
    """
    n, variance = sample.size, float(law.var())
    kurtosis = 3 + float(law.stats(moments="k"))
    low, high = law.support()
    return bool(
        low <= sample.min()
        and sample.max() <= high
        and abs(sample.mean() - law.mean()) <= 5 * math.sqrt(variance / n)
        and abs(sample.var() - variance) <= 5 * variance * math.sqrt((kurtosis - 1) / n)
        and stats.kstest(sample.ravel(), law.cdf, mode="asymp").statistic <= math.sqrt(math.log(2 / ALPHA) / (2 * n))
    )


def check_law(sample: NDArray[np.float64], of: Weight, law: Law) -> None:
    """The law holds in the large, and element by element: the draw is the inverse CDF of the seed's uniforms."""
    if isinstance(law, float):
        assert (sample == law).all()
    elif isinstance(law, str):
        check_orthonormal(sample)
    else:
        assert moments_and_shape_follow(sample, law)
        np.testing.assert_allclose(law.cdf(sample), uniforms(of.shape, of.seed, "init", of.name), rtol=0, atol=1e-12)


def check_orthonormal(q: NDArray[np.float64], gain: float = 1.0) -> None:
    flat = q.reshape(len(q), -1)
    product = flat @ flat.T if flat.shape[0] <= flat.shape[1] else flat.T @ flat
    np.testing.assert_allclose(product, gain**2 * np.eye(len(product)), rtol=0, atol=1e-12)


def greatest_distance(sample: Tensor, cdf: Callable[[Tensor], Tensor | None]) -> float:
    """Kolmogorov's: sup |F_n - F|, at each value and just below it, so that atoms count as well."""
    values = sample.flatten().sort().values
    at = values.unique()
    n = values.numel()
    distance = 0.0
    for x, right in ((at, True), (torch.nextafter(at, torch.tensor(-math.inf, dtype=at.dtype)), False)):
        expected = cdf(x)
        assert expected is not None
        distance = max(distance, float((torch.searchsorted(values, at, right=right) / n - expected).abs().max()))
    return distance


def check_moments(sample: Tensor, law: Declared, rounding: float = 0.0) -> None:
    """Mean and deviation at five sigma of their sampling, by the sample's own fourth moment, and ``rounding`` of std.

    Entries that hang together, as an orthogonal matrix's, are uncorrelated, and the mean of their squares varies less.
    """
    n, rounded = sample.numel(), rounding * (law.std + abs(law.mean))
    squares = (sample - law.mean).square()
    assert float(sample.mean()) == pytest.approx(law.mean, abs=5 * law.std / math.sqrt(n) + rounded + 1e-12)
    spread = 5 * float(squares.std()) / math.sqrt(n) + 2 * rounded * law.std + rounded**2 + 1e-12
    assert float(squares.mean()) == pytest.approx(law.std**2, abs=spread)


@every_scheme
@pytest.mark.parametrize("shape", LARGE, ids=str)
def test_a_scheme_draws_the_law_that_it_declares(name: str, shape: tuple[int, ...]) -> None:
    """Support, moments and distribution; entry by entry where entries are independent: the quantile of its uniform."""
    of = weight(shape)
    law = declared(name, of)
    sample = law.draw(of)
    assert law.low <= float(sample.min()) and float(sample.max()) <= law.high
    check_moments(sample, law)
    if (cdf := law.cdf(sample)) is not None:
        assert greatest_distance(sample, law.cdf) <= math.sqrt(math.log(2 / ALPHA) / (2 * sample.numel()))
        if isinstance(law, Elementwise) and law.std > 0:
            torch.testing.assert_close(cdf, of.uniform(), rtol=0, atol=1e-12)


@every_scheme
@pytest.mark.parametrize("more", [{}, {"parts": 4}, {"parts": 3}], ids=str)
@pytest.mark.parametrize("shape", [(48, 12), (12, 48), (24, 24), (48, 12, 3, 3)], ids=str)
def test_singular_values_are_those_declared(name: str, shape: tuple[int, ...], more: dict[str, int]) -> None:
    """Of every projection of a fused weight, or of every group: orthonormal rows or columns up to one factor."""
    if len(shape) > 2:
        more = {"groups" if key == "parts" else key: value for key, value in more.items()}
    of = weight(shape, **more)
    law = declared(name, of)
    if law.singular is None:
        return
    w = law.draw(of).flatten(1)
    blocks = [w] if name in WHOLE else w.chunk(math.prod(more.values()))
    for block in blocks:
        values = torch.linalg.svdvals(block)
        values = values[values > 1e-9 * law.singular]  # a centre tap alone leaves the kernel's other directions empty
        assert len(values) >= min(len(block), shape[1])
        torch.testing.assert_close(values, torch.full_like(values, law.singular), rtol=1e-12, atol=1e-12)


WHOLE = {"orthogonal"}  # takes a fused weight as one matrix, as torch and Keras do


def test_orthogonal_schemes_say_so() -> None:
    """The test above is not empty."""
    said = {name for name in INITS if declared(name, weight((24, 24))).singular is not None}
    assert {"orthogonal", "delta_orthogonal", "spectral", "identity", "hadamard"} <= said


@every_scheme
def test_moments_survive_the_cast_to_bfloat16(name: str) -> None:
    """Drawn in float64 and cast: off by the format's relative error, 2^-8, at most; none is lost to its coarse grid."""
    of = weight((400, 300))
    law = declared(name, of)
    check_moments(law.draw(of).bfloat16().double(), law, rounding=2**-8)


@every_scheme
def test_a_run_draws_in_a_stack_what_it_draws_alone(name: str) -> None:
    """Bit for bit, whatever stands beside it."""
    arch = {"arch": arch_for(name)}
    configs = [
        small(seed=1) | arch | {"init": INITS.typed({"name": other})} for other in ("xavier", name, "orthogonal")
    ]
    data = data_for(arch["arch"])
    modules = [StackModule(configs, data), StackModule([configs[1]], data)]
    for module in modules:
        module.prepare()
    assert modules[0].initial_hashes[1] == modules[1].initial_hashes[0]


LAYERS: dict[str, nn.Module] = {
    "linear": nn.Linear(12, 8),
    "embedding": nn.Embedding(9, 4),
    "lstm": nn.LSTM(5, 4),
    "attention": nn.MultiheadAttention(8, 2),
    "conv1d": nn.Conv1d(4, 6, 3),
    "growing": nn.Conv2d(4, 6, (3, 5)),
    "shrinking": nn.Conv2d(6, 4, 3),
    "depthwise": nn.Conv2d(4, 8, 3, groups=4),
    "conv3d": nn.Conv3d(2, 2, 2),
    "transposed": nn.ConvTranspose2d(4, 6, 3),
}


@every_scheme
@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_is_drawn_or_refused_with_the_reason(name: str, kind: str) -> None:
    """What a scheme says that it takes it draws, finite and of the shape; all else is refused before it is tried."""
    option, takes = INITS.typed({"name": name}), INITS[name].facts.get("takes")
    places = slots(LAYERS[kind])
    unfit = [p for p in places if p.part == "weight" and takes and not takes.holds(p.shape, p.layer, p.groups)]
    received = {place.name: 0.5 for place in places}
    if not unfit:
        for value in draw(places, option, ACTS.typed({"name": "relu"}), 0, received).values():
            assert value.dtype == torch.float64 and value.isfinite().all()
        return
    with pytest.raises(Refused) as refusal:
        draw(places, option, ACTS.typed({"name": "relu"}), 0, received)
    for said in (f"init={name}", unfit[0].name, unfit[0].layer, str(list(unfit[0].shape)), takes.words):
        assert said in str(refusal.value)


def test_some_layers_are_refused() -> None:
    for name, kinds in {
        "delta_orthogonal": {"shrinking", "transposed"},
        "identity": {"transposed"},
        "normal": set(),
    }.items():
        takes = INITS[name].facts.get("takes")
        places = {kind: slots(layer)[0] for kind, layer in LAYERS.items()}
        assert {k for k, p in places.items() if takes and not takes.holds(p.shape, p.layer, p.groups)} == kinds


@every_scheme
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_draws_are_finite_float64_of_the_shape(name: str, shape: tuple[int, ...]) -> None:
    sample = drawn(name, weight(shape))
    assert sample.dtype == np.float64
    assert sample.shape == shape
    assert np.isfinite(sample).all()


@every_scheme
def test_seed_and_name_decide_every_bit(name: str) -> None:
    """Equal keys, equal bits; another seed or name changes them, unless the scheme is a constant."""
    first = drawn(name, weight())
    assert np.array_equal(first, drawn(name, weight()))
    constant = isinstance(declared(name, weight()), Constant | Fixed)
    for other in (weight(seed=1), weight(seed=2**64 - 1), weight(tensor="fc2.weight")):
        assert np.array_equal(first, drawn(name, other)) == constant


@every_scheme
def test_a_draw_does_not_depend_on_the_rest_of_the_net(name: str) -> None:
    """A tensor of one name and shape has the same bits in any net, at any place in it."""
    alone = nn.Sequential(OrderedDict(fc=nn.Linear(20, 8)))
    among = nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(3, 5, 3), norm=nn.BatchNorm2d(5), first=nn.Linear(9, 9), fc=nn.Linear(20, 8), act=nn.PReLU()
        )
    )
    option, act = INITS.typed({"name": name, "bias": "uniform"}), ACTS.typed({"name": "relu"})
    received = dict.fromkeys(["conv.weight", "first.weight", "fc.weight"], 0.5)
    all_of_them = draw(slots(among), option, act, 3, received)
    for tensor, value in draw(slots(alone), option, act, 3, received).items():
        assert torch.equal(value, all_of_them[tensor])


@pytest.mark.parametrize(("name", "fields", "act", "law"), OPTIONS, ids=lambda p: None if callable(p) else str(p))
def test_law_of_options(name: str, fields: dict[str, Any], act: str, law: Callable[[int, int], Law]) -> None:
    of = weight((400, 300), act=act)
    check_law(drawn(name, of, **fields), of, law(of.fan_in, of.fan_out))


@pytest.mark.parametrize("name", [name for name in INITS if "gain" in INITS.own(name)])
def test_gain_is_a_factor(name: str) -> None:
    """A number scales the draw; "torch" is calculate_gain of the run's activation; the default does not ask for it."""
    unit = drawn(name, weight(), gain=1.0)
    np.testing.assert_allclose(drawn(name, weight(), gain=2.5), 2.5 * unit, rtol=1e-14, atol=1e-15)
    default = drawn(name, weight())
    for act, gain in TORCH_GAINS.items():
        np.testing.assert_allclose(drawn(name, weight(act=act), gain="torch"), gain * unit, rtol=1e-14, atol=1e-15)
        assert np.array_equal(drawn(name, weight(act=act)), default)
    for act in ACTS.keys() - TORCH_GAINS.keys():
        with pytest.raises(Refused, match=f"gain=torch: torch has no gain for act={act}"):
            drawn(name, weight(act=act), gain="torch")


@every_scheme
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64], ids=str)
def test_other_precisions_are_casts_of_the_float64_draw(name: str, dtype: torch.dtype) -> None:
    option, few = arch_for(name), {"steps": 3} if "steps" in INITS.own(name) else {}
    train = data_for(option).train
    given: dict[str, Any] = {"data": torch.tensor(train.x), "targets": torch.tensor(train.y), "seed": 5}
    given |= few | base_for(name, option)
    exact = dict(initialize(small_net(option).double(), name, **given).named_parameters())
    for tensor, value in initialize(small_net(option).to(dtype), name, **given).named_parameters():
        assert value.dtype == dtype and torch.equal(value, exact[tensor].to(dtype))


@contextmanager
def generators_untouched() -> Iterator[None]:
    before = torch.get_rng_state(), np.random.get_state()
    yield
    assert torch.equal(before[0], torch.get_rng_state())
    assert all(np.array_equal(a, b) for a, b in zip(before[1], np.random.get_state(), strict=True))


@every_scheme
def test_initialize_leaves_the_global_generators_alone(name: str) -> None:
    option = arch_for(name)
    net, train, base = small_net(option), data_for(option).train, base_for(name, option)
    with generators_untouched():
        initialize(net, name, bias="uniform", data=torch.tensor(train.x), targets=torch.tensor(train.y), **base)


def test_building_the_net_of_a_run_leaves_the_global_generators_alone() -> None:
    """A torch module draws its own default when it is made; the runs' nets do so from a generator put aside."""
    config = small()
    data = load(config["dataset"])
    with generators_untouched():
        build_net(config, data)


def test_deviation_of_the_truncated_normal() -> None:
    """1 / TRUNCATED_STD makes a normal cut at two sigma have the deviation asked for."""
    assert math.isclose(TRUNCATED_STD, stats.truncnorm(-2, 2).std(), rel_tol=1e-12)


@pytest.mark.parametrize(("a", "b"), [(8.0, 9.0), (-9.0, -8.0), (30.0, 37.0)])
def test_far_tails_keep_their_digits(a: float, b: float) -> None:
    """Element by element scipy's quantile, which works with logarithms, where 1 - Phi has no digits left."""
    u = uniforms((64, 32), 0, "init", "fc1.weight")
    np.testing.assert_allclose(drawn("trunc_normal", weight(), a=a, b=b), stats.truncnorm(a, b).ppf(u), rtol=1e-9)


def test_an_interval_without_mass_is_refused() -> None:
    """Beyond 38 sigma the normal's mass underflows: that is said, not answered with an end of the interval."""
    with pytest.raises(Refused, match="nothing is left to draw"):
        drawn("trunc_normal", weight(), std=0.01, a=1.0, b=2.0)


@pytest.mark.parametrize("shape", [(64, 32), (32, 64), (50, 50), (16, 48, 3, 3), (96, 4, 3, 3), (1, 1)], ids=str)
@pytest.mark.parametrize("gain", [1.0, 1.7])
def test_orthonormal_rows_or_columns(shape: tuple[int, ...], gain: float) -> None:
    check_orthonormal(drawn("orthogonal", weight(shape), gain=gain), gain)


def test_orthogonal_is_haar() -> None:
    """Every entry of a Haar-distributed 3 x 3 matrix is U(-1, 1) (Archimedes), its trace has mean 0 and variance 1, and
    its determinant is -1 as often as 1. The Q of LAPACK's decomposition has none of this: the signs of R matter.
    """
    count = 2000
    of = [weight((3, 3), seed) for seed in range(count)]
    haar = np.stack([drawn("orthogonal", w) for w in of])
    raw = torch.linalg.qr(torch.stack([w.normal() for w in of]))[0].numpy()

    def trace_and_determinant_are_fair(q: NDArray[np.float64]) -> bool:
        traces, determinants = np.trace(q, axis1=1, axis2=2), np.linalg.det(q)
        return bool(abs(traces.mean()) <= 5 / math.sqrt(count) and abs(determinants.mean()) <= 5 / math.sqrt(count))

    entry = stats.uniform(-1, 2)
    assert all(moments_and_shape_follow(haar[:, i, j], entry) for i in range(3) for j in range(3))
    assert trace_and_determinant_are_fair(haar)
    assert np.trace(haar, axis1=1, axis2=2).var() == pytest.approx(1, abs=5 * math.sqrt(2 / count))
    assert not moments_and_shape_follow(raw[:, 0, 0], entry)
    assert not trace_and_determinant_are_fair(raw)


# Weights (and uniform biases) of nn.Linear(20, 64) under seed 7, as they have been since the first version.
BYTES = {
    "xavier_uniform": "107dc98e511de7e4",
    "kaiming_uniform": "7793990331bef52a",
    "torch_default": "924f272f3682d625",
    "uniform": "260c56953a0ba0b7",
    "constant": "8b62d8f1fc1d397d",
}
CORNERS = {
    "normal": (-1.297699766265847, -0.5806713706841035),
    "xavier_normal": (-0.20023942117984386, -0.08959953772363681),
    "kaiming_normal": (-0.4103686980468215, -0.18362441034136923),
    "lecun": (-0.29017448917560223, -0.1298420657437634),
    "trunc_normal": (-1.1976688319694984, -0.5513182106503546),
    "orthogonal": (-0.1617856452598787, -0.04079162818991061),
}


@pytest.mark.parametrize("name", [*BYTES, *CORNERS])
def test_draws_are_those_of_the_first_version(name: str) -> None:
    """Who changes them raises the revision. Bytes where nothing but sums and products is computed, else 12 digits."""
    assert INITS[name].revision == "1"
    option = INITS.typed({"name": name, "bias": "uniform"})
    weight, bias = draw(slots(nn.Linear(20, 64)), option, ACTS.typed({"name": "relu"}), 7).values()
    if name in BYTES:
        digest = hashlib.sha256(weight.numpy().tobytes() + bias.numpy().tobytes()).hexdigest()
        assert digest.startswith(BYTES[name])
    else:
        assert (float(weight[0, 0]), float(weight[-1, -1])) == pytest.approx(CORNERS[name], rel=1e-12)


def test_schemes_are_paired() -> None:
    """Under one seed the normal scheme is the quantile of what the uniform scheme draws."""
    u = drawn("uniform", weight(), a=0.0, b=1.0)
    np.testing.assert_allclose(drawn("normal", weight()), special.ndtri(u), rtol=1e-12, atol=1e-14)


KAIMING = [("kaiming_normal", nn.init.kaiming_normal_), ("kaiming_uniform", nn.init.kaiming_uniform_)]
TORCH: list[tuple[str, dict[str, Any], Callable[..., Tensor], dict[str, Any]]] = [
    ("xavier_normal", {}, nn.init.xavier_normal_, {}),
    ("xavier_normal", {"gain": 5 / 3}, nn.init.xavier_normal_, {"gain": nn.init.calculate_gain("tanh")}),
    ("xavier_uniform", {}, nn.init.xavier_uniform_, {}),
    ("kaiming_normal", {}, nn.init.kaiming_normal_, {"nonlinearity": "relu"}),
    ("kaiming_uniform", {}, nn.init.kaiming_uniform_, {"nonlinearity": "relu"}),
    ("lecun", {}, nn.init.kaiming_normal_, {"nonlinearity": "linear"}),
    ("lecun", {"distribution": "uniform"}, nn.init.kaiming_uniform_, {"nonlinearity": "linear"}),
    ("torch_default", {}, nn.init.kaiming_uniform_, {"a": math.sqrt(5)}),
]
for (scheme, function), mode, phi in product(KAIMING, ("fan_in", "fan_out"), NONLINEARITIES):
    both = {"mode": mode, "nonlinearity": phi}
    TORCH.append((scheme, both | {"negative_slope": 0.2}, function, both | {"a": 0.2}))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


@pytest.mark.parametrize("shape", [(64, 32), (48, 16, 3, 3)], ids=str)
@pytest.mark.parametrize(("name", "fields", "function", "arguments"), TORCH)
def test_scale_is_torchs(
    name: str,
    fields: dict[str, Any],
    function: Callable[..., Tensor],
    arguments: dict[str, Any],
    shape: tuple[int, ...],
) -> None:
    """torch's draw over its standard draw is one number, the scale, and ours over ours is the same number."""
    of, empty = weight(shape), torch.empty(shape, dtype=torch.float64)
    theirs = function(empty.clone(), generator=generator(), **arguments)
    if "uniform" in function.__name__:
        their_unit, our_unit = empty.uniform_(-1, 1, generator=generator()), 2 * of.uniform() - 1
    else:
        their_unit, our_unit = empty.normal_(generator=generator()), of.normal()
    scale = float((theirs / their_unit).mean())
    torch.testing.assert_close(theirs, scale * their_unit, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(drawn(name, of, **fields), scale * our_unit.numpy(), rtol=1e-12, atol=1e-14)


def test_trunc_normal_has_torchs_convention() -> None:
    """One set of arguments, torch's sample and ours: both follow the law whose ends are values."""
    arguments = {"mean": 0.5, "std": 2.0, "a": -1.0, "b": 3.0}
    law = stats.truncnorm(-0.75, 1.25, 0.5, 2)
    theirs = nn.init.trunc_normal_(torch.empty(400, 300, dtype=torch.float64), generator=generator(), **arguments)
    assert moments_and_shape_follow(theirs.numpy(), law)
    assert moments_and_shape_follow(drawn("trunc_normal", weight((400, 300)), **arguments), law)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Linear(300, 400),
        lambda: nn.Conv2d(40, 80, 7),
        lambda: nn.Conv2d(40, 400, 7, groups=4),
        lambda: nn.Embedding(400, 300),
    ],
    ids=["linear", "conv", "grouped", "embedding"],
)
def test_torch_default_is_what_torch_does(make: Callable[[], nn.Module]) -> None:
    """A fresh module and ours follow one law, weights and biases; torch's float32 is a hair off the law's ends."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        fresh = make()
    ours = initialize(make(), "torch_default", seed=1)
    fan_in = math.prod(fresh.weight.shape[1:])
    law = normal(1) if isinstance(fresh, nn.Embedding) else symmetric(fan_in**-0.5 * (1 + 1e-6))
    for module in (fresh, ours):
        assert all(moments_and_shape_follow(p.detach().double().numpy(), law) for p in module.parameters())


@pytest.mark.parametrize("word", SOLVED)
@pytest.mark.parametrize("act", ["relu", "tanh"])
def test_the_gains_of_theory_are_those_of_the_runs_activation(word: str, act: str) -> None:
    """And they are what their names say: forward keeps the second moment of a signal, backward that of a gradient."""
    from initlab import theory

    gain = theory.gain(ACTS.typed({"name": act}), word)
    np.testing.assert_allclose(
        drawn("orthogonal", weight(act=act), gain=word), gain * drawn("orthogonal", weight()), rtol=1e-14, atol=1e-15
    )
    z = torch.linspace(-9, 9, 20_000, dtype=torch.float64, requires_grad=True)  # not at 0, where relu has no slope
    phi = ACTS.build(ACTS.typed({"name": act}))(z)
    (slope,) = torch.autograd.grad(phi.sum(), z)
    density = torch.exp(-(z.detach() ** 2) / 2)
    kept = {"forward": phi.detach().square(), "backward": slope.square()}
    if word in kept:
        assert gain**2 * float((kept[word] * density).sum() / density.sum()) == pytest.approx(1, rel=1e-6)


def test_torchs_gains_are_torchs() -> None:
    for nonlinearity in NONLINEARITIES:
        for slope in (0.0, 0.2, 0.01):
            assert torch_gain(nonlinearity, slope) == nn.init.calculate_gain(nonlinearity, slope)


@pytest.mark.parametrize("act", ["relu", "tanh", "gelu"])
def test_critical_has_the_variances_of_the_edge_of_chaos(act: str) -> None:
    """Of weights and biases; another bias law may take the place of its own. 5 sigma of n normal squares."""
    from initlab import theory

    solved = theory.critical(ACTS.typed({"name": act}))
    layer = initialize(nn.Linear(300, 20_000).double(), "critical", act=act).requires_grad_(False)
    assert float(layer.weight.square().mean()) == pytest.approx(solved.weight_variance / 300, rel=5 * (2 / 6e6) ** 0.5)
    assert float(layer.bias.square().mean()) == pytest.approx(solved.bias_variance, rel=5 * (2 / 2e4) ** 0.5, abs=1e-12)
    assert (initialize(layer, "critical", act=act, bias="zeros").bias == 0).all()


ASKED = [
    ({"name": "critical"}, "sigmoid", "init=critical: "),
    ({"name": "xavier", "gain": "critical"}, "sigmoid", "init.gain=critical: "),
    ({"name": "zeros", "rules": [{"param": "fc1.*", "name": "critical"}]}, "sigmoid", r"init.rules\[0\]=critical: "),
    ({"name": "xavier", "gain": "torch"}, "gelu", "init.gain=torch: torch has no gain for act=gelu. It has one for"),
]


@pytest.mark.parametrize(("init", "act", "message"), ASKED)
def test_what_the_activation_has_not_is_refused_by_the_plan(init: dict[str, Any], act: str, message: str) -> None:
    """Before torch is asked for anything, and by the same words when a net is initialised."""
    with pytest.raises(Refused, match=message):
        small(init=init, act={"name": act})
    fields = {key: value for key, value in init.items() if key != "name"}
    with pytest.raises(Refused, match=message if "rules" not in init else "critical: "):
        initialize(nn.Sequential(OrderedDict(fc1=nn.Linear(3, 3))), init["name"], act=act, **fields)
