"""Workers on a Ray cluster, an actor each: the cluster that is there (RAY_ADDRESS), or one of this machine.

What they say flows back to the coordinator, which alone writes: nodes need no common file system, but the same initlab,
the same plug-ins, and data sets that are files under the same paths.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from queue import Empty, Queue, SimpleQueue
from typing import Any

import ray
from ray.exceptions import OutOfMemoryError, RayError

from initlab.executors.items import Cause
from initlab.executors.pipes import STOP
from initlab.executors.worker import serve
from initlab.training import interrupts

WAIT = 0.2  # seconds
LONG = 1.0  # seconds that an actor waits for its worker to say something
MOST = 256  # frames that wait to be fetched; then the worker waits


class Actor:
    """A worker in a thread of its own, beside those that take and fetch its frames."""

    def __init__(self) -> None:
        self._in: SimpleQueue[bytes] = SimpleQueue()
        self._out: Queue[bytes] = Queue(MOST)
        self._stop = False
        threading.Thread(target=self._serve, daemon=True).start()

    @ray.method(concurrency_group="in")  # type: ignore[untyped-decorator]
    def take(self, frame: bytes) -> None:
        self._stop |= frame == STOP
        self._in.put(frame)

    @ray.method(concurrency_group="out")  # type: ignore[untyped-decorator]
    def said(self) -> list[bytes]:
        """What the worker has said since; empty after a while."""
        frames = []
        try:
            frames.append(self._out.get(timeout=LONG))
            while True:
                frames.append(self._out.get_nowait())
        except Empty:
            return frames

    def _serve(self) -> None:
        try:
            serve(self)
        finally:
            if not self._stop:
                os._exit(1)  # a worker that ends otherwise is a process that dies

    # --- the worker's side: `worker.Link` -----------------------------------------------------------------------------

    def send(self, frame: bytes) -> None:
        self._out.put(frame)

    def receive(self) -> bytes | None:
        frame = self._in.get()
        return None if frame == STOP else frame

    def asked(self) -> bool:
        return self._stop


@dataclass(eq=False)
class Remote:
    """An actor, and what it is about to say."""

    actor: Any
    saying: Any

    def send(self, frame: bytes) -> None:
        self.actor.take.remote(frame)


class Actors:
    """The workers of a cluster: of one GPU each where it has some and the sweep takes them, else of one CPU."""

    def __init__(self, workers: int, gpu: bool) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        self._ours = not ray.is_initialized()
        if self._ours:
            ray.init(log_to_driver=False, configure_logging=False)
            interrupts.catch()  # it has put its own answer to SIGTERM in place of ours
        there = ray.cluster_resources()
        kind = "GPU" if gpu and there.get("GPU") else "CPU"
        self.workers = workers or max(1, int(there.get(kind, 1)))
        wants: dict[str, Any] = {"num_gpus": 1} if kind == "GPU" else {"num_cpus": 1}
        self._remote = ray.remote(concurrency_groups={"in": 1, "out": 1}, **wants)(Actor)
        self._started: list[Remote] = []
        self._died: dict[Remote, tuple[str, Cause]] = {}

    def start(self) -> Remote:
        actor = self._remote.remote()
        started = Remote(actor, actor.said.remote())
        self._started.append(started)
        return started

    def receive(self, remotes: Sequence[Remote]) -> list[tuple[Remote, bytes | None]]:
        saying = {remote.saying: remote for remote in remotes}
        ready, _ = ray.wait(list(saying), num_returns=1, timeout=WAIT)
        heard: list[tuple[Remote, bytes | None]] = []
        for remote in (saying[ref] for ref in ready):
            try:
                frames = ray.get(remote.saying)
            except RayError as error:
                lines = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip().splitlines()
                how = " ... ".join(dict.fromkeys([lines[0].strip(), lines[-1].strip()]))
                self._died[remote] = how, "memory" if isinstance(error, OutOfMemoryError) else "unknown"
                heard.append((remote, None))
            else:
                remote.saying = remote.actor.said.remote()
                heard += [(remote, frame) for frame in frames]
        return heard

    def death(self, remote: Remote) -> tuple[str, Cause]:
        """Ray's own watch of memory has an error of its own; any other death it explains with all that may be."""
        how, cause = self._died.pop(remote, ("", "unknown"))
        self.end(remote)
        return f"its actor died: {how[:300]}", cause

    def end(self, remote: Remote) -> None:
        if remote in self._started:
            self._started.remove(remote)
            ray.kill(remote.actor)

    def dismiss(self, remote: Remote) -> None:
        self.end(remote)

    def close(self) -> None:
        for remote in list(self._started):
            self.end(remote)
        if self._ours:
            ray.shutdown()
