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
    trouble: str | None  # a layer's name


def judge(found: Probe) -> Judgement:
    """The first that holds: something is not finite, a layer is silent, the gradient is lost or out of range, rows
    become one; else the net trains."""
    layers = found.layers
    for layer in layers:
        if not math.isfinite(layer.q):
            return Judgement("explodes", f"the signal is not finite at {layer.name}.", layer.name)
        if layer.silent == 1.0:
            return Judgement("vanishes", f"no unit of {layer.name} passes a gradient, for any row.", layer.name)
    logs = [(layer, _log2(layer.gradient)) for layer in layers if layer.gradient is not None]
    weakest, strongest = (end(logs, key=lambda pair: pair[1]) for end in (min, max))
    if weakest[1] < -FAR:
        where, how = _at_fault(layers, -1)
        words = f"gradient variance {_power(weakest[1])} at {weakest[0].name}: it will stall. {how}"
        return Judgement("vanishes", words, where)
    if strongest[1] > FAR:
        where, how = _at_fault(layers, 1)
        words = f"gradient variance {_power(strongest[1])} at {strongest[0].name}: it will diverge. {how}"
        return Judgement("explodes", words, where)
    hidden = layers[-2] if len(layers) > 1 else layers[-1]
    if 1 - hidden.correlation < ALIKE:
        where = next(layer.name for layer in layers if 1 - layer.correlation < ALIKE)
        words = f"two rows have a cosine of {hidden.correlation:.5f} at {hidden.name}: the readout takes them for one."
        return Judgement("stalls", words, where)
    ends = f"gradient variance {_power(logs[0][1])} at {logs[0][0].name}"
    return Judgement("trains", f"{ends}, cosine of two rows {hidden.correlation:.2f} at {hidden.name}.", None)


def _at_fault(layers: Sequence[Layer], sign: int) -> tuple[str, str]:
    """The layer across which the gradient changes most, if it stands out; else the first that is too far, and how even.

    A gradient on its way back crosses a layer's weight before it is the one of the layer below.
    """
    steps = [
        (above, sign * (_log2(below.gradient or 0.0) - _log2(above.gradient or 0.0)))
        for below, above in pairwise(layers)
    ]
    finite = [(layer, step) for layer, step in steps if math.isfinite(step)]
    total = sum(step for _, step in finite)
    if finite:
        worst, most = max(finite, key=lambda pair: pair[1])
        if most > ALONE * total:
            return worst.name, f"{worst.name} alone makes 2^{sign * most:.0f} of it."
    far = next(layer for layer in reversed(layers) if sign * _log2(layer.gradient or 0.0) > FAR)
    each = sign * total / len(finite) if finite else math.nan
    return (
        far.name,
        f"Every layer multiplies it by about {2**each:.2g}; beyond {far.name} too little or too much is left.",
    )


def _log2(value: float) -> float:
    return math.log2(value) if value > 0 else -math.inf


def _power(log2: float) -> str:
    return "0" if math.isinf(log2) else f"2^{log2:.0f}"
