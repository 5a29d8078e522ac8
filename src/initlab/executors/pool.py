"""What carries items out: this process, or workers that say what comes of it in messages.

    with pool(layout, store) as workers:
        while workers.free: workers.give(item, writer)
        for item, outcome in workers.ended(): ...

The calls that workers make are carried out here, by the item's writer: it is the only one that touches the folder.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from initlab import __version__
from initlab.errors import Refused
from initlab.executors import zygote
from initlab.executors.items import Cause, Item, Outcome, Rehearse
from initlab.executors.layout import Layout
from initlab.executors.local import Processes
from initlab.executors.messages import packed, unpacked
from initlab.executors.pipes import STOP
from initlab.executors.zygote import Zygote
from initlab.specs import GROUPS
from initlab.storage.store import Store
from initlab.training.writer import Writer

CALLS = ("begin", "write", "show", "save", "commit", "fail", "tick", "say")  # of an Outlet
MAYBE_MEMORY: tuple[Cause, ...] = ("memory", "killed")  # a kill is how Linux takes memory back
STARTS = 3  # that fail, one after the other, until no more are tried


class Pool(Protocol):
    """Items in, outcomes out."""

    @property
    def count(self) -> int:
        """How many items it carries out at once."""

    @property
    def free(self) -> bool:
        """Whether one more item can be given."""

    def give(self, item: Item | Rehearse, writer: Writer | None = None) -> None:
        """``writer``: of what trains."""

    def ended(self) -> Iterator[tuple[Any, Outcome]]:
        """Go on with what was given, for a while; what has ended. Raises OSError, Refused, Interrupted."""

    def stop(self) -> None:
        """Ask whoever trains to save and leave."""

    def dismiss(self) -> None:
        """No more items wait: whoever has none may leave."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def pool(layout: Layout, store: Store, most: int = 1) -> Pool:
    """The pool of a layout. ``most``: threads that what is timed may ask for."""
    prepare = {"threads": layout.threads, "plugins": _plugins(), "folder": str(Path.cwd()), "version": __version__}
    if layout.executor != "local" or layout.gpus:
        zygote.dismiss()
    if layout.executor == "local":
        if Zygote.at_hand:
            return Workers(Processes(layout, True, store.leave_lock), prepare)
        return _without_zygote(layout, store, prepare, most)
    if layout.executor == "ray":
        from initlab.executors.ray import Actors  # an extra: imported where it is asked for

        return Workers(Actors(layout.workers, _takes_gpu(store)), prepare)
    from initlab.executors.slurm import Jobs

    return Workers(Jobs(layout.workers, store.folder, store.plan.options["slurm"] or {}), prepare)


def _without_zygote(layout: Layout, store: Store, prepare: Mapping[str, Any], most: int) -> Pool:
    """This process, or its forks, which have its imports then, or others where these are not safe."""
    safe = max(layout.threads, most) == 1 or not Zygote.was_threaded
    forks = zygote.FORKS and not layout.gpus and safe
    if layout.here or forks:
        zygote.load()
    if layout.here:
        from initlab.executors.here import Here

        return Here(layout.threads)
    return Workers(Processes(layout, forks, store.leave_lock), prepare)


def _takes_gpu(store: Store) -> bool:
    return any(stack.config["trainer"]["accelerator"] != "cpu" for stack in store.plan.stacks)


def _plugins() -> list[str]:
    """Modules that have to be imported for the options that this process has."""
    return list(dict.fromkeys(str(s.facts["plugin"]) for registry in GROUPS.values() for s in registry.plugins()))


class Link(Protocol):
    """The coordinator's way to a worker. Raises OSError where it is not there any more."""

    def send(self, frame: bytes) -> None: ...


L = TypeVar("L", bound=Link)


class Transport(Protocol[L]):
    """How workers are started and heard: processes, actors, jobs."""

    workers: int  # at most

    def start(self) -> L: ...

    def receive(self, links: Sequence[L]) -> list[tuple[L, bytes | None]]:
        """Frames that have come within a while; None from a worker that has died."""

    def death(self, link: L) -> tuple[str, Cause]:
        """How it died, in words, and why."""

    def end(self, link: L) -> None: ...

    def dismiss(self, link: L) -> None:
        """The same of one that has nothing to do."""

    def close(self) -> None: ...


class Workers(Generic[L]):
    """Workers, started when there is something for them, and another when one has died."""

    def __init__(self, transport: Transport[L], prepare: Mapping[str, Any]) -> None:
        self.transport, self.prepare = transport, prepare
        self._idle: list[L] = []
        self._busy: dict[L, tuple[Any, Any]] = {}
        self._ready: set[L] = set()
        self._unready = 0  # workers in a row that died before they were ready
        self._stopping = False

    @property
    def count(self) -> int:
        return self.transport.workers

    @property
    def free(self) -> bool:
        return not self._stopping and len(self._busy) < self.transport.workers

    def give(self, item: Item | Rehearse, writer: Writer | None = None) -> None:
        if self._idle:
            link = self._idle.pop()
        else:
            link = self.transport.start()
            _send(link, packed("prepare", self.prepare))
        self._busy[link] = item, writer
        _send(link, packed(item.word, item.sent()))

    def ended(self) -> Iterator[tuple[Any, Outcome]]:
        for link, frame in self.transport.receive([*self._busy, *self._idle]):
            if frame is not None:
                yield from self._told(link, *unpacked(frame))
                continue
            how, cause = self.transport.death(link)
            if link not in self._busy:
                self._idle.remove(link)
            elif link in self._ready:
                yield self._busy.pop(link)[0], Outcome("died", how, memory=cause in MAYBE_MEMORY)
            else:  # no fault of the item
                self._unready += 1
                if self._unready == STARTS:
                    raise Refused(f"no worker starts, of {STARTS}: {how}")
                yield self._busy.pop(link)[0], Outcome("left", how)

    def _told(self, link: L, word: str, arguments: dict[str, Any]) -> Iterator[tuple[Any, Outcome]]:
        item, writer = self._busy[link]
        if word in CALLS:
            getattr(writer, word)(**arguments)
        elif word == "ready":
            self._ready.add(link)
            self._unready = 0
        elif word == "broken":
            raise OSError(arguments["number"], arguments["words"], arguments["where"])
        elif word == "refused":
            raise Refused(arguments["words"])
        else:
            del self._busy[link]
            outcome = Outcome(**arguments)
            if outcome.how in ("left", "died"):  # of what it does not outlive a worker can tell itself
                self.transport.end(link)
            else:
                self._idle.append(link)
            yield item, outcome

    def stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            for link in self._busy:
                _send(link, STOP)

    def dismiss(self) -> None:
        while self._idle:
            self.transport.dismiss(self._idle.pop())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.dismiss()
        self.transport.close()


def _send(link: Link, frame: bytes) -> None:
    with contextlib.suppress(OSError):  # it has died, as the next `receive` tells
        link.send(frame)
