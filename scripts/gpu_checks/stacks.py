"""Stacks of small nets, three runs each, on a device; and how far apart two of them are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from initlab.config import Config, typed
from initlab.datasets import Data, Part
from initlab.registry import Registry
from initlab.roles import offering
from initlab.specs import ARCHS, INITS
from initlab.streams import uniforms
from initlab.training.module import Chunk, StackModule
from initlab.training.nets import arithmetic

Checks = Iterator[tuple[str, Callable[[], str]]]  # (name, check): a check says what it measured, or raises

STEPS = 15
TOLERANCE = 1e-9  # of what is larger, 1 or the value: float64's roundings after that many steps, in any order of sums
SMALL = {
    "mlp": {"depth": 2, "width": 16},
    "cnn": {"depth": 2, "width": 6},
    "resmlp": {"depth": 2, "width": 16},
    "resnet": {"depth": 1, "width": 4},
    "vit": {"depth": 1, "width": 8, "patch": 4},
    "transformer": {"depth": 1, "width": 8},
    "metainit": {"steps": 10},
    "gradinit": {"steps": 10},
}
TRAINER: dict[str, Any] = {"max_steps": STEPS, "precision": "float64", "log_every_n_steps": 1}
DATASET = {"name": "gaussian", "samples": 400, "batch_size": 16}
SHARED = {"dataset": DATASET, "trainer": TRAINER, "act": {"name": "tanh"}, "arch": {"name": "mlp"} | SMALL["mlp"]}
CPU = torch.device("cpu")
# Images of noise, as many as the configs say; a net that takes vectors flattens them, one for sequences takes lines.
X, Y = uniforms((400, 1, 8, 8), 0, "check", "images").astype(np.float32), np.arange(400) % 3
CUT = np.split(np.arange(400), [280, 340])
IMAGES, SEQUENCES = (Data("classification", 3, *(Part(x[rows], Y[rows]) for rows in CUT)) for x in (X, X[:, 0]))


def variants(registry: Registry, quick: bool) -> Iterator[tuple[str, Config]]:
    """Each option with its defaults, and once more for each other word that one of its fields can take."""
    for name in registry:
        option = {"name": name} | SMALL.get(name, {})
        yield name, option
        for key, field in {} if quick else registry[name].fields.items():
            for word in [word for word in getattr(field.check, "words", ()) if word not in (field.default, None)]:
                yield f"{name}, {key}={word}", option | {key: word}


def net_for(option: Config) -> dict[str, Config]:
    """The first net with the roles that a scheme needs, if it needs any."""
    needs = INITS[option["name"]].facts.get("needs", ())
    if not needs:
        return {}
    name, fields = next(offering(needs, {name: spec.facts.get("roles") for name, spec in ARCHS.items()}))
    return {"arch": {"name": name} | SMALL.get(name, {}) | {field: values[0] for field, values in fields.items()}}


def stack(options: dict[str, Config]) -> list[Config]:
    """Three runs that differ in seed, lr, weight decay, and scheme if none is given."""
    optimizer, inits = {"name": "sgd"} | options.get("optimizer", {}), ("xavier", "kaiming", "orthogonal")
    rate = 0.02 if optimizer["name"] == "sgd" else 2e-3
    own = [optimizer | {"lr": rate * (1 + r), "weight_decay": 0.01 * r} for r in range(3)]
    options = net_for(options.get("init", {"name": inits[0]})) | options
    return [typed(SHARED | {"init": {"name": inits[r]}} | options | {"optimizer": own[r], "seed": r}) for r in range(3)]


def begun(configs: list[Config], device: torch.device, rehearsal: bool = False, graphs: bool = False) -> StackModule:
    """A stack before its first update. ``rehearsal``: with torch's own weights; ``graphs``: which may be replayed."""
    lines = "positions" in ARCHS[configs[0]["arch"]["name"]].facts
    module = StackModule(configs, SEQUENCES if lines else IMAGES, graphs=graphs).to(device)
    module.prepare(rehearsal)
    module.on_train_epoch_start()
    return module


def trained(configs: list[Config], device: torch.device, steps: int | None = None) -> StackModule:
    with arithmetic(configs[0]):
        module = begun(configs, device)
        module.training_step(Chunk(0, 0, TRAINER["max_steps"] if steps is None else steps), 0)
    return module


def numbers(module: StackModule) -> list[torch.Tensor]:
    """Every parameter and buffer [R, ...], then the losses [R, T] of the steps made, on the CPU."""
    stacked = [tensor.cpu() for tensor in (module.state.params | module.state.buffers).values()]
    return stacked + [torch.from_numpy(series.values) for series in module.curves.whole().values()]


def of_run(stacked: list[torch.Tensor], run: int) -> list[torch.Tensor]:
    """A run's `numbers`, as of a stack of its own."""
    return [tensor[run : run + 1] for tensor in stacked]


def apart(some: list[torch.Tensor], others: list[torch.Tensor]) -> float:
    """The largest difference, in units of what is larger, 1 or the value; NaN if there is one."""
    units = [((a - b) / b.abs().clamp(min=1)).abs().flatten() for a, b in zip(some, others, strict=True)]
    return torch.cat(units).max().item()
