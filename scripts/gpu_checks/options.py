"""Every option of the registries that training reads: the same weights, and the same training as alone and on a CPU."""

from __future__ import annotations

from functools import partial

import torch
from scripts.gpu_checks.stacks import CPU, TOLERANCE, Checks, apart, numbers, of_run, stack, trained, variants

from initlab.config import Config
from initlab.specs import ACTS, ARCHS, INITS, OPTIMIZERS


def checks(device: torch.device, quick: bool) -> Checks:
    for registry in (ACTS, ARCHS, INITS, OPTIMIZERS):
        for label, option in variants(registry, quick or registry is INITS):
            yield f"{registry.group}={label}", partial(same_training, device, {registry.group: option})
    for name in OPTIMIZERS:
        scheduled = {"optimizer": {"name": name, "warmup": 0.4, "schedule": "cosine", "clip": 0.05}}
        yield f"optimizer={name}, warm-up, cosine, clip", partial(same_training, device, scheduled)
    for clip in (None, 0.05):
        yield f"one run diverges, clip={clip}", partial(isolated, device, clip)


def same_training(device: torch.device, options: dict[str, Config]) -> str:
    configs = stack(options)
    assert apart(numbers(trained(configs, CPU, 0)), numbers(trained(configs, device, 0))) == 0, "other initial weights"
    module = trained(configs, device)
    assert module.refusal is None, f"vmap refuses the net: {module.refusal}"
    assert not module.state.diverged_at.any(), "diverged"
    together = numbers(module)
    alone = [numbers(trained([config], device)) for config in configs]
    far = [apart(of_run(together, r), run) for r, run in enumerate(alone)]
    far.append(apart(together, numbers(trained(configs, CPU))))
    said = f"from its runs alone {max(far[:-1]):.0e}, from the CPU {far[-1]:.0e}"
    assert all(distance <= TOLERANCE for distance in far), said
    return said


def isolated(device: torch.device, clip: float | None) -> str:
    """One run's lr is huge: the others are what they are without it, bit for bit."""
    configs = stack({"optimizer": {"clip": clip}})
    healthy = trained(configs, device)
    configs[1]["optimizer"]["lr"] = 1e308
    sick = trained(configs, device)
    fell = sick.state.diverged_at.tolist()
    assert fell[1] > 0 == fell[0] == fell[2], f"diverged at {fell}"
    others = [[tensor[[0, 2]] for tensor in numbers(module)] for module in (healthy, sick)]
    assert apart(*others) == 0, "it touched the others"
    return f"at step {fell[1]}; the others as without it, bit for bit"
