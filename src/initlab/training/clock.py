"""What an update takes that depends on its number alone: the schedule's factor of the learning rate, the optimizer's.

    clock = Clock(schedule, optimizer.factors, lr, updates=180)      # a stretch of so many updates lies on lr's device
    clock.start(done=360)                                            # that after 360 of them
    clock.at(361)                                                    # F tensors without dimensions

Made on the host, in double precision, and rounded to the weights' type; an update that must not ask the host how many
were made looks them up by a tensor.
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
    """The learning rate of ``steps`` updates, the first ``warmup`` of which rise."""

    kind: str
    steps: int
    warmup: int = 0

    @property
    def moves(self) -> bool:
        return self.warmup > 0 or self.kind != "constant"

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
    """``schedule``: of the learning rate; ``factors``: the optimizer's; ``like``: their type and device."""

    def __init__(self, schedule: Schedule, factors: Factors, like: Tensor, updates: int) -> None:
        self.schedule, self._factors, self._updates = schedule, factors, updates
        self._rows = like.new_empty(updates, int(schedule.moves) + len(factors(1)))
        self._begins = torch.zeros((), dtype=torch.int64, device=like.device)
        self.first: int | None = None

    def start(self, done: int) -> None:
        """The stretch of updates after ``done``, in the place of the last one."""
        self.first = done
        self._begins.fill_(done)
        if self._rows.shape[1]:
            rows = [self._row(t) for t in range(done, min(done + self._updates, max(self.schedule.steps, done + 1)))]
            self._rows[: len(rows)].copy_(torch.tensor(rows, dtype=torch.float64))

    def _row(self, done: int) -> list[float]:
        return [*([self.schedule.factor(done)] if self.schedule.moves else []), *self._factors(done + 1)]

    def at(self, done: int | Tensor) -> Sequence[Tensor]:
        """Of the update after ``done``; of a tensor, which has to be in the stretch, nothing is asked."""
        if not self._rows.shape[1]:
            return ()
        if isinstance(done, Tensor):
            return self._rows.index_select(0, (done - self._begins).view(1))[0].unbind()
        if self.first is None or not 0 <= done - self.first < self._updates:
            self.start(done)
        return self._rows[done - (self.first or 0)].unbind()
