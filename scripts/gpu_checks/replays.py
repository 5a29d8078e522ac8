"""Updates as CUDA graphs: the numbers of those that are asked for one by one."""

from __future__ import annotations

from functools import partial

import torch
from scripts.gpu_checks.stacks import SMALL, TOLERANCE, TRAINER, Checks, apart, begun, numbers, stack
from scripts.gpu_checks.waiting import updates_of_all_kinds

from initlab.config import Config
from initlab.errors import Refused
from initlab.training.device import no_waiting
from initlab.training.module import WORTH, Chunk, StackModule

EPOCHS = 2
LOW = {"float32": 1e-3, "bf16": 1e-1}  # how far apart two may end whose sums have another order, after so many updates


def checks(device: torch.device, quick: bool) -> Checks:
    for label, option in updates_of_all_kinds().items():
        yield f"a graph's replays, {label}", partial(same_replayed, device, option)
    for precision in LOW:
        of = {"trainer": TRAINER | {"precision": precision}, "arch": {"name": "cnn"} | SMALL["cnn"]}
        yield f"a graph's replays, trainer.precision={precision}", partial(same_replayed, device, of)
    yield "a graph's replays, one run diverges", partial(same_replayed, device, {}, fatal=1e308)


def same_replayed(device: torch.device, options: dict[str, Config], fatal: float | None = None) -> str:
    """Two epochs of replays, in which the host does not wait, and two without. ``fatal``: a learning rate of one."""
    configs = stack(options)
    for config in configs:
        config["trainer"]["max_steps"] = WORTH + TRAINER["max_steps"]
    if fatal is not None:
        configs[1]["optimizer"]["lr"] = fatal
    replayed, eager = (_trained(configs, device, graphs) for graphs in (True, False))
    assert replayed.choice is not None
    assert not replayed.choice.broken, replayed.choice.why
    if not replayed.choice.replayed:
        raise Refused(replayed.choice.why)
    assert (eager.state.diverged_at == replayed.state.diverged_at).all(), "other runs diverge"
    kept = eager.state.alive.cpu()
    far = apart(*([tensor[kept] for tensor in numbers(module)] for module in (eager, replayed)))
    told = f"{f'{far:.0e} apart' if far else 'bit for bit'}; {replayed.choice.why}"
    assert far <= LOW.get(configs[0]["trainer"]["precision"], TOLERANCE), told
    return told


def _trained(configs: list[Config], device: torch.device, graphs: bool) -> StackModule:
    module = begun(configs, device, graphs=graphs)
    if graphs and module.choice is None:
        raise Refused("no CUDA, and so no graph")
    for epoch in range(EPOCHS):
        if epoch:
            module.on_train_epoch_start()
        with no_waiting(device):
            module.training_step(Chunk(epoch, 0, module.batches), 0)
    return module
