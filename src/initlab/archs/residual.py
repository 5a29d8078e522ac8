"""Residual nets: a stem, blocks x + F(x), a readout. Pre-activation: F is (norm -> act -> layer) for each layer.

What reaches the readout is a sum of the stem and of all branches, so each block can be told what it may add to it.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from initlab.archs.plain import Act, Net, Norm, image_norm, vector_norm
from initlab.roles import Role
from initlab.specs import ARCHS

Join = Literal["plain", "scale", "fixup"]


class Block(nn.Module):
    """shortcut(x) + scale branch(x); without a ``scale`` it is 1, and without a shortcut it is x."""

    def __init__(self, branch: nn.Module, scaled: bool, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut or nn.Identity()
        self.scale = nn.Parameter(torch.ones(())) if scaled else None

    def forward(self, x: Tensor) -> Tensor:
        out = self.branch(x)
        return self.shortcut(x) + (out if self.scale is None else self.scale * out)


class Shift(nn.Module):
    """x plus one learnable number, at first 0: Fixup's bias."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.shift


@ARCHS.register("resmlp")
def resmlp(
    features: tuple[int, ...],
    outputs: int,
    act: Act,
    *,
    depth: int,
    width: int,
    layers: int,
    norm: Norm,
    residual: Join,
) -> nn.Module:
    """flatten -> stem -> depth blocks -> norm -> act -> readout; [B, *features] -> [B, outputs]."""
    fixup = residual == "fixup"

    def branch() -> nn.Sequential:
        fcs = {f"fc{i}": nn.Linear(width, width, bias=not fixup) for i in range(1, layers + 1)}
        return _branch(fcs, [vector_norm(norm, width) for _ in fcs], act, fixup)

    blocks = [Block(branch(), scaled=residual != "plain") for _ in range(depth)]
    stem = {"flatten": nn.Flatten(), "stem": nn.Linear(math.prod(features), width)}
    return _net(stem, blocks, _activated(vector_norm(norm, width), act, fixup), nn.Linear(width, outputs))


@ARCHS.register("resnet")
def resnet(
    features: tuple[int, ...],
    outputs: int,
    act: Act,
    *,
    depth: int,
    stages: int,
    width: int,
    layers: int,
    kernel: int,
    norm: Norm,
    residual: Join,
    shortcut: Literal["project", "pad"],
) -> nn.Module:
    """stem -> stages of depth blocks of convolutions -> norm -> act -> mean -> readout; [B, C, H, W] -> [B, outputs].

    From stage to stage the image is halved and the channels are doubled, by the first layer of the first block.
    """
    fixup = residual == "fixup"

    def conv(inputs: int, channels: int, stride: int = 1, size: int = kernel) -> nn.Conv2d:
        return nn.Conv2d(inputs, channels, size, stride, size // 2, bias=not fixup)

    def block(inputs: int, channels: int) -> Block:
        stride, sizes = channels // inputs, [inputs, *[channels] * (layers - 1)]
        convs = {f"conv{i}": conv(size, channels, stride if i == 1 else 1) for i, size in enumerate(sizes, 1)}
        branch = _branch(convs, [image_norm(norm, size) for size in sizes], act, fixup)
        if stride == 1:
            return Block(branch, residual != "plain")
        resize = conv(inputs, channels, stride, 1) if shortcut == "project" else Padded(channels - inputs)
        return Block(branch, residual != "plain", resize)

    channels = [width * 2**stage for stage in range(stages) for _ in range(depth)]
    blocks = [block(inputs, size) for inputs, size in zip([width, *channels], channels, strict=False)]
    head = _activated(image_norm(norm, channels[-1]), act, fixup)
    head |= {"mean": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
    return _net({"stem": conv(features[0], width)}, blocks, head, nn.Linear(channels[-1], outputs))


class Padded(nn.Module):
    """Every second pixel, and zeros for the channels that are new: a shortcut without parameters."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pad(x[..., ::2, ::2], (0, 0, 0, 0, 0, self.channels))


def _branch(layers: Mapping[str, nn.Module], norms: Sequence[nn.Module], act: Act, shifted: bool) -> nn.Sequential:
    """(norm -> act -> layer) for each layer; ``shifted``: a number added before each act and each layer."""
    steps: OrderedDict[str, nn.Module] = OrderedDict()
    for i, ((name, layer), norm) in enumerate(zip(layers.items(), norms, strict=True), 1):
        steps |= _activated(norm, act, shifted, str(i)) | {name: layer}
    return nn.Sequential(steps)


def _activated(norm: nn.Module, act: Act, shifted: bool, number: str = "") -> OrderedDict[str, nn.Module]:
    """norm -> act, with what there is of norm1, shift1_in, act1, shift1_out."""
    steps: OrderedDict[str, nn.Module] = OrderedDict()
    if not isinstance(norm, nn.Identity):
        steps[f"norm{number}"] = norm
    if shifted:
        steps[f"shift{number}_in"] = Shift()
    steps[f"act{number}"] = act()
    if shifted:
        steps[f"shift{number}_out"] = Shift()
    return steps


def _net(
    stem: Mapping[str, nn.Module], blocks: Sequence[Block], head: Mapping[str, nn.Module], readout: nn.Module
) -> Net:
    """All in order, and what each is; the last of ``stem`` is the layer that reads the data."""
    layers = OrderedDict(stem, blocks=nn.Sequential(*blocks), **head, readout=readout)
    roles = {list(stem)[-1]: Role("input"), "readout": Role("readout")}
    roles |= {name: Role("branch_bias") for name, module in head.items() if isinstance(module, Shift)}
    for i, block in enumerate(blocks):
        roles |= {f"blocks.{i}.{name}": role for name, role in _block_roles(block, i, len(blocks)).items()}
    return Net(layers, roles)


def _block_roles(block: Block, index: int, blocks: int) -> dict[str, Role]:
    place = Role("hidden", index, blocks)
    weights = [name for name, module in block.branch.named_children() if isinstance(module, nn.Linear | nn.Conv2d)]
    roles = {
        f"branch.{name}": replace(place, layer=layer, layers=len(weights)) for layer, name in enumerate(weights, 1)
    }
    for name, module in block.branch.named_children():
        if isinstance(module, Shift):
            roles[f"branch.{name}"] = replace(place, kind="branch_bias")
    if isinstance(block.shortcut, nn.Conv2d):
        roles["shortcut"] = Role("shortcut")
    if block.scale is not None:
        roles["scale"] = replace(place, kind="branch_scale")
    return roles
