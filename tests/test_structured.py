"""The schemes whose entries hang together do what they are for: isometries are isometric, zeros are counted."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy.linalg import hadamard
from torch import Tensor, nn

from initlab import initialize
from initlab.laws import Constant, Weight
from initlab.schemes.structured import CentreTap, Orthogonal
from initlab.specs import INITS


def weight(shape: tuple[int, ...], seed: int = 0, **more: Any) -> Weight:
    field = math.prod(shape[2:])
    return Weight("w", shape, shape[1] * field, shape[0] * field, {"name": "relu"}, seed, **more)


def drawn(name: str, of: Weight, **fields: Any) -> Tensor:
    return INITS.build(INITS.typed({"name": name} | fields), of).draw(of)


def uniformly(*shape: int) -> Tensor:
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 0.3


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (nn.Conv1d(3, 5, 3, padding=1, padding_mode="circular"), (2, 3, 11)),
        (nn.Conv2d(4, 8, 3, padding=1, padding_mode="circular"), (2, 4, 6, 7)),
        (nn.Conv2d(4, 8, (3, 5), padding=(1, 2), padding_mode="circular", groups=2), (2, 4, 6, 7)),
        (nn.Conv3d(2, 2, 3, padding=1, padding_mode="circular"), (1, 2, 4, 3, 5)),
        (nn.Linear(5, 9), (3, 5)),
    ],
    ids=str,
)
def test_a_delta_orthogonal_layer_keeps_the_norm_of_every_input(layer: nn.Module, x: tuple[int, ...]) -> None:
    """Up to the gain: what the flattened orthogonal kernel does not do."""
    given = uniformly(*x)
    layer.requires_grad_(False)
    initialize(layer.double(), "delta_orthogonal", gain=1.5, seed=2)
    assert float(layer(given).norm() / given.norm()) == pytest.approx(1.5, rel=1e-12)
    if len(x) > 2:
        initialize(layer, "orthogonal", seed=2)
        assert abs(float(layer(given).norm() / given.norm()) - 1) > 0.05


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5)], ids=str)
def test_identity_is_torchs_eye(shape: tuple[int, int]) -> None:
    assert torch.equal(drawn("identity", weight(shape)), nn.init.eye_(torch.empty(shape, dtype=torch.float64)))


@pytest.mark.parametrize(
    ("shape", "groups"), [((6, 6, 3), 1), ((6, 4, 3, 3), 1), ((8, 2, 3, 5), 4), ((3, 3, 2, 2, 2), 1)]
)
def test_identity_of_a_kernel_is_torchs_dirac(shape: tuple[int, ...], groups: int) -> None:
    """Even sides included: the tap k // 2."""
    theirs = nn.init.dirac_(torch.empty(shape, dtype=torch.float64), groups)
    assert torch.equal(drawn("identity", weight(shape, groups=groups)), theirs)
    assert torch.equal(drawn("identity", weight(shape, groups=groups), gain=0.5), theirs / 2)


def test_each_projection_of_a_fused_weight_has_its_own_identity() -> None:
    attention = initialize(nn.MultiheadAttention(6, 2), "identity")
    lstm = initialize(nn.LSTM(5, 4), "identity")
    assert torch.equal(attention.in_proj_weight, torch.eye(6).repeat(3, 1))
    assert torch.equal(lstm.weight_hh_l0, torch.eye(4).repeat(4, 1))
    assert torch.equal(lstm.weight_ih_l0, torch.eye(4, 5).repeat(4, 1))


@pytest.mark.parametrize("shape", [(8, 5), (7, 5), (16, 3), (2, 1), (5, 8), (6, 6), (1, 1)], ids=str)
def test_hadamard_is_zero(shape: tuple[int, int]) -> None:
    """I where the layer does not widen, else a corner of scipy's Hadamard matrix over the root of its order."""
    out, inputs = shape
    order = 2 ** math.ceil(math.log2(out))
    corner = torch.tensor(hadamard(order)[:out, :inputs], dtype=torch.float64) / math.sqrt(order)
    expected = torch.eye(out, inputs, dtype=torch.float64) if out <= inputs else corner
    torch.testing.assert_close(drawn("hadamard", weight(shape)), expected, rtol=1e-15, atol=0)
    assert torch.equal(drawn("hadamard", weight(shape)), drawn("hadamard", weight(shape, seed=1)))


def test_hadamard_tells_the_units_of_a_layer_apart() -> None:
    w = drawn("hadamard", weight((12, 5)))
    assert len(w.unique(dim=0)) == 8  # of 12 rows: five columns of a Hadamard matrix of order 16 repeat every 8


@pytest.mark.parametrize("shape", [(40, 30), (7, 13), (20, 6, 3, 3)], ids=str)
@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.9])
def test_the_zeros_are_counted_by_input_as_torch_does_or_by_unit(shape: tuple[int, ...], sparsity: float) -> None:
    by_input = drawn("sparse", weight(shape), sparsity=sparsity).flatten(1) == 0
    by_unit = drawn("sparse", weight(shape), sparsity=sparsity, per="unit").flatten(1) == 0
    theirs = nn.init.sparse_(torch.empty(by_input.shape), sparsity) == 0
    assert torch.equal(by_input.sum(0), theirs.sum(0))
    assert (by_unit.sum(1) == math.ceil(sparsity * by_unit.shape[1])).all()


def test_which_are_zero_is_fair_and_has_nothing_to_do_with_the_values() -> None:
    """Over 2,000 seeds each place is zero with its probability, at 5 sigma; what is left is as in the full draw."""
    count = 2000
    zero = torch.stack([drawn("sparse", weight((5, 2), s), sparsity=0.6) == 0 for s in range(count)]).double()
    assert (zero.mean(0) - 0.6).abs().max() <= 5 * math.sqrt(0.24 / count)
    of = weight((50, 40))
    w = drawn("sparse", of, std=2.0)
    assert torch.equal(w[w != 0], (2.0 * of.normal())[w != 0])


def test_a_sparsity_that_leaves_nothing_is_zero() -> None:
    assert INITS.build(INITS.typed({"name": "sparse", "sparsity": 1}), weight((5, 2))) == Constant(0.0)


def test_spectral_has_one_singular_value() -> None:
    """sqrt(out / fan_in), of each projection; a stack of such layers neither grows nor shrinks their best direction."""
    for layer, name, value in (
        (nn.Linear(12, 27), "weight", 1.5),
        (nn.Conv2d(4, 9, 3), "weight", 0.5),
        (nn.LSTM(4, 9), "weight_ih_l0", 1.5),
    ):
        w = dict(initialize(layer.double(), "spectral").named_parameters())[name].detach().flatten(1)
        for block in w.chunk(4 if "lstm" in type(layer).__name__.lower() else 1):
            singular = torch.linalg.svdvals(block)
            torch.testing.assert_close(singular, torch.full_like(singular, value), rtol=1e-12, atol=0)


def test_the_marginal_of_an_orthogonal_matrix_is_a_beta() -> None:
    """In two and three dimensions known without it: the arcsine law and, by Archimedes, the uniform one."""
    x = torch.linspace(-0.99, 0.99, 11, dtype=torch.float64)
    torch.testing.assert_close(Orthogonal(2.0, 3, 2).cdf(2 * x), (1 + x) / 2)
    torch.testing.assert_close(Orthogonal(1.0, 2, 2).cdf(x), 0.5 + x.asin() / math.pi)
    signs = Orthogonal(1.0, 1, 1).cdf(torch.tensor([-1.1, -1.0, 0.0, 0.9, 1.0], dtype=torch.float64))
    assert signs.tolist() == [0.5, 0.5, 0.5, 0.5, 1.0] or signs.tolist() == [0.0, 0.5, 0.5, 0.5, 1.0]


def test_a_centre_tap_dilutes_the_moments() -> None:
    """Of nine taps one: the variance is a ninth, and the mean."""
    assert CentreTap(Constant(9.0), 9).mean == pytest.approx(1.0)
    assert CentreTap(Constant(9.0), 9).std == pytest.approx(math.sqrt(9 - 1))
    assert CentreTap(Orthogonal(1.0, 4, 4), 9).std == pytest.approx(0.5 / 3)
