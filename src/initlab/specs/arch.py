"""The architectures: fields, defaults, ranges, the data they fit, the roles they declare. Their nets are in `archs`.

The fact ``fits(option, features, given)`` of an architecture raises Refused for inputs of a shape that it cannot take
(`shapes`); ``roles`` are the `roles.Offers` of its nets; ``positions``, whether they answer at every position of a
sequence; ``act``, the activation of a net that has its own; ``chain(option)``, of a plain chain, the
number of its activations.
"""

from __future__ import annotations

from initlab.fields import Constraint, Field, Integer, ListOf, OneOf
from initlab.registry import Registry
from initlab.roles import Offers
from initlab.specs.shapes import conv_sizes, resnet_sizes, sequence, vit_patches

NORM = Field("none", OneOf(("none", "batch", "layer")), "normalisation between a layer and its activation")
PRE_NORM = Field("none", OneOf(("none", "batch", "layer")), "before each activation, so that none lies on the shortcut")
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
ENCODER = {
    "depth": Field(2, Integer(1), "layers, each two residual blocks: an attention, then two fully connected layers"),
    "width": Field(32, Integer(1), "of what stands at a position"),
    "heads": Field(4, Integer(1), "of an attention; they divide the width"),
    "ratio": Field(2, Integer(1), "hidden units of the fully connected block, in widths"),
    "norm": Field("layer", OneOf(("none", "layer")), "at the start of each branch, and before the readout"),
    "residual": Field("plain", OneOf(("plain", "scale")), "plain: x + F(x); scale: x + a F(x), as in resmlp"),
}
ATTENTION: Offers = {
    "embedding": {},
    "query": {},
    "key": {},
    "value": {},
    "attention_output": {},
    "hidden": {},
    "readout": {},
    "residual": {},
    "branch_scale": {"residual": ("scale",)},
}
ODD_KERNEL = Constraint("an odd kernel", ("kernel",), lambda f: f["kernel"] % 2 == 1)
WHOLE_HEADS = Constraint("heads that divide the width", ("heads", "width"), lambda f: f["width"] % f["heads"] == 0)
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
    chain=lambda option: option["depth"] if option["sizes"] is None else len(option["sizes"]),
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
    constraint=ODD_KERNEL,
    fits=conv_sizes,
    roles=CHAIN,
    chain=lambda option: option["depth"],
)
ARCHS.declare(
    "resmlp",
    doc="residual MLP, pre-activation: stem, blocks x + F(x) of fully connected layers, readout",
    source="He et al. 2016, arXiv:1603.05027, fig. 4 e (the order of norm, activation and layer)",
    fields={
        "depth": Field(4, Integer(1), "residual blocks"),
        "width": Field(64, Integer(1), "units of the stem and of every layer of a branch"),
        "layers": Field(2, Integer(1), "fully connected layers of a branch"),
        "norm": PRE_NORM,
        "residual": RESIDUAL,
    },
    roles=BRANCHES,
)
ARCHS.declare(
    "resnet",
    doc="residual net of convolutions on images, pre-activation: stem, stages of blocks x + F(x), mean, readout",
    source="He et al. 2016, arXiv:1603.05027, fig. 4 e; stages and shortcuts: arXiv:1512.03385, sec. 4.2",
    fields={
        "depth": Field(2, Integer(1), "residual blocks of a stage"),
        "stages": Field(2, Integer(1), "from one to the next the image is halved and the channels doubled"),
        "width": Field(16, Integer(1), "channels of the stem and the first stage"),
        "layers": Field(2, Integer(1), "convolutions of a branch"),
        "kernel": Field(3, Integer(1), "height and width of a kernel, odd"),
        "norm": PRE_NORM,
        "residual": RESIDUAL,
        "shortcut": Field(
            "project",
            OneOf(("project", "pad")),
            "where the shape changes; project: a convolution of 1 x 1 and stride 2; pad: every second pixel, new "
            "channels are 0",
        ),
    },
    constraint=ODD_KERNEL,
    fits=resnet_sizes,
    roles={**BRANCHES, "shortcut": {"shortcut": ("project",)}},
)
ARCHS.declare(
    "vit",
    doc="transformer encoder on patches of images, pre-norm, read out at a class token or from the mean",
    source="Dosovitskiy et al. 2021, arXiv:2010.11929, sec. 3.1",
    fields=ENCODER
    | {
        "patch": Field(2, Integer(1), "height and width of a patch"),
        "pool": Field("token", OneOf(("token", "mean")), "what the readout takes: a class token, or the mean of all"),
    },
    constraint=WHOLE_HEADS,
    fits=vit_patches,
    roles={**ATTENTION, "input": {}},
)
ARCHS.declare(
    "transformer",
    doc="transformer encoder on sequences, pre-norm, read out at each position",
    source="Vaswani et al. 2017, arXiv:1706.03762; pre-norm: Xiong et al. 2020, arXiv:2002.04745",
    fields=ENCODER
    | {
        "positions": Field("learned", OneOf(("learned", "sinusoidal")), "what is added to the embeddings"),
    },
    constraint=WHOLE_HEADS,
    fits=sequence,
    roles=ATTENTION,
    positions=True,
)
CELLS = {
    "depth": Field(1, Integer(1), "recurrent layers"),
    "width": Field(32, Integer(1), "of a state"),
}
RECURRENT: Offers = {"input": {}, "hidden": {}, "recurrent": {}, "readout": {}}
ARCHS.declare(
    "rnn",
    doc="plain recurrent net on sequences: h <- act(W x + b + U h), read out at each step",
    source="Elman 1990",
    fields=CELLS,
    fits=sequence,
    roles=RECURRENT,
    positions=True,
)
ARCHS.declare(
    "lstm",
    doc="LSTM on sequences, read out at each step; its activations are tanh and sigmoid, whatever the run's act",
    source="Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000 (the forget gate)",
    fields=CELLS,
    fits=sequence,
    roles={**RECURRENT, "gate": {}},
    positions=True,
    act="tanh",
)
ARCHS.declare(
    "gru",
    doc="gated recurrent units on sequences, read out at each step; its activations are tanh and sigmoid",
    source="Cho et al. 2014, arXiv:1406.1078; the reset after the product, as cuDNN and torch have it",
    fields=CELLS,
    fits=sequence,
    roles={**RECURRENT, "gate": {}},
    positions=True,
    act="tanh",
)
