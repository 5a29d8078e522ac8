"""Stacks of several widths on the device, and what a rehearsal says of them."""

from __future__ import annotations

from functools import partial

import torch
from scripts.benches.device import counted, seconds
from scripts.gpu_checks.stacks import SHARED, STEPS, TOLERANCE, TRAINER, Checks, apart, begun, numbers, of_run, trained

from initlab.config import Config, typed
from initlab.executors.items import Rehearse
from initlab.training.module import WORTH, Chunk
from initlab.training.rehearsal import timed

WIDTHS = (1, 2, 64)


def checks(device: torch.device, quick: bool) -> Checks:
    yield f"stacks of {', '.join(map(str, WIDTHS))}", partial(same_in_all, device)
    yield f"a rehearsal of {max(WIDTHS)} runs, MLP 4x128", partial(rehearsed, device)


def same_in_all(device: torch.device) -> str:
    """A run is the same in a stack of any width."""
    configs, found, said = _runs(max(WIDTHS), SHARED), list[list[torch.Tensor]](), list[str]()
    for width in WIDTHS:
        trained(configs[:width], device, 1)  # what a process does for the first time is no matter of widths
        module = begun(configs[:width], device)
        with counted(device) as megabytes:
            took = seconds(device, partial(module.training_step, Chunk(0, 0, STEPS), 0))
        found.append(numbers(module))
        said.append(f"{1e3 * took / STEPS:.2f} ms and {megabytes():.0f} MB of {width}")
    far = max(apart(of_run(stacked, 0), of_run(found[0], 0)) for stacked in found)
    assert far <= TOLERANCE, f"{far:.0e} apart"
    return f"{far:.0e} apart; an update {', '.join(said)}"


def rehearsed(device: torch.device) -> str:
    """At growing widths an update takes some time, whatever else is free."""
    arch, trainer = {"name": "mlp", "depth": 4, "width": 128}, TRAINER | {"precision": "float32", "max_steps": WORTH}
    configs = _runs(max(WIDTHS), SHARED | {"arch": arch, "trainer": trainer})
    item = Rehearse("check", tuple(configs), len(configs), torch.get_num_threads(), share=100.0)
    with counted(device) as megabytes:
        outcome = timed(item)
    assert outcome.how == "done", outcome.trace[-300:]
    spent = dict(outcome.found["seconds"])
    assert {1, 2} <= spent.keys() and all(took > 0 for took in spent.values()), spent
    each = ", ".join(f"{width}: {1e6 * took / width:.0f}" for width, took in spent.items())
    graphs = outcome.found.get("graphs", "no graphs")
    return f"us of a run by width {each}; {outcome.found['why']}; {graphs}; {megabytes():.0f} MB"


def _runs(count: int, shared: dict[str, Config]) -> list[Config]:
    fixed = shared | {"init": {"name": "xavier"}, "optimizer": {"name": "sgd"}}
    return [typed(fixed | {"seed": seed}) for seed in range(count)]
