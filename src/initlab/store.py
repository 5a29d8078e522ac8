"""A sweep's folder: what was planned, what is done, and every number. The disk is the only link to what reads it.

    with Store.open(plan, command) as store:         # one writer at a time
        store.done                                   # {key: record} of the runs that need no training
        store.commit(records, curves)                # a stack's results: durable, or not there

The journal decides what is done: its line is written after everything that it speaks of. result.json, results.csv and
the event files can be made again from it and the curves.
"""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import shutil
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from initlab import journal
from initlab.curves import Series, arrays
from initlab.difference import difference
from initlab.errors import FolderInUse, Refused
from initlab.folder import description_of, read
from initlab.journal import Record
from initlab.plan import Plan, Run
from initlab.specs import SEEDS

SCHEMA = 1
OURS = ("sweep.json", "journal", "results.csv", "curves", "runs", "report")


class Store:
    """The open folder of a plan. Made by `open`; holds the lock until it is left."""

    def __init__(self, plan: Plan, lock: int) -> None:
        self.plan, self.folder, self._lock = plan, plan.folder, lock
        self.done = settled(plan)

    @classmethod
    def open(cls, plan: Plan, description: Mapping[str, Any]) -> Store:
        """Make or enter the plan's folder. Raises Refused if it holds something else, FolderInUse if another writes."""
        check(plan)
        folder = plan.folder
        folder.mkdir(parents=True, exist_ok=True)
        lock = _locked(folder / "lock")
        if plan.options["fresh"] and (folder / "sweep.json").exists():
            for name in OURS:
                _remove(folder / name)
        journal.mend(folder / "journal")
        for part in ("curves", "runs"):
            (folder / part).mkdir(exist_ok=True)
        if not (folder / "sweep.json").exists():
            write(folder / "sweep.json", json.dumps(_sweep(plan, description), indent=1).encode())
        write_roles(plan)
        store = cls(plan, lock)
        kept = {record.get("curves") for record in store.done.values()}
        for file in (folder / "curves").iterdir():
            if f"curves/{file.name}" not in kept:  # written, but never committed
                _remove(file)
        return store

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._lock)

    def run_folder(self, run: Run) -> Path:
        return self.folder / "runs" / run.name

    def begin(self, run: Run) -> Path:
        """The run's folder, emptied of an earlier attempt, with its resolved config."""
        folder = self.run_folder(run)
        _remove(folder)
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(_yaml(run))
        return folder

    def commit(self, records: Sequence[Record], stack: str, curves: Mapping[str, Series] | None) -> None:
        """Write a stack's results; they count from the moment at which the journal's line is on the disk."""
        if curves is not None:
            buffer = io.BytesIO()
            np.savez(buffer, **arrays(curves, [record["key"] for record in records]))  # type: ignore[arg-type]
            write(self.folder / "curves" / f"{stack}.npz", buffer.getvalue())
        for record in records:
            (self.folder / record["folder"] / "result.json").write_text(json.dumps(record, indent=1))
        journal.append(self.folder / "journal", records)
        self.done |= {record["key"]: record for record in records}


def write_table(folder: Path) -> None:
    """results.csv: one line a run that has a result, in the plan's order. Left alone if it says so already."""
    content, path = table(read(folder).records).encode(), folder / "results.csv"
    if not path.exists() or path.read_bytes() != content:
        write(path, content)


def check(plan: Plan) -> None:
    """Raises Refused if the plan's folder holds anything but this plan; nothing is written."""
    folder = plan.folder
    if not folder.exists():
        return
    if not folder.is_dir():
        raise Refused(f"{folder}: is a file; the results need a folder.")
    held = description_of(folder)
    if held is None:
        foreign = sorted(item.name for item in folder.iterdir() if not _left_by_a_crash(item))
        if foreign:
            raise Refused(f"{folder}: holds {', '.join(foreign[:3])}, and is no sweep's folder. Choose another.")
        return
    if held["plan"] != plan.id and not plan.options["fresh"]:
        raise Refused(
            f"{folder}: holds another sweep ({difference(folder, held, plan)}). "
            "Choose another folder, or sweep.fresh=true to replace it."
        )


def _left_by_a_crash(item: Path) -> bool:
    """What may lie in a folder of ours before its sweep.json does."""
    empty = item.name in ("curves", "runs") and item.is_dir() and not any(item.iterdir())
    return empty or item.name in ("lock", "sweep.json.tmp")


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
    """sweep.json with the axes' roles as the last command has them: they are no part of the plan's identity."""
    path, roles = plan.folder / "sweep.json", {axis.name: axis.role for axis in plan.axes}
    held = json.loads(path.read_text())
    axes = [axis | {"role": roles[axis["name"]]} for axis in held["axes"]]
    if axes != held["axes"]:
        write(path, json.dumps(held | {"axes": axes}, indent=1).encode())


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


def write(path: Path, content: bytes) -> None:
    """Put a whole file in place, durably: a reader, or a crash, sees the old one or the new one."""
    beside = path.with_name(f"{path.name}.tmp")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _sweep(plan: Plan, description: Mapping[str, Any]) -> dict[str, Any]:
    axes = [
        {
            "name": a.name,
            "role": a.role,
            "type": "/".join(sorted({type(v).__name__ for v in a.values})),
            "values": a.values,
        }
        for a in plan.axes
    ]
    return {
        "schema": SCHEMA,
        "plan": plan.id,
        **description,
        "axes": axes,
        "zips": plan.zips,
        "runs": [{"key": run.key, "name": run.name, "data": run.fingerprint} for run in plan.runs],
        "stacks": [
            {"id": stack.id, "width": len(stack.runs), "keys": [run.key for run in stack.runs]} for stack in plan.stacks
        ],
        "seeds": {name: sorted({run.config[name] for run in plan.runs}) for name in SEEDS},
    }


def _yaml(run: Run) -> str:
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # libyaml's is ten times faster
    return str(yaml.dump({"schema": SCHEMA, "key": run.key} | run.config, Dumper=dumper, sort_keys=False))


def _locked(path: Path) -> int:
    """Hold the folder until the descriptor is closed or the process dies: the kernel frees it, whatever happens."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock, 200).decode(errors="replace").strip()
        os.close(lock)
        raise FolderInUse(f"{path.parent}: in use by {holder or 'another process'}.") from None
    os.truncate(lock, 0)
    os.pwrite(lock, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
    return lock


def _remove(path: Path) -> None:
    """Remove a file, a folder, or a link, never what a link points at."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
