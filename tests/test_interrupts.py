"""SIGINT and SIGTERM at any time: the exit code, how long it takes, and what a second one does."""

from __future__ import annotations

import builtins
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from initlab.training import interrupts

SRC = Path(__file__).resolve().parent.parent / "src"
PROGRAM = """
import sys, time
sys.path.insert(0, {src!r})
from initlab.training import interrupts
interrupts.catch()
def wait(): print("ready", flush=True); time.sleep(20)
def polls():
    with interrupts.held():
        print("ready", flush=True)
        while True: time.sleep(0.01); interrupts.poll()
def never_polls():
    with interrupts.held(): wait()
def swallows():
    with interrupts.held():
        while True:
            try: wait()
            except BaseException: pass
try: {what}()
except interrupts.Interrupted as stopped: sys.exit(128 + stopped.number)
"""


def started(what: str) -> subprocess.Popen[str]:
    code = PROGRAM.format(src=str(SRC), what=what)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=-1, stderr=-1, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("what", "leaves"), [("wait", True), ("polls", False), ("never_polls", False), ("swallows", True)]
)
def test_a_signal_ends_the_process_with_its_code(what: str, leaves: bool, number: signal.Signals) -> None:
    """Before training at once; while training when it is polled, or after a while wherever it is, whatever is done.

    Where the handler itself ends the process it says how to go on; otherwise the command does, and what was kept.
    """
    process = started(what)
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    words = f"\nstopped by {number.name}. The same command goes on from here.\n"
    assert said == words if leaves else said in ("", words)


def test_a_second_signal_ends_the_process_at_once() -> None:
    process = started("never_polls")
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGTERM


@pytest.mark.parametrize("stopped_at", ["os", "pathlib", "initlab.training", "catch"])
def test_before_signals_are_answered_a_ctrl_c_leaves_as_quietly(
    stopped_at: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Until then it is Python's exception, in one of the imports of train.py."""
    whole = builtins.__import__

    def stopped(name: str = "catch", *rest: Any, **more: Any) -> Any:
        if name == stopped_at:
            raise KeyboardInterrupt
        return whole(name, *rest, **more)

    monkeypatch.setattr(interrupts, "catch", stopped)
    monkeypatch.setattr(builtins, "__import__", stopped)
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(SRC.parent / "train.py"), run_name="train")
    assert left.value.code == 130 and capsys.readouterr() == ("", "")
