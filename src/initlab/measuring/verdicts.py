"""Whether a net will train, from what was measured before training, and the layer that is at fault.

    found = judge(probe)
    print(found.verdict, found.reason, found.trouble, found.risk, found.chance)

Two measured numbers decide. How much a gradient's variance changes from the last hidden layer back to the first: far
apart, no one learning rate serves both. And how many directions the rows of a batch still have at the last hidden
layer: with too few the readout cannot tell them apart. Each is put in units of a threshold, and the larger is the
`risk`: 1 and more does not train. The thresholds, and how steeply the chance falls, were fixed on nets other than those
that docs/probe.md reports on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from initlab.measuring.findings import Layer, Probe, Verdict

GRADIENT = 13.5  # of log2 of the gradient variance at the first hidden layer over that at the last, either way
RANK = 2.2  # of the effective rank of the rows at the last hidden layer
KEPT = 0.75  # of the input's rank, and of the layer's width: where these are small, no more is asked
STEEP = 10.0  # of the logistic curve from risk to the chance to train
ALONE = 0.5  # of the whole: a layer that makes more of it than all others is at fault alone
NEVER = 100.0  # the risk of what cannot train at all


class Judgement(NamedTuple):
    verdict: Verdict
    reason: str
    risk: float
    chance: float
    trouble: str | None = None  # a layer's name
    troubled: tuple[str, ...] = ()


def judge(found: Probe) -> Judgement:
    """The verdict, its reason, and the layers it is about."""
    for layer in found.layers:
        if not math.isfinite(layer.q):
            return _never(layer, "explodes", f"the signal is not finite at {layer.name}.")
        if layer.silent == 1.0:
            return _never(layer, "vanishes", f"no unit of {layer.name} passes a gradient, for any row.")
    hidden = found.layers[:-1]
    if not hidden:
        return _judged("trains", "a linear model: no hidden layer to lose a signal in.", 0.0)
    steps = [layer for layer in hidden if layer.call] or hidden  # a recurrent net is as deep as its steps
    logs = [(layer, math.log2(layer.gradient)) for layer in steps if layer.gradient]
    change = logs[0][1] - logs[-1][1] if logs else 0.0
    rank, enough = hidden[-1].rank, min(RANK, KEPT * min(found.rank, hidden[-1].shape[0]))
    gradient, merging = abs(change) / GRADIENT, min(enough / rank, NEVER) if rank else NEVER
    risk = max(gradient, merging)
    if risk < 1:
        words = "no gradient is measured" if hidden[0].gradient is None else _cut(found.layers[-1])
        if logs:
            words = f"gradient variance at {logs[0][0].name} {_power(change)} times that at {logs[-1][0].name}"
        return _judged("trains", f"{words}; there {found.rows} rows have an effective rank of {rank:.1f}.", risk)
    if merging > gradient:
        alike = tuple(layer.name for layer in hidden if layer.rank <= enough)
        words = f"{found.rows} rows have an effective rank of {rank:.2f} at {hidden[-1].name}"
        return _judged("stalls", f"{words}: the readout takes them for one.", risk, alike[0], alike)
    return _far(logs, 1 if change > 0 else -1, risk)


def _cut(readout: Layer) -> str:
    return f"no gradient reaches below {readout.name} yet" + (", a readout of zero" if readout.q == 0 else "")


def _far(logs: Sequence[tuple[Layer, float]], sign: int, risk: float) -> Judgement:
    """The layer across which the gradient changes most, if it stands out; else the farthest, and how even it changes.

    A gradient crosses a layer's weight to be that of the layer below.
    """
    (first, start), (last, end) = logs[0], logs[-1]
    will = "it will diverge" if sign > 0 else "it will stall"
    words = f"gradient variance at {first.name} {_power(start - end)} times that at {last.name}: {will}."
    steps = [(above, sign * (low - high)) for (_, low), (above, high) in pairwise(logs)]
    worst, most = max(steps, key=lambda pair: pair[1])
    verdict: Verdict = "explodes" if sign > 0 else "vanishes"
    if most > ALONE * sign * (start - end):
        words = f"{words} {worst.name} alone makes {_power(sign * most)} of it."
        return _judged(verdict, words, risk, worst.name, (worst.name,))
    beyond = tuple(layer.name for layer, log in logs if sign * (log - end) >= GRADIENT)
    each = 2 ** ((start - end) / len(steps))
    return _judged(verdict, f"{words} Each layer multiplies it by about {each:.2g}.", risk, first.name, beyond)


def _judged(
    verdict: Verdict, words: str, risk: float, trouble: str | None = None, troubled: tuple[str, ...] = ()
) -> Judgement:
    chance = 1 / (1 + math.exp(min(STEEP * (risk - 1), 700.0)))
    return Judgement(verdict, words, risk, chance, trouble, troubled)


def _never(layer: Layer, verdict: Verdict, words: str) -> Judgement:
    return _judged(verdict, words, NEVER, layer.name, (layer.name,))


def _power(log2: float) -> str:
    return f"2^{log2:.0f}"
