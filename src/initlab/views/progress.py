"""What a user sees while a sweep trains: a live region in a terminal, otherwise a line now and then.

    with watch(plan, store.done) as progress:
        progress.begin(part, runs)            # a stack starts, or a part of one
        progress.tick(part, 20, of=180)       # it has made 20 updates; cheap: it looks at the clock, and rarely draws
        progress.say("init=ones failed: ...") # a line of its own, above the region
        progress.end(records)                 # some runs are on the disk
        progress.leave(part)                  # nobody trains it any more

Nothing here touches a tensor, starts a thread or waits for the device: what is shown is what the host knows anyway.
"""

from __future__ import annotations

import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from initlab.planning.plan import Plan
from initlab.planning.runs import Run
from initlab.reporting.wording import count
from initlab.storage.journal import Record
from initlab.views.tables import ranking

if TYPE_CHECKING:
    from rich.console import Console

EVERY_LINE, EVERY_FRAME = 10.0, 0.25  # seconds between lines, and between frames of the live region
MOST_PARTS = 3  # that are shown one by one


@dataclass
class _Part:
    """Runs that train: of which stack, how far they are, and when it was first said how far."""

    runs: Sequence[Run]
    number: int
    step: int = 0
    steps: int = 0
    first: tuple[int, float] | None = None

    @property
    def keys(self) -> set[str]:
        return {run.key for run in self.runs}

    @property
    def share(self) -> float:
        """How much of it is trained."""
        return self.step / self.steps if self.steps else 0.0

    @property
    def before(self) -> float:
        """How much of it was, before this session."""
        return self.first[0] / self.steps if self.first and self.steps else 0.0


class Progress:
    """How far a sweep is, shown as plain lines: each stack's end, and in between one in ``EVERY_LINE`` seconds."""

    every = EVERY_LINE

    def __init__(self, plan: Plan, done: Mapping[str, Record], clock: Callable[[], float] = time.monotonic) -> None:
        self.plan, self._clock = plan, clock
        self._records = {run.key: done[run.key] for run in plan.runs if run.key in done}
        self._work = {run.key: _work(run) for run in plan.runs if run.key not in done}  # what this command has to do
        self._numbers = {run.key: number for number, stack in enumerate(plan.stacks, 1) for run in stack.runs}
        self._widths = Counter(self._numbers[key] for key in self._work)
        self._left = Counter(self._widths)  # runs of each stack that have no result yet
        self._began: dict[int, float] = {}  # of each stack
        self._parts: dict[str, _Part] = {}  # that train now
        self._trained = 0.0
        self._started = self._shown = clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The base shows nothing that it would have to take back."""

    def begin(self, part: str, runs: Sequence[Run]) -> None:
        """A stack starts, or what is left of it, or a part of it that is tried again."""
        now, number = self._clock(), self._numbers[runs[0].key]
        self._began.setdefault(number, now)
        self._parts[part] = _Part(runs, number)
        self._look(now)

    def tick(self, part: str, step: int, of: int) -> None:
        """It has made ``step`` updates; the first time: before this session, which has the rest to do."""
        now, at = self._clock(), self._parts[part]
        at.step, at.steps = step, of
        at.first = at.first or (step, now)
        self._look(now)

    def leave(self, part: str) -> None:
        """It has ended, one way or another."""
        self._parts.pop(part, None)

    def end(self, records: Sequence[Record]) -> None:
        """Runs of one stack are on the disk."""
        self._records |= {record["key"]: record for record in records}
        for record in records:
            at = next((at for at in self._parts.values() if record["key"] in at.keys), None)
            self._trained += self._work.pop(record["key"]) * (1.0 - at.before if at else 1.0)
        number = self._numbers[records[0]["key"]]
        self._left[number] -= len(records)
        if self._left[number]:
            self._look(self._clock())
        else:
            self._ended(number)

    def say(self, line: str) -> None:
        print(line, flush=True)

    # --- what is known ------------------------------------------------------------------------------------------------

    def done(self) -> str:
        """``12 of 30 runs done (1 diverged)``"""
        odd = Counter(record["status"] for record in self._records.values())
        others = ", ".join(f"{odd[status]} {status}" for status in ("diverged", "failed") if odd[status])
        return f"{len(self._records):,} of {count(len(self.plan.runs), 'run')} done{f' ({others})' if others else ''}"

    def pace(self, part: _Part) -> str:
        """``step 120 of 180, 850 steps/s``"""
        if part.first is None:
            return "starting"
        step, since = part.first
        seconds = self._clock() - since
        rate = f", {(part.step - step) / seconds:.3g} steps/s" if part.step > step and seconds > 0 else ""
        return f"step {part.step} of {part.steps}{rate}"

    def left(self) -> str:
        """How long the rest takes if a run's update, or epoch, costs what it did so far; empty before there is any."""
        rest, trained = sum(self._work.values()), self._trained
        for at in self._parts.values():
            current = sum(self._work.get(key, 0.0) for key in at.keys)
            rest, trained = rest - at.share * current, trained + (at.share - at.before) * current
        return duration((self._clock() - self._started) * rest / trained) if trained else ""

    def best(self) -> str:
        """``val/accuracy 0.9741 (init=kaiming,act=relu)``: of the runs on the disk, for each metric of the sweep."""
        best: dict[str, Record] = {}
        for record in ranking(self._records.values()):
            if record["final"].get(record.get("metric")) is not None:
                best.setdefault(record["metric"], record)
        return "; ".join(f"{metric} {r['final'][metric]:.4g} ({r['name']})" for metric, r in best.items())

    # --- how it is shown ----------------------------------------------------------------------------------------------

    def _look(self, now: float) -> None:
        if now - self._shown >= self.every:
            self._shown = now
            self._show()

    def _show(self) -> None:
        parts = list(self._parts.values())
        if len(parts) > MOST_PARTS:
            share = sum(at.share for at in parts) / len(parts)
            going = f"{len(parts)} of {len(self.plan.stacks)} stacks train, {share:.0%} of their steps are made"
        else:
            going = "; ".join(f"{self._of(at.number)}, {self.pace(at)}" for at in parts)
        self.say(f"{going or 'waiting'}; {self._so_far()}")

    def _ended(self, number: int) -> None:
        self._shown = self._clock()
        left = f"; {self._so_far()}" if self._work else ""
        self.say(f"{self._of(number)} in {self._shown - self._began[number]:.1f} s{left}")

    def _so_far(self) -> str:
        """Where nothing is trained, no time is left that could be told."""
        return self.done() + (f", about {left} left" if (left := self.left()) else "")

    def _of(self, number: int) -> str:
        return f"stack {number} of {len(self.plan.stacks)}: {count(self._widths[number], 'run')}"


class Region(Progress):
    """The same as a region at the terminal's foot, redrawn in place; what is said goes above it."""

    every = EVERY_FRAME

    def __init__(self, console: Console, *args: Any) -> None:
        super().__init__(*args)
        from rich.live import Live

        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.start()  # hides the cursor, and leads what others print above the region
        self._shown = -math.inf
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def say(self, line: str) -> None:
        self._live.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _show(self) -> None:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="bold")
        grid.add_column(no_wrap=True, overflow="ellipsis")
        grid.add_row("sweep", Text(self.done()))
        trained = sum(at.share * len(at.runs) for at in self._parts.values())
        grid.add_row("", ProgressBar(len(self.plan.runs), len(self._records) + trained, width=40))
        parts = list(self._parts.values())
        for at in parts[:MOST_PARTS]:
            config = at.runs[0].config
            shared = ", ".join(config[group]["name"] for group in ("dataset", "arch", "act", "optimizer"))
            grid.add_row("stack", Text(f"{self._of(at.number).removeprefix('stack ')} of {shared}"))
            grid.add_row("", Text(self.pace(at)))
        if more := len(parts[MOST_PARTS:]):
            grid.add_row("", Text(f"and {more} more"))
        grid.add_row("left", Text(self.left() or "-"))
        grid.add_row("best", Text(self.best() or "-"))
        self._live.update(grid, refresh=True)

    def _ended(self, number: int) -> None:
        """The region's next frame says it."""


def watch(plan: Plan, done: Mapping[str, Record]) -> Progress:
    """A region where standard output is a terminal that can show one and rich is installed; otherwise lines."""
    if sys.stdout.isatty() and find_spec("rich"):
        from rich.console import Console

        if not (console := Console()).is_dumb_terminal:
            return Region(console, plan, done)
    return Progress(plan, done)


def duration(seconds: float) -> str:
    """``8 s``, ``1 min 20 s``, ``2 h 05 min``"""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def _work(run: Run) -> float:
    """What a run has to do: updates, or epochs where only these are known."""
    trainer = run.config["trainer"]
    return float(trainer["max_steps"] or trainer["max_epochs"])
