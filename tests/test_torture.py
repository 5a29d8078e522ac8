"""The real command killed, interrupted and started at once, by the hundred; a few of each in the default suite.

`make torture` prints the figures. Most children are forked from a process that has imported everything, as a command
would otherwise spend nine tenths of its life on imports; some are started from nothing.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults import ROOT, TINY, assert_equal
from forks import Child
from initlab import journal

# 64 runs in two stacks, some seconds long, saved after each epoch.
RUNS = ["-m", "act=relu,tanh", "seed=range(32)", *TINY, "hydra.sweep.dir=s"]
LONG = [*RUNS, "trainer.max_epochs=40"]
SHORT = [*RUNS, "trainer.max_epochs=10"]
torture = pytest.mark.torture


def few_or_many(few: int, many: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("times", [pytest.param(few, id="few"), pytest.param(many, id="many", marks=torture)])


class Undisturbed:
    def __init__(self, cwd: Path) -> None:
        self.cwd, self.folder = cwd, cwd / "s"
        self.began = time.monotonic()

    def trained(self, words: list[str]) -> Undisturbed:
        child = Child(words, self.cwd)
        assert child.wait() == 0, child.said(self.cwd)
        self.seconds = time.monotonic() - self.began
        return self


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return Undisturbed(tmp_path_factory.mktemp("long")).trained(LONG)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return Undisturbed(tmp_path_factory.mktemp("short")).trained(SHORT)


def places(above: Path) -> Iterator[Path]:
    for number in range(10**6):
        (above / str(number)).mkdir()
        yield above / str(number)


def say(capsys: pytest.CaptureFixture[str], words: str) -> None:
    with capsys.disabled():
        print(f"\n{words}")


@few_or_many(3, 200)
def test_killed_at_random_and_started_again_nothing_is_lost_or_repeated(
    times: int, long: Undisturbed, short: Undisturbed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there, words = (long, LONG) if times > 3 else (short, SHORT)
    chance, killed, sweeps = random.Random(0), 0, 0
    for cwd in places(tmp_path):
        done: dict[str, journal.Record] = {}
        while True:
            child = Child(words, cwd)
            if killed < times:
                time.sleep(chance.uniform(0, 1.1 * there.seconds))
            else:
                assert child.wait() == 0, child.said(cwd)
                break
            if (code := child.poll()) is not None:
                assert code == 0, child.said(cwd)
                break
            os.kill(child.pid, signal.SIGKILL)
            assert child.wait() == -signal.SIGKILL
            killed += 1
            now = journal.read(cwd / "s" / "journal")
            assert done.items() <= now.items(), "a commit was lost"
            done = now
        sweeps += 1
        assert_equal(cwd / "s", there.folder)
        _trained_once(cwd / "s")
        if killed == times:
            break
    say(capsys, f"{killed} kills over {sweeps} sweeps of 64 runs: 0 lost, 0 repeated, all equal to the undisturbed")


def _trained_once(folder: Path) -> None:
    """Each run has one line of results in the journal."""
    keys = [record["key"] for commit in journal._commits(folder / "journal") for record in commit["runs"]]
    assert len(keys) == len(set(keys)) == 64


@few_or_many(2, 100)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_answered_in_time_and_resumed_exactly(
    number: signal.Signals,
    times: int,
    long: Undisturbed,
    short: Undisturbed,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    there, words = (long, LONG) if times > 2 else (short, SHORT)
    chance, sent, sweeps, late, slowest = random.Random(int(number)), 0, 0, 0, 0.0
    for cwd in places(tmp_path):
        while True:
            child = Child(words, cwd)
            if sent < times:
                time.sleep(chance.uniform(0, 0.9 * there.seconds))
            else:
                assert child.wait() == 0, child.said(cwd)
                break
            if (code := child.poll()) is not None:
                assert code == 0, child.said(cwd)
                break
            os.kill(child.pid, number)
            at = time.monotonic()
            code = child.wait()
            if (
                code == 0 and len(journal.read(cwd / "s" / "journal")) == 64
            ):  # it had ended, and only gave its memory back
                late += 1
                break
            slowest = max(slowest, time.monotonic() - at)
            assert code == 128 + number, child.said(cwd)
            said = child.said(cwd)
            assert f"stopped by {number.name}" in said and "The same command" in said and "Traceback" not in said
            sent += 1
        sweeps += 1
        assert_equal(cwd / "s", there.folder)
        _trained_once(cwd / "s")
        if sent == times:
            break
    assert slowest < 5 and late <= 1 + times // 20
    say(capsys, f"{sent} {number.name} over {sweeps} sweeps: {128 + number} every time, at most {slowest:.1f} s; exact")


@few_or_many(1, 20)
def test_of_many_starters_one_wins(times: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And a killed holder blocks nobody."""
    count, slowest = 50 if times > 1 else 8, 0.0
    for _, cwd in zip(range(times), places(tmp_path), strict=False):
        words = [*RUNS, "trainer.max_epochs=100000"]
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


@torture
def test_the_real_command_is_killed_and_interrupted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From nothing, imports included: SIGKILL, SIGTERM and SIGINT in turn, at any time from its first words on."""
    command = [sys.executable, str(ROOT / "train.py"), *LONG]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    at = time.monotonic()
    (tmp_path / "there").mkdir()
    subprocess.run(command, cwd=tmp_path / "there", env=env, check=True, capture_output=True)
    whole, chance, hits, codes = time.monotonic() - at, random.Random(1), 0, set()
    (tmp_path / "here").mkdir()
    while hits < 30:
        number = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)[hits % 3]
        process = subprocess.Popen(command, cwd=tmp_path / "here", env=env, stdout=-1, stderr=-1, text=True)
        time.sleep(0.3 + chance.uniform(0, whole))
        if process.poll() is None:
            process.send_signal(number)
            at, hits = time.monotonic(), hits + 1
            process.communicate()
            assert process.returncode == (-9 if number == signal.SIGKILL else 128 + number)
            assert time.monotonic() - at < 5
            codes.add(process.returncode)
        else:
            assert process.returncode == 0
            assert_equal(tmp_path / "here" / "s", tmp_path / "there" / "s")
            (tmp_path / "here" / "s").rename(tmp_path / f"done{hits}")
    subprocess.run(command, cwd=tmp_path / "here", env=env, check=True, capture_output=True)
    assert_equal(tmp_path / "here" / "s", tmp_path / "there" / "s")
    say(capsys, f"{hits} signals to the command as users start it: exit codes {sorted(codes)}, resumed exactly")
