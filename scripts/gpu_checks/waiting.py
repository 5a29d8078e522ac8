"""Within an epoch the host gives the GPU its work and waits for nothing that it computes.

torch tells, by its sync debug mode, where a number is read, a condition asked, or a tensor copied to the host or from
its pageable memory. It does not see what a library does by itself, nor events, nor `torch.cuda.synchronize`. On a CPU
the same updates are made of tensors without values (torch's device `meta`), of which nothing can be asked.
"""

from __future__ import annotations

from functools import partial

import torch
from scripts.benches.device import seconds
from scripts.gpu_checks.stacks import CPU, SMALL, TRAINER, Checks, begun, stack

from initlab.config import Config
from initlab.errors import Refused
from initlab.specs import ARCHS, OPTIMIZERS
from initlab.training.device import no_waiting
from initlab.training.module import Chunk

WARM, WATCHED = 4, 8  # updates


def checks(device: torch.device, quick: bool) -> Checks:
    for label, option in updates_of_all_kinds().items():
        yield f"nothing is asked of the device, {label}", partial(unasked, device, option)


def updates_of_all_kinds() -> dict[str, dict[str, Config]]:
    """Each net, each optimizer with all that it can have, norms that keep buffers, and what looks at an update."""
    options: dict[str, dict[str, Config]] = {}
    for name in ARCHS:
        options[f"arch={name}"] = {"arch": {"name": name} | SMALL.get(name, {})}
    options["arch=cnn, norm=batch"] = {"arch": {"name": "cnn", "norm": "batch"} | SMALL["cnn"]}
    for name in OPTIMIZERS:
        scheduled = {"name": name, "warmup": 0.4, "schedule": "cosine", "clip": 0.05}
        options[f"optimizer={name}, warm-up, cosine, clip"] = {"optimizer": scheduled}
    options["trainer.probe_every=2"] = {"trainer": TRAINER | {"probe_every": 2}}
    return options


def unasked(device: torch.device, options: dict[str, Config]) -> str:
    where = torch.device("meta") if device == CPU else device
    module = begun(stack(options), where, rehearsal=True)
    module.training_step(Chunk(0, 0, WARM), 0)

    def updates() -> None:
        with no_waiting(where):
            module.training_step(Chunk(0, WARM, WATCHED), 0)

    took = seconds(where, updates)
    with no_waiting(where):
        answered = _is_answered(module.state.alive)
    assert not answered, "a number was read, and nothing told of it: this check tells nothing"
    if where != device:
        raise Refused("no CUDA to be watched; of tensors without values nothing was asked")
    return f"in {WATCHED} updates of {1e3 * took / WATCHED:.2f} ms"


def _is_answered(numbers: torch.Tensor) -> bool:
    try:
        numbers.any().item()
    except (RuntimeError, NotImplementedError):
        return False
    return True
