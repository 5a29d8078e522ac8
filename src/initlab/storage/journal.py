"""The journal of a sweep: what is done, one line a commit, `crc32 json`.

    append(folder / "journal", records, part)        # durable when it returns
    mark(folder / "journal", checkpoint)             # how far a part is that still trains
    read(folder / "journal")                         # {key: record}, the latest of each key
    checkpoints(folder / "journal")                  # {part: its checkpoints, oldest first}

A part is the runs that train together, all of a stack or what is left of it; its id is the hash of their keys. A last
line that is torn or damaged was never committed: it is passed over, and `mend` cuts it off. Damage before the last
line is another matter, and is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from initlab.errors import Refused
from initlab.storage import disk, received
from initlab.storage.forms import COMMIT, conform

SCHEMA = 1
MOST = 2**28  # bytes; a record has some 1,500
Record = dict[str, Any]


def part_id(keys: Iterable[str]) -> str:
    return hashlib.sha256(json.dumps(list(keys), separators=(",", ":")).encode()).hexdigest()[:12]


def append(path: Path, records: Iterable[Record], part: str = "") -> None:
    """Add results, of a part; they count from the moment at which their line is on the disk."""
    _append(path, {"runs": list(records), "part": part})


def mark(path: Path, checkpoint: Mapping[str, Any]) -> None:
    """Add a checkpoint of a part: part, step, of (steps), file, sha256, time."""
    _append(path, {"runs": [], "checkpoint": checkpoint})


def _append(path: Path, commit: Mapping[str, Any]) -> None:
    line = json.dumps({"schema": SCHEMA, **commit}, separators=(",", ":")).encode()
    disk.append(path, b"%08x %s\n" % (zlib.crc32(line), line), durable=True)


def read(path: Path) -> dict[str, Record]:
    """The records of all commits by key. Raises Refused for damage before the last line."""
    return {record["key"]: record for commit in _commits(path) for record in commit["runs"]}


def checkpoints(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The checkpoints of each part that has no results yet, oldest first."""
    found: dict[str, list[dict[str, Any]]] = {}
    for commit in _commits(path):
        if (checkpoint := commit.get("checkpoint")) is not None:
            found.setdefault(checkpoint["part"], []).append(checkpoint)
        found.pop(commit.get("part", ""), None)
    return found


def mend(path: Path) -> None:
    """Cut a torn or damaged last line off, so that the next commit does not grow onto it."""
    lines = _lines(path)
    if lines and _checked(lines[-1]) is None:
        disk.truncate(path, sum(map(len, lines[:-1])))


def _commits(path: Path) -> Iterator[dict[str, Any]]:
    lines = _lines(path)
    for number, line in enumerate(lines, 1):
        if (content := _checked(line)) is not None:
            yield _commit(content, f"{path}: line {number}")
        elif number < len(lines):
            raise Refused(f"{path}: line {number} is damaged (its checksum is wrong). sweep.fresh=true starts anew.")


def _commit(content: bytes, where: str) -> dict[str, Any]:
    commit: dict[str, Any] = received.from_json(content, where)
    conform(commit, COMMIT, where)
    return commit


def _lines(path: Path) -> list[bytes]:
    there = os.path.lexists(path)
    return received.content(path.parent, path.name, MOST).splitlines(keepends=True) if there else []


def _checked(line: bytes) -> bytes | None:
    crc, _, content = line.removesuffix(b"\n").partition(b" ")
    return content if line.endswith(b"\n") and crc == b"%08x" % zlib.crc32(content) else None
