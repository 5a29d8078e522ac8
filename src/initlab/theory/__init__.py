"""What should happen to a signal and its gradient in a net, before anything is trained: numpy and scipy alone.

gain("tanh", "forward")              # 1.592537...
critical("gelu")                     # variances of weights and biases at the edge of chaos
MeanField("tanh", 1.5, 0.05)         # maps, fixed points, depth scales, phase
trace(ops, Moments(...))             # layer by layer through a declared net, with a verdict
"""

from initlab.theory.activations import Activation, activation
from initlab.theory.attention import sharing
from initlab.theory.chance import chance_loss
from initlab.theory.gains import gain
from initlab.theory.gaussian import expect, expect_pair
from initlab.theory.meanfield import Critical, MeanField, NoCritical, critical, critical_line
from initlab.theory.moments import apart, dead, mean, saturated, second_moment, slope_moment
from initlab.theory.signal import Act, Add, Attend, Beyond, Constant, Dense, Drop, From, Norm, Op, Scale, Shift, Token
from initlab.theory.tailored import tailored_slope
from initlab.theory.trace import Trace, trace

__all__ = [
    "Act",
    "Activation",
    "Add",
    "Attend",
    "Beyond",
    "Constant",
    "Critical",
    "Dense",
    "Drop",
    "From",
    "MeanField",
    "NoCritical",
    "Norm",
    "Op",
    "Scale",
    "Shift",
    "Token",
    "Trace",
    "activation",
    "apart",
    "chance_loss",
    "critical",
    "critical_line",
    "dead",
    "expect",
    "expect_pair",
    "gain",
    "mean",
    "saturated",
    "second_moment",
    "sharing",
    "slope_moment",
    "tailored_slope",
    "trace",
]
