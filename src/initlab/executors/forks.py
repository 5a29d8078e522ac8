"""Pieces of work side by side: each in a fork of this process, on a core of its own, and what they return in order.

    for entry in side_by_side(work, names): ...

A fork shares what this process has imported and read, and answers no Ctrl-C: that is left to this process, which ends
all forks by SIGTERM, upon which what trains is saved. What a fork raises is raised here, in its turn.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe, connection
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from initlab.errors import FolderInUse, Refused
from initlab.executors.pipes import follow
from initlab.executors.zygote import forked
from initlab.training import interrupts

MOST = 8  # at once, as each takes some hundred megabytes
WAIT, LEAVE = 0.2, 5.0  # seconds between looks at signals, and until a fork that was asked to end is killed
TOLD = (Refused, FolderInUse, OSError, interrupts.Interrupted)  # what the command has words for
A = TypeVar("A")
T = TypeVar("T")


@dataclass
class _Fork:
    pid: int
    end: Connection
    core: int


def side_by_side(work: Callable[[A], T], items: Sequence[A]) -> Iterator[T]:
    """``work`` of each item, in the items' order: in this process where there is one core, or one item, or no fork.

    Raises what the work raises, and Refused where a fork died.
    """
    cores = sorted(os.sched_getaffinity(0))[:MOST] if sys.platform == "linux" else []
    if min(len(cores), len(items)) < 2:
        yield from map(work, items)
        return
    waiting, running, ended, turn = list(enumerate(items)), dict[int, _Fork](), dict[int, Any](), 0
    with interrupts.held():
        try:
            while turn < len(items):
                while waiting and cores:
                    i, item = waiting.pop(0)
                    running[i] = _forked(work, item, cores.pop(0))
                ready = connection.wait([fork.end for fork in running.values()], WAIT)
                for i in [i for i, fork in running.items() if fork.end in ready]:
                    cores.append(running[i].core)
                    ended[i] = _taken(running.pop(i))
                interrupts.poll()
                while turn in ended:
                    if isinstance(found := ended.pop(turn), BaseException):
                        raise found
                    yield found
                    turn += 1
        finally:
            _end(running.values())


def _forked(work: Callable[[A], T], item: A, core: int) -> _Fork:
    ours, theirs = Pipe(duplex=False)
    parent = os.getpid()

    def life() -> None:
        follow(parent)
        ours.close()
        interrupts.serve(lambda: False)
        os.sched_setaffinity(0, {core})
        with contextlib.suppress(BrokenPipeError):
            theirs.send((_answer(work, item),))

    try:
        return _Fork(forked(life), ours, core)
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()


def _answer(work: Callable[[A], T], item: A) -> T | BaseException:
    try:
        return work(item)
    except TOLD as error:
        return error
    except (Exception, SystemExit) as error:  # a fault of ours, or of a plug-in's: its place is lost on the way
        traceback.print_exc()
        return RuntimeError(f"{type(error).__name__}: {error}")


def _taken(fork: _Fork) -> Any:
    """What it has returned, or the exception that it was ended by."""
    with fork.end:
        try:
            found = fork.end.recv()
        except EOFError:
            found = None
        code = os.waitstatus_to_exitcode(os.waitpid(fork.pid, 0)[1])
    if found is None:
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return Refused(f"a process that ran some of it died, of {how}.")
    return found[0]


def _end(forks: Iterable[_Fork]) -> None:
    for fork in forks:
        fork.end.close()
        os.kill(fork.pid, signal.SIGTERM)
    last = time.monotonic() + LEAVE
    for fork in forks:
        while not (ended := os.waitpid(fork.pid, os.WNOHANG)[0]) and time.monotonic() < last:
            time.sleep(0.01)
        if not ended:
            os.kill(fork.pid, signal.SIGKILL)
            os.waitpid(fork.pid, 0)
