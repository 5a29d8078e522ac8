"""What is trained: runs, and the stacks that they are trained in. Whoever trains them needs no more of a plan.

stack = Stack((run, other))
cut(runs, even(len(runs), 32))          # stacks of at most 32 runs
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from initlab.config import Config
from initlab.storage.journal import part_id


@dataclass(frozen=True)
class Run:
    """One training. ``choices`` are its values on the axes, ``key`` the hash of what decides its numbers."""

    name: str
    key: str
    choices: Mapping[str, Any]
    config: Config
    fingerprint: str


@dataclass(frozen=True)
class Stack:
    """Runs trained as one program. ``id`` is the hash of their keys. ``open``: or as several, once that is measured."""

    runs: tuple[Run, ...]
    open: bool = False

    @property
    def id(self) -> str:
        return part_id(run.key for run in self.runs)

    @property
    def config(self) -> Config:
        """What the runs share can be read off the first."""
        return self.runs[0].config


def even(runs: int, width: int) -> list[int]:
    """Sizes of at most ``width``, as equal as can be: 70 runs are 35 + 35, not 64 + 6."""
    count = -(-runs // width)
    return [(i + 1) * runs // count - i * runs // count for i in range(count)]


def cut(runs: Sequence[Run], sizes: Iterable[int]) -> list[Stack]:
    """Stacks of these sizes."""
    rest = iter(runs)
    return [Stack(tuple(islice(rest, size))) for size in sizes]
