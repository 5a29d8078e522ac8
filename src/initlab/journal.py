"""The journal of a sweep: what is done, one line a commit, `crc32 json`.

    append(folder / "journal", records)          # durable when it returns
    read(folder / "journal")                     # {key: record}, the latest of each key

A last line that is torn or damaged was never committed: `read` passes over it and `mend` cuts it off. Damage before
the last line is another matter, and is refused.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from initlab.errors import Refused

SCHEMA = 1
Record = dict[str, Any]


def append(path: Path, records: Iterable[Record]) -> None:
    """Add a commit; it counts from the moment at which its line is on the disk."""
    line = json.dumps({"schema": SCHEMA, "runs": list(records)}, separators=(",", ":")).encode()
    with path.open("ab") as file:
        file.write(b"%08x %s\n" % (zlib.crc32(line), line))
        file.flush()
        os.fsync(file.fileno())


def read(path: Path) -> dict[str, Record]:
    """The records of all commits by key. Raises Refused for damage before the last line."""
    records: dict[str, Record] = {}
    lines = _lines(path)
    for number, line in enumerate(lines, 1):
        if (content := _checked(line)) is not None:
            records |= {record["key"]: record for record in json.loads(content)["runs"]}
        elif number < len(lines):
            raise Refused(f"{path}: line {number} is damaged (its checksum is wrong). sweep.fresh=true starts anew.")
    return records


def mend(path: Path) -> None:
    """Cut a torn or damaged last line off, so that the next commit does not grow onto it."""
    lines = _lines(path)
    if lines and _checked(lines[-1]) is None:
        os.truncate(path, sum(map(len, lines[:-1])))


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True) if path.exists() else []


def _checked(line: bytes) -> bytes | None:
    crc, _, content = line.removesuffix(b"\n").partition(b" ")
    return content if line.endswith(b"\n") and crc == b"%08x" % zlib.crc32(content) else None
