"""How another sweep than the one asked for differs from it, in words: axes, values, settings, runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from initlab.planning.plan import Plan
from initlab.storage import received

SHOWN = 3  # of a kind; the rest is counted


def difference(folder: Path, held: Mapping[str, Any], plan: Plan) -> str:
    """What the folder's description, sweep.json, has that the plan has not, and the other way."""
    there = {axis["name"]: [str(value) for value in axis["values"]] for axis in held["axes"]}
    here = {axis.name: [str(value) for value in axis.values] for axis in plan.axes}
    parts = [_axis(name, there.get(name), here.get(name)) for name in dict.fromkeys((*there, *here))]
    names = {run["name"]: run["key"] for run in held["runs"]}
    if not any(parts):
        apart = _apart(list(names), [run.name for run in plan.runs])
        parts = list(_settings(folder, names, plan)) or [_sides("the run ", *apart) or "the same axes, other settings"]
    counts = f"{len(held['runs'])} {_runs(held['runs'])}; this one: {len(plan.runs)}"
    return "; ".join([counts, *filter(None, parts)])


def _axis(name: str, there: Sequence[str] | None, here: Sequence[str] | None) -> str:
    if there is None or here is None:
        values, place = (here, "here") if there is None else (there, "there")
        return f"{name}={_some(values or [])} only {place}"
    return _sides(f"{name}=", *_apart(there, here))


def _apart(there: Sequence[str], here: Sequence[str]) -> tuple[list[str], list[str]]:
    return [value for value in there if value not in set(here)], [value for value in here if value not in set(there)]


def _sides(name: str, there: Sequence[str], here: Sequence[str]) -> str:
    sides = [f"{name}{_some(values)} only {place}" for values, place in ((there, "there"), (here, "here")) if values]
    return ", ".join(sides)


def _settings(folder: Path, names: Mapping[str, str], plan: Plan) -> Iterator[str]:
    """The fields in which a run of both, by its name, is not the same run."""
    for run in plan.runs:
        file = f"runs/{run.name}/config.yaml"
        if names.get(run.name, run.key) == run.key or not (folder / file).exists():
            continue
        held = received.from_yaml(received.content(folder, file, received.MOST_YAML), file)
        there, here = dict(_leaves(held)), dict(_leaves(run.config))
        apart = [name for name in here if name in there and there[name] != here[name] and not name.startswith("sweep.")]
        yield from (f"{name}={_said(there[name])} there and {_said(here[name])} here" for name in apart[:SHOWN])
        return


def _leaves(node: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _some(values: Sequence[str]) -> str:
    more = f" and {len(values) - SHOWN} more" if len(values) > SHOWN else ""
    return ",".join(values[:SHOWN]) + more


def _said(value: Any) -> str:
    return "null" if value is None else str(value)


def _runs(runs: Sequence[Any]) -> str:
    return "run" if len(runs) == 1 else "runs"
