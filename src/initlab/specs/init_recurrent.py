"""The schemes for recurrent nets: fields, defaults, ranges, sources. What they do is in `recurrent.py`."""

from __future__ import annotations

from initlab.fields import Field, Number
from initlab.specs.checks import POSITIVE
from initlab.specs.init import INITS

INITS.declare(
    "irnn",
    doc="recurrent weights are scale I, all others N(0, std^2)",
    source="Le, Jaitly & Hinton 2015, arXiv:1504.00941, sec. 3",
    fields={
        "scale": Field(1.0, POSITIVE, "of the identity"),
        "std": Field(0.001, Number(ge=0), "of the other weights"),
    },
    assumes="a plain recurrent net with relu: then a state is kept until something is added to it",
    libraries="keras RNN with recurrent_initializer=identity",
    needs=("recurrent",),
)
INITS.declare(
    "orthogonal_recurrent",
    doc="recurrent weights are scale Q, one Q a gate, all others Xavier uniform",
    source="Saxe et al. 2014, arXiv:1312.6120; Henaff, Szlam & LeCun 2016, arXiv:1602.06662",
    fields={"scale": Field(1.0, POSITIVE, "of the orthogonal matrix")},
    assumes="a state whose norm should neither grow nor shrink from step to step",
    libraries="keras' recurrent layers, whose kernel of all gates is one matrix [in, gates out]; torch uniform instead",
    needs=("recurrent",),
)
INITS.declare(
    "forget_bias",
    doc="as orthogonal_recurrent, and the bias of the gate that keeps is a constant, the other gates' 0",
    source="Gers, Schmidhuber & Cummins 2000; Jozefowicz, Zaremba & Sutskever 2015, ICML, sec. 2.2",
    fields={"forget": Field(1.0, Number(), "keeps sigmoid(forget)^T of what is T steps old; ln(T - 1) keeps 1/e")},
    assumes="what is to be kept is older than what the gates keep anyway, 0.5^T",
    libraries="keras' LSTM (unit_forget_bias: 1); torch 0, and two biases that add up",
    needs=("gate",),
    decides=("gate",),
)
INITS.declare(
    "chrono",
    doc="as orthogonal_recurrent; the bias b of the gate that keeps is ln U(1, length - 1), the input gate's is -b",
    source="Tallec & Ollivier 2018, arXiv:1804.11188, sec. 2.3",
    fields={"length": Field(40.0, Number(gt=2), "T: the longest that something is to be kept")},
    assumes="memories of all lengths up to T are needed",
    libraries="none of torch, jax, keras",
    needs=("gate",),
    decides=("gate",),
)
