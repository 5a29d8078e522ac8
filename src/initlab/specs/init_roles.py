"""The schemes that ask for roles: fields, defaults, ranges, sources. Laws are in `branches.py` and `attention.py`.

Facts, besides those of `init`: ``needs``, the roles without which a net is refused; ``asks``, the
fields that these must have; ``decides``, the roles whose
numbers, which are no weights, follow the scheme as well; ``base``, if it compares the net with one of its
``base_width`` and has learning rates for it.
"""

from __future__ import annotations

from initlab.fields import Field, Integer, Number, OneOf
from initlab.specs.checks import POSITIVE
from initlab.specs.init import GAIN, INITS, NO_TRANSPOSED

INITS.declare(
    "fixup",
    doc="Kaiming; of a branch's m layers the last is 0, the others times L^(-1/(2m-2)), L branches; readout 0",
    source="Zhang, Dauphin & Ma 2019, arXiv:1901.09321, sec. 3",
    fields=GAIN,
    needs=("residual",),
    assumes="no norms; the multiplier and the biases of its third rule are the net's: arch.residual=fixup",
    libraries="the authors' code, with fan_out; timm's nf_resnet has its own",
)
INITS.declare(
    "skipinit",
    alias="rezero",
    doc="Kaiming, and 0 for the learnable number that multiplies a branch: every block starts as the identity",
    source="De & Smith 2020, arXiv:2002.10444 (SkipInit); Bachlechner et al. 2021, arXiv:2003.04887 (ReZero)",
    fields=GAIN,
    needs=("branch_scale",),
    decides=("branch_scale",),
    assumes="arch.residual=scale or fixup, which have that number",
    libraries="rezero",
)
INITS.declare(
    "depth_scaled",
    doc="Kaiming, the last layer of each of L branches times 1/sqrt(L)",
    source="Hayou et al. 2021, arXiv:2010.12859; Hanin & Rolnick 2018, arXiv:1803.01719",
    fields=GAIN,
    needs=("residual",),
    assumes="branches that keep the second moment: L of them then multiply it by (1 + 1/L)^L < e",
    libraries="none by this name",
)
INITS.declare(
    "gpt2",
    doc="N(0, std^2), the last layer of each of L branches N(0, std^2 / L)",
    source="Radford et al. 2019, Language Models are Unsupervised Multitask Learners, sec. 2.3",
    fields={"std": Field(0.02, POSITIVE, "of all weights, embeddings too")},
    needs=("residual",),
    assumes="norms before each branch, and a width near 768: the std is not scaled by it",
    libraries="transformers (GPT-2, with L = 2 n_layer), nanoGPT",
)
INITS.declare(
    "idinit",
    doc="W_ij = tau where j = i mod in, else 0: the identity, over again where out > in; a branch's last with epsilon",
    source="Pan et al. 2025, arXiv:2503.04626",
    fields={
        "tau": Field(1.0, POSITIVE),
        "epsilon": Field(1e-6, Number(), "in place of tau in the last layer of a branch"),
    },
    needs=("residual",),
    takes=NO_TRANSPOSED,
    assumes="training that breaks the symmetry: minibatches, momentum",
    libraries="none; of a convolution the paper fills patches, here the centre tap",
)
INITS.declare(
    "tfixup",
    doc="Xavier; values, attention outputs and fully connected blocks times 0.67 N^(-1/4), N layers; embeddings "
    "N(0, 1/d) (9N)^(-1/4)",
    source="Huang et al. 2020, ICML, sec. 3.2 (encoder)",
    needs=("value", "attention_output"),
    assumes="arch.norm=none, Adam, no warm-up",
    libraries="the authors' code, whose attention starts values sqrt(2) larger",
)
INITS.declare(
    "mimetic",
    doc="W_Q W_K' = alpha_qk Z + beta_qk I a head, W_V W_O = alpha_vo Z - beta_vo I, Z ~ N(0, 1/d); else Xavier",
    source="Trockman & Kolter 2023, arXiv:2305.09828, sec. 4",
    fields={
        "alpha_qk": Field(0.7, Number(ge=0), "noise in the product of query and key"),
        "beta_qk": Field(0.7, Number(ge=0), "the identity in it"),
        "alpha_vo": Field(0.4, Number(ge=0), "noise in the product of value and output"),
        "beta_vo": Field(0.4, Number(ge=0), "the negative identity in it"),
    },
    needs=("query", "key", "value", "attention_output"),
    asks=("block", "heads"),  # what a product's factors share
    assumes="images in patches; for language the authors find other signs",
    libraries="none official",
)
INITS.declare(
    "mup",
    doc="Kaiming at base width; variances, and learning rates, of other widths so that they train alike",
    source="Yang & Hu 2021, arXiv:2011.14522; Yang et al. 2022, arXiv:2203.03466, table 3",
    fields=GAIN
    | {
        "readout": Field("scaled", OneOf(("scaled", "zero")), "zero: it starts at 0, at every width"),
        "base_width": Field(128, Integer(1), "the width (arch.width) whose learning rate is to be the best for all"),
    },
    needs=("readout",),
    base=True,
    assumes="layers that all grow with arch.width; attention whose heads keep their size",
    libraries="mup (torch), whose readout has a multiplier instead (table 8): the same training",
)
