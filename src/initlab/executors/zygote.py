"""A process that imports what trains, and is forked into workers: these have their imports at once.

    with ahead():                               # a command: it imports while the command plans
        Zygote.at_hand.fork(theirs)             # a worker at that end of a pipe; wait() and kill() as of a Popen

Importing torch and Lightning takes longer than all else before the first update, and needs nothing that a command
says. So the process of a command is forked before it plans, and one half imports while the other plans. The zygote
computes nothing: no thread of OpenMP and no GPU is at work in what is forked.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, ClassVar, NoReturn

from initlab.training import interrupts

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

FORKS = sys.platform == "linux"  # elsewhere what a system's libraries have begun may not survive it
WORKER = "initlab.executors.worker"  # with torch and Lightning


def load() -> None:
    """Import what trains, with Python's garbage collector at rest: it would look in vain through all of that, for a
    fifth of the time, and would later copy for each fork what the forks share."""
    if WORKER not in sys.modules:
        gc.disable()
        import initlab.executors.worker  # noqa: F401

        gc.freeze()
        gc.enable()


@contextmanager
def ahead() -> Iterator[None]:
    """A zygote is at hand, and gone afterwards. None where it gains nothing, on one core, or where torch is imported
    already, by a plug-in that may have computed with it: its threads would be missed in a fork."""
    if not FORKS or len(os.sched_getaffinity(0)) == 1 or "torch" in sys.modules:
        yield
        return
    with suppress(OSError):  # no process is left for it: the command can do without
        Zygote.at_hand = Zygote()
    try:
        yield
    finally:
        dismiss()


def dismiss() -> None:
    """None is at hand from here on."""
    if Zygote.at_hand is not None:
        Zygote.at_hand.end()
        Zygote.at_hand = None


class Zygote:
    """A fork of this process. ``in_fork`` is called in it, to close what is the parent's alone."""

    at_hand: ClassVar[Zygote | None] = None  # the command's
    was_threaded: ClassVar = False  # whether this process has trained with several threads; then a fork could not

    def __init__(self, in_fork: Callable[[], object] = bool) -> None:
        self._end, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._forks = 0
        self._code: int | None = None
        try:
            self._pid = forked(partial(_serve, theirs, self._end, os.getpid(), in_fork))
        except OSError:
            self._end.close()
            raise
        finally:
            theirs.close()

    def fork(self, end: Connection) -> Fork:
        """A worker with this end of a pipe; if it cannot be made, nobody holds that end any more."""
        with suppress(OSError):
            socket.send_fds(self._end, [b"fork"], [end.fileno()])
        self._forks += 1
        return Fork(self, self._forks - 1)

    def ended(self, number: int, kill: bool) -> int:
        """The exit code of a fork that has ended, or is ended here, minus the signal."""
        with suppress(OSError):
            self._end.send(b"%d %d" % (number, signal.SIGKILL if kill else 0))
            if said := self._end.recv(16):
                return int(said)
        return self.end()  # it has died, and its forks with it

    @property
    def alive(self) -> bool:
        if self._code is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code is None

    def end(self) -> int:
        """Its exit code; its forks end with it."""
        self._end.close()
        if self._code is None:
            os.kill(self._pid, signal.SIGKILL)
            self._code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return self._code


class Fork:
    """A worker, of which `subprocess.Popen`'s words can be asked."""

    def __init__(self, zygote: Zygote, number: int) -> None:
        self._zygote, self._number = zygote, number
        self._code: int | None = None

    def wait(self) -> int:
        return self._ended(kill=False)

    def kill(self) -> None:
        self._ended(kill=True)

    def _ended(self, kill: bool) -> int:
        if self._code is None:
            self._code = self._zygote.ended(self._number, kill)
        return self._code


def forked(life: Callable[[], object]) -> int:
    """The id of a fork of this process, which does that and ends. Raises OSError.

    Signals wait there until `interrupts.serve`, or for ever: what this process does about them is not its business.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, interrupts.SERVED)
    try:
        if pid := _fork():
            return pid
        _carried_out(life)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _fork() -> int:
    sys.stdout.flush(), sys.stderr.flush()
    with warnings.catch_warnings():  # Python 3.12 warns of threads, which numpy's are and which nothing here uses
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _carried_out(work: Callable[[], object]) -> NoReturn:
    """The whole of a fork's life: what its parent was about to do is not its business."""
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError):
            sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)


def _serve(end: socket.socket, other: socket.socket, parent: int, in_fork: Callable[[], object]) -> None:
    """Whoever has a worker for it sends the worker's end of a pipe; or "number signal": of a fork that is to end by
    that signal, if there is one, or has ended by itself. The answer is its exit code."""
    from initlab.executors import pipes

    pipes.follow(parent)
    other.close()
    in_fork()
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__  # not through the parent's live region
    load()
    forks: list[int | None] = []  # None where no process, or no descriptor, was left for it
    me = os.getpid()
    while True:
        said, ends, _, _ = socket.recv_fds(end, 64, 1)
        if said == b"fork":
            forks.append(None)
            with suppress(OSError):
                forks[-1] = forked(partial(_work, end, ends[0], me)) if ends else None
            for descriptor in ends:
                os.close(descriptor)
        elif said:
            which, by = map(int, said.split())
            end.send(b"%d" % _code(forks[which], by))
        else:
            return


def _work(end: socket.socket, pipe: int, parent: int) -> None:
    from initlab.executors import worker

    end.close()
    worker.work(pipe, parent)


def _code(fork: int | None, by: int) -> int:
    """Of a process that is sent this signal, or none if 0; 1 of one that could not be made."""
    if fork is None:
        return 1
    os.kill(fork, by)
    return os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1])
