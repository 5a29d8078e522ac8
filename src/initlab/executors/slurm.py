"""Workers as jobs of a Slurm queue, by submitit. Coordinator and workers share a folder, and no socket.

The folder lies beside the sweep's and not in it, as submitit keeps what it runs as pickles, and a sweep's folder is
passed on. It is removed at the end.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import submitit
from submitit.core.core import Job
from submitit.core.utils import FailedJobError, FailedSubmissionError

from initlab.errors import Refused
from initlab.executors import spool
from initlab.executors.items import Cause
from initlab.executors.pipes import STOP, Gone
from initlab.executors.worker import serve

HOUR = 60  # minutes, unless sweep.slurm.time says otherwise
STATES, LEAVE = 10.0, 10.0  # seconds between two questions to the queue; until a job that should leave is cancelled
GOING = ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "REQUEUED", "RESIZING", "STAGE_OUT")
LOCAL = False  # processes in place of jobs, where there is no queue: for tests


def work(folder: str) -> None:
    """What a job runs."""
    with contextlib.suppress(Gone):
        serve(spool.Spool(Path(folder)))


@dataclass(eq=False)
class Queued:
    """A job, and the folder in which it is heard."""

    job: Job[None]
    mailbox: spool.Mailbox

    def send(self, frame: bytes) -> None:
        self.mailbox.send(frame)

    @property
    def state(self) -> str:
        """As squeue calls it; GONE once it knows the job no more. ENDED is one that came to its end."""
        if LOCAL:
            return str(self.job.state)
        if self.job.paths.result_pickle.exists():
            return "ENDED"
        command = ["squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={self.job.job_id}"]
        try:
            asked = subprocess.run(command, capture_output=True, text=True, timeout=60)
        except subprocess.TimeoutExpired:
            return "RUNNING"  # the queue does not answer: no reason to give the job up
        if asked.returncode and "nvalid job id" not in asked.stderr:
            return "RUNNING"
        return (asked.stdout.split() or ["GONE"])[0]


class Jobs:
    """The workers that a queue runs."""

    def __init__(self, workers: int, sweep: Path, asked: Mapping[str, Any]) -> None:
        self.workers = workers
        self.folder = (sweep.parent / f".{sweep.name}.slurm" / str(os.getpid())).absolute()
        (self.folder / "jobs").mkdir(parents=True)
        options = {"job_name": "initlab", "time": HOUR, **asked}
        if "mem_gb" in options:
            options["mem"] = f"{options.pop('mem_gb')}GB"
        self._executor = (submitit.LocalExecutor if LOCAL else submitit.SlurmExecutor)(self.folder / "jobs")
        self._executor.update_parameters(**({"timeout_min": HOUR} if LOCAL else options))
        self._beat = spool.beat(self.folder / "beat")
        self._started: list[Queued] = []
        self._leaving: list[Queued] = []
        self._count = 0
        self._asked = time.monotonic()

    def start(self) -> Queued:
        folder = self.folder / str(self._count)
        self._count += 1
        mailbox = spool.Mailbox(folder)
        try:
            started = Queued(self._executor.submit(work, str(folder)), mailbox)
        except (FailedJobError, FailedSubmissionError) as error:
            raise Refused(f"sweep.executor=slurm: sbatch says {' '.join(str(error).split())[-300:]}") from None
        self._started.append(started)
        return started

    def receive(self, queued: Sequence[Queued]) -> list[tuple[Queued, bytes | None]]:
        heard: list[tuple[Queued, bytes | None]] = [(one, frame) for one in queued for frame in one.mailbox.receive()]
        if heard:
            return heard
        time.sleep(spool.POLL)
        gone = [one for one in queued if one.mailbox.heard.silent() and one.mailbox.heard.begun]
        if (now := time.monotonic()) - self._asked >= STATES:
            self._asked = now
            gone += [one for one in queued if one not in gone and one.state not in GOING]
        return [(one, None) for one in gone if not one.mailbox.waiting]

    def death(self, one: Queued) -> tuple[str, Cause]:
        state = one.state
        self.end(one)
        return f"its job {one.job.job_id} is {state}", "memory" if "MEMORY" in state else "unknown"

    def end(self, one: Queued) -> None:
        if one in self._started:
            self._started.remove(one)
            if one.state in GOING:
                one.job.cancel(check=False)

    def dismiss(self, one: Queued) -> None:
        """It has nothing to do, and leaves by itself."""
        self._started.remove(one)
        self._leaving.append(one)
        one.send(STOP)

    def close(self) -> None:
        for one in list(self._started):
            self.end(one)
        patience = time.monotonic() + LEAVE
        while time.monotonic() < patience and any(one.state in GOING for one in self._leaving):
            time.sleep(spool.POLL)
        self._beat.set()
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # another command's is in it
            self.folder.parent.rmdir()
