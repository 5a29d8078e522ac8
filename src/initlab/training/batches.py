"""The training rows of a stack on its device, and the batches that its runs take from them, epoch by epoch.

    batches = Batches(x, y, seeds, size=128)         # x [N, ...], y [N, ...]; the seed of each run's order, [R]
    batches.shuffle(epoch=0)
    x, y = batches.take(3)                           # [R, B, ...]: of each run the rows of its fourth batch

The rows lie there once, whatever R is, and so does the order of each seed. Where all runs have one seed a batch is
gathered once, for all of them; else each run's rows are gathered straight into the stack, as a batch that some of the
runs shared would have to be copied for the products of all.

Letters: R runs, S seeds, N rows, B rows of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from initlab.streams import permutation


class Batches:
    """``count`` batches of ``size`` rows in an epoch; the rows that are left over are not used."""

    def __init__(self, x: Tensor, y: Tensor, seeds: Sequence[int], size: int) -> None:
        self.x, self.y, self.size = x, y, size
        self.runs, self.count = len(seeds), len(x) // size
        self.seeds = list(dict.fromkeys(seeds))
        place = {seed: s for s, seed in enumerate(self.seeds)}
        some = 1 < len(self.seeds) < self.runs
        self._whose = torch.tensor([place[seed] for seed in seeds], device=x.device) if some else None
        self._ahead: tuple[int, Tensor] | None = None
        self._order = torch.empty(self.count, len(self.seeds), size, dtype=torch.int64, device=x.device)

    def shuffle(self, epoch: int) -> None:
        """Each seed's order of this epoch, in the place of the last one's."""
        if self._ahead is None or self._ahead[0] != epoch:
            self.draw(epoch)
        assert self._ahead is not None
        self._order.copy_(self._ahead[1])
        self._ahead = None

    def draw(self, epoch: int) -> None:
        """Have the orders of this epoch ready, on the host: while a GPU is at work on the last one that is for free."""
        used = self.count * self.size
        orders = [permutation(len(self.x), seed, "order", f"epoch {epoch}")[:used] for seed in self.seeds]
        stacked = np.stack(orders).reshape(len(orders), self.count, self.size)
        self._ahead = epoch, torch.from_numpy(stacked).transpose(0, 1)

    def take(self, i: int | Tensor) -> tuple[Tensor, Tensor]:
        """x [R, B, ...] and y [R, B, ...] of the epoch's batch i; one that all runs share lies there once, expanded.

        A tensor i is [1], on the device.
        """
        rows = self._order.index_select(0, i).squeeze(0) if isinstance(i, Tensor) else self._order[i]
        if self._whose is not None:
            rows = rows.index_select(0, self._whose)
        x, y = (part.index_select(0, rows.flatten()).view(*rows.shape, *part.shape[1:]) for part in (self.x, self.y))
        return x.expand(self.runs, *x.shape[1:]), y.expand(self.runs, *y.shape[1:])
