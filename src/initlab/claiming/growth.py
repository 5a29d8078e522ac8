"""A claim's seeds: those that its folder has already, and twice as many while there is no verdict.

plan = resumed(make, words, plan)          # that of these words, with the seeds of its folder
plan = doubled(make, words, plan)          # in the same folder; None at the claim's cap
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from initlab.planning.plan import Plan
from initlab.storage.folder import description_of

Make = Callable[[Sequence[str]], Plan]


def resumed(make: Make, words: Sequence[str], plan: Plan) -> Plan:
    """The plan of a command. A sweep whose claim asked for more seeds goes on with all of them."""
    if plan.claim is None or plan.options["fresh"] or not plan.folder.is_dir():
        return plan
    held = (description_of(plan.folder) or {}).get("seeds", {}).get("seed", [])
    return _with(make, words, plan, held) if set(held) > set(_seeds(plan)) else plan


def doubled(make: Make, words: Sequence[str], plan: Plan) -> Plan | None:
    """The same sweep with seeds that follow its own."""
    seeds, cap = _seeds(plan), (plan.claim and plan.claim.cap) or 0
    count = min(2 * len(seeds), cap)
    if count <= len(seeds):
        return None
    more = range(max(seeds) + 1, max(seeds) + 1 + count - len(seeds))
    kept = [word for word in words if not word.startswith("sweep.fresh=")]
    return _with(make, kept, plan, [*seeds, *more])


def _with(make: Make, words: Sequence[str], plan: Plan, seeds: Iterable[int]) -> Plan:
    kept = [word for word in words if not word.startswith("seed=")]
    return replace(make([*kept, f"seed={','.join(map(str, seeds))}"]), folder=plan.folder)


def _seeds(plan: Plan) -> list[int]:
    return [seed for axis in plan.axes if axis.name == "seed" for seed in axis.values]
