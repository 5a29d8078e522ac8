"""What a user sees while a sweep trains: a live region in a terminal, otherwise a line now and then.

    with watch(plan, store.done) as progress:
        progress.begin(runs)                  # a stack starts, or a part of one
        progress.tick(20, of=180)             # it has made 20 updates; cheap: it looks at the clock, and rarely draws
        progress.say("init=ones failed: ...") # a line of its own, above the region
        progress.end(records)                 # its runs are on the disk

Nothing here touches a tensor, starts a thread or waits for the device: what is shown is what the host knows anyway.
"""

from __future__ import annotations

import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from initlab.planning.plan import Plan, Run
from initlab.storage.journal import Record
from initlab.views.tables import ranking

if TYPE_CHECKING:
    from rich.console import Console

EVERY_LINE, EVERY_FRAME = 10.0, 0.25  # seconds between lines, and between frames of the live region


class Progress:
    """How far a sweep is, shown as plain lines: each stack's end, and in between one in ``EVERY_LINE`` seconds."""

    every = EVERY_LINE

    def __init__(self, plan: Plan, done: Mapping[str, Record], clock: Callable[[], float] = time.monotonic) -> None:
        self.plan, self._clock = plan, clock
        self._records = {run.key: done[run.key] for run in plan.runs if run.key in done}
        self._work = {run.key: _work(run) for run in plan.runs if run.key not in done}  # what this session has to do
        self._numbers = {run.key: number for number, stack in enumerate(plan.stacks, 1) for run in stack.runs}
        self._trained = 0.0
        self._runs: Sequence[Run] = ()
        self._number = self._width = self._step = self._steps = 0
        self._started = self._began = self._shown = clock()
        self._first: tuple[int, float] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The base shows nothing that it would have to take back."""

    def begin(self, runs: Sequence[Run]) -> None:
        """A stack starts, or what is left of it, or a part of it that is tried again."""
        now, number = self._clock(), self._numbers[runs[0].key]
        if number != self._number:
            self._number, self._began = number, now
            self._width = sum(run.key in self._work for run in self.plan.stacks[number - 1].runs)
        self._runs, self._step, self._steps, self._first = runs, 0, 0, None
        self._look(now)

    def tick(self, step: int, of: int) -> None:
        """The stack has made ``step`` updates; the first time: before this session, which has the rest to do."""
        now = self._clock()
        self._step, self._steps = step, of
        self._first = self._first or (step, now)
        self._look(now)

    def end(self, records: Sequence[Record]) -> None:
        """The runs of the stack, or of the part of it, are on the disk."""
        self._records |= {record["key"]: record for record in records}
        self._trained += self._ours(1.0) * sum(self._work.pop(record["key"]) for record in records)
        self._step = 0
        if self._work.keys() & {run.key for run in self.plan.stacks[self._number - 1].runs}:
            self._look(self._clock())
        else:
            self._ended()

    def say(self, line: str) -> None:
        print(line, flush=True)

    # --- what is known ------------------------------------------------------------------------------------------------

    def done(self) -> str:
        """``12 of 30 runs done (1 diverged)``"""
        odd = Counter(record["status"] for record in self._records.values())
        others = ", ".join(f"{odd[status]} {status}" for status in ("diverged", "failed") if odd[status])
        return f"{len(self._records)} of {_count(len(self.plan.runs), 'run')} done{f' ({others})' if others else ''}"

    def pace(self) -> str:
        """``step 120 of 180, 850 steps/s``"""
        if self._first is None:
            return "starting"
        step, since = self._first
        seconds = self._clock() - since
        rate = f", {(self._step - step) / seconds:.3g} steps/s" if self._step > step and seconds > 0 else ""
        return f"step {self._step} of {self._steps}{rate}"

    def left(self) -> str:
        """How long the rest takes if a run's update, or epoch, costs what it did so far; empty before there is any."""
        current = sum(self._work.get(run.key, 0.0) for run in self._runs)
        trained = self._trained + self._ours(self._share()) * current
        rest = sum(self._work.values()) - self._share() * current
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
        left = f", about {self.left()} left" if self.left() else ""
        self.say(f"{self._of()}, {self.pace()}; {self.done()}{left}")

    def _ended(self) -> None:
        self._shown = self._clock()
        left = f"; {self.done()}, about {self.left()} left" if self._work else ""
        self.say(f"{self._of()} in {self._shown - self._began:.1f} s{left}")

    def _share(self) -> float:
        """How much of the stack's present part is trained."""
        return self._step / self._steps if self._steps else 0.0

    def _ours(self, share: float) -> float:
        """Of a share of the stack's present part, what this session has trained."""
        return share - self._first[0] / self._steps if self._first and self._steps else share

    def _of(self) -> str:
        return f"stack {self._number} of {len(self.plan.stacks)}: {_count(self._width, 'run')}"


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

        config = self._runs[0].config
        shared = ", ".join(config[group]["name"] for group in ("dataset", "arch", "act", "optimizer"))
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="bold")
        grid.add_column(no_wrap=True, overflow="ellipsis")
        grid.add_row("sweep", Text(self.done()))
        grid.add_row(
            "", ProgressBar(len(self.plan.runs), len(self._records) + self._share() * len(self._runs), width=40)
        )
        grid.add_row("stack", Text(f"{self._of().removeprefix('stack ')} of {shared}"))
        grid.add_row("", Text(self.pace()))
        grid.add_row("left", Text(self.left() or "-"))
        grid.add_row("best", Text(self.best() or "-"))
        self._live.update(grid, refresh=True)

    def _ended(self) -> None:
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


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
