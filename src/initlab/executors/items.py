"""What a worker is given: some runs of a stack to train, or runs to be timed. And how it ends.

item = Item(stack, runs, every=30.0, probe=False)
Item.received(item.sent())          # the same in another process
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from initlab.config import Config
from initlab.planning.runs import Run, Stack
from initlab.storage.journal import part_id

Cause = Literal["memory", "killed", "unknown"]  # why a worker died, as far as its executor can tell
FIELDS = ("name", "key", "choices", "config", "fingerprint")  # of a run


@dataclass(frozen=True)
class Item:
    """``runs`` are those of the stack that train, in its order; the lanes of the others are masked.

    ``every``: seconds between checkpoints. ``probe``: sweep.probe. ``graphs``: whether updates may be replayed, on a
    GPU. ``checkpoints``: where it may go on, the last first. ``deaths``: how often a worker has died of it.
    """

    stack: Stack
    runs: tuple[Run, ...]
    every: float
    probe: bool | str
    graphs: bool = True
    checkpoints: tuple[bytes, ...] = ()
    deaths: int = 0
    word = "train"

    @property
    def part(self) -> str:
        """The id of the runs that train."""
        return part_id(run.key for run in self.runs)

    def sent(self) -> dict[str, Any]:
        keys = [run.key for run in self.runs]
        stack = [{field: getattr(run, field) for field in FIELDS} for run in self.stack.runs]
        return {
            "stack": stack,
            "keys": keys,
            "every": self.every,
            "probe": self.probe,
            "graphs": self.graphs,
            "checkpoints": dict(enumerate(self.checkpoints)),
        }

    @classmethod
    def received(cls, sent: Mapping[str, Any]) -> Item:
        stack = Stack(tuple(Run(**fields) for fields in sent["stack"]))
        runs = tuple(run for run in stack.runs if run.key in set(sent["keys"]))
        rest = sent["every"], sent["probe"], sent["graphs"], tuple(sent["checkpoints"].values())
        return cls(stack, runs, *rest)


@dataclass(frozen=True)
class Rehearse:
    """What an update costs of stacks of ``runs`` runs, the first of which have these ``configs``, on some ``threads``.

    ``of``: the stack's id. ``share`` of the time that the runs would take one by one may be spent. ``widths``: all that
    are tried; None: 1, 2, 4, ... ``graphs``: as an `Item`'s.
    """

    of: str
    configs: tuple[Config, ...]
    runs: int
    threads: int
    share: float
    widths: tuple[int, ...] | None = None
    graphs: bool = True
    word = "rehearse"

    def sent(self) -> dict[str, Any]:
        return vars(self)

    @classmethod
    def received(cls, sent: Mapping[str, Any]) -> Rehearse:
        return cls(**sent)


@dataclass(frozen=True)
class Outcome:
    """How an item ended.

    ``done``: all that it had to say is said. ``raised``: ``trace``, as text, since the exception itself would keep the
    stack's tensors alive; ``memory``: it ran out. ``died``: its worker did, or is of no use any more; ``trace`` says
    how. ``left``: its worker was asked to leave, and has saved what it had; or died before it began, and ``trace`` says
    how. ``found``: of a rehearsal.
    """

    how: Literal["done", "raised", "died", "left"]
    trace: str = ""
    memory: bool = False
    found: Mapping[str, Any] = field(default_factory=dict)
