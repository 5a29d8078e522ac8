"""initlab: which weight initialization should this network start from?

    import initlab
    initlab.initialize(model, "kaiming", act="relu", seed=0)      # any torch.nn.Module, in place

    @initlab.register_init("mine")                                # a scheme of your own
    def mine(weight, *, scale=1.0):
        return scale * weight.normal() / weight.fan_in**0.5

    initlab.load("outputs/...").runs                              # a sweep's results as a data frame

The way of a command, one direction, the disk in the middle:

    compose, axes, product    overrides -> raw configs, as Hydra composes them
    registry, specs, rules    what can be named: fields, defaults, ranges (no torch)
    config, plan              raw configs -> typed runs, keys, stacks, a folder (no torch)
    streams                   randomness, keyed by seed, purpose and name
    gains, laws, inits, structured, adapt, acts, archs, datasets, optimizers, slots, walk, apply, initial
    theory, tracing           what should happen to a signal, before any training
    recording, probing        what happens to it in a net that is there; probes, advice
    step, module, train       a stack of runs trained as one program
    sweep, interrupts         all stacks, and what stops them
    curves, events, store     what is written
    tables, command           what is said
    runs, series, cells       what lies there, as it is compared
    stats, contrasts, speed   what can be said of it
    frames                    the same for notebooks
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from initlab.datasets import Rows
    from initlab.frames import load
    from initlab.initial import initialize
    from initlab.probing import probe
    from initlab.specs import ACTS, ARCHS, DATASETS, INITS
    from initlab.tracing import trace

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
_JOINED_BY = {"init": "apply", "act": "acts", "arch": "archs", "dataset": "datasets"}


def __getattr__(name: str) -> Any:
    """Each name on first use: a plan imports this package and must not pay for torch."""
    import importlib

    homes = {"initialize": "initial", "trace": "tracing", "probe": "probing", "Rows": "datasets", "load": "frames"}
    if name in homes:
        return getattr(importlib.import_module(f"initlab.{homes[name]}"), name)
    group = name.removeprefix("register_")
    if name.startswith("register_") and group in _JOINED_BY:
        importlib.import_module(f"initlab.{_JOINED_BY[group]}")
        return importlib.import_module("initlab.specs").GROUPS[group].register
    raise AttributeError(f"module 'initlab' has no attribute '{name}'")
