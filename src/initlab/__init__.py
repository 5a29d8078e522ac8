"""initlab: which weight initialization should this network start from?

    import initlab
    initlab.initialize(model, "kaiming", act="relu", seed=0)      # any torch.nn.Module, in place

    @initlab.register_init("mine")                                # a scheme of your own
    def mine(weight, *, scale=1.0):
        return scale * weight.normal() / weight.fan_in**0.5

    initlab.load("outputs/...").runs                              # a sweep's results as a data frame

The way of a command, one direction, the disk in the middle:

    registry, specs, rules    what can be named: fields, defaults, ranges (no torch)
    planning, config          overrides -> typed runs, keys, stacks, a folder, as Hydra composes them (no torch)
    streams                   randomness, keyed by seed, purpose and name
    schemes, laws, slots      a net -> its initial weights
    acts, archs, datasets     what is trained, and on what
    theory, measuring         what should happen to a signal, and what happens in a net that is there
    training                  a stack of runs trained as one program
    storage                   a sweep's folder, as it is written and read
    analysis, stats           runs -> cells, compared, and what can be said of them
    claiming                  what was declared beforehand, and the verdict
    reporting, views          pages and figures; what a terminal and TensorBoard show
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from initlab.analysis.frames import load
    from initlab.datasets import Rows
    from initlab.measuring.probing import probe
    from initlab.measuring.tracing import trace
    from initlab.schemes.initial import initialize
    from initlab.specs import ACTS, ARCHS, DATASETS, INITS

    register_init, register_act = INITS.register, ACTS.register
    register_arch, register_dataset = ARCHS.register, DATASETS.register

__all__ = [
    "Rows",
    "initialize",
    "load",
    "probe",
    "register_act",
    "register_arch",
    "register_dataset",
    "register_init",
    "trace",
]
__version__ = "0.1.0"

# Where the functions of a group join: they have to be there first, so that no name of ours looks free.
_JOINED_BY = {"init": "schemes.apply", "act": "acts", "arch": "archs", "dataset": "datasets"}


def __getattr__(name: str) -> Any:
    """Each name on first use: a plan imports this package and must not pay for torch."""
    import importlib

    homes = {
        "initialize": "schemes.initial",
        "trace": "measuring.tracing",
        "probe": "measuring.probing",
        "Rows": "datasets",
        "load": "analysis.frames",
    }
    if name in homes:
        return getattr(importlib.import_module(f"initlab.{homes[name]}"), name)
    group = name.removeprefix("register_")
    if name.startswith("register_") and group in _JOINED_BY:
        importlib.import_module(f"initlab.{_JOINED_BY[group]}")
        return importlib.import_module("initlab.specs").GROUPS[group].register
    raise AttributeError(f"module 'initlab' has no attribute '{name}'")
