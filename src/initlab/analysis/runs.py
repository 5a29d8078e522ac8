"""One or several sweeps as one table: the axes with their roles, and one row a run.

    table = merged([read(one), read(other)])     # Runs: axes, rows
    table.rows[0].at                             # {"init": "xavier", "optimizer.lr": 0.1, "seed": 0}

A field that one sweep varies, or in which they differ, is an axis of the merged table.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from initlab.config import UNKEYED
from initlab.errors import Refused
from initlab.planning.design import canonical, roles
from initlab.specs import GROUPS, SEEDS
from initlab.storage.folder import Sweep
from initlab.storage.journal import Record


@dataclass(frozen=True)
class Axis:
    """``role`` is scientific, nuisance or repeat; ``values`` in the order of the sweeps."""

    name: str
    role: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Run:
    """``at`` are its values on all axes of the table."""

    at: Mapping[str, Any]
    record: Record
    sweep: Sweep


@dataclass(frozen=True)
class Runs:
    """All runs that have a result, finished or failed, each once."""

    axes: tuple[Axis, ...]
    rows: tuple[Run, ...]

    def of(self, role: str) -> tuple[Axis, ...]:
        return tuple(axis for axis in self.axes if axis.role == role)


def merged(sweeps: Sequence[Sweep]) -> Runs:
    """The runs of all sweeps. Raises Refused where the sweeps clash: in an axis's role, or in two runs at one place."""
    declared = _roles(sweeps)
    fixed = [_config(s, s.records[0]) if s.records and len(sweeps) > 1 else {} for s in sweeps]
    names = list(dict.fromkeys([*declared, *_differing(fixed, declared)]))
    role = roles(names, declared)
    rows: dict[str, Run] = {}
    for sweep, others in zip(sweeps, fixed, strict=True):
        for record in sweep.records:
            at = {name: canonical(name, (others | record["axes"]).get(name)) for name in names}
            held = rows.get(record["key"])
            if held is None or held.record["status"] == "failed":
                rows[record["key"]] = Run(at, record, sweep)
    _refuse_clashes(rows.values())
    values = {name: {place(run.at[name]): run.at[name] for run in rows.values()} for name in names}
    return Runs(tuple(Axis(n, role[n], tuple(values[n].values())) for n in names), tuple(rows.values()))


def place(value: Any) -> str:
    """A value of an axis as what a dictionary can look up; 1 and 1.0 are one, 1 and true are not."""
    return json.dumps(float(value) if type(value) is int else value, sort_keys=True)


def _roles(sweeps: Sequence[Sweep]) -> dict[str, str]:
    """Each declared axis and its role."""
    found: dict[str, tuple[str, Sweep]] = {}
    for sweep in sweeps:
        for axis in sweep.description["axes"]:
            role, first = found.setdefault(axis["name"], (axis["role"], sweep))
            if role != axis["role"]:
                raise Refused(
                    f"{axis['name']}: {role} in {first.folder}, {axis['role']} in {sweep.folder}. "
                    "Give it one role: the same command with sweep.roles={...} trains nothing again."
                )
    _refuse_other_repeats(sweeps)
    return {name: role for name, (role, _) in found.items()}


def _refuse_other_repeats(sweeps: Sequence[Sweep]) -> None:
    """What one sweep repeats over, all do that repeat at all."""
    several: dict[tuple[str, ...], Path] = {}
    for sweep in sweeps:
        if names := tuple(sorted(axis["name"] for axis in sweep.description["axes"] if axis["role"] == "repeat")):
            several.setdefault(names, sweep.folder)
    if len(several) > 1:
        (one, first), (two, second), *_ = several.items()
        raise Refused(
            f"{', '.join(one)} in {first}, {', '.join(two)} in {second}: runs are paired by their seeds, and these "
            "have other ones. Report the sweeps one by one."
        )


def _config(sweep: Sweep, record: Record) -> dict[str, Any]:
    """A run's fields by their names as axes: init, init.gain, optimizer.lr, seed."""
    config = sweep.config(record)
    flat: dict[str, Any] = {}
    for section in (*GROUPS, "trainer"):
        fields = {k: v for k, v in config[section].items() if k not in UNKEYED.get(section, ())}
        flat |= {section if field == "name" else f"{section}.{field}": value for field, value in fields.items()}
    return flat | {name: config[name] for name in SEEDS}


def _differing(fixed: Sequence[Mapping[str, Any]], declared: Iterable[str]) -> Iterator[str]:
    """The fields in which sweeps differ, but for those that hang on an axis: init.mode on init, init_seed on seed."""
    axes = set(declared)
    for name in dict.fromkeys(name for fields in fixed for name in fields):
        hangs = (name in SEEDS and axes & SEEDS.keys()) or {name, name.partition(".")[0]} & axes
        if not hangs and len({place(canonical(name, fields.get(name))) for fields in fixed}) > 1:
            axes.add(name)
            yield name


def _refuse_clashes(rows: Iterable[Run]) -> None:
    seen: dict[str, Run] = {}
    for run in rows:
        other = seen.setdefault(place(dict(run.at)), run)
        if other is run:
            continue
        where = ", ".join(f"{name}={value}" for name, value in run.at.items()) or run.record["name"]
        one, two = (_config(r.sweep, r.record) for r in (other, run))
        fields = [f"{f} ({one.get(f)}, {two.get(f)})" for f in {**one, **two} if one.get(f) != two.get(f)]
        raise Refused(
            f"{where}: {other.sweep.folder} and {run.sweep.folder} both have such a run, and they differ in "
            f"{', '.join(fields) or 'their data or code'}. Make it an axis, or report the sweeps one by one."
        )
