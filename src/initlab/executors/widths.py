"""How wide the stacks are: from what a step costs at several widths, the widths and workers that end first.

    groups = [Group(runs=256, steps=240, seconds={1: 1e-3, 16: 8e-3, 32: 15e-3})]
    split = best({(2, 1): groups, (1, 2): groups_on_two_threads})       # (workers, threads of each)
    split.workers, split.threads, split.sizes                            # 2, 1, [[32] * 8]

A group is the runs that could be one stack. Wider is better while what a step costs besides its arithmetic is shared
by more runs, and worse from where their tensors leave the caches; fewer stacks than workers leave workers idle.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from initlab.planning.runs import even

STACK = 0.1  # seconds that a stack costs besides its steps: nets, Lightning's loops, the sync of its results
GAIN = 0.1  # of an update of a run: a stack that promises less may well lose, as a few updates tell no more than that


@dataclass(frozen=True)
class Group:
    """``runs`` of ``steps`` updates each; ``seconds`` of one update of a stack, by its width."""

    runs: int
    steps: int
    seconds: Mapping[int, float]

    def update(self, width: int) -> float:
        """Seconds of an update at any width: on the line between the two measured beside it, or on through the last."""
        known = sorted(self.seconds)
        if width <= known[0]:
            return self.seconds[known[0]]
        above = next((w for w in known if w >= width), known[-1])
        if len(known) == 1 or width > above:
            return self.seconds[above] * width / above
        below = known[known.index(above) - 1]
        share = (width - below) / (above - below)
        return (1 - share) * self.seconds[below] + share * self.seconds[above]

    def cheapest(self, most: int) -> int:
        """The measured width, of at most ``most``, at which an update of a run costs least; 1 if none gains."""
        width = min((w for w in self.seconds if w <= most), key=lambda w: self.seconds[w] / w)
        return width if self.seconds[width] / width < (1 - GAIN) * self.update(1) else 1


@dataclass(frozen=True)
class Split:
    """``workers`` of ``threads`` each, ``sizes`` of each group's stacks, and how many ``seconds`` that should take."""

    workers: int
    threads: int
    sizes: Sequence[Sequence[int]]
    seconds: float


def may_gain(measured: tuple[int, int], groups: Sequence[Group], other: tuple[int, int]) -> bool:
    """Whether other workers than those measured would end sooner, if threads shared an update without loss."""
    faster = other[1] / measured[1]
    ideal = [replace(group, seconds={w: spent / faster for w, spent in group.seconds.items()}) for group in groups]
    return best({other: ideal}).seconds < best({measured: groups}).seconds


def best(measured: Mapping[tuple[int, int], Sequence[Group]]) -> Split:
    """The quickest split. ``measured``: by workers, and threads of each; all of them being at work."""
    return min(_splits(measured), key=lambda split: split.seconds)


def _splits(measured: Mapping[tuple[int, int], Sequence[Group]]) -> Iterable[Split]:
    for (workers, threads), groups in measured.items():
        for most in sorted({width for group in groups for width in group.seconds}):
            sizes = [even(group.runs, group.cheapest(most)) for group in groups]
            yield Split(workers, threads, sizes, _until_all_end(groups, sizes, workers))
        # as many stacks of each group as there are workers, or a multiple: none is idle while another has two left
        sizes = [_shared_out(group, workers) for group in groups]
        yield Split(workers, threads, sizes, _until_all_end(groups, sizes, workers))


def _shared_out(group: Group, workers: int) -> list[int]:
    width = group.cheapest(max(group.seconds))
    rounds = max(1, round(group.runs / width / workers))
    return even(group.runs, max(1, -(-group.runs // (rounds * workers))))


def _until_all_end(groups: Sequence[Group], sizes: Sequence[Sequence[int]], workers: int) -> float:
    """Seconds until the last stack ends, each being taken in turn by whoever is free."""
    free = [0.0] * workers
    for group, stacks in zip(groups, sizes, strict=True):
        for width in stacks:
            heapq.heapreplace(free, free[0] + STACK + group.steps * group.update(width))
    return max(free)
