"""sweep.json: what was asked for, on which machine, and how its runs are stacked.

A sweep can grow: by more values of the same axes, in the same folder. The runs that it has keep their names, results
and stacks; the new ones get stacks of their own. What the file said of the earlier command is kept under `earlier`, as
it is where a sweep goes on under other code. A record has the numbers of the commands under which its run was trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from initlab.errors import Refused
from initlab.planning.plan import Plan, plan_id, stacked
from initlab.planning.runs import Stack
from initlab.specs import SEEDS

SCHEMA = 1
OF_A_VERDICT = ("seeds", "cap", "level", "checks")  # of a claim
OF_A_COMMAND = ("plan", "command", "created", "versions", "device", "plugins", "git")


def described(plan: Plan, machine: Mapping[str, Any], held: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The content of sweep.json; ``held``, the present one, if the sweep grows or goes on."""
    earlier = [*held.get("earlier", []), _earlier(held)] if held else []
    return (
        {
            "schema": SCHEMA,
            "plan": plan.id,
            **machine,
            "axes": axes_of(plan),
            "zips": plan.zips,
            "runs": [{"key": run.key, "name": run.name, "data": run.fingerprint} for run in plan.runs],
            "stacks": stacks_of(plan.stacks),
            "seeds": {name: sorted({run.config[name] for run in plan.runs}) for name in SEEDS},
        }
        | ({"earlier": earlier} if earlier else {})
        | ({"widths": held["widths"]} if held and "widths" in held else {})
        | claim_of(plan, held)
    )


def as_begun(machine: Mapping[str, Any], held: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The machine, on the threads that the held sweep began with: they decide how sums are rounded."""
    threads = (held or {}).get("device", {}).get("threads")
    return machine if threads is None else {**machine, "device": {**machine.get("device", {}), "threads": threads}}


def claim_of(plan: Plan, held: Mapping[str, Any] | None) -> dict[str, Any]:
    """The claim; and whether its criterion is another than the one that was declared before the runs."""
    if plan.claim is None:
        return {}
    claim, before = plan.claim.as_json, (held or {}).get("claim")
    changed = before is not None and any(claim.get(part) != before.get(part) for part in OF_A_VERDICT)
    return {"claim": claim, "claim_changed": changed or bool((held or {}).get("claim_changed"))}


def axes_of(plan: Plan) -> list[dict[str, Any]]:
    return [
        {
            "name": axis.name,
            "role": axis.role,
            "type": "/".join(sorted({type(value).__name__ for value in axis.values})),
            "values": list(axis.values),
        }
        for axis in plan.axes
    ]


def stacks_of(stacks: Sequence[Stack]) -> list[dict[str, Any]]:
    """As sweep.json has them; one whose width is still to be measured is open."""
    return [
        {"id": stack.id, "width": len(stack.runs), "keys": [run.key for run in stack.runs]}
        | ({"open": True} if stack.open else {})
        for stack in stacks
    ]


def _earlier(held: Mapping[str, Any]) -> dict[str, Any]:
    return {name: held[name] for name in OF_A_COMMAND if name in held} | {"runs": len(held["runs"])}


def grows(held: Mapping[str, Any], plan: Plan) -> bool:
    """Whether the plan is the held sweep with more values of its axes: it has all its runs, under the same names."""
    names = {run.key: run.name for run in plan.runs}
    same_axes = [axis["name"] for axis in held["axes"]] == [axis.name for axis in plan.axes]
    return same_axes and all(names.get(run["key"]) == run["name"] for run in held["runs"])


def restacked(path: Path, held: Mapping[str, Any], plan: Plan) -> Plan:
    """The plan in the stacks that sweep.json has, as a width decides how sums are rounded; new runs have their own.

    Raises Refused where the file does not say which runs it has, or which of them train together.
    """
    runs = {run.key: run for run in plan.runs}
    keys = [stack["keys"] for stack in held["stacks"]]
    known = {run["key"] for run in held["runs"]}
    whole = plan_id((run["key"], run["name"]) for run in held["runs"]) == held["plan"]
    if not whole or sorted(key for some in keys for key in some) != sorted(known) or not known <= runs.keys():
        raise Refused(f"{path}: is damaged, as its runs, stacks and plan do not agree. sweep.fresh=true starts anew.")
    old = [Stack(tuple(runs[key] for key in stack["keys"]), stack.get("open", False)) for stack in held["stacks"]]
    return replace(plan, stacks=(*old, *stacked([run for run in plan.runs if run.key not in known])))
