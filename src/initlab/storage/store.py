"""A sweep's folder: what was planned, what is done, and every number. The disk is the only link to what reads it.

    with Store.open(plan, describe) as store:           # one writer at a time
        store.done                                      # {key: record} of the runs that need no training
        store.plan.stacks                               # as sweep.json has them
        store.save(part, content, step, of)             # a checkpoint of the runs that train together
        store.commit(records, part, curves)             # their results: durable, or not there

The journal decides what is done: its line is written after everything that it speaks of. result.json, results.csv and
the event files can be made again from it and the curves.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from initlab.errors import Refused
from initlab.planning.plan import Plan
from initlab.planning.runs import Run, Stack
from initlab.storage import disk, journal, received
from initlab.storage.commands import commands, same_making
from initlab.storage.description import as_begun, axes_of, claim_of, described, grows, restacked, stacks_of
from initlab.storage.difference import difference
from initlab.storage.files import LARGEST
from initlab.storage.folder import description_of, foreign, read
from initlab.storage.journal import Record

SCHEMA = 1
# In the order in which they are removed: while sweep.json is there, the folder is known as ours.
OURS = ("journal", "results.csv", "curves", "checkpoints", "runs", "report", "sweep.json")
CHECKPOINTS = 2  # of a part: if the last one turns out damaged there is one before it


class Store:
    """The open folder of a plan. Made by `open`; holds the lock until it is left."""

    def __init__(self, plan: Plan, lock: int) -> None:
        self.plan, self.folder, self._lock = plan, plan.folder, lock
        self.done = settled(plan)
        self._left = {run.key for run in plan.runs} - self.done.keys()
        self._checkpoints = journal.checkpoints(plan.folder / "journal")
        self.command = len(commands(description_of(plan.folder) or {})) - 1  # its number

    @classmethod
    def open(cls, plan: Plan, describe: Callable[[], Mapping[str, Any]]) -> Store:
        """Make or enter the plan's folder; ``describe`` is asked of the machine where sweep.json is to be written.

        Raises Refused if the folder holds something else, FolderInUse if another writes.
        """
        check(plan)
        folder = plan.folder
        disk.folder(folder)
        lock = disk.locked(folder / "lock")
        try:
            return cls._entered(plan, describe, lock)
        except BaseException:
            os.close(lock)
            raise

    @classmethod
    def _entered(cls, plan: Plan, describe: Callable[[], Mapping[str, Any]], lock: int) -> Store:
        folder = plan.folder
        disk.write(folder / "lock", f"process {os.getpid()} on {socket.gethostname()}".encode())
        check(plan)  # whoever held the lock until now may have changed what it guards
        if plan.options["fresh"] and (folder / "sweep.json").exists():
            for name in OURS:
                disk.remove(folder / name)
        journal.mend(folder / "journal")
        for part in ("curves", "checkpoints", "runs"):
            disk.folder(folder / part)
        store = cls(_as_held(plan, describe), lock)
        store._sweep_out()
        return store

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._lock)

    def leave_lock(self) -> None:
        """In a fork of the process: the lock is the parent's, and ends with it."""
        os.close(self._lock)

    def run_folder(self, run: Run) -> Path:
        return self.folder / "runs" / run.name

    def pending(self, stack: Stack, runs: Iterable[Run] | None = None) -> list[Run]:
        """The runs of a stack, or of those given, that are still to be trained."""
        return [run for run in (stack.runs if runs is None else runs) if run.key not in self.done]

    def begin(self, run: Run, resumed: bool = False) -> Path:
        """The run's folder with its resolved config, emptied of an earlier attempt unless that is resumed."""
        folder = self.run_folder(run)
        if not resumed:
            disk.remove(folder)
        disk.folder(folder)
        disk.write(folder / "config.yaml", _yaml(run).encode())
        return folder

    def save(self, part: str, content: bytes, step: int, of: int) -> None:
        """Commit a checkpoint: how far the runs of a part are."""
        name = f"checkpoints/{part}-{step}.safetensors"
        disk.replace(self.folder / name, content)
        checksum = hashlib.sha256(content).hexdigest()
        line = {"part": part, "step": step, "of": of, "file": name, "sha256": checksum, "time": time.time()}
        line["commands"] = self._commands(part)
        journal.mark(self.folder / "journal", line)
        saved = self._checkpoints.setdefault(part, [])
        saved.append(line)
        self._drop(saved[:-CHECKPOINTS])
        del saved[:-CHECKPOINTS]

    def checkpoints(self, part: str) -> list[bytes]:
        """The checkpoints of a part that are whole, the last one first; what is damaged is forgotten."""
        whole = []
        for line in self._checkpoints.pop(part, [])[-CHECKPOINTS:]:
            with suppress(Refused):  # it is gone, or larger than any of ours
                content = received.content(self.folder, line["file"], LARGEST)
                if hashlib.sha256(content).hexdigest() == line["sha256"]:
                    whole.append(content)
                    self._checkpoints.setdefault(part, []).append(line)
        return whole[::-1]

    def commit(self, records: Sequence[Record], part: str = "", curves: bytes | None = None) -> None:
        """Write the results of a part, ``curves`` as `curves.packed` has them.

        They count from the moment at which the journal's line is on the disk.
        """
        records = [record | {"commands": self._commands(part)} for record in records]
        if curves is not None:
            disk.replace(self.folder / "curves" / f"{part}.npz", curves)
        folders = [self.folder / record["folder"] for record in records]
        for folder, record in zip(folders, records, strict=True):
            disk.write(folder / "result.json", json.dumps(record, indent=1).encode())
        disk.sync_all([*(file for folder in folders for file in (*folder.iterdir(), folder)), self.folder / "runs"])
        journal.append(self.folder / "journal", records, part)
        self.done |= {record["key"]: record for record in records}
        self._left -= {record["key"] for record in records}
        self._drop(self._checkpoints.pop(part, []))
        if not self._left:
            self._sweep_out()

    def _commands(self, part: str) -> list[int]:
        """The commands under which a part was trained: those of its last checkpoint, and this one."""
        before = self._checkpoints.get(part, [])[-1:]
        return sorted({self.command, *(n for line in before for n in line.get("commands", []) if n < self.command)})

    def split(self, stack: Stack) -> tuple[Stack, Stack]:
        """Two stacks in place of one that does not fit into memory, for this command and for those after it."""
        middle = len(stack.runs) // 2
        halves = Stack(stack.runs[:middle]), Stack(stack.runs[middle:])
        self.restack({stack.id: halves})
        return halves

    def restack(self, parts: Mapping[str, Sequence[Stack]], threads: int = 0, widths: Sequence[Any] = ()) -> None:
        """Other stacks in place of some, from now on. ``threads`` of a worker; ``widths``: how they were found."""
        stacks = [part for stack in self.plan.stacks for part in parts.get(stack.id, (stack,))]
        self.plan = replace(self.plan, stacks=tuple(stacks))
        held = description_of(self.folder) or {}
        changed: dict[str, Any] = {"stacks": stacks_of(stacks)}
        if threads:
            changed["device"] = held.get("device", {}) | {"threads": threads}
            changed["widths"] = [*held.get("widths", []), *widths]
        _rewrite(self.folder, changed)

    def _drop(self, checkpoints: Iterable[Mapping[str, Any]]) -> None:
        for line in checkpoints:
            disk.remove(self.folder / line["file"])

    def _sweep_out(self) -> None:
        """Remove curves that were written and never committed, and checkpoints that nothing will go on from."""
        kept = {record.get("curves") for record in self.done.values()}
        if self._left:
            kept |= {line["file"] for lines in self._checkpoints.values() for line in lines[-CHECKPOINTS:]}
        for part in ("curves", "checkpoints"):
            for file in (self.folder / part).iterdir():
                if f"{part}/{file.name}" not in kept:
                    disk.remove(file)


def write_table(folder: Path) -> None:
    """results.csv: one line a run that has a result, in the plan's order. Left alone if it says so already."""
    content, path = table(read(folder).records).encode(), folder / "results.csv"
    if not path.exists() or path.stat().st_size != len(content) or path.read_bytes() != content:
        disk.replace(path, content)


def check(plan: Plan) -> None:
    """Raises Refused if the plan's folder holds anything but this plan; nothing is written."""
    folder = plan.folder
    if not folder.exists():
        return
    if not folder.is_dir():
        raise Refused(f"{folder}: is a file; the results need a folder.")
    received.check_tree(folder, leave_out=OURS if plan.options["fresh"] else ())
    others = foreign(folder)
    held = description_of(folder)  # after the list: another starter may be writing it just now
    if held is None:
        if others:
            raise Refused(f"{folder}: holds {', '.join(others[:3])}, and is no sweep's folder. Choose another.")
        return
    if held["plan"] != plan.id and not grows(held, plan) and not plan.options["fresh"]:
        raise Refused(
            f"{folder}: holds another sweep ({difference(folder, held, plan)}). "
            "Choose another folder, or sweep.fresh=true to replace it."
        )


def settled(plan: Plan) -> dict[str, Record]:
    """The records of the plan's folder that need no training: all, less the failed ones with sweep.retry=failed."""
    retried = "failed" if plan.options["retry"] == "failed" else None
    return {k: record for k, record in journal.read(plan.folder / "journal").items() if record["status"] != retried}


def missing(plan: Plan) -> list[Run]:
    """The plan's runs that are still to be trained."""
    if plan.options["fresh"] or not (plan.folder / "sweep.json").exists():
        return list(plan.runs)
    done = settled(plan)
    return [run for run in plan.runs if run.key not in done]


def finished(plan: Plan) -> bool:
    return not missing(plan)


def write_roles(plan: Plan) -> None:
    """sweep.json with the axes' roles and the claim as the last command has them: neither is part of the plan's
    identity."""
    held, now = description_of(plan.folder), {"axes": axes_of(plan)}
    now |= claim_of(plan, held)
    if held is not None and any(held.get(name) != value for name, value in now.items()):
        _rewrite(plan.folder, now)


def _rewrite(folder: Path, changed: Mapping[str, Any]) -> None:
    disk.replace(folder / "sweep.json", _json({**(description_of(folder) or {}), **changed}))


def _as_held(plan: Plan, describe: Callable[[], Mapping[str, Any]]) -> Plan:
    """The plan in the stacks of its folder; sweep.json is written where there is none, where the sweep grows, and where
    it goes on under other code or on another machine."""
    path = plan.folder / "sweep.json"
    held = description_of(plan.folder)
    if held is not None:
        plan = restacked(path, held, plan)
    machine = as_begun(describe(), held)
    if held is None or held["plan"] != plan.id or not same_making(held, machine):
        disk.replace(path, _json(described(plan, machine, held)))
    write_roles(plan)
    return plan


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=1).encode()


def table(records: Iterable[Record]) -> str:
    """The records as csv: key, folder, status, the axes, the metrics, seconds."""
    rows = [
        {"key": r["key"], "folder": r["folder"], "status": r["status"], **r["axes"]}
        | {f"final {k}": v for k, v in r["final"].items()}
        | {f"best {k}": v for k, v in r["best"].items()}
        | {"steps": r["steps"], "seconds": r["seconds"]}
        for r in records
    ]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _yaml(run: Run) -> str:
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # libyaml's is ten times faster
    return str(yaml.dump({"schema": SCHEMA, "key": run.key} | run.config, Dumper=dumper, sort_keys=False))
