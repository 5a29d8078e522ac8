"""The process that imports while a command plans: nobody is left of it, and it may die."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from faults import ROOT, TINY, assert_equal, made, train
from forks import Child, children, gone
from initlab.executors import zygote
from initlab.executors.zygote import Zygote

LONG = ["init=xavier,kaiming", "act=relu,tanh", "trainer.max_steps=60", "sweep.workers=2"]


def started(words: list[str], cwd: Path) -> tuple[subprocess.Popen[str], list[int]]:
    """A command in a session of its own, from the moment at which it has a zygote; that one's id."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *words],
        cwd=cwd,
        text=True,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    found: list[int] = []
    until(lambda: found.extend(children(process.pid)) or found)
    return process, found


def until(holds: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.mark.skipif(not zygote.FORKS or len(os.sched_getaffinity(0)) == 1, reason="no zygote on one core")
@pytest.mark.parametrize(
    ("words", "number", "code"),
    [
        (["init=xaveir"], None, 2),
        ([], signal.SIGTERM, 128 + signal.SIGTERM),
        ([], signal.SIGINT, 128 + signal.SIGINT),
        ([], signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_a_command_that_ends_while_its_zygote_imports_leaves_nobody(
    words: list[str], number: signal.Signals | None, code: int, tmp_path: Path
) -> None:
    """Whether it ends by itself, by a terminal's Ctrl-C, or cannot do anything any more."""
    process, zygotes = started(words, tmp_path)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    elif number is not None:
        process.send_signal(number)
    _, said = process.communicate(timeout=10)
    assert process.returncode == code
    assert said.count("\n") == {None: 1, signal.SIGKILL: 0}.get(number, 2), said
    until(lambda: all(map(gone, zygotes)), 5)


def test_a_zygote_that_dies_is_replaced_and_its_workers_go_on_from_their_last_checkpoints(tmp_path: Path) -> None:
    train(made(tmp_path / "undisturbed", *LONG))
    child = Child(["-m", *TINY, *LONG, "hydra.sweep.dir=s"], tmp_path, slow=0.02)
    until(lambda: len(child.workers()) == 2)
    until(lambda: len(list((tmp_path / "s" / "checkpoints").glob("*"))) >= 2)
    (killed,) = set(child.forks()) - set(child.workers())
    os.kill(killed, signal.SIGKILL)
    assert child.wait() == 0
    assert child.said(tmp_path).count("  a worker died (signal 9, SIGKILL); its stack is tried again\n") == 2
    assert_equal(tmp_path / "s", tmp_path / "undisturbed")


def test_a_lone_worker_is_the_zygotes_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the command need not import what trains. The numbers are those of a process that does."""
    train(made(tmp_path / "here", "seed=1"))
    monkeypatch.setattr(Zygote, "at_hand", Zygote())
    started, fork = [], Zygote.fork
    monkeypatch.setattr(Zygote, "fork", lambda *given: started.append(fork(*given)) or started[-1])
    train(made(tmp_path / "there", "seed=1"))
    assert [worker.wait() for worker in started] == [-signal.SIGKILL] * len(started) and started
    zygote.dismiss()
    assert_equal(tmp_path / "there", tmp_path / "here")


@pytest.mark.skipif(not zygote.FORKS or len(os.sched_getaffinity(0)) == 1, reason="no zygote on one core")
def test_a_command_goes_on_where_no_process_is_left_for_a_zygote(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.delitem(sys.modules, "torch", raising=False)  # as in a command
    monkeypatch.setattr(zygote, "_fork", fork)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with zygote.ahead():
        assert Zygote.at_hand is None and signal.pthread_sigmask(signal.SIG_BLOCK, ()) == blocked


def test_no_zygote_is_made_beside_a_plug_in_that_may_have_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zygote, "_fork", lambda: pytest.fail("its threads would be missed in a fork"))
    monkeypatch.setitem(sys.modules, "torch", sys.modules.get("torch", errno))
    with zygote.ahead():
        assert Zygote.at_hand is None
