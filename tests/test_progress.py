"""What is shown while a sweep trains: what the lines and the region say, when, and how a terminal is left."""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from initlab.planning import plan as planning
from initlab.planning.compose import Composer
from initlab.planning.plan import Plan
from initlab.planning.runs import Run
from initlab.storage.folder import read
from initlab.storage.journal import Record
from initlab.views import progress
from initlab.views.progress import Progress, Region, duration, watch

ROOT = Path(__file__).resolve().parent.parent


class Clock:
    """Seconds as the test sets them."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def made(words: list[str]) -> Plan:
    return planning.make(Composer(ROOT / "conf"), words, multirun=True)


@pytest.fixture
def plan() -> Plan:
    """12 runs in 4 stacks of 3."""
    return made(["init=xavier,kaiming,lecun", "act=relu,tanh,gelu,silu", "trainer.max_steps=100"])


def record(run: Run, accuracy: float | None = 0.5, status: str = "done", direction: str = "max") -> Record:
    measured = {"metric": "val/accuracy", "direction": direction, "final": {"val/accuracy": accuracy}}
    return {"key": run.key, "name": run.name, "status": status} | (measured if status != "failed" else {"final": {}})


def test_lines_come_at_a_stacks_end_and_once_in_ten_seconds(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    shown = Progress(plan, {}, clock)
    for number, stack in enumerate(plan.stacks):
        shown.begin("all", stack.runs)
        for step in range(101):
            clock.now += 0.15 * (step > 0)
            shown.tick("all", step, of=100)
        shown.end([record(run, 0.1 * number) for run in stack.runs])
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in printed if " in " in line] == [
        "stack 1 of 4: 3 runs in 15.0 s; 3 of 12 runs done, about 45 s left",
        "stack 2 of 4: 3 runs in 15.0 s; 6 of 12 runs done, about 30 s left",
        "stack 3 of 4: 3 runs in 15.0 s; 9 of 12 runs done, about 15 s left",
        "stack 4 of 4: 3 runs in 15.0 s",
    ]
    between = [line for line in printed if "step " in line]
    assert len(between) == 4  # one in each stack of 15 s, since a stack's end starts the ten seconds anew
    assert between[0] == "stack 1 of 4: 3 runs, step 67 of 100, 6.67 steps/s; 0 of 12 runs done, about 50 s left"


def test_the_time_left_is_that_of_equal_work(plan: Plan) -> None:
    """At a constant pace the estimate is exact, wherever it is asked; what was done before counts for nothing: a
    stack that is done, and 55 of the next one's 100 updates."""
    clock, made = Clock(), 0
    done = {run.key: record(run) for run in plan.stacks[0].runs}
    shown = Progress(plan, done, clock)
    assert shown.left() == ""
    total = 3 * (45 + 100 + 100)  # updates of a run, each of which takes seven seconds
    for stack, first in zip(plan.stacks[1:], (55, 0, 0), strict=True):
        shown.begin("all", stack.runs)
        shown.tick("all", first, of=100)
        before = made
        for step in (60, 80, 100):
            made = before + 3 * (step - first)
            clock.now = 100.0 + 7.0 * made
            shown.tick("all", step, of=100)
            assert shown.left() == duration(7.0 * (total - made))
        shown.end([record(run) for run in stack.runs])


def test_no_time_is_told_where_nothing_is_trained(capsys: pytest.CaptureFixture[str]) -> None:
    plan, clock = made(["seed=0,1", "act=relu,tanh", "trainer.max_steps=0"]), Clock()
    shown = Progress(plan, {}, clock)
    shown.begin("all", plan.stacks[0].runs)
    clock.now += 1
    shown.end([record(run) for run in plan.stacks[0].runs])
    assert capsys.readouterr().out == "stack 1 of 2: 2 runs in 1.0 s; 2 of 4 runs done\n"


def test_a_stack_that_is_halved_ends_once(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    shown, runs = Progress(plan, {}, clock), plan.stacks[0].runs
    shown.begin("all", runs)
    for part in (runs[:1], runs[1:]):
        shown.begin("half", part)
        clock.now += 1
        shown.end([record(run, status="failed" if part == runs[:1] else "done") for run in part])
    assert capsys.readouterr().out == ("stack 1 of 4: 3 runs in 2.0 s; 3 of 12 runs done (1 failed), about 6 s left\n")


@pytest.mark.parametrize(("direction", "best"), [("max", 2), ("min", 1)])
def test_the_best_follows_the_direction(plan: Plan, direction: str, best: int) -> None:
    runs = plan.runs[:4]
    values = [0.5, 0.25, 0.75, None]
    done = {run.key: record(run, v, direction=direction) for run, v in zip(runs, values, strict=True)}
    assert Progress(plan, done).best() == f"val/accuracy {values[best]} ({runs[best].name})"
    assert Progress(plan, {}).best() == ""


def test_the_region_shows_everything_and_is_taken_back(plan: Plan) -> None:
    clock, out = Clock(), io.StringIO()
    done = {run.key: record(run, 0.25) for run in plan.stacks[0].runs}
    with Region(Console(file=out, force_terminal=True, width=100), plan, done, clock) as shown:
        shown.begin("all", plan.stacks[1].runs)
        shown.tick("all", 0, of=100)
        shown.tick("all", 20, of=100)
        clock.now += 10
        shown.tick("all", 60, of=100)
        frames = len(out.getvalue())
        shown.tick("all", 61, of=100)  # within the same quarter of a second: nothing is drawn
        assert len(out.getvalue()) == frames
        shown.say("init=[ones] failed: [reason]")
        print("a warning from elsewhere")
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())
    for words in (
        "3 of 12 runs done",
        "2 of 4: 3 runs of digits, mlp, tanh, sgd",
        "step 60 of 100, 6 steps/s",
        "left   40 s",
        f"best   val/accuracy 0.25 ({plan.runs[0].name})",
        "init=[ones] failed: [reason]\n",
        "a warning from elsewhere\n",
    ):
        assert words in text, words
    assert out.getvalue().rfind("\x1b[?25h") > out.getvalue().rfind("\x1b[?25l") >= 0  # the cursor is there again
    assert out.getvalue().endswith("\x1b[2K")  # and the region is not


def test_only_a_terminal_gets_the_region(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    def kind() -> type[Progress]:
        return type(watch(plan, {}))

    monkeypatch.setenv("TERM", "xterm")
    assert kind() is Progress
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert kind() is Region
    monkeypatch.setenv("TERM", "dumb")
    assert kind() is Progress
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "find_spec", lambda name: None)  # a machine without rich
    assert kind() is Progress


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (80, "1 min 20 s"), (3600 * 2 + 300, "2 h 05 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_control_c_in_a_terminal_keeps_what_is_done_and_gives_the_cursor_back(tmp_path: Path) -> None:
    """The second stack is long; the first is on the disk by then. The command runs in a terminal of its own."""
    words = ["-m", "trainer.max_steps=2,1000000", "init=xavier,kaiming", "arch.width=8", "trainer.accelerator=cpu"]
    words += ["sweep.stack_width=2", "sweep.workers=1"]
    head, tail = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *words, "hydra.sweep.dir=here"],
        cwd=tmp_path,
        env={**os.environ, "TERM": "xterm", "OMP_NUM_THREADS": "1"},
        stdin=tail,
        stdout=tail,
        stderr=tail,
        start_new_session=True,
    )
    os.close(tail)
    try:
        seen = _until(head, "2 of 2: 2 runs of digits, mlp, relu, sgd", process)
        seen += _until(head, "steps/s", process)
        process.send_signal(signal.SIGINT)
        seen += _rest(head)
        assert process.wait(timeout=30) == 130
    finally:
        process.kill()
        os.close(head)
    said = "stopped by SIGINT: 2 of 4 runs done and kept; the stack in progress is kept up to step "
    assert said in seen and "The same command goes on from here." in seen and "Traceback" not in seen
    assert seen.rfind("\x1b[?25h") > seen.rfind("\x1b[?25l") >= 0
    assert seen.rfind(said) > seen.rfind("steps/s")
    assert [r["axes"]["trainer.max_steps"] for r in read(tmp_path / "here").records] == [2, 2]


def _until(terminal: int, words: str, process: subprocess.Popen[bytes]) -> str:
    """What the terminal shows until it has shown the words."""
    seen, deadline = "", time.monotonic() + 120
    while words not in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen):
        assert time.monotonic() < deadline and process.poll() is None, seen
        seen += os.read(terminal, 65536).decode(errors="replace")
    return seen


def _rest(terminal: int) -> str:
    """What it shows until the program has left."""
    seen = ""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # so a terminal says that nobody writes to it any more
            return seen
        if not piece:
            return seen
        seen += piece.decode(errors="replace")
