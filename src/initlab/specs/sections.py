"""The rest of a config, besides its groups: seeds, trainer, sweep."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from initlab.errors import did_you_mean
from initlab.fields import Boolean, Field, Integer, Number, OneOf
from initlab.specs.checks import SEED

ROLES = ("scientific", "nuisance", "repeat")


@dataclass(frozen=True)
class Combinations:
    """Some axes with a value, or a list of values, each; which axes and values there are, the sweep knows."""

    allowed: str = "a list of combinations such as [{init: kaiming, act: [tanh, selu]}]"

    def __call__(self, value: object) -> list[dict[str, Any]]:
        if not isinstance(value, list) or not all(isinstance(entry, Mapping) and entry for entry in value):
            raise ValueError
        return [{str(name): one for name, one in entry.items()} for entry in value]


@dataclass(frozen=True)
class Zips:
    """Lists of at least two names."""

    allowed: str = "a list of lists of at least two axes, such as [[arch.depth, trainer.max_epochs]]"

    def __call__(self, value: object) -> list[list[str]]:
        if not isinstance(value, list) or not all(isinstance(names, list) and len(names) > 1 for names in value):
            raise ValueError
        if not all(isinstance(name, str) for names in value for name in names):
            raise ValueError
        return value


@dataclass(frozen=True)
class Roles:
    """Some axes with a role each."""

    allowed: str = f"axes with a role each ({', '.join(ROLES)}), such as {{arch.depth: nuisance}}"

    def __call__(self, value: object) -> dict[str, str]:
        if not isinstance(value, Mapping):
            raise ValueError
        for role in value.values():
            if role not in ROLES:
                raise ValueError(did_you_mean(role, ROLES))
        return {str(name): str(role) for name, role in value.items()}


# What a job may ask of the queue, as sbatch calls it; time in minutes. Nothing here names a program.
WORDS = ("partition", "account", "qos", "constraint", "gres", "nodelist", "exclude")
COUNTS = ("time", "mem_gb", "cpus_per_task", "gpus_per_node")
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._,:=+*@&|\[\]-]*")


@dataclass(frozen=True)
class Asked:
    """What a job asks of Slurm; its values end up in a script, so that they are numbers or one plain word."""

    allowed: str = (
        f"some of {', '.join(WORDS)} with a word each, and of {', '.join(COUNTS)} with a number, such as "
        "{partition: gpu, time: 60}, in minutes"
    )

    def __call__(self, value: object) -> dict[str, int | str]:
        if not isinstance(value, Mapping):
            raise ValueError
        for name, one in value.items():
            if name in COUNTS:
                Integer(1)(one)
            elif name not in WORDS:
                raise ValueError(did_you_mean(name, (*WORDS, *COUNTS)))
            elif not PLAIN.fullmatch(str(one)):
                raise ValueError
        return {str(name): one if name in COUNTS else str(one) for name, one in value.items()}


SEEDS = {
    "seed": Field(0, SEED, "of everything a run draws, unless the two below say otherwise"),
    "init_seed": Field(None, OneOf((None,), (SEED,)), "of the initial weights; null: seed"),
    "order_seed": Field(None, OneOf((None,), (SEED,)), "of the minibatches; null: seed"),
}
TRAINER = {
    "max_epochs": Field(20, OneOf((None,), (Integer(1),)), "epochs; does not count where max_steps is given"),
    "max_steps": Field(None, OneOf((None,), (Integer(0),)), "optimizer updates; 0: only what is there at init"),
    "accelerator": Field("auto", OneOf(("auto", "cpu", "gpu")), "auto: a GPU where there is one"),
    "precision": Field(
        "float32",
        OneOf(("float32", "float64", "tf32", "bf16")),
        "of weights, data and arithmetic; bf16: float32, but products and convolutions take and give bfloat16, in which"
        " activations of them are computed, as under torch's autocast; tf32: float32, but a GPU rounds their factors",
    ),
    "log_every_n_steps": Field(10, Integer(1), "train/loss is kept at steps 1, n, 2n, ..."),
    "probe_every": Field(0, Integer(0), "steps between looks at gradients, updates and activations; 0: none"),
    "save_weights": Field(True, Boolean(), "final weights as safetensors"),
}
SWEEP = {
    "exclude": Field([], Combinations(), "combinations of the axes' values that are left out"),
    "zip": Field([], Zips(), "axes of equal length that advance together"),
    "roles": Field(None, OneOf((None,), (Roles(),)), "of axes, in place of those deduced from their names"),
    "dry_run": Field(False, Boolean(), "show the plan, train nothing"),
    "fresh": Field(False, Boolean(), "start anew in a folder that holds results"),
    "checkpoint_every": Field(30.0, Number(ge=0), "seconds between checkpoints of a stack; 0: as often as can be"),
    "retry": Field(None, OneOf((None, "failed")), "failed: train the runs that failed again"),
    "max_runs": Field(10_000, Integer(1), "more are refused"),
    "probe": Field(
        False,
        OneOf(("moments",), (Boolean(),)),
        "measure each run's net before training: runs/<name>/probe.json; moments: without spectra and curvature",
    ),
    "report": Field(False, Boolean(), "build the report at the end: report/index.html"),
    "executor": Field("local", OneOf(("local", "ray", "slurm")), "who trains: docs/scaling.md"),
    "workers": Field("auto", OneOf(("auto",), (Integer(1),)), "stacks that train at once; auto: one a core, or a GPU"),
    "slurm": Field(None, OneOf((None,), (Asked(),)), "what a job asks of Slurm, such as {partition: gpu, time: 60}"),
    "stack_width": Field("auto", OneOf(("auto",), (Integer(1),)), "runs trained at once, at most; auto: as measured"),
    "graphs": Field("auto", OneOf(("auto", "never")), "updates as CUDA graphs; auto: where that is right and quicker"),
}
