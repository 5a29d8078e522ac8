"""The schemes: fields, defaults, ranges, sources. Their laws are in `inits.py` and `structured.py`; those that look at
data are in `init_data`, those that ask for roles in `init_roles`.

Facts of a scheme: ``assumes``, what its derivation takes for granted; ``libraries``, who else has it and how theirs
differs; ``symmetric``, if it never tells a layer's units apart; ``critical``, if it asks the theory for the edge of
chaos; ``signal``, if it reads what a layer receives; ``takes``, the weights that it can fill.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from initlab.fields import Constraint, Field, Number, OneOf
from initlab.registry import Registry
from initlab.rules import Rules
from initlab.specs.checks import POSITIVE


@dataclass(frozen=True)
class Takes:
    """The weights that a scheme can fill: ``holds(shape, layer, groups)``, the layer's kind as in `rules.LAYERS`."""

    words: str
    holds: Callable[[Sequence[int], str, int], bool]


BIASES = ("zeros", "constant", "uniform", "normal")
INITS = Registry(
    "init",
    shared={
        "bias": Field("zeros", OneOf(BIASES), "law of the biases"),
        "bias_value": Field(
            "default",
            OneOf(("default",), (Number(),)),
            "the constant (default 0.1), the bound of the uniform law or the deviation of the normal one (default "
            "1/sqrt(fan_in))",
        ),
    },
)
INITS.shared["rules"] = Field(
    [], Rules(INITS), "other schemes for some parameters; the first rule that matches decides"
)


def _ordered(a: float | str, b: float | str) -> bool:
    if a == b == "default":
        return True
    return (0.0 if a == "default" else float(a)) < (0.0 if b == "default" else float(b))


# torch.nn.init.calculate_gain knows these; an activation's spec names its own entry.
NONLINEARITIES = ("linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu")
# Gains that the theory solves for the run's activation.
SOLVED = ("forward", "backward", "critical")
PUBLISHED = Field(
    "default",
    OneOf(("default", "torch", *SOLVED), (POSITIVE,)),
    "default: as published; of the run's activation torch: calculate_gain, forward: 1/sqrt(E phi^2), backward: "
    "1/sqrt(E phi'^2), critical: at the edge of chaos; or a number",
)
GAIN = {"gain": PUBLISHED}
KAIMING = GAIN | {
    "mode": Field("fan_in", OneOf(("fan_in", "fan_out")), "fan_in keeps the forward, fan_out the backward variance"),
    "nonlinearity": Field(
        "relu", OneOf(NONLINEARITIES), "whose gain is the default one, whatever the run's activation"
    ),
    "negative_slope": Field(0.0, Number(), "of leaky_relu, in sqrt(2 / (1 + slope^2))"),
}
DISTRIBUTION = {"distribution": Field("normal", OneOf(("normal", "uniform", "truncated")), "law of that variance")}
GLOROT = "Glorot & Bengio 2010, AISTATS, eq. 12 (variance) and 16 (uniform)"
HE = "He et al. 2015, arXiv:1502.01852, eq. 10 (fan_in) and 14 (fan_out)"
NO_TRANSPOSED = Takes("any weight but that of a transposed convolution", lambda s, layer, g: layer != "conv_transpose")

INITS.declare("zeros", doc="W = 0", symmetric=True, libraries="torch zeros_; jax, keras zeros")
INITS.declare("ones", doc="W = 1", symmetric=True, libraries="torch ones_; jax, keras ones")
INITS.declare(
    "constant",
    doc="W = value",
    symmetric=True,
    fields={"value": Field(0.63, Number())},
    libraries="torch constant_; jax constant; keras Constant",
)
INITS.declare(
    "uniform",
    doc="W ~ U(a, b); by default U(-1/sqrt(fan_in), 1/sqrt(fan_in))",
    fields={
        "a": Field("default", OneOf(("default",), (Number(),)), "lower end; default -1/sqrt(fan_in)"),
        "b": Field("default", OneOf(("default",), (Number(),)), "upper end; default 1/sqrt(fan_in)"),
    },
    constraint=Constraint("a < b (a default end counts as 0)", ("a", "b"), lambda f: _ordered(f["a"], f["b"])),
    libraries="torch uniform_ is U(0, 1) by default, keras RandomUniform U(-0.05, 0.05), jax uniform U(0, 0.01)",
)
INITS.declare(
    "normal",
    doc="W ~ N(mean, std^2)",
    fields={"mean": Field(0.0, Number()), "std": Field(1.0, Number(ge=0))},
    libraries="torch normal_; keras RandomNormal has std 0.05 by default, jax normal 0.01",
)
INITS.declare(
    "trunc_normal",
    doc="W ~ N(mean, std^2) cut to [a, b] (ends as values, not in units of std)",
    source="torch.nn.init.trunc_normal_",
    fields={
        "mean": Field(0.0, Number()),
        "std": Field(1.0, POSITIVE),
        "a": Field(-2.0, Number()),
        "b": Field(2.0, Number()),
    },
    constraint=Constraint(
        "a < b, and an interval not beyond 37 std from the mean, where nothing is left to draw",
        ("a", "b", "mean", "std"),
        lambda f: f["a"] < f["b"] and f["a"] - f["mean"] < 37 * f["std"] and f["mean"] - f["b"] < 37 * f["std"],
    ),
    libraries="torch trunc_normal_ has these ends; in jax and keras they are in units of std, so that torch's std=0.02 "
    "with its ends at +-2 cuts nothing",
)
INITS.declare(
    "variance_scaling",
    doc="mean 0, variance scale / fan",
    source="jax.nn.initializers.variance_scaling; keras VarianceScaling",
    fields={
        "scale": Field(1.0, POSITIVE, "2 for relu"),
        "mode": Field("fan_in", OneOf(("fan_in", "fan_out", "fan_avg")), "the fan that the variance is divided by"),
    }
    | DISTRIBUTION,
    assumes="independent weights and inputs of mean 0 or weights of mean 0, as each of its cases",
    libraries="jax, keras, not torch; their normal laws are truncated (distribution=truncated here): he_normal is "
    "scale=2, glorot_normal mode=fan_avg, lecun_normal scale=1",
)
INITS.declare(
    "xavier_uniform",
    doc="U(-r, r), r = gain sqrt(6 / (fan_in + fan_out))",
    source=GLOROT,
    fields=GAIN,
    assumes="activations linear around 0 with slope 1; a compromise between forward and backward variance",
    libraries="torch xavier_uniform_; jax, keras glorot_uniform; all the same law",
)
INITS.declare(
    "xavier_normal",
    alias="xavier",
    doc="N(0, gain^2 2 / (fan_in + fan_out))",
    source=GLOROT,
    fields=GAIN,
    assumes="activations linear around 0 with slope 1; a compromise between forward and backward variance",
    libraries="torch xavier_normal_; glorot_normal of jax and keras is truncated at 2 sigma: here variance_scaling "
    "mode=fan_avg distribution=truncated",
)
INITS.declare(
    "kaiming_uniform",
    doc="U(-r, r), r = gain sqrt(3 / fan)",
    source=HE,
    fields=KAIMING,
    assumes="relu or leaky_relu after each layer; symmetric pre-activations; zero biases",
    libraries="torch kaiming_uniform_, whose default nonlinearity is leaky_relu; jax, keras he_uniform: fan_in and "
    "relu. torch's gains of tanh (5/3) and selu (3/4) are conventions, not solutions: gain=forward solves",
)
INITS.declare(
    "kaiming_normal",
    alias="kaiming",
    doc="N(0, gain^2 / fan)",
    source=HE,
    fields=KAIMING,
    assumes="relu or leaky_relu after each layer; symmetric pre-activations; zero biases",
    libraries="torch kaiming_normal_; he_normal of jax and keras is truncated at 2 sigma: here variance_scaling "
    "scale=2 distribution=truncated",
)
INITS.declare(
    "lecun",
    doc="variance gain^2 / fan_in",
    source="LeCun et al. 1998, Efficient BackProp, sec. 4.6; Klambauer et al. 2017, arXiv:1706.02515",
    fields=GAIN | DISTRIBUTION,
    assumes="standardised inputs, and an activation that keeps variance 1 (1.7159 tanh(2x/3), selu)",
    libraries="jax, keras lecun_normal (truncated) and lecun_uniform; torch only as "
    "kaiming_normal_(nonlinearity='linear')",
)
INITS.declare(
    "orthogonal",
    doc="W W' = gain^2 I or W' W = gain^2 I, Haar-distributed; a kernel is flattened to [out, in k k]",
    source="Saxe et al. 2014, arXiv:1312.6120",
    fields=GAIN,
    assumes="a deep linear net; of a convolution the flattened kernel is orthogonal, not the layer",
    libraries="torch orthogonal_; jax, keras orthogonal, which flatten a kernel to [k k in, out]. A fused weight is "
    "one matrix in all of them",
)
INITS.declare(
    "spectral",
    doc="every singular value is gain sqrt(out / fan_in), Haar-distributed",
    source="Yang, Simon & Bernstein 2023, arXiv:2310.17813, cond. 1; Large et al. 2024, arXiv:2405.14813",
    fields=GAIN,
    assumes="inputs in the weight's dominant directions, as after some training",
    libraries="modula",
    takes=NO_TRANSPOSED,
)
INITS.declare(
    "delta_orthogonal",
    doc="of a kernel the centre tap is gain Q, all else 0; what is no convolution is orthogonal",
    source="Xiao et al. 2018, arXiv:1806.05393, algorithm 2",
    fields=GAIN,
    assumes="circular padding, stride 1, and at least as many outputs as inputs: then the layer is an isometry",
    libraries="jax delta_orthogonal, whose centre is (k - 1) // 2; TF 1 convolutional_delta_orthogonal; not torch. "
    "Both refuse what is no convolution",
    takes=Takes(
        "convolutions with at least as many outputs as inputs a group, and what is no convolution",
        lambda shape, layer, groups: layer != "conv_transpose" and (layer != "conv" or shape[0] // groups >= shape[1]),
    ),
)
INITS.declare(
    "identity",
    doc="gain I, of a kernel at its centre tap; cut or padded with zeros where not square",
    source="Le, Jaitly & Hinton 2015, arXiv:1504.00941; torch.nn.init.eye_ and dirac_",
    fields=GAIN,
    assumes="square layers; where out > in the further units get nothing",
    libraries="torch eye_, dirac_ (groups the same); keras Identity. torch gives a fused weight one identity, not one "
    "for each projection",
    takes=NO_TRANSPOSED,
)
INITS.declare(
    "hadamard",
    doc="I where out <= in, else the Hadamard matrix of order 2^ceil(log2 out), cut and scaled; no randomness",
    source="Zhao, Schaefer & Anandkumar 2022 (ZerO), arXiv:2110.12661, algorithm 1",
    assumes="residual connections (in a plain net all is linear in few directions); every seed draws the same",
    libraries="the authors' code, whose scale 2^(-ceil(log2 out)/2) is taken here",
    takes=NO_TRANSPOSED,
)
INITS.declare(
    "sparse",
    doc="ceil(sparsity n) of the n weights of each input or unit are 0, the others N(0, std^2)",
    source="Martens 2010, ICML, sec. 5",
    fields={
        "sparsity": Field(0.9, Number(ge=0, le=1), "fraction of zeros"),
        "std": Field(0.01, POSITIVE, "of the others"),
        "per": Field("input", OneOf(("input", "unit")), "whose weights are counted: input as torch, unit as Martens"),
    },
    assumes="saturating units, which few incoming weights keep from saturating",
    libraries="torch sparse_ (2-D alone), per=input",
)
INITS.declare(
    "critical",
    doc="W ~ N(0, sw2 / fan_in), b ~ N(0, sb2) at the edge of chaos of the run's activation",
    source="Poole et al. 2016, arXiv:1606.05340; Schoenholz et al. 2017, arXiv:1611.01232",
    fields={"bias": Field("critical", OneOf((*BIASES, "critical")), "law of the biases; critical: N(0, sb2)")},
    assumes="infinite width, Gaussian pre-activations, fresh weights in every layer",
    libraries="none; neural-tangents computes the kernels that it is solved from",
    critical=True,
)
INITS.declare(
    "auto",
    doc="variance 1 / (fan_in E x^2), x being what the layer receives, followed through the net from the data",
    source="Bingham & Miikkulainen 2023 (AutoInit), arXiv:2109.08958",
    fields=DISTRIBUTION,
    assumes="Gaussian pre-activations; positions that are pooled are independent",
    libraries="the authors' code for TensorFlow",
    signal=True,
)
INITS.declare(
    "too_small",
    doc="factor times Kaiming: a control, whose signal vanishes",
    source="a control: He et al. 2015, sec. 2.2, on what another scale does in L layers",
    fields=GAIN | {"factor": Field(0.1, Number(gt=0, lt=1), "of the deviation")},
    assumes="nothing; a comparison in which it does well has no power",
)
INITS.declare(
    "too_large",
    doc="factor times Kaiming: a control, whose signal explodes",
    source="a control: He et al. 2015, sec. 2.2, on what another scale does in L layers",
    fields=GAIN | {"factor": Field(3.0, Number(gt=1), "of the deviation")},
    assumes="nothing; a comparison in which it does well has no power",
)
INITS.declare(
    "torch_default",
    doc="what PyTorch does to Linear and conv: W, b ~ U(-1/sqrt(fan_in), 1/sqrt(fan_in)); embeddings N(0, 1)",
    source="torch.nn.Linear.reset_parameters: kaiming_uniform_(a=sqrt(5))",
    fields={"bias": Field("uniform", OneOf(BIASES), "law of the biases")},
    assumes="nothing; its variance 1 / (3 fan_in) shrinks a deep relu net's signal sixfold a layer",
    libraries="torch alone; keras' Dense has glorot_uniform, flax' lecun_normal",
)
