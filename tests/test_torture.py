"""The real command killed, interrupted and started at once, by the hundred; a few of each in the default suite.

`make torture` prints the figures. Most children are forked from a process that has imported everything, as a command
would otherwise spend nine tenths of its life on imports; some are started from nothing.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from faults import ROOT, TINY, assert_equal
from forks import Child, gone
from initlab.storage import journal
from initlab.storage.folder import read
from initlab.training.train import Training

# In two stacks, saved after each epoch: 64 runs, some seconds long, and for the default suite 8.
RUNS = ["-m", "act=relu,tanh", *TINY, "hydra.sweep.dir=s"]
LONG = [*RUNS, "seed=range(32)", "trainer.max_epochs=15"]
SHORT = [*RUNS, "seed=range(4)", "trainer.max_epochs=10"]
TWO = "sweep.workers=2"


def few_or_many(few: int, many: int, many_of_two: int) -> pytest.MarkDecorator:
    """Further words and how often; many times by `make torture`, which prints the figure."""
    params = [
        pytest.param([*SHORT], few, id="few"),
        pytest.param([*SHORT, TWO], few, id="few, two workers"),
        pytest.param([*LONG], many, id="many", marks=pytest.mark.torture),
        pytest.param([*LONG, TWO], many_of_two, id="many, two workers", marks=pytest.mark.torture),
    ]
    return pytest.mark.parametrize(("words", "times"), params)


@dataclass(frozen=True)
class Undisturbed:
    words: list[str]
    folder: Path
    seconds: float


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[str]], Undisturbed]:
    def trained(words: list[str]) -> Undisturbed:
        cwd, began = tmp_path_factory.mktemp("undisturbed"), time.monotonic()
        child = Child(words, cwd)
        assert child.wait() == 0, child.said(cwd)
        return Undisturbed(words, cwd / "s", time.monotonic() - began)

    return trained


def say(capsys: pytest.CaptureFixture[str], words: str) -> None:
    with capsys.disabled():
        print(f"\n{words}")


class Stopped:
    """A sweep that gets a signal at a random time, again and again, and goes on by the same command; then another.

    Before a kill its workers are killed at random too, two at most: a third death of one stack counts as its fault.
    """

    def __init__(self, there: Undisturbed, number: signal.Signals, times: int, above: Path) -> None:
        self.there, self.number, self.left, self.above = there, number, times, above
        self.chance = random.Random(int(number))
        self.sweeps = self.late = self.workers = 0
        self.slowest = 0.0
        while self.left:
            self._sweep()

    def _sweep(self) -> None:
        cwd = self.above / str(self.sweeps)
        cwd.mkdir()
        done: dict[str, journal.Record] = {}
        while self._stopped(cwd):
            now = journal.read(cwd / "s" / "journal") if (cwd / "s").exists() else {}
            assert done.items() <= now.items(), "a commit was lost"
            done = now
        assert_equal(cwd / "s", self.there.folder)
        keys = [record["key"] for commit in journal._commits(cwd / "s" / "journal") for record in commit["runs"]]
        assert len(keys) == len(set(keys)), "a run was trained twice"
        self.sweeps += 1

    def _stopped(self, cwd: Path) -> bool:
        """Start the command and stop it; False if it came to its end."""
        child = Child(self.there.words, cwd)
        if self.left:
            self._kill_workers(child)
            time.sleep(self.chance.uniform(0, 0.6 * self.there.seconds))
        if not self.left or child.poll() is not None:
            assert child.wait() == 0, child.said(cwd)
            return False
        forks = child.forks()
        for pid in [*(forks if self.number == signal.SIGINT else []), child.pid]:  # as Ctrl-C reaches all
            os.kill(pid, self.number)
        began = time.monotonic()
        code = child.wait()
        if code == 0:  # it had printed its table, and was giving its memory back
            self.late += 1
            assert "results: s" in child.said(cwd)
            return False
        self.left -= 1
        self.slowest = max(self.slowest, time.monotonic() - began)
        self._check(code, child.said(cwd))
        while not all(map(gone, forks)):
            assert time.monotonic() < began + 10, "its workers do not end"
            time.sleep(0.005)
        return True

    def _kill_workers(self, child: Child) -> None:
        if self.number == signal.SIGKILL and TWO in self.there.words:
            for _ in range(2):
                time.sleep(self.chance.uniform(0, 0.3 * self.there.seconds))
                if forks := child.forks():
                    os.kill(self.chance.choice(forks), signal.SIGKILL)
                    self.workers += 1

    def _check(self, code: int, said: str) -> None:
        if self.number == signal.SIGKILL:
            assert code == -signal.SIGKILL
            return
        assert code == 128 + self.number and "Traceback" not in said, said
        assert f"stopped by {self.number.name}" in said and "The same command" in said


@few_or_many(2, 200, 100)
def test_killed_at_random_and_started_again_nothing_is_lost_or_repeated(
    words: list[str],
    times: int,
    undisturbed: Callable[[list[str]], Undisturbed],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    there = undisturbed(words)
    tried = Stopped(there, signal.SIGKILL, times, tmp_path)
    say(
        capsys,
        f"{times} kills, and {tried.workers} of workers, over {tried.sweeps} sweeps of "
        f"{len(read(there.folder).records)} runs: 0 lost, 0 repeated, all numbers equal to the undisturbed sweep's",
    )


@few_or_many(1, 100, 20)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_answered_in_time_and_resumed_exactly(
    number: signal.Signals,
    words: list[str],
    times: int,
    undisturbed: Callable[[list[str]], Undisturbed],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tried = Stopped(undisturbed(words), number, times, tmp_path)
    assert tried.late <= 1 + times // 20
    if times > 1:
        assert tried.slowest < 5
    say(
        capsys,
        f"{times} {number.name} over {tried.sweeps} sweeps{', by two workers' * (TWO in words)}: {128 + number} every "
        f"time, after {tried.slowest:.1f} s at most, and {tried.late} that came after the end; all numbers equal",
    )


def test_a_signal_after_the_last_update_of_an_epoch_fails_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning's own answer to it would come before the next update, as a SystemExit."""
    calls, whole = [], Training._show

    def show(self: Training, until: int, anew: bool = False) -> None:
        whole(self, until, anew)
        calls.append(until)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Training, "_show", show)
    child = Child([*RUNS, "trainer.max_epochs=10"], tmp_path)
    assert child.wait() == 143 and "0 of 2 runs done and kept" in child.said(tmp_path), child.said(tmp_path)


@pytest.mark.parametrize("times", [pytest.param(1, id="few"), pytest.param(20, id="many", marks=pytest.mark.torture)])
def test_of_many_starters_one_wins(times: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And a killed holder blocks nobody."""
    count, slowest = 50 if times > 1 else 4, 0.0
    for number in range(times):
        cwd = tmp_path / str(number)
        cwd.mkdir()
        words = [*RUNS, "seed=0,1", "trainer.max_epochs=100000"]
        gate, opened = os.pipe()
        children = [Child(words, cwd, gate) for _ in range(count)]
        os.close(gate)
        os.write(opened, b"." * count)
        os.close(opened)
        codes: dict[int, int] = {}
        end = time.monotonic() + 120
        while len(codes) < count - 1 and time.monotonic() < end:
            codes |= {c.pid: code for c in children if c.pid not in codes and (code := c.poll()) is not None}
            time.sleep(0.01)
        assert sorted(codes.values()) == [75] * (count - 1), [c.said(cwd) for c in children]
        (winner,) = (child for child in children if child.pid not in codes)
        for child in children:
            assert child is winner or f"in use by process {winner.pid} on " in child.said(cwd)
        os.kill(winner.pid, signal.SIGKILL)
        winner.wait()
        after, at = Child(words, cwd), time.monotonic()
        while f"process {after.pid} " not in (cwd / "s" / "lock").read_text():
            assert after.poll() is None and time.monotonic() - at < 60, after.said(cwd)
            time.sleep(0.005)
        slowest = max(slowest, time.monotonic() - at)
        os.kill(after.pid, signal.SIGKILL)
        after.wait()
    say(
        capsys,
        f"{count} starters at once, {times} rounds: one winner each; after its kill the next held the folder "
        f"within {slowest:.1f} s of its start, planning included",
    )


@pytest.mark.torture
@pytest.mark.parametrize("words", [LONG, [*LONG, TWO]], ids=["one", "two workers"])
def test_the_real_command_is_killed_and_interrupted(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From nothing, imports included: SIGKILL, SIGTERM and SIGINT in turn, at any time from its first words on."""
    here, there = tmp_path / "here", tmp_path / "there"

    def started(cwd: Path) -> subprocess.Popen[bytes]:
        cwd.mkdir(exist_ok=True)
        command, env = [sys.executable, str(ROOT / "train.py"), *words], os.environ | {"OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    at, chance, hits = time.monotonic(), random.Random(1), 0
    assert started(there).wait() == 0
    whole = time.monotonic() - at
    while hits < 30:
        number = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)[hits % 3]
        process = started(here)
        time.sleep(0.3 + chance.uniform(0, whole))
        if process.poll() is None:
            process.send_signal(number)
            at, hits = time.monotonic(), hits + 1
            assert process.wait() == (-9 if number == signal.SIGKILL else 128 + number)
            assert time.monotonic() - at < 5
        else:
            assert process.returncode == 0
            assert_equal(here / "s", there / "s")
            shutil.rmtree(here / "s")
    assert started(here).wait() == 0
    assert_equal(here / "s", there / "s")
    say(capsys, f"{hits} signals to the command as users start it{', with two workers' * (TWO in words)}: answered")
