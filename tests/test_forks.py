"""Work in forks: what comes back is what the work alone gives, in order; what stops it stops it here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from initlab.errors import FolderInUse, Refused
from initlab.executors import forks
from initlab.executors.forks import side_by_side

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


def test_a_fork_that_dies_is_told() -> None:
    def work(number: int) -> int:
        if number:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    with pytest.raises(Refused, match=r"process that ran some of it died, of signal 9"):
        list(side_by_side(work, [0, 1]))


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
