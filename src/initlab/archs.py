"""The architectures: plain nn.Modules that take an activation and know nothing of schemes, stacks or training.

    net = ARCHS.build({"name": "mlp", "depth": 2, "width": 32, ...}, (64,), 10, nn.ReLU)
    net(x)                                                       # [B, 64] -> [B, 10]

An architecture is a function of (shape of one input, number of outputs, factory of the activation).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Literal

from torch import nn

from initlab.specs import ARCHS

Act = Callable[[], nn.Module]


@ARCHS.register("mlp")
def mlp(
    features: tuple[int, ...],
    outputs: int,
    act: Act,
    *,
    depth: int,
    width: int | None,
    sizes: list[int] | None,
    norm: Literal["none", "batch", "layer"],
) -> nn.Module:
    """flatten -> (fc -> norm -> act) for every hidden layer -> fc; [B, *features] -> [B, outputs].

    The layers are fc1 ... fcN as in the usual hand-written net; depth 0 is a linear model.
    """
    hidden: list[int] = sizes if sizes is not None else [width or 0] * depth
    norms: dict[str, Callable[[int], nn.Module] | None] = {"none": None, "batch": nn.BatchNorm1d, "layer": nn.LayerNorm}
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    fan_in = math.prod(features)
    for i, size in enumerate(hidden, 1):
        layers[f"fc{i}"] = nn.Linear(fan_in, size)
        if (make := norms[norm]) is not None:
            layers[f"norm{i}"] = make(size)
        layers[f"act{i}"] = act()
        fan_in = size
    layers[f"fc{len(hidden) + 1}"] = nn.Linear(fan_in, outputs)
    return nn.Sequential(layers)
