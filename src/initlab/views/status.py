"""How far a sweep is, read from its folder: without the lock, so that nothing is disturbed, and on a copy as well.

found = status(folder)
found.states                     # {"done": ["init=xavier", ...], "running": [...], "pending": [...]}
print(words(found))
"""

from __future__ import annotations

import os
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from initlab.errors import printable
from initlab.reporting.wording import count
from initlab.storage import journal, received
from initlab.storage.commands import shares
from initlab.storage.folder import Sweep, Unbegun, read
from initlab.views.tables import ODD_ROWS, reason

STATES = ("done", "diverged", "failed", "running", "stopped", "pending")

MOST_LOCK = 400  # bytes: a process and a host


@dataclass(frozen=True)
class Status:
    """``sweep``: None where it has not begun; ``states``: the names of the runs in each; ``holder``: who trains here
    now, if anybody does; ``checkpoints``: the last one of each stack that is begun and not done."""

    folder: Path
    sweep: Sweep | None
    states: dict[str, list[str]]
    holder: str | None
    checkpoints: list[dict[str, Any]]

    @property
    def exit_code(self) -> int:
        """0: all done or diverged, 3: and some failed, 75: somebody trains here, 1: nobody does, and runs are left."""
        if self.states["running"] or self.holder:
            return 75
        if self.sweep is None or self.states["stopped"] or self.states["pending"]:
            return 1
        return 3 if self.states["failed"] else 0


def status(folder: Path) -> Status:
    """Raises Refused if the folder is no sweep's, or its journal is damaged."""
    states: dict[str, list[str]] = {state: [] for state in STATES}
    try:
        sweep, open_parts = read(folder), journal.checkpoints(folder / "journal")
    except Unbegun:
        return Status(folder, None, states, held_by(folder), [])
    holder = held_by(folder)
    for record in sweep.records:
        states[record["status"]].append(record["name"])
    names = {run["key"]: run["name"] for run in sweep.description["runs"]}
    ended, checkpoints = {record["key"] for record in sweep.records}, []
    for stack in sweep.description["stacks"]:
        left = [key for key in stack["keys"] if key not in ended]
        begun = any((folder / "runs" / names[key]).exists() for key in left)
        states["pending" if not begun else "running" if holder else "stopped"] += [names[key] for key in left]
        checkpoints += open_parts.get(journal.part_id(left), [])[-1:]
    return Status(folder, sweep, states, holder, checkpoints)


def words(found: Status) -> str:
    """What a person wants to know, in a few lines."""
    if (sweep := found.sweep) is None:
        if found.holder:
            return f"{found.folder}: a sweep that begins just now, by {found.holder}"
        return f"{found.folder}: a sweep that was stopped before it began\nto go on: the command that made the folder"
    counts = ", ".join(f"{len(names)} {state}" for state, names in found.states.items() if names)
    lines = [f"{found.folder}: {count(len(sweep.description['runs']), 'run')}: {counts}"]
    if made := shares(sweep.records, sweep.description):
        lines.append("; ".join(made))
    if found.holder:
        lines.append(f"trained by {found.holder}")
    for last in found.checkpoints:
        ago = max(0.0, time.time() - last["time"])
        lines.append(f"checkpoint at step {last['step']} of {last['of']}, {ago:.0f} s ago")
    for state in ("diverged", "failed"):
        odd = [record for record in sweep.records if record["status"] == state]
        lines += [f"{record['name']} {state}{reason(record)}" for record in odd[:ODD_ROWS]]
        lines += [f"... {len(odd) - ODD_ROWS} more {state}"] if len(odd) > ODD_ROWS else []
    if found.exit_code == 1:
        command = sweep.command
        lines.append(f"to go on: {shlex.join(command) if command else 'the recorded command does not call train.py'}")
    return "\n".join(lines)


def held_by(folder: Path) -> str | None:
    """Who holds a folder's lock, by the kernel's list: to try it would be in a starter's way. None: nobody does.

    A process of another machine or container is not in this list.
    """
    lock, listed = folder / "lock", Path("/proc/locks")
    if not os.path.lexists(lock) or not listed.exists():
        return None
    found = lock.lstat()  # of a link itself: nobody holds that
    place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    for line in listed.read_text().splitlines():
        fields = line.split()  # "1: FLOCK  ADVISORY  WRITE 24347 fe:00:2182920 0 EOF"
        if fields[1] == "FLOCK" and place in fields:
            said = received.content(folder, "lock", MOST_LOCK).decode(errors="replace")
            return printable(said.strip()) or f"process {fields[4]}"
    return None
