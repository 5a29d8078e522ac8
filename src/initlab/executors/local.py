"""Workers on this machine: a process for a group of cores, or for a GPU.

A process is a fork of a zygote where that is safe, and has its imports then; otherwise it is started anew. It is not
safe beside CUDA, nor to train with several threads in a fork of a process whose OpenMP threads have been at work: they
are not there in the fork, which would wait for them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe, connection
from multiprocessing.connection import Connection
from pathlib import Path
from signal import SIGKILL, Signals
from typing import Any

import initlab
from initlab.executors.items import Cause
from initlab.executors.layout import Layout
from initlab.executors.zygote import Fork, Zygote

WAIT = 0.2  # seconds


@dataclass(eq=False)
class Process:
    """A worker's process, and our end of the pipe to it."""

    connection: Connection
    process: Fork | subprocess.Popen[bytes]
    device: int

    def send(self, frame: bytes) -> None:
        self.connection.send_bytes(frame)


class Processes:
    """The workers of this machine. ``in_fork`` is called in a fork of this process, to close what is its alone."""

    def __init__(self, layout: Layout, forks: bool, in_fork: Callable[[], None]) -> None:
        self.layout, self.forks, self.in_fork = layout, forks, in_fork
        self.workers = layout.workers
        self.zygote = Zygote.at_hand if forks else None
        self._started: list[Process] = []

    def start(self) -> Process:
        if self.forks and not (self.zygote and self.zygote.alive):  # before the pipe: nobody else may hold its ends
            self.zygote = Zygote(self.in_fork)
        ours, theirs = Pipe()
        devices = [process.device for process in self._started]
        device = min(range(max(1, self.layout.gpus)), key=devices.count)
        started = Process(ours, self._at(theirs, device), device)
        theirs.close()
        self._started.append(started)
        return started

    def receive(self, processes: Sequence[Process]) -> list[tuple[Process, bytes | None]]:
        """A frame of each that has said something; None from one that has died."""
        by_end = {process.connection: process for process in processes}
        return [(by_end[end], _read(end)) for end in connection.wait(list(by_end), WAIT)]  # type: ignore[index]

    def death(self, process: Process) -> tuple[str, Cause]:
        code = process.process.wait()
        self.end(process)
        if code >= 0:
            return f"exit code {code}", "unknown"
        return f"signal {-code}, {Signals(-code).name}", "killed" if -code == SIGKILL else "unknown"

    def end(self, process: Process) -> None:
        if process in self._started:
            self._started.remove(process)
            process.process.kill()
            process.process.wait()
            process.connection.close()

    def dismiss(self, process: Process) -> None:
        self.end(process)

    def close(self) -> None:
        for process in list(self._started):
            self.end(process)
        if self.zygote is not None and self.zygote is not Zygote.at_hand:
            self.zygote.end()

    def _at(self, end: Connection, device: int) -> Fork | subprocess.Popen[bytes]:
        if self.zygote is not None:
            return self.zygote.fork(end)
        return _spawned(end, device if self.layout.gpus else None)


def _spawned(theirs: Connection, gpu: int | None) -> subprocess.Popen[bytes]:
    source = str(Path(initlab.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))}
    if gpu is not None:  # it has this one, and calls it its first
        import torch

        visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(torch.cuda.device_count())))
        environment["CUDA_VISIBLE_DEVICES"] = visible.split(",")[gpu]
    command = [sys.executable, "-m", "initlab.executors.worker", str(theirs.fileno())]
    return subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment)


def _read(end: Any) -> bytes | None:
    try:
        return end.recv_bytes()
    except (EOFError, OSError):
        return None
