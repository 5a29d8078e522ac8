"""Workers on this machine: a process for a group of cores, or for a GPU.

A process is forked where that is safe, and has its imports then; otherwise it is started anew. It is not safe beside
CUDA, nor to train with several threads in a fork of a process whose OpenMP threads have been at work: they are not
there in the fork, which would wait for them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe, connection, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from signal import SIGKILL, Signals
from typing import Any

import torch

import initlab
from initlab.executors import pipes
from initlab.executors.items import Cause
from initlab.executors.layout import Layout
from initlab.executors.worker import serve

WAIT = 0.2  # seconds


@dataclass(eq=False)
class Process:
    """A worker's process, and our end of the pipe to it."""

    connection: Connection
    process: Any  # multiprocessing's, or subprocess's
    device: int

    def send(self, frame: bytes) -> None:
        self.connection.send_bytes(frame)


class Processes:
    """The workers of this machine. ``in_fork`` is called in a fork, to close what is the parent's alone."""

    def __init__(self, layout: Layout, forks: bool, in_fork: Callable[[], None]) -> None:
        self.layout, self.forks, self.in_fork = layout, forks, in_fork
        self.workers = layout.workers
        self._started: list[Process] = []

    def start(self) -> Process:
        ours, theirs = Pipe()
        devices = [process.device for process in self._started]
        device = min(range(max(1, self.layout.gpus)), key=devices.count)
        process = self._forked(ours, theirs) if self.forks else _spawned(theirs, device if self.layout.gpus else None)
        theirs.close()
        started = Process(ours, process, device)
        self._started.append(started)
        return started

    def receive(self, processes: Sequence[Process]) -> list[tuple[Process, bytes | None]]:
        """A frame of each that has said something; None from one that has died."""
        by_end = {process.connection: process for process in processes}
        return [(by_end[end], _read(end)) for end in connection.wait(list(by_end), WAIT)]  # type: ignore[index]

    def death(self, process: Process) -> tuple[str, Cause]:
        code = _code(process.process)
        self.end(process)
        if code >= 0:
            return f"exit code {code}", "unknown"
        return f"signal {-code}, {Signals(-code).name}", "killed" if -code == SIGKILL else "unknown"

    def end(self, process: Process) -> None:
        if process in self._started:
            self._started.remove(process)
            process.process.kill()
            _code(process.process)
            process.connection.close()

    def dismiss(self, process: Process) -> None:
        self.end(process)

    def close(self) -> None:
        for process in list(self._started):
            self.end(process)

    def _forked(self, ours: Connection, theirs: Connection) -> Any:
        parents = [ours, *(process.connection for process in self._started)]

        def run() -> None:
            pipes.follow_parent()
            self.in_fork()
            for end in parents:  # held open here, they would keep another worker from noticing that the parent died
                end.close()
            sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__  # not through the parent's live region
            try:
                serve(pipes.Pipe(theirs))
            except pipes.Gone:
                os._exit(1)

        process = get_context("fork").Process(target=run, daemon=True)
        with warnings.catch_warnings():  # Python 3.12 warns of threads, which numpy's are and which nothing here uses
            warnings.simplefilter("ignore", DeprecationWarning)
            process.start()
        return process


def _spawned(theirs: Connection, gpu: int | None) -> Any:
    source = str(Path(initlab.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))}
    if gpu is not None:  # it has this one, and calls it its first
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(torch.cuda.device_count())))
        environment["CUDA_VISIBLE_DEVICES"] = visible.split(",")[gpu]
    command = [sys.executable, "-m", "initlab.executors.worker", str(theirs.fileno())]
    return subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment)


def _read(end: Any) -> bytes | None:
    try:
        return end.recv_bytes()
    except (EOFError, OSError):
        return None


def _code(process: Any) -> int:
    """The exit code of a process that has ended or is about to, minus the signal."""
    if isinstance(process, subprocess.Popen):
        return process.wait()
    process.join()
    return process.exitcode
