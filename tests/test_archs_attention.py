"""Transformers: equal to torch's encoder layers given the same weights, and to their formulas where torch has none."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import initlab.archs  # noqa: F401  (the functions join the registry)
from initlab.archs.attention import Attention
from initlab.errors import Refused
from initlab.roles import Role
from initlab.schemes.initial import initialize
from initlab.slots import slots
from initlab.specs import ARCHS

EXACT: dict[str, Any] = {"rtol": 0, "atol": 1e-12}


def draws(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def built(name: str, features: tuple[int, ...], **fields: Any) -> Any:
    net = ARCHS.build(ARCHS.typed({"name": name, "width": 12, "heads": 3, **fields}), features, 5, nn.GELU)
    return initialize(net.double(), "xavier", bias="normal", seed=1)


def test_attention_equals_torchs() -> None:
    mine = initialize(Attention(12, 3).double(), "xavier", bias="normal")
    theirs = nn.MultiheadAttention(12, 3, batch_first=True).double()
    parts = (mine.query, mine.key, mine.value)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
    theirs.out_proj = mine.output
    x = draws(4, 7, 12)
    torch.testing.assert_close(mine(x), theirs(x, x, x)[0], **EXACT)


def torchs_layer(attention: Any, mlp: Any) -> nn.Module:
    """torch's pre-norm layer with the weights of two of our blocks."""
    theirs = nn.TransformerEncoderLayer(12, 3, 24, 0.0, "gelu", batch_first=True, norm_first=True).double()
    mine = attention.branch.attention
    parts = (mine.query, mine.key, mine.value)
    with torch.no_grad():
        theirs.self_attn.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        theirs.self_attn.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
    theirs.self_attn.out_proj = mine.output
    theirs.linear1, theirs.linear2 = mlp.branch.fc1, mlp.branch.fc2
    theirs.norm1, theirs.norm2 = attention.branch.norm, mlp.branch.norm
    return theirs


def test_a_transformer_equals_torchs_encoder() -> None:
    net = built("transformer", (6, 9), depth=2)
    x = draws(4, 6, 9)
    h = x @ net.stem.embed.weight.T + net.stem.positions.weight
    for i in (0, 2):
        h = torchs_layer(net.blocks[i], net.blocks[i + 1])(h)
    expected = net.readout(torch.layer_norm(h, (12,)))
    assert net(x).shape == (4, 6, 5)
    torch.testing.assert_close(net(x), expected, **EXACT)


@pytest.mark.parametrize("pool", ["token", "mean"])
def test_a_vit_is_patches_positions_and_torchs_layers(pool: str) -> None:
    """Each patch, its channels one after the other, times a matrix; the patches in reading order."""
    net = built("vit", (2, 4, 6), depth=1, patch=2, pool=pool)
    x = draws(3, 2, 4, 6)
    corners = [(row, column) for row in (0, 2) for column in (0, 2, 4)]
    patches = torch.stack([x[:, :, r : r + 2, c : c + 2].flatten(1) for r, c in corners], 1)
    h = patches @ net.stem.embed.conv.weight.flatten(1).T + net.stem.embed.conv.bias
    if pool == "token":
        with torch.no_grad():
            net.stem.token.copy_(draws(12))
        h = torch.cat([net.stem.token.expand(3, 1, 12), h], 1)
    h = torchs_layer(net.blocks[0], net.blocks[1])(h + net.stem.positions.weight)
    h = torch.layer_norm(h, (12,))
    torch.testing.assert_close(net(x), net.readout(h[:, 0] if pool == "token" else h.mean(1)), **EXACT)


def test_sinusoids() -> None:
    """Vaswani et al. 2017, sec. 3.5, entry by entry."""
    net = built("transformer", (5, 9), positions="sinusoidal", width=6)
    for t in range(5):
        for i in range(3):
            angle = t / 10000 ** (2 * i / 6)
            expected = torch.tensor([math.sin(angle), math.cos(angle)])
            torch.testing.assert_close(
                net.stem.positions.weight[t, 2 * i : 2 * i + 2], expected.double(), atol=1e-6, rtol=0
            )
    assert "stem.positions.weight" not in dict(net.named_parameters())


def test_a_scaled_branch_at_zero_is_no_branch() -> None:
    net = built("transformer", (6, 9), residual="scale")
    with torch.no_grad():
        for block in net.blocks:
            block.scale.zero_()
    x = draws(4, 6, 9)
    h = x @ net.stem.embed.weight.T + net.stem.positions.weight
    torch.testing.assert_close(net(x), net.readout(torch.layer_norm(h, (12,))), **EXACT)


def test_the_projections_have_roles_of_their_own() -> None:
    """An encoder layer is two residual blocks; of an attention's chain the value comes first and the output last."""
    found = {place.name: place.role for place in slots(built("vit", (1, 4, 4), depth=2))}
    place = {"block": 2, "blocks": 4, "layers": 2, "heads": 3}
    attention = {
        name: found[f"blocks.2.branch.attention.{name}.weight"] for name in ("query", "key", "value", "output")
    }
    assert attention == {
        "query": Role("query", **place),
        "key": Role("key", **place),
        "value": Role("value", layer=1, **place),
        "output": Role("attention_output", layer=2, **place),
    }
    assert found["blocks.3.branch.fc2.bias"] == Role("hidden", block=3, blocks=4, layer=2, layers=2)
    assert found["stem.token"] == found["stem.positions.weight"] == Role("embedding", blocks=4)
    assert found["stem.embed.conv.weight"] == Role("input", blocks=4)


@pytest.mark.parametrize(
    ("name", "features", "fields", "message"),
    [
        (
            "vit",
            (1, 8, 6),
            {"patch": 4},
            "arch.patch=4: does not divide the image; data has [1, 8, 6]. Fitting: 1, 2.",
        ),
        ("vit", (20,), {}, "arch=vit: needs images [C, H, W]; data has [20]."),
        ("transformer", (1, 8, 8), {}, "arch=transformer: needs sequences [T, F]; data has [1, 8, 8]."),
        ("resnet", (9, 3), {}, "arch=resnet: needs images [C, H, W]; data has [9, 3]."),
        (
            "resnet",
            (1, 3, 8),
            {"stages": 4},
            "arch.stages=4: halves an image of 2 x 2 or more; stage 4 would halve 1 x 2 (data has [1, 3, 8]). "
            "Take fewer.",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    name: str, features: tuple[int, ...], fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(Refused) as refusal:
        ARCHS[name].facts["fits"](ARCHS.typed({"name": name, **fields}), features, "data")
    assert str(refusal.value) == message


def test_heads_divide_the_width() -> None:
    with pytest.raises(Refused, match=r"arch.heads=5, arch.width=12: not allowed. arch=vit needs heads that divide"):
        ARCHS.typed({"name": "vit", "heads": 5, "width": 12})
