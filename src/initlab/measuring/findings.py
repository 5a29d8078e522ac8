"""What a probe found, as data: measured, predicted, and what follows. Torch-free, and JSON on the disk.

as_json(found)     # {"schema": 1, "layers": [{"name": "fc1", "q": 0.98, ...}, ...], "verdict": "trains", ...}
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

from initlab.theory import Trace

SCHEMA = 1
Verdict = Literal["trains", "vanishes", "explodes", "stalls", "unknown"]


@dataclass(frozen=True)
class Spread:
    """Singular values: the greatest, the least, and the standard deviation of ln of those that are not 0.

    ``exact``: all of them, else of a random subspace, from which the least and the deviation cannot be told.
    """

    greatest: float
    least: float
    deviation: float
    exact: bool = True


@dataclass(frozen=True)
class Layer:
    """One call of a weight. Moments are over rows, units and positions; each is that of one net, one batch.

    ``q`` the second moment of what it gives, the pre-activation; ``mean`` and ``variance`` of its activation (of
    its output where none follows); ``dead`` the share of slopes that are 0, ``saturated`` of those below a tenth of
    the greatest near 0, ``silent`` the share of units dead for every row; ``gradient`` E (dL/d pre-activation)^2,
    that of the net's output being 1; ``correlation`` the mean cosine of two rows' pre-activations, ``rank`` their
    effective rank, ``alike`` the mean cosine of two positions of one row (of a branch's end all three are of the sum
    with what it joins); ``singular`` the spread of the
    weight's singular values; ``call`` the number of the call of a layer that is called again and again. None: there
    is none.
    """

    name: str
    shape: tuple[int, ...]
    q: float
    mean: float
    variance: float
    correlation: float
    rank: float
    alike: float | None = None
    gradient: float | None = None
    dead: float | None = None
    saturated: float | None = None
    silent: float | None = None
    singular: Spread | None = None
    call: int | None = None


@dataclass(frozen=True)
class Probe:
    """What was measured on ``rows`` rows; what theory expects, as far as it goes; what follows from the former.

    ``square``, ``correlation`` and ``rank`` are the input's. ``loss`` at init and ``loss_expected`` of logits of that
    variance without knowledge of the classes; ``jacobian`` of the input-output Jacobian's singular values;
    ``curvature`` u'Hu along the unit gradient u, so that 2 / curvature is the largest learning rate at which a small
    step goes down. ``risk`` is 1 at the verdict's threshold, ``chance`` that of training; ``trouble`` the layer that is
    at fault, or where it is worst, ``troubled`` all that are beyond a bound. ``unpredicted``: why theory says nothing.
    """

    layers: tuple[Layer, ...]
    rows: int
    outputs: int
    square: float
    correlation: float
    rank: float
    loss: float | None
    loss_expected: float | None
    predicted: Trace | None
    unpredicted: str | None = None
    jacobian: Spread | None = None
    curvature: float | None = None
    verdict: Verdict = "unknown"
    reason: str = ""
    risk: float = math.nan
    chance: float = math.nan
    trouble: str | None = None
    troubled: tuple[str, ...] = ()


def unmeasured(reason: str) -> Probe:
    """What is kept of a net that could not be probed: the reason, and no layer."""
    return Probe((), 0, 0, math.nan, math.nan, math.nan, None, None, None, reason=reason)


def as_json(found: Probe) -> dict[str, Any]:
    """The content of probe.json; what is not finite is null."""
    return {"schema": SCHEMA, **_plain(found)}


def _plain(value: Any) -> Any:
    if is_dataclass(value):  # asdict would copy each number
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
