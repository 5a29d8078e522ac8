"""The activations: fields, defaults, sources. Their modules are in `acts.py`."""

from __future__ import annotations

from initlab.fields import Field, Number, OneOf
from initlab.registry import Registry

ACTS = Registry("act")
ACTS.declare("identity", doc="x", torch_gain="linear")
ACTS.declare("relu", doc="max(x, 0)", torch_gain="relu")
ACTS.declare(
    "leaky_relu",
    doc="max(x, slope x)",
    torch_gain="leaky_relu",
    fields={"negative_slope": Field(0.01, Number(), "in a command also tat: solved for the net's depth")},
)
ACTS.declare("tanh", doc="tanh x", torch_gain="tanh")
ACTS.declare("sigmoid", doc="1 / (1 + exp(-x))", torch_gain="sigmoid")
ACTS.declare(
    "gelu",
    doc="x Phi(x)",
    source="Hendrycks & Gimpel 2016, arXiv:1606.08415",
    fields={"approximate": Field("none", OneOf(("none", "tanh")), "the tanh form is an approximation")},
)
ACTS.declare("silu", doc="x sigmoid(x)", source="Elfwing et al. 2018, arXiv:1702.03118")
ACTS.declare("selu", doc="1.0507 elu(x, 1.6733)", source="Klambauer et al. 2017, arXiv:1706.02515", torch_gain="selu")
ACTS.declare(
    "prelu",
    doc="max(x, 0) + a min(x, 0), one learnable slope a per layer",
    source="He et al. 2015, arXiv:1502.01852, eq. 1 (the channel-shared variant)",
    fields={"slope": Field(0.25, Number(), "initial value of a; trained and decayed as the weights are")},
)
ACTS.declare(
    "elu",
    doc="x for x > 0, alpha (exp(x) - 1) elsewhere",
    source="Clevert et al. 2016, arXiv:1511.07289",
    fields={"alpha": Field(1.0, Number())},
)
ACTS.declare("mish", doc="x tanh(softplus(x))", source="Misra 2020, arXiv:1908.08681")
ACTS.declare("softplus", doc="log(1 + exp(x))", source="Dugas et al. 2001, NIPS 13")
ACTS.declare("softsign", doc="x / (1 + |x|)", source="Bergstra et al. 2009, TR 1337, Universite de Montreal")
ACTS.declare("hardtanh", doc="min(max(x, -1), 1)", source="Collobert 2004, Large Scale Machine Learning")
ACTS.declare("hardswish", doc="x min(max(x + 3, 0), 6) / 6", source="Howard et al. 2019, arXiv:1905.02244")
ACTS.declare("sin", doc="sin x", source="Sitzmann et al. 2020, arXiv:2006.09661 (here without its factor omega)")
ACTS.declare("erf", doc="erf x", source="Williams 1997, NIPS 9 (the kernel of its infinitely wide net)")
ACTS.declare("relu_squared", doc="max(x, 0)^2", source="So et al. 2021, arXiv:2109.08668")
