"""What an update takes that depends on its number alone: the schedule's factor of the learning rate, the optimizer's.

    clock = Clock(Schedule("cosine", steps=3600), optimizer.factors, like=lr, updates=180)
    lr, *factors = clock.at(361)              # of the update after 361, tensors without dimensions, on lr's device
    clock.cover(361)                          # the stretch of 180 updates around that one lies there from now on
    lr, *factors = clock.at(torch.tensor(361))                        # of one of these: nothing is asked of the host

Made on the host, in double precision, and rounded to the weights' type.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Factors = Callable[[int], tuple[float, ...]]  # of the update t, counted from 1


@dataclass(frozen=True)
class Schedule:
    """The learning rate of ``steps`` updates, the first ``warmup`` of which rise; then "constant" or "cosine"."""

    kind: str
    steps: int
    warmup: int = 0

    def factor(self, done: int) -> float:
        """After ``done`` updates.

        It rises linearly, from 1 / warmup in the first to 1 in the warm-up's last (Goyal et al. 2017, sec. 2.2). Those
        that are left have a cosine as torch's CosineAnnealingLR to 0 (Loshchilov & Hutter 2017), or 1.
        """
        if done < self.warmup:
            return (done + 1) / self.warmup
        if self.kind == "constant":
            return 1.0
        return (1 + math.cos(math.pi * (done - self.warmup) / (self.steps - self.warmup))) / 2


class Clock:
    """``factors``: the optimizer's; ``like``: the type and device of what is asked for; ``updates`` of a stretch."""

    def __init__(self, schedule: Schedule, factors: Factors, like: Tensor, updates: int) -> None:
        self.schedule, self._factors, self.updates = schedule, factors, updates
        self._rows = like.new_empty(updates, len(self._row(0)))
        self._first = torch.zeros((), dtype=torch.int64, device=like.device)
        self._covers = range(0)

    def cover(self, done: int) -> None:
        """Have the stretch on the device that holds the update after ``done``, in the place of the last one."""
        if done not in self._covers:
            first = done - done % self.updates
            self._covers = range(first, first + self.updates)
            self._first.fill_(first)
            # what comes after the last update is never asked for, and its factor may not exist
            rows = [self._row(min(t, max(self.schedule.steps - 1, 0))) for t in self._covers]
            self._rows.copy_(torch.tensor(rows, dtype=torch.float64))

    def at(self, done: int | Tensor) -> Sequence[Tensor]:
        """Of the update after ``done``: the schedule's factor, then the optimizer's. A tensor's lie in the stretch."""
        if isinstance(done, Tensor):
            return self._rows.index_select(0, self.place(done))[0].unbind()
        self.cover(done)
        return self._rows[done - self._covers.start].unbind()

    def place(self, done: Tensor) -> Tensor:
        """Of that update in its stretch, [1]; of one beyond its end, from its start again."""
        return (done - self._first).remainder(self.updates).view(1)

    def _row(self, done: int) -> list[float]:
        return [self.schedule.factor(done), *self._factors(done + 1)]
