"""The one writer of a sweep's folder, as an item that trains sees it: what is kept of it, and what is shown.

    writer = Writer(store, progress, item)
    writer.begin(keys, intervals, resumed=False)
    writer.commit(records, part, curves)

In another process an item calls the same methods of a `Sender` (`executors.worker`), and they are carried out here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from initlab.executors.items import Item
from initlab.storage import disk
from initlab.storage.events import FILE_NAME, put
from initlab.storage.journal import Record
from initlab.storage.store import Store
from initlab.training import results
from initlab.views.progress import Progress


class Outlet(Protocol):
    """All that an item that trains says to the outside: JSON's types and bytes."""

    def begin(self, keys: Sequence[str], intervals: Mapping[str, int], resumed: bool) -> None:
        """The runs start, or go on: their folders, with their configs, and the intervals that their curves have."""

    def write(self, files: Mapping[str, bytes], name: str) -> None:
        """A file in the folders of some runs, by key."""

    def show(self, events: Mapping[str, bytes], started: float, anew: bool) -> None:
        """Points for the event files of some runs, as `events.body` has them."""

    def save(self, part: str, step: int, of: int, content: bytes) -> None:
        """A checkpoint."""

    def commit(self, records: Sequence[Record], part: str, curves: bytes) -> None:
        """The results, and the curves as `curves.packed` has them."""

    def fail(self, key: str, trace: str) -> None:
        """A run raised."""

    def tick(self, step: int, of: int) -> None:
        """So many updates are made."""

    def say(self, line: str) -> None:
        """A line for the user."""


class Writer:
    """An `Outlet` into the store and the progress."""

    def __init__(self, store: Store, progress: Progress, item: Item) -> None:
        self.store, self.progress, self.item = store, progress, item
        self._runs = {run.key: run for run in item.stack.runs}

    def begin(self, keys: Sequence[str], intervals: Mapping[str, int], resumed: bool) -> None:
        for run in (self._runs[key] for key in keys):
            config = run.config | {"trainer": run.config["trainer"] | intervals}
            self.store.begin(replace(run, config=config), resumed)

    def write(self, files: Mapping[str, bytes], name: str) -> None:
        for key, content in files.items():
            disk.write(self.store.run_folder(self._runs[key]) / name, content)

    def show(self, events: Mapping[str, bytes], started: float, anew: bool) -> None:
        for key, body in events.items():
            put(self.store.run_folder(self._runs[key]) / FILE_NAME, body, started, anew)

    def save(self, part: str, step: int, of: int, content: bytes) -> None:
        self.store.save(part, content, step, of)

    def commit(self, records: Sequence[Record], part: str, curves: bytes) -> None:
        self.store.commit(records, part, curves)
        self.progress.end(records)

    def fail(self, key: str, trace: str) -> None:
        run = self._runs[key]
        folder, record = self.store.begin(run), results.failed(run, trace)
        disk.write(folder / "traceback.txt", trace.encode())
        self.progress.say(f"  {run.name} failed: {record['error']} (see {folder / 'traceback.txt'})")
        self.store.commit([record])
        self.progress.end([record])

    def tick(self, step: int, of: int) -> None:
        self.progress.tick(self.item.part, step, of)

    def say(self, line: str) -> None:
        self.progress.say(line)
