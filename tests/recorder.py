"""CUDA graphs as a CPU can have them: a recording is the operations that were done, and a replay does these again.

As a graph does it replays each with the tensors and the numbers that it had, into the same memory; what would ask for
a value breaks a recording off. What it cannot tell is a copy from the host, and memory that a graph would use again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from initlab.training import graphs, updates

ASKS = ("_local_scalar_dense", "is_nonzero", "nonzero", "aten.equal.", "lift_fresh", "scalar_tensor")  # of the host


class Recording(TorchDispatchMode):
    """Everything that is done while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[Any, Any, Any, list[Tensor]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(word in str(func) for word in ASKS):
            raise RuntimeError(f"{func}: not permitted while it is recorded")
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        given = {t.untyped_storage().data_ptr() for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        made = [t for t in tree_leaves(out) if isinstance(t, Tensor)]
        # what lies in memory that was given, a view or what is written in place, is there by the operation itself
        own = [t if t.untyped_storage().data_ptr() not in given else torch.empty(0) for t in made]
        self.done.append((func, args, kwargs, own))
        return out

    @torch.no_grad()
    def replay(self) -> None:
        for func, args, kwargs, own in self.done:
            again = [t for t in tree_leaves(func(*args, **kwargs)) if isinstance(t, Tensor)]
            for place, value in zip(own, again, strict=True):
                if place.numel():
                    place.copy_(value)


def record(update: Callable[[], None]) -> Callable[[], None]:
    for _ in range(graphs.WARM):
        update()
    recording = Recording()
    with recording:
        update()
    return recording.replay


def as_a_gpu(monkeypatch: pytest.MonkeyPatch) -> list[graphs.Choice]:
    """Stacks live on this CPU as they would on a GPU, and take their replays; every choice that will be made."""
    choices: list[graphs.Choice] = []

    def chosen(resident: updates.Resident, state: Any) -> graphs.Choice:
        choices.append(graphs.choose(resident, state))
        return choices[-1]

    monkeypatch.setattr(updates, "ASKED", set())
    monkeypatch.setitem(graphs.RECORDERS, "cpu", record)
    monkeypatch.setattr(graphs, "_seconds", lambda update, _: (1.0,) * 2 if "replay" not in str(update) else (0.5,) * 2)
    monkeypatch.setattr("initlab.training.module.choose", chosen)
    monkeypatch.setattr("initlab.training.module.WORTH", 0)
    return choices
