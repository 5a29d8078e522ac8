"""Chains of layers: fully connected and convolutional nets; and what the other architectures share with them."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Literal

from torch import nn

from initlab.roles import Role
from initlab.specs import ARCHS
from initlab.specs.shapes import conv_sizes

Act = Callable[[], nn.Module]
Norm = Literal["none", "batch", "layer"]


class Net(nn.Sequential):
    """Layers in their order, and what each is."""

    def __init__(self, layers: OrderedDict[str, nn.Module], roles: Mapping[str, Role]) -> None:
        super().__init__(layers)
        self.roles = roles


def vector_norm(norm: Norm, size: int) -> nn.Module:
    """Of [B, size]: each feature over the rows, or each row over its features."""
    return {"none": nn.Identity, "batch": nn.BatchNorm1d, "layer": nn.LayerNorm}[norm](size)


def image_norm(norm: Norm, channels: int) -> nn.Module:
    """Of [B, channels, H, W]: each channel over rows and pixels, or each row over channels and pixels."""
    if norm == "layer":
        return nn.GroupNorm(1, channels)
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.Identity()


@ARCHS.register("mlp")
def mlp(
    features: tuple[int, ...],
    outputs: int,
    act: Act,
    *,
    depth: int,
    width: int | None,
    sizes: list[int] | None,
    norm: Norm,
) -> nn.Module:
    """flatten -> (fc -> norm -> act) for every hidden layer -> fc; [B, *features] -> [B, outputs].

    The layers are fc1 ... fcN as in the usual hand-written net; depth 0 is a linear model.
    """
    hidden: list[int] = sizes if sizes is not None else [width or 0] * depth
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    fan_in = math.prod(features)
    for i, size in enumerate(hidden, 1):
        layers[f"fc{i}"] = nn.Linear(fan_in, size)
        if norm != "none":
            layers[f"norm{i}"] = vector_norm(norm, size)
        layers[f"act{i}"] = act()
        fan_in = size
    layers[f"fc{len(hidden) + 1}"] = nn.Linear(fan_in, outputs)
    return Net(layers, _chain_roles([name for name in layers if name.startswith("fc")]))


@ARCHS.register("cnn")
def cnn(
    features: tuple[int, ...],
    outputs: int,
    act: Act,
    *,
    depth: int,
    width: int,
    kernel: int,
    pool: Literal["none", "max", "avg", "stride"],
    pool_every: int,
    padding_mode: Literal["zeros", "circular", "reflect"],
    norm: Norm,
    head: Literal["flatten", "mean"],
) -> nn.Module:
    """(conv -> norm -> act, then perhaps pool) for every conv layer -> head -> fc; [B, C, H, W] -> [B, outputs].

    conv1 ... convN keep the image's size; every ``pool_every``-th is followed by a pooling of 2 x 2 or has a stride of
    2. The norm "layer" is GroupNorm of one group. Raises Refused as `conv_sizes` does.
    """
    shape = {"depth": depth, "kernel": kernel, "pool": pool, "pool_every": pool_every}
    pixels = math.prod(conv_sizes(shape, features)[-1])
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels = features[0]
    for i in range(1, depth + 1):
        halved = pool if i % pool_every == 0 else "none"
        stride = 2 if halved == "stride" else 1
        layers[f"conv{i}"] = nn.Conv2d(channels, width, kernel, stride, kernel // 2, padding_mode=padding_mode)
        if norm != "none":
            layers[f"norm{i}"] = image_norm(norm, width)
        layers[f"act{i}"] = act()
        if halved in ("max", "avg"):
            layers[f"pool{i}"] = nn.MaxPool2d(2) if halved == "max" else nn.AvgPool2d(2)
        channels = width
    if head == "mean":
        layers["mean"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["fc"] = nn.Linear(width if head == "mean" else width * pixels, outputs)
    return Net(layers, _chain_roles([*(name for name in layers if name.startswith("conv")), "fc"]))


def _chain_roles(names: list[str]) -> dict[str, Role]:
    """The first layer reads the data, the last is the readout; a lone one is that."""
    return {name: Role("hidden") for name in names} | {names[0]: Role("input")} | {names[-1]: Role("readout")}
