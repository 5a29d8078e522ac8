"""SIGINT and SIGTERM end the process with 128 + n: at once, or while a stack trains after a checkpoint.

    catch()                     # from here on they are answered
    with held():                # in here a signal waits for the next `poll`, for GRACE seconds at most
        ...
        poll()                  # raises Interrupted if one came

A second signal ends the process at once. Outside `held` nothing needs to be put away, so the handler ends the process
itself: an exception could be lost on its way, in a destructor say, and the command would go on.

    serve(asked)                # in a worker, in place of both: `poll` raises Interrupted once ``asked()``

There SIGTERM, and SIGUSR2, which queues send before a job's time is up, ask the same; Ctrl-C is left to the
coordinator.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SERVED = (*SIGNALS, signal.SIGUSR2)  # in a worker; they wait where it was forked until it can answer them
GRACE = 2.0  # seconds until what holds a signal back is interrupted wherever it is; a second later the process ends


class Interrupted(BaseException):
    """A signal, as an exception that nothing on the way takes for the failure of a run; ``kept``, in words."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number, self.kept = number, ""


_held = False
_received: int | None = None
_asked: Callable[[], bool] | None = None  # in a worker: whether its coordinator wants it to leave


def catch() -> None:
    """Signals are answered here, until somebody else answers them. Only a main thread is asked about signals."""
    if threading.current_thread() is not threading.main_thread():
        return
    if _asked is None:
        for number in SIGNALS:
            signal.signal(number, _answer)
    else:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGUSR2):
            signal.signal(number, _note)


def serve(asked: Callable[[], bool]) -> None:
    """From here on this process is a worker, and what its parent knew of signals is forgotten."""
    global _held, _received, _asked
    _held, _received, _asked = False, None, asked
    catch()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SERVED)


@contextmanager
def held() -> Iterator[None]:
    global _held
    before = {number: signal.getsignal(number) for number in SIGNALS}
    _held = True
    catch()
    try:
        yield
        poll()
    finally:
        _held = False  # the timer of a signal goes on: leaving must not take long either
        for number, handler in before.items():
            signal.signal(number, handler)


def signalled() -> bool:
    """Whether a signal waits."""
    return _received is not None


def requested() -> bool:
    """The same, or a worker's coordinator wants it to leave. Asked after each update."""
    return _received is not None or (_asked is not None and _asked())


def poll() -> None:
    """Raise Interrupted if that is so."""
    if _asked is not None and requested():
        raise Interrupted(_received or signal.SIGTERM)
    if _received is not None:
        signal.signal(signal.SIGALRM, _end)
        raise Interrupted(_received)


def words(number: int, argv: Sequence[str], kept: str = "") -> str:
    again = "The same command without sweep.fresh=true" if "sweep.fresh=true" in argv else "The same command"
    return f"\nstopped by {signal.Signals(number).name}{kept}. {again} goes on from here.\n"


def _answer(number: int, _: object) -> None:
    global _received
    if not _held or _received is not None:
        _leave(number)
    _received = number
    signal.signal(signal.SIGALRM, _interrupt)
    signal.setitimer(signal.ITIMER_REAL, GRACE, 1.0)


def _note(number: int, _: object) -> None:
    global _received
    _received = number


def _interrupt(_: int, __: object) -> None:
    poll()


def _end(_: int, __: object) -> None:
    _leave(_received or signal.SIGTERM)


def _leave(number: int) -> NoReturn:
    os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, words(number, sys.argv[1:]).encode())
    os._exit(128 + number)
