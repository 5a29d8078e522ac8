"""The command in a forked child, which has its imports already, so that it can be started and killed by the hundred."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import initlab.executors.worker  # noqa: F401  # torch and lightning, before the fork
from faults import ROOT
from initlab.command import main
from initlab.storage import record
from initlab.training import interrupts
from initlab.training import updates as updating

COMMIT = record.code(ROOT)  # asked once: a git that is killed or held up would make a command of its own


class Child:
    """`python train.py words` in a folder, from where its handlers are installed."""

    def __init__(self, words: Sequence[str], cwd: Path, gate: int | None = None, slow: float = 0) -> None:
        """``gate``: the reading end of a pipe at which the child waits. ``slow``: seconds more for each update."""
        self._code: int | None = None
        ready, tell = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self._run(list(words), cwd, tell, gate, slow)
        os.close(tell)
        os.read(ready, 1)
        os.close(ready)

    def _run(self, words: list[str], cwd: Path, tell: int, gate: int | None, slow: float) -> None:
        code, step = 70, updating.step
        try:
            if slow:
                updating.step = lambda *given: (time.sleep(slow), step(*given))[1]
            interrupts.catch()
            os.chdir(cwd)
            log = os.open(f"log.{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(log, 1), os.dup2(log, 2)
            for name, descriptor in (("stdout", 1), ("stderr", 2)):
                stream = os.fdopen(descriptor, "w", buffering=1, closefd=False)
                setattr(sys, name, stream), setattr(sys, f"__{name}__", stream)
            sys.argv = ["train.py", *words]
            record.code = lambda _: COMMIT
            os.write(tell, b".")
            if gate is not None:
                os.read(gate, 1)
            code = main(ROOT, words)
        finally:
            os._exit(code)

    def workers(self) -> list[int]:
        return [worker for zygote in children(self.pid) for worker in children(zygote)]

    def forks(self) -> list[int]:
        """Its zygote, and the workers."""
        return [*children(self.pid), *self.workers()]

    def poll(self) -> int | None:
        """The exit code, or minus the signal; None while it runs."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def wait(self, seconds: float = 120) -> int:
        end = time.monotonic() + seconds
        while (code := self.poll()) is None:
            assert time.monotonic() < end, "it does not end"
            time.sleep(0.005)
        return code

    def said(self, cwd: Path) -> str:
        return (cwd / f"log.{self.pid}").read_text()


def children(pid: int) -> list[int]:
    return [int(child) for child in _of(pid, f"task/{pid}/children").split()]


def gone(pid: int) -> bool:
    """Whether a process has ended, though whoever inherited it may not have asked for its exit code yet."""
    return _of(pid, "stat").rpartition(")")[2].split()[:1] in ([], ["Z"], ["X"])


def _of(pid: int, name: str) -> str:
    """A file of a process; nothing where it has ended."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
