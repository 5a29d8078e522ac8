"""A sweep's folder: what was planned, what is done, and every number. The disk is the only link to what reads it.

    with Store.open(plan, command) as store:         # one writer at a time
        store.done                                   # {key: record} of the runs that need no training
        store.commit(records, curves)                # a stack's results: durable, or not there
    read(folder)                                     # Sweep: the description, records, and curves on demand

The journal decides what is done: one line a commit, `crc32 json`, written after everything that it speaks of. All
else (result.json, results.csv, the event files) can be made again from it and the curves.
"""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import shutil
import socket
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from initlab.curves import Series, arrays
from initlab.errors import FolderInUse, Refused
from initlab.plan import Plan, Run

SCHEMA = 1
OURS = ("sweep.json", "journal", "results.csv", "curves", "runs", "report", "lock")
Record = dict[str, Any]


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
        if plan.options["fresh"]:
            for name in OURS:
                _remove(folder / name, keep=name == "lock")
        _cut_torn_tail(folder / "journal")
        for part in ("curves", "runs"):
            (folder / part).mkdir(exist_ok=True)
        if not (folder / "sweep.json").exists():
            write(folder / "sweep.json", json.dumps(_sweep(plan, description), indent=1).encode())
        return cls(plan, lock)

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
        line = json.dumps({"schema": SCHEMA, "runs": records}, separators=(",", ":")).encode()
        with (self.folder / "journal").open("ab") as file:
            file.write(b"%08x %s\n" % (zlib.crc32(line), line))
            file.flush()
            os.fsync(file.fileno())
        self.done |= {record["key"]: record for record in records}

    def write_table(self) -> None:
        """results.csv: one line a run, in the plan's order, of those that have a result."""
        records = [self.done[run.key] for run in self.plan.runs if run.key in self.done]
        write(self.folder / "results.csv", table(records).encode())


@dataclass(frozen=True)
class Sweep:
    """A folder as read: `description` is sweep.json, `records` one a finished run, in the plan's order."""

    folder: Path
    description: dict[str, Any]
    records: list[Record]


def read(folder: Path) -> Sweep:
    """A sweep's folder. Raises Refused if it is none."""
    if not (folder / "sweep.json").is_file():
        raise Refused(f"{folder}: no sweep's folder, as it has no sweep.json.")
    description = json.loads((folder / "sweep.json").read_text())
    done = {record["key"]: record for record in journal(folder)}
    return Sweep(folder, description, [done[run["key"]] for run in description["runs"] if run["key"] in done])


def journal(folder: Path) -> list[Record]:
    """The records of all commits, the latest of each key. Raises Refused for damage before the last line."""
    path = folder / "journal"
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    records: dict[str, Record] = {}
    for number, line in enumerate(lines, 1):
        if (content := _checked(line)) is not None:
            records |= {record["key"]: record for record in json.loads(content)["runs"]}
        elif number < len(lines) - 1:  # a last line that is torn was never committed
            raise Refused(f"{path}: line {number} is damaged (its checksum is wrong). sweep.fresh=true starts anew.")
    return list(records.values())


def check(plan: Plan) -> None:
    """Raises Refused if the plan's folder holds anything but this plan; nothing is written."""
    folder = plan.folder
    if not folder.exists():
        return
    if not folder.is_dir():
        raise Refused(f"{folder}: is a file; the results need a folder.")
    if not (folder / "sweep.json").exists():
        foreign = sorted(item.name for item in folder.iterdir() if item.name not in OURS)
        if foreign:
            raise Refused(f"{folder}: holds {', '.join(foreign[:3])}, and is no sweep's folder. Choose another.")
        return
    held = json.loads((folder / "sweep.json").read_text())
    if held["plan"] != plan.id and not plan.options["fresh"]:
        axes = " x ".join(f"{axis['name']} ({len(axis['values'])})" for axis in held["axes"]) or "a single run"
        mine = " x ".join(f"{axis.name} ({len(axis.values)})" for axis in plan.axes) or "a single run"
        raise Refused(
            f"{folder}: holds another sweep ({axes}, {len(held['runs'])} runs; this one: {mine}, {len(plan.runs)}). "
            "Choose another folder, or sweep.fresh=true to replace it."
        )


def settled(plan: Plan) -> dict[str, Record]:
    """The records of the plan's folder that need no training: all, less the failed ones with sweep.retry=failed."""
    retried = "failed" if plan.options["retry"] == "failed" else None
    return {record["key"]: record for record in journal(plan.folder) if record["status"] != retried}


def finished(plan: Plan) -> bool:
    """Whether there is nothing left to train in the plan's folder."""
    if plan.options["fresh"] or not (plan.folder / "sweep.json").exists():
        return False
    return {run.key for run in plan.runs} <= settled(plan).keys()


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
        "runs": [{"key": run.key, "name": run.name} for run in plan.runs],
        "stacks": [
            {"id": stack.id, "width": len(stack.runs), "keys": [run.key for run in stack.runs]} for stack in plan.stacks
        ],
        "data": {run.config["dataset"]["name"]: run.fingerprint for run in plan.runs},
        "seeds": sorted({run.config["seed"] for run in plan.runs}),
    }


def _yaml(run: Run) -> str:
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # libyaml's is ten times faster
    return str(yaml.dump({"schema": SCHEMA, "key": run.key} | run.config, Dumper=dumper, sort_keys=False))


def _checked(line: bytes) -> bytes | None:
    crc, _, content = line.partition(b" ")
    return content if content and crc == b"%08x" % zlib.crc32(content) else None


def _cut_torn_tail(path: Path) -> None:
    """Drop an unfinished last line, so that the next commit does not grow onto it."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)


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


def _remove(path: Path, keep: bool = False) -> None:
    if keep or path.is_symlink():
        return
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
