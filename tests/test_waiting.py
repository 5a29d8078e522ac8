"""Within an epoch nothing waits for the device, and nothing is gathered that is there already.

Proven on torch's meta device, whose tensors have no values: whatever asked for one would raise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from conftest import small
from initlab.config import Config
from initlab.datasets import load
from initlab.specs import ARCHS, OPTIMIZERS
from initlab.training.batches import Batches
from initlab.training.module import Chunk, StackModule
from initlab.training.train import fit
from nets import data_for, small_arch


class Watch(TorchDispatchMode):
    """Every operation, as ``see`` takes it: what is done, with which tensors."""

    def __init__(self, see: Callable[[Any, list[Tensor]], None]) -> None:
        super().__init__()
        self.see = see

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.see(func, [leaf for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, Tensor)])
        return out


def _stays(func: Any, tensors: Iterable[Tensor]) -> None:
    """A tensor of the host beside those of the device would be a copy, and that waits."""
    assert {tensor.device.type for tensor in tensors} <= {"meta"}, func


SGD = {"name": "sgd", "momentum": 0.5, "clip": 0.1, "warmup": 0.5}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    **{f"arch={name}": (small_arch(name), SGD) for name in ARCHS},
    **{f"optimizer={name}": (small_arch("mlp"), {"name": name, "schedule": "cosine"}) for name in OPTIMIZERS},
}


@pytest.mark.parametrize("case", CASES)
def test_an_epoch_asks_nothing_of_the_host(case: str) -> None:
    """With warm-up, clips, runs that may diverge, and every loss kept."""
    arch, optimizer = CASES[case]
    data = data_for(arch)
    configs = [small(seed, optimizer=optimizer) | {"arch": arch} for seed in range(2)]
    module = StackModule(configs, data).to("meta")
    module.prepare()
    module.on_train_epoch_start()
    with Watch(_stays):
        module.training_step(Chunk(0, 0, 3), 0)
        module.validation_step("val", 0)
    assert module.state.t == 3 and module.state.diverged_at.device.type == "meta"
    with pytest.raises((RuntimeError, NotImplementedError)):  # the proof can fail
        bool(module.state.alive.all())
    with pytest.raises(AssertionError), Watch(_stays):
        module.state.alive.to("meta") & torch.tensor(True)


def test_the_next_epochs_orders_are_drawn_before_anyone_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the device is at work on the last updates of an epoch; those after the last epoch are not drawn."""
    said: list[str] = []
    draw, evaluate = Batches.draw, StackModule._evaluate
    monkeypatch.setattr(Batches, "draw", lambda self, epoch: (said.append(f"draw {epoch}"), draw(self, epoch))[1])
    monkeypatch.setattr(StackModule, "_evaluate", lambda self, part: (said.append(part), evaluate(self, part))[1])
    module = StackModule([small(0, trainer={"max_steps": 16})], load(small()["dataset"]))
    fit(module)
    assert said == ["val", "draw 0", "draw 1", "val", "val", "test"] and module.batches == 8


def _order_seeds(*seeds: int) -> list[Config]:
    return [small(r, dataset={"batch_size": 16}) | {"order_seed": seed} for r, seed in enumerate(seeds)]


@pytest.mark.parametrize(("seeds", "gathered"), [((5,) * 6, 1), ((0, 1, 0, 1, 0, 1), 6), ((3,), 1)])
def test_a_batch_is_gathered_once_for_the_runs_that_share_it_and_the_data_never(
    seeds: tuple[int, ...], gathered: int
) -> None:
    """Elements that are gathered in an update: of the batch, once or for each run, and never of more rows."""
    data = load(_order_seeds(*seeds)[0]["dataset"])
    module = StackModule(_order_seeds(*seeds), data)
    module.prepare()
    module.on_train_epoch_start()
    found: list[int] = []

    def see(func: Any, tensors: list[Tensor]) -> None:
        if "index" in str(func) and tensors[-1].dtype == module.dtype_:
            found.append(tensors[-1].numel())

    with Watch(see):
        x, y = module.rows.take(1)
    assert found == [gathered * 16 * 6] and x.shape == (len(seeds), 16, 6)
    alone = {seed: Batches(module.rows.x, module.rows.y, [seed], 16) for seed in seeds}
    for r, seed in enumerate(seeds):
        alone[seed].shuffle(0)
        assert all(torch.equal(a[r], b[0]) for a, b in zip((x, y), alone[seed].take(1), strict=True))
    held = sum(t.numel() for t in vars(module.rows).values() if isinstance(t, Tensor))
    of_data = data.train.x.size + data.train.y.size
    assert held <= of_data + len(set(seeds)) * len(data.train.x) + len(seeds)
