"""The schemes that ask for roles: each layer's law by its place, and what it makes of a signal fifty blocks deep."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from initlab import initialize
from initlab.laws import Constant, Law, Normal, Uniform
from initlab.roles import Role
from initlab.schemes.apply import law, weight_of
from initlab.slots import Slot, slots
from initlab.specs import ACTS, ARCHS, INITS
from nets import arch_for, small_net
from test_inits import check_moments

RELU = ACTS.typed({"name": "relu"})
ASKING = [name for name in INITS if INITS[name].facts.get("needs")]


def net(name: str = "resmlp", features: tuple[int, ...] = (5,), **fields: Any) -> nn.Module:
    fields = {"depth": 8, "width": 32, "residual": "scale"} | fields
    return ARCHS.build(ARCHS.typed({"name": name, **fields}), features, 3, nn.ReLU).double()


def vit(**fields: Any) -> nn.Module:
    return net("vit", (2, 4, 6), **{"depth": 4, "heads": 4, "residual": "plain"} | fields)


def laws(model: nn.Module, name: str, **fields: Any) -> dict[str, Law]:
    option = INITS.typed({"name": name, **fields})
    return {p.name: law(p, option, weight_of(p, RELU, 0)) for p in slots(model) if p.part == "weight"}


def is_normal(made: Law, std: float) -> bool:
    return isinstance(made, Normal) and made.mean == 0 and math.isclose(made.std, std, rel_tol=1e-12)


@pytest.mark.parametrize("name", ASKING)
def test_each_weight_of_a_net_draws_the_law_of_its_role(name: str) -> None:
    for place in slots(small_net(arch_for(name) | {"width": 32})):
        if place.part == "weight":
            weight = weight_of(place, RELU, 1)
            made = law(place, INITS.typed({"name": name}), weight)
            sample = made.draw(weight)
            assert made.low <= float(sample.min()) and float(sample.max()) <= made.high
            check_moments(sample, made)


def test_fixup_scales_by_the_branchs_layers_and_ends_in_zero() -> None:
    """L^(-1/2) for two layers a branch, L^(-1/4) for three, L = 8; stem He, readout 0; its numbers are 1 and 0."""
    he = math.sqrt(2 / 32)
    for layers, factor in ((2, 8**-0.5), (3, 8**-0.25)):
        found = laws(net(layers=layers), "fixup")
        for i in range(1, layers):
            assert is_normal(found[f"blocks.5.branch.fc{i}.weight"], factor * he)
        assert found[f"blocks.5.branch.fc{layers}.weight"] == found["readout.weight"] == Constant(0.0)
        assert is_normal(found["stem.weight"], math.sqrt(2 / 5))
    assert laws(net(layers=1), "fixup")["blocks.0.branch.fc1.weight"] == Constant(0.0)
    model = dict(initialize(net(residual="fixup"), "fixup").named_parameters())
    assert model["blocks.0.scale"] == 1 and model["blocks.0.branch.shift1_in.shift"] == 0


def test_fixup_leaves_what_is_in_no_chain_alone() -> None:
    """The projection of a shortcut, and the query and the key of an attention, have He's law."""
    found = laws(net("resnet", (2, 4, 6), depth=1, stages=2, width=4, residual="plain"), "fixup")
    (shortcut,) = (value for name, value in found.items() if "shortcut" in name)
    assert is_normal(shortcut, math.sqrt(2 / 4))
    of_vit = laws(vit(), "fixup")
    assert is_normal(of_vit["blocks.0.branch.attention.query.weight"], math.sqrt(2 / 32))
    assert is_normal(of_vit["blocks.0.branch.attention.value.weight"], 8**-0.5 * math.sqrt(2 / 32))
    assert of_vit["blocks.0.branch.attention.output.weight"] == Constant(0.0)


@pytest.mark.parametrize("name", ["skipinit", "rezero"])
def test_skipinit_makes_each_block_the_identity(name: str) -> None:
    model: Any = initialize(net(), name)
    h = torch.randn(6, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model.blocks(h), h)
    found = laws(net(), name)
    assert is_normal(found["blocks.3.branch.fc2.weight"], math.sqrt(2 / 32))


def test_depth_scaled_and_gpt2_divide_the_last_layer_of_a_branch() -> None:
    scaled, gpt2 = laws(net(), "depth_scaled", gain=1.0), laws(vit(), "gpt2")
    assert is_normal(scaled["blocks.3.branch.fc1.weight"], math.sqrt(1 / 32))
    assert is_normal(scaled["blocks.3.branch.fc2.weight"], 8**-0.5 * math.sqrt(1 / 32))
    assert is_normal(gpt2["blocks.2.branch.attention.output.weight"], 0.02 / math.sqrt(2 * 4))
    assert is_normal(gpt2["blocks.3.branch.fc2.weight"], 0.02 / math.sqrt(2 * 4))
    rest = {name for name, value in gpt2.items() if value == Normal(0.0, 0.02)}
    assert {"stem.embed.conv.weight", "stem.positions.weight", "readout.weight"} < rest


@pytest.mark.parametrize(
    ("name", "growth"), [("kaiming", 2.0**50), ("depth_scaled", 1.02**50), ("fixup", 1.0), ("skipinit", 1.0)]
)
def test_fifty_blocks_multiply_the_second_moment_as_theory_says(name: str, growth: float) -> None:
    """A branch, relu before both layers, adds what it receives: q -> 2q under He, q (1 + 1/L), or q.

    The log of the product over 50 blocks, each of relative variance O(1/width), averaged over 3 nets of width 128.
    """
    logs, nets = [], 3 if growth > 1 else 1
    x = torch.randn(64, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    model: Any = net(depth=50, width=128)
    with torch.no_grad():
        for seed in range(nets):
            initialize(model, name, seed=seed)
            h = model.stem(x)
            logs.append(math.log(float(model.blocks(h).square().mean() / h.square().mean())))
    # of a block's growth, over nets: 2 layers of relative variance 5 / width each (He, relu), half of what is summed
    spread = math.sqrt(50 * 2 * 5 / 128) / 2 if name == "kaiming" else 50**-0.5
    assert sum(logs) / nets == pytest.approx(math.log(growth), abs=4 * spread / math.sqrt(nets) if growth > 1 else 0.0)


def test_idinit_repeats_the_identity() -> None:
    """Where out > in, over and over, as in the first layer of this branch; cut in the last, which has epsilon."""
    model: Any = initialize(vit(ratio=2), "idinit", epsilon=0.5)
    eye = torch.eye(32, dtype=torch.float64)
    assert torch.equal(model.blocks[1].branch.fc1.weight, torch.cat([eye, eye]))
    assert torch.equal(model.blocks[1].branch.fc2.weight, 0.5 * torch.cat([eye, 0 * eye], 1))
    odd = law(Slot("w", "weight", "linear", (5, 3), 3, 5), INITS.typed({"name": "idinit"}), weight_at((5, 3)))
    expected = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]]
    assert odd.draw(weight_at((5, 3))).tolist() == expected and odd.singular is None


def weight_at(shape: tuple[int, int], role: Role | None = None) -> Any:
    return weight_of(Slot("w", "weight", "linear", shape, shape[1], shape[0], role=role), RELU, 0)


def test_tfixup_is_the_papers() -> None:
    """N = 4 layers: 0.67 N^(-1/4) on values, outputs and fully connected layers, Xavier on the rest."""

    def xavier(fan_in: int, fan_out: int, factor: float = 1.0) -> float:
        return factor * math.sqrt(6 / (fan_in + fan_out))

    factor, found = 0.67 * 4**-0.25, laws(vit(), "tfixup")
    for place, fans, scale in [
        ("blocks.0.branch.attention.query", (32, 32), 1.0),
        ("blocks.0.branch.attention.key", (32, 32), 1.0),
        ("blocks.0.branch.attention.value", (32, 32), factor),
        ("blocks.2.branch.attention.output", (32, 32), factor),
        ("blocks.7.branch.fc1", (32, 64), factor),
        ("blocks.7.branch.fc2", (64, 32), factor),
        ("readout", (32, 3), 1.0),
    ]:
        made = found[f"{place}.weight"]
        assert isinstance(made, Uniform) and made.high == pytest.approx(xavier(*fans, scale)), place


def test_tfixups_embeddings_are_normal_of_the_width() -> None:
    role = Role("embedding", blocks=8)
    place = Slot("embed.weight", "weight", "embedding", (50, 16), 16, 50, role=role)
    of_table = law(place, INITS.typed({"name": "tfixup"}), weight_of(place, RELU, 0))
    assert is_normal(of_table, 16**-0.5 * 36**-0.25)
    found = laws(net("transformer", (7, 3), depth=4, heads=4, residual="plain"), "tfixup")
    for name in ("stem.embed.weight", "stem.positions.weight"):
        assert is_normal(found[name], 32**-0.5 * 36**-0.25), name


def attention(model: Any, block: int) -> dict[str, Tensor]:
    """The four weights as the paper has them, for rows x multiplied from the right."""
    layers = model.blocks[block].branch.attention
    return {kind: getattr(layers, kind).weight.detach().T for kind in ("query", "key", "value", "output")}


def test_mimetic_is_the_papers() -> None:
    """Without noise: W_Q W_K' is beta_qk times a projection to the head's rank, W_V W_O is -beta_vo I."""
    model = initialize(vit(), "mimetic", alpha_qk=0.0, alpha_vo=0.0)
    w = attention(model, 2)
    torch.testing.assert_close(w["value"] @ w["output"], -0.4 * torch.eye(32, dtype=torch.float64))
    for q, k in zip(w["query"].chunk(4, 1), w["key"].chunk(4, 1), strict=True):
        product = q @ k.T / 0.7
        torch.testing.assert_close(product @ product, product)
        assert float(product.trace()) == pytest.approx(8)


def test_mimetics_noise_is_of_variance_1_over_d_and_the_rank_is_the_heads() -> None:
    model = initialize(vit(), "mimetic")
    w = attention(model, 0)
    noise = (w["value"] @ w["output"] + 0.4 * torch.eye(32, dtype=torch.float64)) / 0.4
    assert float(noise.square().mean()) == pytest.approx(1 / 32, rel=5 * math.sqrt(2 / 32**2))
    diagonals = []
    for q, k in zip(w["query"].chunk(4, 1), w["key"].chunk(4, 1), strict=True):
        product = q @ k.T
        diagonals.append(float(product.diagonal().mean()))
        assert int(torch.linalg.matrix_rank(product)) == 8
    assert all(value > 0.1 for value in diagonals) and len(set(diagonals)) == 4
    other = attention(model, 2)
    assert not torch.allclose(other["value"], w["value"])


def test_mimetic_keeps_the_nearest_product_of_the_heads_rank() -> None:
    """With one head the product is whole: alpha Z + beta I itself, Z of variance 1 / d."""
    model: Any = initialize(vit(heads=1), "mimetic")
    w = attention(model, 0)
    z = (w["query"] @ w["key"].T - 0.7 * torch.eye(32, dtype=torch.float64)) / 0.7
    assert float(z.square().mean()) == pytest.approx(1 / 32, rel=5 * math.sqrt(2 / 32**2))
