"""A plan -> results on disk: each stack trained as one program, by any worker, committed when it is whole.

    with Store.open(plan, describe) as store:
        outcome = run(store)            # {"done": 4}

Where a stack raises and it cannot be told for which run, one half of its runs is tried with the lanes of the other
masked, and so on, until the run that raises is alone: it is failed, and the others are exactly what they are without
it, as the width stays. Only where memory runs out a stack is split, and sweep.json says so from then on: once nothing
else of it is to be trained in the old width, as what is stopped before that goes on by what sweep.json says. An item of
which its worker dies is tried again, from its last checkpoint, and counts as one that raises if that goes on.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

from initlab.executors.items import Item, Outcome
from initlab.executors.pool import Pool, pool
from initlab.planning.runs import Run, Stack
from initlab.storage.store import Store, write_table
from initlab.training import interrupts
from initlab.training.stacking import layout_of, settle
from initlab.training.writer import Writer
from initlab.views import hparams
from initlab.views.progress import Progress, watch

DEATHS = 3  # of workers, until it is the item's fault
EVERY, APART = 5.0, 20  # seconds between two tables, and what one costs, so many times: they take less than 5 %


def run(store: Store) -> Counter[str]:
    """Train what is not done yet; how many runs of the plan ended how (done, diverged, failed).

    Raises Interrupted once a signal is answered, OSError where the disk fails.
    """
    with interrupts.held():
        if _takes_long(store):  # to start a worker: those that time a few updates are those that train
            with pool(layout_of(store), store) as workers:
                settle(store, print, workers)
                _train(store, workers)
        else:
            settle(store, print)
            _train(store)
    return Counter(store.done[run.key]["status"] for run in store.plan.runs)


def _takes_long(store: Store) -> bool:
    if store.plan.options["executor"] != "local":
        return True
    return any(store.pending(stack) for stack in store.plan.stacks) and layout_of(store).gpus > 0


def _train(store: Store, elsewhere: Pool | None = None) -> None:
    if any(store.pending(stack) for stack in store.plan.stacks):
        mine = nullcontext(elsewhere) if elsewhere else pool(layout_of(store), store)
        with watch(store.plan, store.done) as progress, mine as workers:
            _Sweep(store, progress, workers).run()


class _Sweep:
    """The items that wait, those that are carried out, and what is done about how they end."""

    def __init__(self, store: Store, progress: Progress, workers: Pool) -> None:
        self.store, self.progress, self.workers = store, progress, workers
        self.out: list[Item] = []  # that are carried out
        self.large: list[Item] = []  # that ran out of memory, while others of their stack are still to end
        self.items: deque[Item] = deque()
        for stack in store.plan.stacks:
            if pending := store.pending(stack):
                self.items.append(self._item(stack, pending))
        self.due = time.monotonic() + EVERY

    def run(self) -> None:
        while self.items or self.out:
            if interrupts.requested():
                if not self.out:
                    break
                self.workers.stop()
            else:
                self._give()
            if not self.items:
                self.workers.dismiss()
            for item, outcome in self.workers.ended():
                self.out.remove(item)
                self.progress.leave(item.part)
                self._answer(item, outcome)
            self._split()
            self._views(time.monotonic() >= self.due)
        interrupts.poll()
        self._views(True)

    def _item(self, stack: Stack, runs: Sequence[Run], deaths: int = 0) -> Item:
        options = self.store.plan.options
        graphs = options["graphs"] == "auto" and not deaths  # a recording may be what a worker has died of
        return Item(stack, tuple(runs), options["checkpoint_every"], options["probe"], graphs, deaths=deaths)

    def _give(self) -> None:
        while self.items and self.workers.free:
            item = self.items.popleft()
            self.progress.begin(item.part, item.runs)
            item = replace(item, checkpoints=tuple(self.store.checkpoints(item.part)))
            self.out.append(item)
            self.workers.give(item, Writer(self.store, self.progress, item))

    def _answer(self, item: Item, outcome: Outcome) -> None:
        left = self.store.pending(item.stack, item.runs)  # a run whose weights could not be drawn has failed already
        if outcome.how == "done" or not left:
            return
        if outcome.how == "left":
            if outcome.trace:
                self.progress.say(f"  a worker died before it began ({outcome.trace}); another is started")
            self.items.appendleft(self._item(item.stack, left, item.deaths))
        elif outcome.how == "died" and item.deaths + 1 < DEATHS:
            self.progress.say(f"  a worker died ({outcome.trace}); its stack is tried again")
            self.items.appendleft(self._item(item.stack, left, item.deaths + 1))
        elif outcome.how == "died":
            trace = f"WorkerDied: its process died, {outcome.trace}, {DEATHS} times"
            self._divide(item, left, Outcome("raised", trace, outcome.memory))
        else:
            self._divide(item, left, outcome)

    def _divide(self, item: Item, left: list[Run], raised: Outcome) -> None:
        """Halves in place of an item that raised; a run that is alone has failed."""
        stack, deaths = item.stack, max(0, item.deaths - 1)  # what an item did its half may do once less
        if raised.memory and len(stack.runs) > 1:
            self.large.append(self._item(stack, left, deaths))
        elif len(left) == 1:
            Writer(self.store, self.progress, item).fail(left[0].key, raised.trace)
        else:
            self.progress.say(f"  a stack of {len(left)} raised; trying its halves")
            middle = len(left) // 2
            self.items.extendleft(self._item(stack, half, deaths) for half in (left[middle:], left[:middle]))

    def _split(self) -> None:
        """Stacks that are too large are two from now on, for what of them ran out of memory."""
        waiting, self.large = self.large, []
        halves: dict[str, tuple[Stack, Stack]] = {}
        for item in waiting:
            stack = item.stack
            if any(other.stack.id == stack.id for other in (*self.items, *self.out)):
                self.large.append(item)
                continue
            if stack.id not in halves:
                self.progress.say(f"  a stack of {len(stack.runs)} does not fit into memory; trying its halves")
                halves[stack.id] = self.store.split(stack)
            parts = [(half, [run for run in item.runs if run in half.runs]) for half in halves[stack.id]]
            self.items.extendleft(self._item(of, runs, item.deaths) for of, runs in reversed(parts) if runs)

    def _views(self, now: bool) -> None:
        """The table and TensorBoard's of the hyper-parameters, made from all records, so now and then."""
        if not now:
            return
        began = time.monotonic()
        write_table(self.store.folder)
        hparams.write(self.store.folder)
        ended = time.monotonic()
        self.due = ended + max(EVERY, APART * (ended - began))
