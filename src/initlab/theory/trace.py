"""A declared net, layer by layer: what theory expects of signal and gradient before the first step, and a verdict.

    ops = [Dense("fc1", 64, 128, 2 / 64), Act({"name": "relu"}), ..., Dense("fc5", 128, 10, 2 / 128)]
    found = trace(ops, square=1.0)
    found.layers[0].q, found.layers[0].gradient, found.verdict, found.reason

Each op takes what the one before gives; `Add` adds to it what an earlier one gave, `From` goes on from there: a
residual block is [..., Act, Dense, Act, Dense, Add(i)]. Wide-net theory: pre-activations are N(0, q), weights
independent of mean 0 (also those of one layer at its different times); a gradient meets fresh weights on its way back
(Schoenholz et al. 2017, sec. 5). At finite width the moments of one net scatter about the prediction: where the law is
derived (linear and ReLU chains with Gaussian weights, one input), ``scatter`` gives their standard deviation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

from initlab.errors import Refused
from initlab.theory.finite import KURTOSIS
from initlab.theory.meanfield import MeanField
from initlab.theory.moments import dead, saturated
from initlab.theory.signal import Act, Add, Attend, Beyond, Dense, From, Norm, Op, Signal, Stop, after, back

Verdict = Literal["trains", "vanishes", "explodes", "stalls", "unknown"]
FAR = 2.0**20  # a gradient or signal so many times weaker or stronger than at the other end is lost to one rate
DEPTHS = 6.0  # nets train to about 6 depth scales: Schoenholz et al. 2017, sec. 6


@dataclass(frozen=True)
class Layer:
    """What theory expects of one weight's output, the pre-activation, and of what an activation makes of it.

    ``q`` its second moment (its mean is 0), ``correlation`` that of two inputs (NaN beyond attention); ``mean`` and
    ``after`` the moments after the activation; ``gradient`` the variance of dL/d(pre-activation) where that of the
    net's output is 1 (None where theory does not reach the output); ``dead`` and ``saturated`` the shares of units
    without, and with little, gradient; ``greatest`` and ``least`` the edges of the weight's singular values;
    ``scatter`` the relative standard deviation of one net's q about the prediction (None: not derived).
    """

    name: str
    q: float
    mean: float
    after: float
    gradient: float | None
    dead: float
    scatter: float | None
    correlation: float = 0.0
    saturated: float = 0.0
    greatest: float = 0.0
    least: float = 0.0


@dataclass(frozen=True)
class Trace:
    """The layers in their order, as far as theory goes; whether such a net trains, and why; where theory stopped."""

    layers: tuple[Layer, ...]
    verdict: Verdict
    reason: str
    stopped: str | None = None


def trace(
    ops: Sequence[Op], square: float, correlation: float = 0.0, between: float = math.nan, spread: float = 0.0
) -> Trace:
    """The expectations for ops whose input has this mean square, and two inputs this correlation.

    ``between`` is half the mean squared difference of an input at two of its positions, for attention; ``spread`` the
    standard deviation of the mean product of two inputs over their pairs, for batch norms.

    Where theory cannot follow an op, the layers up to there are given, without gradients, and ``stopped`` says why.
    Raises Refused if there is no weight, or an activation has no formula.
    """
    if not any(isinstance(op, Dense | Beyond) for op in ops):
        raise Refused("trace: the net has no weight to follow a signal through.")
    signals, stopped = _forward(ops, Signal(square, (1 - correlation) * square, between, spread=spread))
    layers = _layers(ops, signals)
    if stopped is None:
        try:
            gradients = _backward(ops, signals)
        except Stop as stop:
            stopped = str(stop)
        else:
            places = [i for i, op in enumerate(ops) if isinstance(op, Dense)]
            layers = [replace(layer, gradient=gradients[i + 1]) for layer, i in zip(layers, places, strict=True)]
    if not layers:
        return Trace((), "unknown", f"theory stops before the first layer: {stopped}.", stopped)
    verdict, reason = _judge(ops, layers, square, stopped)
    return Trace(tuple(layers), verdict, reason, stopped)


def _forward(ops: Sequence[Op], start: Signal) -> tuple[list[Signal], str | None]:
    """What each op takes and gives: that of op i is the i + 1-th, the input the first; and where theory stops."""
    signals = [start]
    for i, op in enumerate(ops):
        try:
            signals.append(after(op, signals[-1], i, signals))
        except Stop as stop:
            return signals, str(stop)
    return signals, None


def _backward(ops: Sequence[Op], signals: Sequence[Signal]) -> list[float]:
    """The gradient's variance at each of the signals, the last one's being 1: a sum over the ways back."""
    gradients = [0.0] * len(ops) + [1.0]
    for i, op in reversed(list(enumerate(ops))):
        if isinstance(op, From | Add):
            gradients[op.of + 1] += gradients[i + 1]
        gradients[i] += back(op, signals[i]) * gradients[i + 1]
    return gradients


def _layers(ops: Sequence[Op], signals: Sequence[Signal]) -> list[Layer]:
    """An activation, and a sum's correlation, are the later layer's that it is made of: a branch's last, of a block."""
    layers: list[Layer] = []
    owner: list[int | None] = [None]  # of each signal
    spread: float | None = 0.0  # ln(1 + relative variance) of the signal that enters the next weight
    for i, (op, x, out) in enumerate(zip(ops, signals, signals[1:], strict=False)):
        mine = owner[i]
        if isinstance(op, Dense):
            mine = len(layers)
            spread = spread if spread is not None and op.gaussian and op.bias_variance == 0 else None
            scatter = None if spread is None else math.sqrt(math.expm1(spread + math.log1p(2 / op.fan_out)))
            layers.append(_layer(op, out, scatter))
            width = op.fan_out
        elif isinstance(op, Act):
            if mine is not None:
                without, little = dead(op.option, x.square), saturated(op.option, x.square)
                layers[mine] = replace(layers[mine], mean=out.mean, after=out.square, dead=without, saturated=little)
            kind = {"identity": "linear", "relu": "relu"}.get(op.option["name"])
            spread = None if spread is None or kind is None else spread + math.log1p((KURTOSIS[kind] - 1) / width)
        else:
            spread = None
            if isinstance(op, From | Add):
                others = [owner[op.of + 1], mine if isinstance(op, Add) else None]
                mine = max((o for o in others if o is not None), default=None)
                if isinstance(op, Add) and None not in others and mine is not None:
                    layers[mine] = replace(layers[mine], correlation=out.correlation)
        owner.append(mine)
    return layers


def _layer(op: Dense, out: Signal, scatter: float | None) -> Layer:
    rows, std = op.rows or op.fan_out, math.sqrt(op.weight_variance)
    edges = [std * (math.sqrt(op.fan_in) + sign * math.sqrt(rows)) for sign in (1, -1)]
    greatest, least = [op.singular] * 2 if op.singular is not None else [abs(edge) for edge in edges]
    ends = {"greatest": greatest, "least": least}
    return Layer(op.name, out.square, 0.0, out.square, None, 0.0, scatter, out.correlation, 0.0, **ends)


def _judge(ops: Sequence[Op], layers: Sequence[Layer], square: float, stopped: str | None) -> tuple[Verdict, str]:
    first, last = layers[0], layers[-1]
    if first.gradient is not None and first.gradient < 1 / FAR:
        return "vanishes", f"gradient variance {_power(first.gradient)} at {first.name}: this cell will stall."
    if first.gradient is not None and first.gradient > FAR:
        return "explodes", f"gradient variance {_power(first.gradient)} at {first.name}: this cell will diverge."
    if last.q < square / FAR:
        return "vanishes", f"signal variance {_power(last.q)} at {last.name}: the output hardly depends on the input."
    if last.q > square * FAR:
        return "explodes", f"signal variance {_power(last.q)} at {last.name}: the loss starts out of range."
    if first.gradient is None:
        return "unknown", f"signal {_power(last.q)} at {last.name}; theory stops: {stopped}."
    reach = _reach(ops)
    if reach is not None and len(layers) - 1 > reach[1]:
        return "stalls", (
            f"trainable to depth about 6 xi = {reach[1]:.0f}, and this net has {len(layers) - 1} hidden layers: "
            f"inputs {'become one' if reach[0] <= 1 else 'lose their likeness'} on the way."
        )
    words = f"gradient variance {_power(first.gradient)} at {first.name}, signal {_power(last.q)} at {last.name}"
    bound = "" if reach is None or math.isinf(reach[1]) else f"; trainable to depth about 6 xi = {reach[1]:.0f}"
    return "trains", f"{words}{bound}."


def _reach(ops: Sequence[Op]) -> tuple[float, float] | None:
    """chi and 6 xi_c of the hidden layers, if they are alike and not normalised; None where there is no one xi."""
    hidden = [op for op in ops if isinstance(op, Dense)][1:-1]
    acts = [op.option for op in ops if isinstance(op, Act)]
    if not hidden or not acts or any(isinstance(op, Norm | Add | From | Attend) for op in ops):
        return None
    laws = {(round(op.fan_in * op.weight_variance, 9), op.bias_variance) for op in hidden}
    if len(laws) > 1 or any(act != acts[0] for act in acts):
        return None
    ((weight, bias),) = laws
    return _depth(tuple(sorted(acts[0].items())), weight, bias)


@cache
def _depth(act: tuple[tuple[str, Any], ...], weight: float, bias: float) -> tuple[float, float] | None:
    """chi and 6 xi_c; once for a law, as the runs of a sweep ask again and again."""
    field = MeanField(dict(act), weight, bias)
    try:
        return field.chi(field.fixed_point()), DEPTHS * field.correlation_depth()
    except Refused:
        return None  # no variance is kept: the signal itself decides


def _power(value: float) -> str:
    return "0" if value == 0 else f"2^{math.log2(value):.0f}"
