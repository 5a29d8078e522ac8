"""Work in forks: what comes back is what the work alone gives, in order; what stops it stops it here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from initlab.errors import FolderInUse, Refused
from initlab.executors import forks
from initlab.executors.forks import side_by_side
from initlab.executors.zygote import forked
from initlab.training import interrupts

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2, reason="forks where there are cores for two"
)


def test_they_come_in_order_each_from_a_core_of_its_own() -> None:
    """The first is the slowest; no more run at once than there are cores, and none of them here."""

    def work(wait: float) -> tuple[float, int, set[int]]:
        time.sleep(wait)
        return wait, os.getpid(), os.sched_getaffinity(0)

    waits = [0.2, 0.0, 0.05, 0.0]
    found = list(side_by_side(work, waits))
    assert [wait for wait, _, _ in found] == waits
    assert len({pid for _, pid, _ in found} | {os.getpid()}) == 5
    assert all(len(cores) == 1 for _, _, cores in found) and found[0][2] != found[1][2]


@pytest.mark.parametrize("error", [Refused("no"), FolderInUse("1"), OSError(28, "full", "file"), ValueError("ours")])
def test_what_a_fork_raises_is_raised_in_its_turn(error: Exception, capfd: pytest.CaptureFixture[str]) -> None:
    def work(number: int) -> int:
        if number == 1:
            raise error
        return number

    found = side_by_side(work, [0, 1, 2])
    assert next(found) == 0
    ours = type(error) is ValueError  # a fault, whose traceback is shown by the fork
    with pytest.raises(RuntimeError if ours else type(error), match="ValueError: ours" if ours else None) as raised:
        next(found)
    assert ours or raised.value.args == error.args
    assert ("Traceback" in capfd.readouterr().err) == ours


@pytest.mark.parametrize(
    ("end", "how"), [(lambda: os.kill(os.getpid(), signal.SIGKILL), "signal 9"), (lambda: os._exit(0), "exit code 0")]
)
def test_a_fork_that_dies_is_told(end: Callable[[], None], how: str) -> None:
    def work(number: int) -> int:
        if number:
            end()
        return number

    with pytest.raises(Refused, match=f"process that ran some of it died, of {how}"):
        list(side_by_side(work, [0, 1]))


def test_none_is_an_answer_and_to_leave_is_none(capfd: pytest.CaptureFixture[str]) -> None:
    """A plug-in may call sys.exit, with 0 too."""
    assert list(side_by_side(lambda _: None, [0, 1])) == [None, None]
    with pytest.raises(RuntimeError, match="SystemExit: 0"):
        list(side_by_side(sys.exit, [0, 0]))
    assert "Traceback" in capfd.readouterr().err


def test_who_ends_early_leaves_no_fork_and_no_pipe() -> None:
    def work(waits: bool) -> None:
        while waits and not interrupts.requested():
            time.sleep(0.01)

    before = list(Path("/proc/self/fd").iterdir())
    found = side_by_side(work, [False, True])
    assert next(found) is None
    found.close()
    assert list(Path("/proc/self/fd").iterdir()) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_signal_waits_until_a_fork_has_its_own_answer() -> None:
    """And does not meet that of the process that it is a fork of, nor get lost."""

    def life() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        assert not interrupts.signalled()
        interrupts.serve(lambda: False)
        assert interrupts.signalled()

    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert os.waitpid(forked(life), 0)[1] == 0
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_one_core_needs_no_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks.os, "sched_getaffinity", lambda _: {0})
    assert list(side_by_side(lambda _: os.getpid(), [0, 1])) == [os.getpid()] * 2


PROGRAM = """
import os, sys, time
from initlab import command
from initlab.executors.forks import side_by_side
from initlab.training import interrupts

def work(number):
    print(os.getpid(), flush=True)
    while not interrupts.requested():
        time.sleep(0.01)
    open(f"saved{number}", "w").close()
    interrupts.poll()

interrupts.catch()
sys.exit(command.answered(lambda: list(side_by_side(work, [0, 1])), []))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_forks_save_and_ends_them(number: signal.Signals, tmp_path: Path) -> None:
    """128 + n, and no fork is left behind."""
    source = str(Path(forks.__file__).parents[2])
    words = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(
        words, cwd=tmp_path, env=os.environ | {"PYTHONPATH": source}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        pids = [int(process.stdout.readline()) for _ in range(2)]
        process.send_signal(number)
        assert process.wait(30) == 128 + number
        assert f"stopped by {number.name}" in process.stderr.read().decode()
    assert {path.name for path in tmp_path.iterdir()} == {"saved0", "saved1"}
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
