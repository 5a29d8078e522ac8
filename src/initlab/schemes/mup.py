"""muP: initial variances and learning rates under which a net of any width trains as the one of base width does.

    mup(weight, gain="default", readout="scaled", base_width=128)      # Normal(0.0, 0.0078): a readout 8 times as wide
    rate((8.0, 8.0), adaptive=True)                                    # 0.125: a hidden layer's under Adam

Yang & Hu 2021 (arXiv:2011.14522), Yang et al. 2022 (arXiv:2203.03466), table 3. With m_in and m_out the factors by
which a tensor's inputs and outputs exceed those of the base net, variances and rates exceed the base net's by

|            | input, bias (m_in = 1) | hidden (m_in = m_out) | readout (m_out = 1) |
|------------|------------------------|-----------------------|---------------------|
| variance   | 1                      | 1 / m_in              | 1 / m_in^2          |
| rate, SGD  | m_out                  | 1                     | 1 / m_in            |
| rate, Adam | 1                      | 1 / m_in              | 1 / m_in            |

so that widths tell the columns apart, and at base width all is Kaiming.
"""

from __future__ import annotations

import math
from typing import Literal

from initlab.gains import Gain, gain_of
from initlab.laws import Constant, Law, Normal, Weight
from initlab.specs import INITS


@INITS.register("mup")
def mup(weight: Weight, *, gain: Gain, readout: Literal["scaled", "zero"], base_width: int) -> Law:
    """N(0, gain^2 / fan_in) at base width; wider, hidden layers 1 / m_in of it and the readout 1 / m_in^2.

    ``base_width`` is whose growth the weight has. ``readout=zero`` starts what has the role readout at 0, as the paper
    recommends (its sec. D.2): then nets of all widths agree at the start.
    """
    if readout == "zero" and weight.role is not None and weight.role.kind == "readout":
        return Constant(0.0)
    m_in, m_out = weight.growth
    at_base = weight.fan_in / (m_out if weight.layer == "embedding" else m_in)  # a table's fan_in is its width
    factor = m_in**-2 if m_out == 1 else 1 / m_in
    return Normal(0.0, gain_of(gain, weight.act, math.sqrt(2)) * math.sqrt(factor / at_base))


def rate(growth: tuple[float, float], *, adaptive: bool) -> float:
    """The learning rate's factor; ``adaptive``: the step does not grow with the gradient, as Adam's does not."""
    m_in, m_out = growth
    return 1 / m_in if adaptive else m_out / m_in
