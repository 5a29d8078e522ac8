"""The schemes with independent entries: each a law of mean and variance, as a function of a weight's fans.

    weight = Weight("fc1.weight", (64, 20), fan_in=20, fan_out=64, act={"name": "relu"}, seed=0)
    INITS.build({"name": "kaiming_normal", "gain": "default", ...}, weight)         # Normal(0.0, 0.316)

One formula, many names: Xavier, Kaiming, LeCun and the rest are rows over `scaled`. Fields, defaults and ranges are in
`specs/`; those whose entries hang together in `structured.py`; `apply.py` walks a net and draws from the laws.
"""

from __future__ import annotations

import math
from typing import Literal

from initlab.errors import Refused
from initlab.gains import Gain, critical_of, gain_of, torch_gain
from initlab.laws import Constant, Law, Normal, Truncated, Uniform, Weight
from initlab.specs import INITS

Mode = Literal["fan_in", "fan_out", "fan_avg"]
Distribution = Literal["normal", "uniform", "truncated"]

# The standard deviation of N(0, 1) cut at +-2: sqrt(1 - 4 phi(2) / (2 Phi(2) - 1)).
TRUNCATED_STD = 0.8796256610342398


def scaled(weight: Weight, gain: float, mode: Mode, distribution: Distribution) -> Law:
    """W of mean 0 and variance gain^2 / fan.

    | named row     | gain                    | mode             | what torch calls it                |
    |---------------|-------------------------|------------------|------------------------------------|
    | xavier        | 1                       | fan_avg          | xavier_{uniform,normal}_           |
    | kaiming       | sqrt(2) for relu        | fan_in, fan_out  | kaiming_{uniform,normal}_          |
    | lecun         | 1                       | fan_in           | kaiming_*_(nonlinearity="linear")  |
    | torch_default | sqrt(1/3)               | fan_in           | kaiming_uniform_(a=sqrt(5))        |
    | auto          | 1 / sqrt(E x^2)         | fan_in           | -                                  |

    The truncated law is N(0, s^2) cut at +-2 s, with s such that the variance after cutting is the one asked for.
    """
    fan = {"fan_in": weight.fan_in, "fan_out": weight.fan_out, "fan_avg": (weight.fan_in + weight.fan_out) / 2}[mode]
    std = gain / math.sqrt(fan)
    if distribution == "uniform":
        return Uniform(-math.sqrt(3) * std, math.sqrt(3) * std)
    if distribution == "truncated":
        wide = std / TRUNCATED_STD
        return Truncated(0.0, wide, -2 * wide, 2 * wide)
    return Normal(0.0, std)


@INITS.register("zeros")
def zeros(weight: Weight) -> Law:
    """W = 0."""
    return Constant(0.0)


@INITS.register("ones")
def ones(weight: Weight) -> Law:
    """W = 1."""
    return Constant(1.0)


@INITS.register("constant")
def constant(weight: Weight, *, value: float) -> Law:
    """W = value."""
    return Constant(value)


@INITS.register("uniform")
def uniform(weight: Weight, *, a: float | Literal["default"], b: float | Literal["default"]) -> Law:
    """W ~ U(a, b), an end left to default being -+1/sqrt(fan_in). torch's bare uniform_ is U(0, 1) instead."""
    bound = 1 / math.sqrt(weight.fan_in)
    return Uniform(-bound if a == "default" else float(a), bound if b == "default" else float(b))


@INITS.register("normal")
def normal(weight: Weight, *, mean: float, std: float) -> Law:
    """W ~ N(mean, std^2); torch's normal_."""
    return Normal(mean, std)


@INITS.register("trunc_normal")
def trunc_normal(weight: Weight, *, mean: float, std: float, a: float, b: float) -> Law:
    """W ~ N(mean, std^2) given a <= W <= b; torch's trunc_normal_. The ends are values, as in torch, not sigmas."""
    return Truncated(mean, std, a, b)


@INITS.register("variance_scaling")
def variance_scaling(weight: Weight, *, scale: float, mode: Mode, distribution: Distribution) -> Law:
    """Mean 0, variance scale / fan: the primitive of jax and Keras, of which Xavier, Kaiming and LeCun are cases.

    Their he_normal is scale=2 distribution=truncated, their glorot_normal mode=fan_avg distribution=truncated.
    """
    return scaled(weight, math.sqrt(scale), mode, distribution)


@INITS.register("xavier_uniform")
def xavier_uniform(weight: Weight, *, gain: Gain) -> Law:
    """W ~ U(-r, r), r = gain sqrt(6 / (fan_in + fan_out)). Glorot & Bengio 2010, eq. 16; torch's xavier_uniform_."""
    return scaled(weight, gain_of(gain, weight.act, 1.0), "fan_avg", "uniform")


@INITS.register("xavier_normal")
def xavier_normal(weight: Weight, *, gain: Gain) -> Law:
    """W ~ N(0, gain^2 2 / (fan_in + fan_out)). Glorot & Bengio 2010, eq. 12; torch's xavier_normal_ (not truncated)."""
    return scaled(weight, gain_of(gain, weight.act, 1.0), "fan_avg", "normal")


@INITS.register("kaiming_uniform")
def kaiming_uniform(
    weight: Weight, *, gain: Gain, mode: Literal["fan_in", "fan_out"], nonlinearity: str, negative_slope: float
) -> Law:
    """W ~ U(-r, r), r = gain sqrt(3 / fan). He et al. 2015; torch's kaiming_uniform_, whose default is leaky_relu."""
    return scaled(weight, gain_of(gain, weight.act, torch_gain(nonlinearity, negative_slope)), mode, "uniform")


@INITS.register("kaiming_normal")
def kaiming_normal(
    weight: Weight, *, gain: Gain, mode: Literal["fan_in", "fan_out"], nonlinearity: str, negative_slope: float
) -> Law:
    """W ~ N(0, gain^2 / fan). He et al. 2015, eq. 10 and 14; torch's kaiming_normal_ (not truncated)."""
    return scaled(weight, gain_of(gain, weight.act, torch_gain(nonlinearity, negative_slope)), mode, "normal")


@INITS.register("lecun")
def lecun(weight: Weight, *, gain: Gain, distribution: Distribution) -> Law:
    """Variance gain^2 / fan_in. LeCun et al. 1998, sec. 4.6; the scheme that SELU assumes (Klambauer et al. 2017)."""
    return scaled(weight, gain_of(gain, weight.act, 1.0), "fan_in", distribution)


@INITS.register("torch_default")
def torch_default(weight: Weight) -> Law:
    """W ~ U(-1/sqrt(fan_in), 1/sqrt(fan_in)): torch.nn.Linear and convolutions, as kaiming_uniform_(a=sqrt(5)).

    Its standard deviation is 1/sqrt(3 fan_in): a variance 6 times too small for deep ReLU nets. An embedding is
    N(0, 1). Transposed convolutions, recurrent and attention layers get the law of Linear, not their own defaults.
    """
    if weight.layer == "embedding":
        return Normal(0.0, 1.0)
    return scaled(weight, math.sqrt(1 / 3), "fan_in", "uniform")


@INITS.register("critical")
def critical(weight: Weight) -> Law:
    """W ~ N(0, sw2 / fan_in), and b ~ N(0, sb2) by its bias law, both at the edge of chaos of the run's activation.

    sw2 E phi'(sqrt(q) z)^2 = 1 and q = sw2 E phi(sqrt(q) z)^2 + sb2. Poole et al. 2016; Schoenholz et al. 2017.
    """
    return Normal(0.0, math.sqrt(critical_of(weight.act).weight_variance / weight.fan_in))


@INITS.register("auto")
def auto(weight: Weight, *, distribution: Distribution) -> Law:
    """Variance 1 / (fan_in E x^2), x being what this very layer receives: every layer's output has variance 1.

    Bingham & Miikkulainen 2023 (AutoInit), with our own way of following the signal, see `walk`.
    """
    if not weight.signal:
        why = "nobody has followed the net to it" if weight.signal is None else "it receives nothing but zeros"
        raise Refused(f"init=auto: needs the mean square of what {weight.name} receives, but {why}.")
    return scaled(weight, 1 / math.sqrt(weight.signal), "fan_in", distribution)


@INITS.register("too_small")
def too_small(weight: Weight, *, gain: Gain, factor: float) -> Law:
    """Kaiming times ``factor`` < 1: the signal shrinks by it in every layer. A control that deep nets ought to fail."""
    return scaled(weight, factor * gain_of(gain, weight.act, math.sqrt(2)), "fan_in", "normal")


@INITS.register("too_large")
def too_large(weight: Weight, *, gain: Gain, factor: float) -> Law:
    """Kaiming times ``factor`` > 1: the signal grows by it in every layer. A control that deep nets ought to fail."""
    return scaled(weight, factor * gain_of(gain, weight.act, math.sqrt(2)), "fan_in", "normal")
