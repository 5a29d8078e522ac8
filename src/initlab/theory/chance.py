"""The loss of a net that knows nothing yet: logits of a given variance, independent of the classes."""

from __future__ import annotations

import math

import numpy as np

STEP, POINTS = 0.2, 1501  # of u: the rule converges as exp(-pi^2 / STEP), to 1e-21


def chance_loss(classes: int, variance: float) -> float:
    """E of the cross-entropy, in nats, of logits N(0, variance), independent of each other and of the class.

    ln C + variance (1 - 1 / C) / 2 + O(variance^2), and exact for any variance: with M(t) = E exp(-t e^x), Frullani's
    integral makes E ln sum exp(x_k) that of exp(-e^u) - M(e^u)^C over all u.
    """
    if not math.isfinite(variance):
        return math.inf
    z = np.linspace(-9, 9, 181)
    density = np.exp(-(z**2) / 2)
    x = math.sqrt(variance) * z
    reach = 10 * math.sqrt(variance) + 40 + math.log(classes)
    u = np.linspace(-reach, reach, min(2 * math.ceil(reach / STEP) + 1, POINTS))

    def survival(logs: np.ndarray) -> np.ndarray:
        return np.exp(-np.exp(np.minimum(logs, 7.0)))  # e^-1096 is 0

    moments = survival(u[:, None] + x) @ density / density.sum()
    return float(np.trapezoid(survival(u) - moments**classes, u))
