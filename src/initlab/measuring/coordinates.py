"""The coordinate check: does a layer's output change as much in the first steps whatever the width of the net?

    for table in check(plan, steps=5): print(table.words())
    table.slopes["fc2"]                                  # 0.02: the change's power of the width, 0 where it is flat

Yang et al. 2022, appendix D.1. The change is the root mean square, over coordinates and rows, of a layer's output after
some updates on one batch less that before them, averaged over the seeds of a width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from initlab.datasets import load
from initlab.errors import Refused
from initlab.planning.plan import Plan
from initlab.planning.runs import Stack
from initlab.slots import slots
from initlab.training.module import StackModule
from initlab.training.nets import arithmetic
from initlab.training.step import step
from initlab.training.tape import Tensors


@dataclass(frozen=True)
class Table:
    """``changes`` of each layer [widths], in the order of ``widths``."""

    title: str
    widths: tuple[int, ...]
    changes: Mapping[str, tuple[float, ...]]

    @property
    def slopes(self) -> dict[str, float]:
        """d log change / d log width of each layer, by least squares; nan where a layer does not change."""
        x = np.log(self.widths) - np.log(self.widths).mean()
        with np.errstate(divide="ignore", invalid="ignore"):
            return {layer: float(x @ np.log(change) / (x @ x)) for layer, change in self.changes.items()}

    def flat(self, tolerance: float) -> bool:
        return all(abs(slope) <= tolerance for slope in self.slopes.values())

    def words(self) -> str:
        cells = [[layer, *(f"{c:.3g}" for c in self.changes[layer]), f"{s:+.2f}"] for layer, s in self.slopes.items()]
        rows = [["change of", *map(str, self.widths), "slope"], *cells]
        sizes = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        return "\n".join([self.title, *("  ".join(map(str.ljust, row, sizes)).rstrip() for row in rows)])


def check(plan: Plan, steps: int) -> Iterator[Table]:
    """A table for all runs of a plan that differ in arch.width and seed alone. Raises Refused without two
    widths, or for a precision that this machine does not have."""
    found: dict[str, dict[int, list[dict[str, float]]]] = {}
    for stack in plan.stacks:
        with arithmetic(stack.config):
            changes = _changes(stack, steps)
        for run, change in zip(stack.runs, changes, strict=True):
            kept = {name: value for name, value in run.choices.items() if name not in ("arch.width", "seed")}
            title = " ".join(f"{name}={value}" for name, value in kept.items()) or run.config["init"]["name"]
            found.setdefault(title, {}).setdefault(run.config["arch"]["width"], []).append(change)
    for title, by_width in found.items():
        if len(by_width) < 2:
            raise Refused(f"arch.width={next(iter(by_width))}: a slope takes two widths or more.")
        widths = tuple(sorted(by_width))
        layers = by_width[widths[0]][0]
        means = {layer: tuple(float(np.mean([c[layer] for c in by_width[w]])) for w in widths) for layer in layers}
        yield Table(title, widths, means)


def _changes(stack: Stack, steps: int) -> list[dict[str, float]]:
    """Of each run of a stack: layer -> change of its output."""
    data = load(stack.config["dataset"])
    module = StackModule([run.config for run in stack.runs], data)
    module.prepare()
    runs, rows = len(stack.runs), stack.config["dataset"]["batch_size"]
    x = torch.tensor(data.train.x[:rows])
    x, y = x.to(module.dtype_) if x.is_floating_point() else x, torch.tensor(data.train.y[:rows])
    net, state = module.program.net, module.state
    before = [_outputs(net, {name: p[r] for name, p in state.params.items()}, x) for r in range(runs)]
    for _ in range(steps):
        state, _ = step(module.program, state, x.expand(runs, *x.shape), y.expand(runs, *y.shape))
    after = [_outputs(net, {name: p[r] for name, p in state.params.items()}, x) for r in range(runs)]
    return [
        {layer: float((then[layer] - out).square().mean().sqrt()) for layer, out in now.items()}
        for now, then in zip(before, after, strict=True)
    ]


@torch.no_grad()
def _outputs(net: nn.Module, params: Tensors, x: Tensor) -> dict[str, Tensor]:
    """What each module with a weight gives, at its last call."""
    seen: dict[str, Tensor] = {}
    layers = {place.name.rpartition(".")[0] for place in slots(net) if place.part == "weight"}
    handles = [
        module.register_forward_hook(lambda m, _, out, name=name: seen.update({name: out}))
        for name, module in net.named_modules()
        if name in layers
    ]
    try:
        functional_call(net, params, (x,))
    finally:
        for handle in handles:
            handle.remove()
    return seen
