"""The stacks of a sweep whose widths are open: chosen by a rehearsal on the device at hand, and noted in sweep.json.

    settle(store, say)          # store.plan.stacks are those that train

The workers that will train do the timing, and all at once, as they will be at work all at once. One worker with all of
the threads may end sooner than several with one each, or a lone one with one thread; that is timed too, where it may.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from operator import itemgetter
from typing import Any

from initlab.executors.items import Outcome, Rehearse
from initlab.executors.layout import Layout, all_threads, arranged, cores
from initlab.executors.pool import Pool, pool
from initlab.executors.widths import Group, Split, best, may_gain
from initlab.planning.runs import Stack, cut, even
from initlab.reporting.wording import count
from initlab.storage.folder import description_of
from initlab.storage.store import Store
from initlab.training import interrupts

SHARE = 0.02  # of the time that the runs would take one by one
MOST = 1024  # runs of a group that a rehearsal is told of
UNTIMED = 64  # the width of stacks that cannot be timed
LARGE = "its rehearsal ran out of memory, or its worker died"  # then its runs train one by one
Found = Mapping[str, Mapping[str, Any]]  # by the open stack's id: steps, seconds {width: of an update}, why


def settle(store: Store, say: Callable[[str], None], elsewhere: Pool | None = None) -> None:
    """Cut what is open into stacks; by workers elsewhere, if these will train. Raises OSError, Interrupted."""
    stacks = [stack for stack in store.plan.stacks if stack.open]
    if not stacks:
        return
    held = threads(store)
    lone = [Stack((run,)) for stack in stacks for run in stack.runs]
    layout = arranged(store.plan.options, lone, len(lone), held)
    with nullcontext(elsewhere) if elsewhere else pool(layout, store, held or all_threads()) as workers:
        (first, *others) = sorted(_pairs(store, lone, replace(layout, workers=workers.count), held), key=itemgetter(1))
        copies = 1 if elsewhere else max(1, first[0] // len(stacks))  # none of this machine's is idle meanwhile
        graphs = store.plan.options["graphs"] == "auto"
        timed = {first: _timed(workers, stacks, first, copies, graphs)}
        groups = [_group(stack, timed[first]) for stack in _known(stacks, timed)]
        for pair in (pair for pair in others if may_gain(first, groups, pair)):
            timed[pair] = _timed(workers, stacks, pair, max(1, pair[0] // len(stacks)), graphs, timed[first])
    known = _known(stacks, timed)
    split = best({pair: [_group(stack, found) for stack in known] for pair, found in timed.items()})
    sizes = dict(zip((stack.id for stack in known), split.sizes, strict=True))
    _cut(store, stacks, sizes, split, timed, say, elsewhere)


def _known(stacks: Sequence[Stack], timed: Mapping[tuple[int, int], Found]) -> list[Stack]:
    return [stack for stack in stacks if all(found.get(stack.id, {}).get("seconds") for found in timed.values())]


def layout_of(store: Store, stacks: Sequence[Stack] | None = None, held: int | None = None) -> Layout:
    """How many workers train the plan's stacks, or those that take their place on the ``held`` threads."""
    stacks = stacks or store.plan.stacks
    pending = sum(len(store.pending(s)) if s.open else bool(store.pending(s)) for s in stacks)
    return arranged(store.plan.options, stacks, pending, held or threads(store))


def threads(store: Store) -> int | None:
    """On which a sweep has begun; None while all of its stacks are open, so that nothing has been trained."""
    if all(stack.open for stack in store.plan.stacks):
        return None
    found: int | None = (description_of(store.folder) or {}).get("device", {}).get("threads")
    return found


def _pairs(store: Store, lone: Sequence[Stack], layout: Layout, held: int | None) -> set[tuple[int, int]]:
    """Workers and threads of each that are worth a try: of some threads as many as would train on them."""
    given = (layout.workers, layout.threads)
    if held or layout.executor != "local" or layout.gpus:
        return {given}
    others = {all_threads()} | ({1} if layout.here else set())
    pairs = {(arranged(store.plan.options, lone, len(lone), threads).workers, threads) for threads in others}
    return {given} | {(workers, threads) for workers, threads in pairs if workers * threads <= cores()}


def _timed(
    workers: Pool,
    stacks: Sequence[Stack],
    pair: tuple[int, int],
    copies: int,
    graphs: bool,
    before: Found | None = None,
) -> Found:
    """Each stack at growing widths; or, where that has been done on fewer threads, alone and at the best of those."""
    at_once, threads = pair
    items = []
    for stack in stacks:
        widths = None
        if before is not None and before.get(stack.id, {}).get("seconds"):
            widths = tuple(sorted({1, _group(stack, before).cheapest(len(stack.runs))}))
        configs = tuple(run.config for run in stack.runs[:MOST])
        share = (SHARE if before is None else SHARE / 3) / copies
        items += [Rehearse(stack.id, configs, len(stack.runs), threads, share, widths, graphs)] * copies
    found: dict[str, Any] = {}
    for item, outcome in _carried_out(workers, items, at_once):
        if outcome.how == "died" or outcome.memory:
            found[item.of] = {"seconds": {}, "why": LARGE}
        elif outcome.how == "done" and found.get(item.of, {}).get("why") != LARGE:
            seconds = {int(width): spent for width, spent in outcome.found["seconds"]}
            other = found.get(item.of, {"seconds": seconds})["seconds"]  # the slower of two that were at it together
            both = {width: max(spent, other[width]) for width, spent in seconds.items() if width in other}
            found[item.of] = {**outcome.found, "seconds": both}
    return found


def _carried_out(workers: Pool, items: Iterable[Rehearse], at_once: int) -> Iterable[tuple[Rehearse, Outcome]]:
    waiting, out = deque(items), 0
    while waiting or out:
        interrupts.poll()
        while waiting and workers.free and out < at_once:
            workers.give(waiting.popleft())
            out += 1
        for item, outcome in workers.ended():
            out -= 1
            yield item, outcome


def _group(stack: Stack, found: Found) -> Group:
    return Group(len(stack.runs), found[stack.id]["steps"], found[stack.id]["seconds"])


def _cut(
    store: Store,
    stacks: Sequence[Stack],
    sizes: Mapping[str, Sequence[int]],
    split: Split,
    timed: Mapping[tuple[int, int], Found],
    say: Callable[[str], None],
    elsewhere: Pool | None,
) -> None:
    """Sizes in place of the open stacks; sweep.json says what was chosen, and why, and which workers will train."""
    parts = {}
    for stack in stacks:
        large = any(found.get(stack.id, {}).get("why") == LARGE for found in timed.values())
        parts[stack.id] = cut(stack.runs, sizes.get(stack.id) or even(len(stack.runs), 1 if large else UNTIMED))
    trained = [part for stack in store.plan.stacks for part in parts.get(stack.id, (stack,))]
    workers = layout_of(store, trained, split.threads).workers
    if elsewhere:  # these are there already
        workers = min(elsewhere.count, sum(bool(store.pending(stack)) for stack in trained))
    notes = []
    for stack in stacks:
        found = timed[split.workers, split.threads].get(stack.id, {"seconds": {}, "why": "it could not be timed"})
        width = max(len(part.runs) for part in parts[stack.id])
        note = {"runs": len(stack.runs), "width": width, "workers": workers, "threads": split.threads}
        each = {str(width): spent / width for width, spent in found["seconds"].items()}
        notes.append(note | {"update": each, "why": found["why"]} | {k: v for k, v in found.items() if k == "graphs"})
    store.restack(parts, split.threads, notes)
    words = of_widths([len(part.runs) for part in parts[stack.id]] for stack in stacks)
    say(f"as measured: {words}; {count(workers, 'worker')} of {count(split.threads, 'thread')}")


def of_widths(groups: Iterable[Sequence[int]]) -> str:
    """``8 stacks of up to 8 runs, 3 stacks of 20 runs``: groups that are as wide are told together."""
    widths: dict[int, list[int]] = {}
    for sizes in groups:
        widths.setdefault(max(sizes), []).extend(sizes)
    return ", ".join(
        f"{count(len(sizes), 'stack')} of {'up to ' if min(sizes) < width else ''}{count(width, 'run')}"
        for width, sizes in sorted(widths.items())
    )
