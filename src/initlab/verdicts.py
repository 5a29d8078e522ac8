"""Whether a net will train, from what was measured before training: a few thresholds, and the layer that is at fault.

found = judge(probe)
print(found.verdict, found.reason, found.trouble)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from initlab.findings import Layer, Probe, Verdict

FAR = 20.0  # of log2: a gradient or signal so many times weaker or stronger than at the other end is lost to one rate
ALIKE = 1e-3  # of 1 - cosine: rows that the last hidden layer tells apart no better are one to the readout
ALONE = 0.5  # of the whole: a layer that makes more of it than all others is at fault alone


class Judgement(NamedTuple):
    verdict: Verdict
    reason: str
    trouble: str | None = None
    troubled: tuple[str, ...] = ()


def judge(found: Probe) -> Judgement:
    """The first that holds: something is not finite, a layer is silent, the gradient is lost or out of range, rows
    become one; else the net trains."""
    layers = found.layers
    for layer in layers:
        if not math.isfinite(layer.q):
            return _at(layer, "explodes", f"the signal is not finite at {layer.name}.")
        if layer.silent == 1.0:
            return _at(layer, "vanishes", f"no unit of {layer.name} passes a gradient, for any row.")
    logs = [(layer, _log2(layer.gradient)) for layer in layers if layer.gradient is not None]
    if lost := _beyond(logs, -1, "vanishes", "stall"):
        return lost
    if out_of_range := _beyond(logs, 1, "explodes", "diverge"):
        return out_of_range
    hidden = layers[-2] if len(layers) > 1 else layers[-1]
    if 1 - hidden.correlation < ALIKE:
        alike = tuple(layer.name for layer in layers[:-1] if 1 - layer.correlation < ALIKE)
        words = f"two rows have a cosine of {hidden.correlation:.5f} at {hidden.name}: the readout takes them for one."
        return Judgement("stalls", words, alike[0], alike)
    ends = f"gradient variance {_power(logs[0][1])} at {logs[0][0].name}"
    return Judgement("trains", f"{ends}, cosine of two rows {hidden.correlation:.2f} at {hidden.name}.")


def _at(layer: Layer, verdict: Verdict, words: str) -> Judgement:
    return Judgement(verdict, words, layer.name, (layer.name,))


def _beyond(logs: Sequence[tuple[Layer, float]], sign: int, verdict: Verdict, will: str) -> Judgement | None:
    """Where the gradient's variance is beyond 2^(sign FAR): the layer across which it changes most, if it stands out;
    else the farthest, and how even the change is. A gradient crosses a layer's weight to be that of the layer below."""
    far, value = max(logs, key=lambda pair: sign * pair[1])
    if sign * value < FAR:
        return None
    words = f"gradient variance {_power(value)} at {far.name}: it will {will}."
    steps = [(above, sign * (low - high)) for (_, low), (above, high) in pairwise(logs) if math.isfinite(low - high)]
    worst, most = max(steps, key=lambda pair: pair[1], default=(far, math.inf))
    if most > ALONE * sum(step for _, step in steps):
        return Judgement(
            verdict, f"{words} {worst.name} alone makes 2^{sign * most:.0f} of it.", worst.name, (worst.name,)
        )
    beyond = tuple(layer.name for layer, log in logs if sign * log >= FAR)
    each = 2 ** (sign * sum(step for _, step in steps) / len(steps))
    return Judgement(verdict, f"{words} Each layer multiplies it by about {each:.2g}.", far.name, beyond)


def _log2(value: float) -> float:
    return math.log2(value) if value > 0 else -math.inf


def _power(log2: float) -> str:
    return "0" if math.isinf(log2) else f"2^{log2:.0f}"
