"""The schemes for residual nets, x + F(x): they ask where in its branch a layer lies, and how many branches there are.

    weight.role                                            # Role("hidden", block=3, blocks=50, layer=2, layers=2)
    INITS.build({"name": "fixup", "gain": "default"}, weight)                       # Constant(0.0): the branch's last

Under He's law a branch adds as much as it receives, so that L blocks multiply the signal's second moment by 2^L (3^L
where no activation stands before the first layer); each scheme here bounds it in its own way. What lies in no branch
(stem, readout, a net without roles) has the law that is named first.
"""

from __future__ import annotations

import math

import torch

from initlab.gains import Gain, gain_of
from initlab.laws import Constant, Law, Normal, Weight
from initlab.roles import Role
from initlab.schemes.inits import scaled
from initlab.schemes.structured import at_centre, block, repeated
from initlab.specs import INITS


def he(weight: Weight, gain: Gain, factor: float = 1.0) -> Law:
    """N(0, (factor gain)^2 / fan_in), the gain sqrt(2) unless it is given."""
    return scaled(weight, factor * gain_of(gain, weight.act, math.sqrt(2)), "fan_in", "normal")


def branches(role: Role | None) -> int:
    """L, for the last layer of a branch; 1 for any other."""
    return role.blocks if role is not None and role.last and role.blocks else 1


@INITS.register("fixup")
def fixup(weight: Weight, *, gain: Gain) -> Law:
    """He, in a branch of m layers times L^(-1/(2m-2)), L the number of branches; a branch's last and the readout are 0.

    Zhang, Dauphin & Ma 2019, sec. 3. Its third rule, a multiplier and biases in each branch, is the net's:
    arch.residual=fixup.
    """
    role = weight.role
    if role is not None and (role.last or role.kind == "readout"):
        return Constant(0.0)
    if role is None or role.layers is None or role.blocks is None or role.layer is None:
        return he(weight, gain)
    return he(weight, gain, role.blocks ** (-1 / (2 * role.layers - 2)))


@INITS.register("skipinit")
def skipinit(weight: Weight, *, gain: Gain) -> Law:
    """He, and 0 for the number that multiplies a branch: each block starts as the identity.

    De & Smith 2020 (SkipInit), alpha = 0; Bachlechner et al. 2021 (ReZero).
    """
    if weight.role is not None and weight.role.kind == "branch_scale":
        return Constant(0.0)
    return he(weight, gain)


@INITS.register("depth_scaled")
def depth_scaled(weight: Weight, *, gain: Gain) -> Law:
    """He, a branch's last layer times 1/sqrt(L): L branches multiply the second moment by (1 + 1/L)^L < e, not by 2^L.

    Hayou et al. 2021 (Stable ResNet, uniform scaling); Hanin & Rolnick 2018, who ask for a bounded sum of scales.
    """
    return he(weight, gain, branches(weight.role) ** -0.5)


@INITS.register("gpt2")
def gpt2(weight: Weight, *, std: float) -> Law:
    """N(0, std^2), a branch's last layer N(0, std^2 / L), L the number of branches, two a transformer layer.

    Radford et al. 2019, sec. 2.3; the std of 0.02 is of Radford et al. 2018, sec. 4.1.
    """
    return Normal(0.0, std / math.sqrt(branches(weight.role)))


@INITS.register("idinit")
def idinit(weight: Weight, *, tau: float, epsilon: float) -> Law:
    """W_ij = tau where j = i mod fan_in, else 0: the identity, over again where out > in. A branch's last: epsilon.

    Pan et al. 2025, with a kernel's centre tap in place of their way through patches, and one sign for epsilon.
    """
    rows, columns = block(weight)[0], weight.shape[1]
    entry = epsilon if weight.role is not None and weight.role.last else tau
    matrix = entry * torch.eye(columns, dtype=torch.float64)[torch.arange(rows) % columns]
    even = rows <= columns or rows % columns == 0
    singular = entry * math.sqrt(max(1, rows // columns)) if even else None
    return at_centre(weight, repeated(weight, matrix, singular))
