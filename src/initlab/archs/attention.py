"""Transformer encoders, pre-norm: on patches of images, and on sequences.

A layer is two residual blocks (`residual.Block`): x + attention(norm x), then x + fc2 act(fc1 norm x). The projections
to q, k and v are layers of their own, so that each has its role and a scheme of its own. There is no dropout.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from initlab.archs.plain import Act, Net
from initlab.archs.residual import Block
from initlab.roles import Role
from initlab.specs import ARCHS
from initlab.specs.shapes import sequence, vit_patches


class Attention(nn.Module):
    """Multi-head self-attention, [..., N, D] -> [..., N, D]: softmax(q k' / sqrt(D / heads)) v in each head.

    Written out, since torch's fused one has no batching rule on a CPU.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (self._split(layer(x)) for layer in (self.query, self.key, self.value))
        weights = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1)
        return self.output((weights @ v).transpose(-3, -2).flatten(-2))

    def _split(self, x: Tensor) -> Tensor:
        """[..., N, D] -> [..., heads, N, D / heads]."""
        return x.reshape(*x.shape[:-1], self.heads, -1).transpose(-3, -2)


class Embedded(nn.Module):
    """What stands at each position plus the position's own vector, learned or a sinusoid; perhaps a class token first.

    ``embed`` makes [B, *features] into [B, N, D]. The class token is one more vector, at first 0, before the others.
    """

    def __init__(
        self, embed: nn.Module, length: int, width: int, positions: Literal["learned", "sinusoidal"], token: bool
    ) -> None:
        super().__init__()
        self.embed = embed
        self.token = nn.Parameter(torch.zeros(width)) if token else None
        kind = nn.Embedding if positions == "learned" else Sinusoids
        self.positions = kind(length + token, width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        if self.token is not None:
            x = torch.cat([self.token.expand(*x.shape[:-2], 1, -1), x], -2)
        return x + self.positions.weight


class Sinusoids(nn.Module):
    """Column 2i of ``weight`` [length, width] is sin(t / 10000^(2i / width)), 2i + 1 its cos. Vaswani et al. 2017."""

    weight: Tensor

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        wavelength = 10000 ** (torch.arange(0, width, 2) / width)
        angle = torch.arange(length).unsqueeze(1) / wavelength
        waves = torch.stack([angle.sin(), angle.cos()], -1).flatten(1)[:, :width]
        self.register_buffer("weight", waves, persistent=False)


class Patches(nn.Module):
    """[B, C, H, W] -> [B, N, width]: each patch flattened and projected, which is a convolution without overlap."""

    def __init__(self, channels: int, width: int, patch: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, patch, patch)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).flatten(-2).mT


class Pool(nn.Module):
    """[B, N, D] -> [B, D]: the first position, a class token's, or the mean of all."""

    def __init__(self, pool: Literal["token", "mean"]) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        return x[..., 0, :] if self.pool == "token" else x.mean(-2)


@ARCHS.register("vit")
def vit(
    features: tuple[int, ...],
    outputs: int,
    act: Act,
    *,
    depth: int,
    width: int,
    heads: int,
    ratio: int,
    patch: int,
    pool: Literal["token", "mean"],
    norm: Literal["none", "layer"],
    residual: Literal["plain", "scale"],
) -> nn.Module:
    """patches + positions -> depth layers -> norm -> pool -> readout; [B, C, H, W] -> [B, outputs]."""
    length = vit_patches({"patch": patch}, features)
    stem = Embedded(Patches(features[0], width, patch), length, width, "learned", token=pool == "token")
    blocks = _blocks(depth, width, heads, ratio, norm, residual, act)
    return _net(stem, {"stem.embed.conv": Role("input")}, blocks, {"pool": Pool(pool)}, norm, nn.Linear(width, outputs))


@ARCHS.register("transformer")
def transformer(
    features: tuple[int, ...],
    outputs: int,
    act: Act,
    *,
    depth: int,
    width: int,
    heads: int,
    ratio: int,
    positions: Literal["learned", "sinusoidal"],
    norm: Literal["none", "layer"],
    residual: Literal["plain", "scale"],
) -> nn.Module:
    """embedding + positions -> depth layers -> norm -> readout at each position; [B, T, F] -> [B, T, outputs].

    Each position attends to all. The embedding is a layer without bias: of tokens, which are one-hot, a table.
    """
    length = sequence({"name": "transformer"}, features)
    stem = Embedded(nn.Linear(features[1], width, bias=False), length, width, positions, token=False)
    blocks = _blocks(depth, width, heads, ratio, norm, residual, act)
    return _net(stem, {"stem.embed": Role("embedding")}, blocks, {}, norm, nn.Linear(width, outputs))


def _blocks(depth: int, width: int, heads: int, ratio: int, norm: str, residual: str, act: Act) -> list[Block]:
    def block(**layers: nn.Module) -> Block:
        normed = {"norm": nn.LayerNorm(width)} if norm == "layer" else {}
        return Block(nn.Sequential(OrderedDict(normed | layers)), residual == "scale")

    blocks = []
    for _ in range(depth):
        fc1, fc2 = nn.Linear(width, ratio * width), nn.Linear(ratio * width, width)
        blocks += [block(attention=Attention(width, heads)), block(fc1=fc1, act=act(), fc2=fc2)]
    return blocks


def _net(
    stem: Embedded,
    reads: Mapping[str, Role],
    blocks: list[Block],
    pool: Mapping[str, nn.Module],
    norm: str,
    readout: nn.Linear,
) -> Net:
    normed = {"norm": nn.LayerNorm(readout.in_features)} if norm == "layer" else {}
    layers = OrderedDict(stem=stem, blocks=nn.Sequential(*blocks), **normed, **pool, readout=readout)
    roles = {name: replace(role, blocks=len(blocks)) for name, role in reads.items()} | {"readout": Role("readout")}
    embedding = Role("embedding", blocks=len(blocks))
    roles |= {f"stem.{name}": embedding for name in ("token", "positions") if getattr(stem, name) is not None}
    for i, block in enumerate(blocks):
        roles |= {f"blocks.{i}.{name}": role for name, role in _block_roles(block, i, len(blocks)).items()}
    return Net(layers, roles)


def _block_roles(block: Block, index: int, blocks: int) -> dict[str, Role]:
    """An attention's chain of layers is value, output: query and key only weigh."""
    place = Role("hidden", index, blocks, layers=2)
    attention = getattr(block.branch, "attention", None)
    if isinstance(attention, Attention):
        place = replace(place, heads=attention.heads)
        chain = {"attention.value": "value", "attention.output": "attention_output"}
        roles = {f"branch.attention.{kind}": replace(place, kind=kind) for kind in ("query", "key")}
    else:
        chain, roles = {"fc1": "hidden", "fc2": "hidden"}, {}
    for layer, (name, kind) in enumerate(chain.items(), 1):
        roles[f"branch.{name}"] = replace(place, kind=kind, layer=layer)
    if block.scale is not None:
        roles["scale"] = Role("branch_scale", index, blocks)
    return roles
