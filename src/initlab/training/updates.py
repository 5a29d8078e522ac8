"""How a stack goes from one update to the next, on a CPU and on a GPU.

    updates = updates_of(program, rows, state.alive.device)
    state, losses = updates(state, i)                        # on the epoch's batch i; losses [R] until the next call

A CPU can be asked at any time, and so knows shorter ways: `Asking` has a new state each time, as `step` gives it. A GPU
must not be waited for: `Resident` has one state, on the device, with the number of the update, and whatever depends on
it, in tensors. So an update is the same work every time, which a CUDA graph can do (`training.graphs`).

Letters: R runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from initlab.training.batches import Batches
from initlab.training.step import LANES, Program, State, step
from initlab.training.tape import Tensors


class Updates(Protocol):
    def __call__(self, state: State, i: int) -> tuple[State, Tensor]:
        """The state after one more update, and the losses [R] before it. What was given is not to be used any more."""

    def held(self, state: State) -> State:
        """The same state, of which the next update leaves parameters and buffers as they are."""


class Asking:
    """Pure updates; the parameters before the last one are where the next may write."""

    def __init__(self, program: Program, rows: Batches) -> None:
        self.program, self.rows = program, rows
        self._spare: Tensors | None = None

    def __call__(self, state: State, i: int) -> tuple[State, Tensor]:
        after, losses = step(self.program, state, *self.rows.take(i), self._spare)
        self._spare = state.params
        return after, losses

    def held(self, state: State) -> State:
        return state


class Resident:
    """Updates in place: a state that is given is written over, and the one that is returned is the same tensors."""

    def __init__(self, program: Program, rows: Batches) -> None:
        self.program, self.rows = program, rows
        self.replay: Callable[[], None] | None = None  # in place of `advance`
        self._state: State | None = None

    def __call__(self, state: State, i: int) -> tuple[State, Tensor]:
        assert i == state.t % self.program.clock.updates, "the device counts for itself"
        self.begin(state)
        (self.replay or self.advance)()
        return state._replace(t=state.t + 1), self._losses

    def held(self, state: State) -> State:
        params, buffers = ({name: x.clone() for name, x in some.items()} for some in (state.params, state.buffers))
        return state._replace(params=params, buffers=buffers)

    def begin(self, state: State) -> None:
        """Have the next update lead on from this state. Of the one that the last has left, all is there already."""
        if self._state is None or state.params is not self._state.params:
            some = next(iter(state.params.values()))
            self._state, self.replay = state, None
            self._t = torch.full((), state.t, dtype=torch.int64, device=some.device)
            self._losses = some.new_zeros(len(some))
        self.program.clock.cover(state.t)

    def advance(self) -> None:
        """One update, whose number the device alone knows."""
        assert self._state is not None
        batch = self.rows.take(self.program.clock.place(self._t))
        _, losses = step(self.program, self._state._replace(t=self._t), *batch, in_place=True)
        self._losses.copy_(losses)
        self._t.add_(1)

    def tensors(self) -> list[Tensor]:
        """All that an update writes to."""
        assert self._state is not None
        state = self._state
        slots = [x for kept in state.slots.values() for x in kept]
        lanes = [getattr(state, name) for name in LANES]
        return [*state.params.values(), *state.buffers.values(), *slots, *lanes, self._losses, self._t]


def updates_of(program: Program, rows: Batches, device: torch.device) -> Asking | Resident:
    return Asking(program, rows) if device.type in ASKED else Resident(program, rows)


ASKED = {"cpu"}  # devices that can be asked at any time
