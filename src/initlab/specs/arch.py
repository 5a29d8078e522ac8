"""The architectures: fields, defaults, ranges, the data they fit, the roles they declare. Their nets are in `archs`.

The fact ``fits(option, features, given)`` of an architecture raises Refused for inputs of a shape that it cannot take;
``roles`` are the `roles.Offers` of its nets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from initlab.errors import Refused
from initlab.fields import Constraint, Field, Integer, ListOf, OneOf
from initlab.registry import Registry
from initlab.roles import Offers


def conv_sizes(option: Mapping[str, Any], features: Sequence[int], given: str = "the data") -> list[tuple[int, int]]:
    """(height, width) of what each conv layer of a cnn takes, and last of what its head takes.

    A conv layer keeps the size (zero, circular or reflected margins of kernel // 2); pooling halves it, max and avg
    dropping an odd last line, a stride keeping it. Raises Refused for no image, a margin as large as the image, whose
    outermost weights would see no pixel, and pooling of a single line.
    """
    if len(features) != 3:
        raise Refused(f"arch=cnn: needs images [C, H, W]; {given} has {list(features)}.")
    margin, pool = option["kernel"] // 2, option["pool"]
    sizes = [(features[1], features[2])]
    for i in range(1, option["depth"] + 1):
        height, width = sizes[-1]
        where = f"conv{i} has {height} x {width} ({given} has {list(features)})"
        if margin >= min(height, width):
            raise Refused(
                f"arch.kernel={option['kernel']}: needs an image of more than {margin} x {margin}; {where}. "
                f"Take a smaller arch.kernel or arch.depth, or a larger arch.pool_every."
            )
        if pool != "none" and i % option["pool_every"] == 0:
            if min(height, width) < 2:
                raise Refused(
                    f"arch.pool={pool}: halves an image of 2 x 2 or more; {where}. "
                    f"Take a smaller arch.depth or a larger arch.pool_every."
                )
            odd = 1 if pool == "stride" else 0
            height, width = (height + odd) // 2, (width + odd) // 2
        sizes.append((height, width))
    return sizes


NORM = Field("none", OneOf(("none", "batch", "layer")), "normalisation between a layer and its activation")
CHAIN: Offers = {"input": {}, "hidden": {}, "readout": {}}
# x + F(x), with what SkipInit and ReZero add to it, or what Fixup does
RESIDUAL = Field(
    "plain",
    OneOf(("plain", "scale", "fixup")),
    "plain: x + F(x); scale: x + a F(x), a learnable number a branch, 1 unless the scheme says otherwise; fixup: that, "
    "and a learnable number added before each activation and each layer, whose biases they are",
)
BRANCHES: Offers = {
    "input": {},
    "hidden": {},
    "readout": {},
    "residual": {},
    "branch_scale": {"residual": ("scale", "fixup")},
    "branch_bias": {"residual": ("fixup",)},
}
ARCHS = Registry("arch")
ARCHS.declare(
    "mlp",
    doc="fully connected: depth hidden layers of equal width, or of the given sizes",
    fields={
        "depth": Field(4, Integer(0), "hidden layers"),
        "width": Field(128, Integer(1), "units of a hidden layer"),
        "sizes": Field(
            None, OneOf((None,), (ListOf(Integer(1)),)), "explicit hidden sizes, in place of depth and width"
        ),
        "norm": NORM,
    },
    roles=CHAIN,
)
ARCHS.declare(
    "cnn",
    doc="plain convolutions of equal width on images of any size, then one fully connected layer",
    fields={
        "depth": Field(4, Integer(1), "conv layers"),
        "width": Field(32, Integer(1), "channels of a conv layer"),
        "kernel": Field(3, Integer(1), "height and width of a kernel, odd: a conv layer keeps the image's size"),
        "pool": Field("max", OneOf(("none", "max", "avg", "stride")), "what halves the image; stride: the conv layer"),
        "pool_every": Field(2, Integer(1), "conv layers from one pooling to the next"),
        "padding_mode": Field("zeros", OneOf(("zeros", "circular", "reflect")), "what the margins hold"),
        "norm": Field("none", OneOf(("none", "batch", "layer")), "layer: over channels, height and width of a row"),
        "head": Field("flatten", OneOf(("flatten", "mean")), "what fc takes: every pixel, or each channel's mean"),
    },
    constraint=Constraint("an odd kernel", ("kernel",), lambda f: f["kernel"] % 2 == 1),
    fits=conv_sizes,
    roles=CHAIN,
)
ARCHS.declare(
    "resmlp",
    doc="residual MLP, pre-activation: stem, blocks x + F(x) of fully connected layers, readout",
    source="He et al. 2016, arXiv:1603.05027, fig. 4 e (the order of norm, activation and layer)",
    fields={
        "depth": Field(4, Integer(1), "residual blocks"),
        "width": Field(64, Integer(1), "units of the stem and of every layer of a branch"),
        "layers": Field(2, Integer(1), "fully connected layers of a branch"),
        "norm": Field("none", OneOf(("none", "batch", "layer")), "before each activation, so none on the shortcut"),
        "residual": RESIDUAL,
    },
    roles=BRANCHES,
)
