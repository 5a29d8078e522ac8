"""A worker's end of a pipe to the process that started it."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
from multiprocessing.connection import Connection

from initlab.training import interrupts

STOP = b"stop"
PR_SET_PDEATHSIG = 1  # prctl(2)


class Gone(BaseException):
    """The coordinator has gone, as an exception that nothing on the way takes for the failure of a run."""


class Pipe:
    """A `worker.Link`. While an item is carried out nothing is sent but STOP: whatever can be read means to leave."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._poll = select.poll()
        self._poll.register(connection.fileno(), select.POLLIN)

    def send(self, frame: bytes) -> None:
        try:
            self.connection.send_bytes(frame)
        except OSError:
            raise Gone from None

    def receive(self) -> bytes | None:
        while not self._poll.poll(1000):
            if interrupts.signalled():
                return None
        try:
            frame = self.connection.recv_bytes()
        except (EOFError, OSError):
            raise Gone from None
        return None if frame == STOP or interrupts.signalled() else frame

    def asked(self) -> bool:
        return bool(self._poll.poll(0))


def follow(parent: int) -> None:
    """Where the kernel can (Linux), it ends this process with its parent; elsewhere the closed pipe does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has died meanwhile
        os._exit(1)
