"""A line of the table, and how commands are timed."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Row:
    """``values`` of the repeats; ``why``: a line on where the time goes."""

    what: str
    values: Sequence[float]
    unit: str = "s"
    why: str = ""

    def __str__(self) -> str:
        least, middle, most = min(self.values), statistics.median(self.values), max(self.values)
        line = f"{self.what:<66}{least:9.3g}{middle:9.3g}{most:9.3g}  {self.unit}"
        return f"{line}\n    {self.why}" if self.why else line


@dataclass(frozen=True)
class Note:
    """A line in place of rows."""

    said: str

    def __str__(self) -> str:
        return self.said


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def command(words: Sequence[str], cwd: Path, rc: int = 0) -> tuple[float, float]:
    """Seconds of `train.py words`, and the most megabytes that one of its processes had."""
    start = time.perf_counter()
    with (cwd / "said").open("w+") as said:
        process = subprocess.Popen([sys.executable, str(ROOT / "train.py"), *words], cwd=cwd, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        seconds, code = time.perf_counter() - start, os.waitstatus_to_exitcode(status)
        process.returncode = code
        if code != rc:
            said.seek(0)
            raise SystemExit(f"exit code {code} of {' '.join(words)}:\n{said.read()}")
    return seconds, usage.ru_maxrss / 1024
