"""Train again from a sweep's record alone, and compare.

    plan = planned(read(folder), Path("elsewhere"))          # out of sweep.json and the runs' configs, not the command
    again = trained(plan, describe)                          # in its own folder, in the same stacks
    verdicts(read(folder), plan, again)                      # [Verdict("init=xavier", "identical", ""), ...]
    changes(read(folder), again, names)                      # ["torch 2.12.0 -> 2.13.0; threads 2 -> 1"]

What was received decides nothing but numbers: no plug-in that it names is imported, and data are read only where the
user says that they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from initlab.config import UNKEYED, Config, checked, key, typed
from initlab.datasets import fingerprint
from initlab.errors import Refused
from initlab.planning.plan import Axis, Plan, safe
from initlab.planning.runs import Run, Stack
from initlab.specs import DATASETS, SWEEP
from initlab.storage.commands import changes as _changes
from initlab.storage.commands import commands, numbers
from initlab.storage.description import as_begun
from initlab.storage.folder import Sweep, read
from initlab.storage.journal import Record

IDENTICAL, CLOSE, DIFFERENT = "identical", "within tolerance", "different"
# Of a loss, relative above 1. TF32 keeps 10 bits of a factor, bfloat16 7.
TOLERANCE = {"float32": 1e-4, "float64": 1e-9, "tf32": 1e-2, "bf16": 5e-2}
ACCURACY = 0.01  # of an accuracy, which moves by whole rows
PLACES = UNKEYED["dataset"]  # where a user's data lie


@dataclass(frozen=True)
class Verdict:
    """How a run compares; ``first`` is the first difference, in words."""

    name: str
    outcome: str
    first: str


def planned(sweep: Sweep, out: Path, names: Sequence[str] = (), places: Mapping[str, str] | None = None) -> Plan:
    """The runs that have a result (of ``names``, if any), and whoever trained with them, in their stacks.

    ``places`` are where the user's data lie: {"path": "mine.npz"}. Raises Refused.
    """
    wanted = {record["key"] for record in sweep.records if not names or record["name"] in names}
    stacks = [stack["keys"] for stack in sweep.description["stacks"] if wanted & set(stack["keys"])]
    lost = wanted - {key for keys in stacks for key in keys}
    if not wanted or lost:
        raise Refused(f"{sweep.folder}: {'has no result yet' if not wanted else 'is damaged: a run is in no stack'}.")
    entries = {run["key"]: run for run in sweep.description["runs"]}
    choices = {record["key"]: record["axes"] for record in sweep.records}
    runs = {k: _run(sweep, entries.get(k, {}), choices.get(k, {}), places or {}) for keys in stacks for k in keys}
    axes = tuple(Axis(axis["name"], tuple(axis["values"]), axis["role"]) for axis in sweep.description["axes"])
    return Plan(axes, tuple(runs.values()), tuple(Stack(tuple(runs[k] for k in keys)) for keys in stacks), out, ())


def _run(sweep: Sweep, entry: Mapping[str, Any], choices: Mapping[str, Any], places: Mapping[str, str]) -> Run:
    if not {"name", "data"} <= entry.keys() or safe(entry["name"]) != entry["name"]:
        raise Refused(f"{sweep.folder}: sweep.json: a run has no name that a folder can have, or no data.")
    recorded = {name: value for name, value in sweep.config(entry).items() if name not in ("schema", "key")}
    config = _typed(recorded, entry["name"], places, sweep.description.get("plugins", {}))
    return Run(entry["name"], entry["key"], choices, config, fingerprint(config["dataset"]))


def _typed(recorded: Config, name: str, places: Mapping[str, str], plugins: Mapping[str, str]) -> Config:
    """The config as this code has it, on this machine's device, with data from where the user says."""
    try:
        config = checked(recorded)
    except Refused as refusal:
        hint = (
            f" The sweep used {', '.join(plugins)}; if you trust it, add plugins={','.join(plugins)}."
            if plugins
            else ""
        )
        raise Refused(f"{refusal} (in the run {name}).{hint}") from None
    dataset = config["dataset"]
    for place in (field for field in PLACES if field in DATASETS[dataset["name"]].fields):
        if place not in places:
            raise Refused(
                f"{name}: its data are not in the folder ({dataset['name']}). Say where yours are: "
                f"dataset.{place}=PATH. They are compared by their fingerprint."
            )
        dataset[place] = places[place]
    config["trainer"]["accelerator"] = "auto"
    config["sweep"] |= {name: SWEEP[name].default for name in ("dry_run", "fresh", "retry", "executor", "slurm")}
    config["sweep"]["workers"] = 1  # in this process, on the threads that it is given
    return typed(config)


def trained(plan: Plan, describe: Callable[[], Mapping[str, Any]], threads: int | None = None) -> Sweep:
    """The plan's runs trained by the command's own path, on as many ``threads`` as then, if there are as many cores."""
    from initlab.executors.layout import cores
    from initlab.storage.store import Store
    from initlab.training import sweep

    def as_then() -> Mapping[str, Any]:
        machine = describe()
        return as_begun(machine, {"device": {"threads": min(threads, cores())}}) if threads else machine

    with Store.open(plan, as_then) as store:
        sweep.run(store)
    return read(plan.folder)


def verdicts(then: Sweep, plan: Plan, now: Sweep, tolerance: float | None = None) -> Iterator[Verdict]:
    """One for each run that has a result in both."""
    runs, records = {run.key: run for run in plan.runs}, {record["key"]: record for record in then.records}
    entries = {run["key"]: run for run in then.description["runs"]}
    for record in now.records:
        if (old := records.get(record["key"])) is None:
            continue
        run = runs[record["key"]]
        if run.fingerprint != entries[run.key]["data"]:
            yield Verdict(
                run.name, DIFFERENT, f"data: {entries[run.key]['data'][:12]} then, {run.fingerprint[:12]} now"
            )
            continue
        outcome, first = _compared(then, old, now, record, tolerance or TOLERANCE[run.config["trainer"]["precision"]])
        if outcome != IDENTICAL and key(run.config, run.fingerprint) != run.key:
            first += "; its config, or the revision of an option, is not the one that its key was made of"
        yield Verdict(run.name, outcome, first)


def _compared(then: Sweep, old: Record, now: Sweep, new: Record, tolerance: float) -> tuple[str, str]:
    if old["status"] != new["status"]:
        return DIFFERENT, f"{old['status']} then, {new['status']} now: {new.get('error', '')}".rstrip(": ")
    if old["status"] == "failed":
        return (
            (IDENTICAL, "") if old["error"] == new["error"] else (DIFFERENT, f"{old['error']} then, {new['error']} now")
        )
    if old.get("initial_weights") != new["initial_weights"]:
        was = str(old.get("initial_weights"))[:12]
        return DIFFERENT, f"initial weights: {was} then, {new['initial_weights'][:12]} now"
    curves, again = then.curves(old), now.curves(new)
    if missing := sorted(curves.keys() ^ again.keys()):
        return DIFFERENT, f"{missing[0]}: measured {'then' if missing[0] in curves else 'now'} only"
    apart = [_first(metric, curves[metric], again[metric], 0.0) for metric in curves]
    if not any(apart):
        return IDENTICAL, ""
    bound = {metric: max(tolerance, ACCURACY) if metric.endswith("accuracy") else tolerance for metric in curves}
    far = [_first(metric, curves[metric], again[metric], bound[metric]) for metric in curves]
    first = min(filter(None, far if any(far) else apart))
    return (DIFFERENT if any(far) else CLOSE), first[1]


def _first(metric: str, old: Any, new: Any, tolerance: float) -> tuple[int, str] | None:
    """The first step, and both values, at which two curves are further apart than that; None if they are not."""
    (steps, a), (others, b) = old, new
    if not np.array_equal(steps, others):
        return int(min(steps[:1].tolist() + others[:1].tolist())), f"{metric}: other steps"
    with np.errstate(invalid="ignore"):
        same = (a == b) | (np.isnan(a) & np.isnan(b)) | (np.abs(a - b) <= tolerance * np.maximum(1.0, np.abs(a)))
    if same.all():
        return None
    at = int(np.argmin(same))
    return int(steps[at]), f"{metric} at step {steps[at]}: {float(a[at])!r} then, {float(b[at])!r} now"


def threads(then: Sweep, names: Sequence[str] = ()) -> int | None:
    """On how many the runs of a sweep were trained: those of the last command that trained any of ``names``."""
    used = [n for r in then.records if not names or r["name"] in names for n in numbers(r, then.description)]
    device = commands(then.description)[max(used, default=-1)].get("device") or {}
    found = device.get("threads")
    return found if isinstance(found, int) else None


def changes(then: Sweep, now: Sweep, names: Sequence[str]) -> list[str]:
    """What differs in versions, device and code between now and the commands under which the runs were trained."""
    new, every = commands(now.description)[-1], commands(then.description)
    made = [numbers(record, then.description) for record in then.records if record["name"] in names]
    words = {n: "; ".join(_changes(every[n], new)) for n in sorted({n for some in made for n in some})}
    if len(set(words.values())) < 2 and all(made):
        return [word for word in words.values() if word][:1]
    counts = Counter(" and ".join(dict.fromkeys(words[n] or "nothing" for n in some)) for some in made)
    return [f"for {n} of {len(made)} runs {word or 'who knows, as it was not noted'}" for word, n in counts.items()]
