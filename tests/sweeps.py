"""A sweep's folder as training leaves it, with whatever results a test wants."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from initlab.planning.design import roles
from initlab.storage import journal
from initlab.storage.folder import Sweep, read

At = Mapping[str, Any]
FAILED, MISSING = "failed", None


def sweep(
    folder: Path,
    axes: Mapping[str, Sequence[Any]],
    outcome: Callable[[At], Any],
    *,
    config: Mapping[str, Any] | None = None,
    role: Mapping[str, str] | None = None,
    curve: Callable[[At], Sequence[float]] | None = None,
) -> Sweep:
    """All combinations of the axes' values. ``outcome`` gives a run's test accuracy (validation is .01 above it), or
    (validation, test), infinite if it diverged, or FAILED, or MISSING. ``curve`` is val/accuracy at steps 0, 10, ...
    """
    combinations = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    records = [_record(at, outcome(at), config or {}) for at in combinations if outcome(at) is not MISSING]
    named = roles(axes, role or {})
    description = {
        "schema": 1,
        "plan": "p",
        "command": ["python", "train.py"],
        "created": "2026-01-01T00:00:00Z",
        "axes": [{"name": n, "role": named[n], "type": "", "values": list(values)} for n, values in axes.items()],
        "zips": [],
        "stacks": [],
        "runs": [{"key": r["key"], "name": r["name"]} for r in records],
    }
    (folder / "curves").mkdir(parents=True)
    (folder / "sweep.json").write_text(json.dumps(description))
    journal.append(folder / "journal", records)
    for record in records:
        (folder / record["folder"]).mkdir(parents=True)
        (folder / record["folder"] / "config.yaml").write_text(yaml.safe_dump(_config(record["axes"], config or {})))
        if record["status"] != "failed":
            points = np.array(curve(record["axes"]) if curve else [0.1, 0.5, 0.5])
            steps = np.arange(len(points)) * 10
            arrays = {"val/accuracy": points[None], "val/accuracy.step": steps, "val/accuracy.samples": 32 * steps}
            times = {"val/accuracy.time": 1e9 + steps}
            np.savez(folder / record["curves"], schema=1, key=[record["key"]], **arrays, **times)
    return read(folder)


def _record(at: At, outcome: Any, config: Mapping[str, Any]) -> journal.Record:
    name = ",".join(f"{axis}={value}" for axis, value in at.items()) or "only"
    key = hashlib.sha256(json.dumps(_config(at, config), sort_keys=True).encode()).hexdigest()[:16]
    record = {"key": key, "name": name, "folder": f"runs/{key}", "axes": dict(at), "steps": 20, "samples": 640}
    record |= {"schema": 1, "seconds": 0.5, "ended": 1e9, "data": "d" * 16, "device": "cpu"}
    if outcome == FAILED:
        return record | {"status": "failed", "final": {}, "best": {}, "error": "ValueError: no"}
    validation, test = outcome if isinstance(outcome, tuple) else (outcome + 0.01, outcome)
    record |= {"metric": "val/accuracy", "direction": "max", "curves": f"curves/{key}.npz"}
    values = {"val/accuracy": validation, "val/loss": 1 - validation, "test/accuracy": test, "test/loss": 1 - test}
    if np.isfinite(test):
        return record | {"status": "done", "final": values, "best": {"val/accuracy": validation, "val/loss": 0.1}}
    blank = dict.fromkeys(values)
    fell = {"step": 15, "first": "loss", "last": blank}
    return record | {
        "status": "diverged",
        "final": blank,
        "best": {"val/accuracy": 0.3, "val/loss": 0.3},
        "diverged": fell,
    }


def _config(at: At, config: Mapping[str, Any]) -> dict[str, Any]:
    """A config with an option and a field or two in each section."""
    made: dict[str, Any] = {
        "dataset": {"name": "digits", "batch_size": 32},
        "arch": {"name": "mlp", "depth": 4},
        "act": {"name": "relu"},
        "init": {"name": "kaiming_normal", "gain": "default"},
        "optimizer": {"name": "sgd", "lr": 0.1},
        "trainer": {"max_epochs": 2, "accelerator": "cpu"},
        "seed": 0,
    }
    for name, value in (*config.items(), *at.items()):
        section, _, field = name.partition(".")
        if section.endswith("seed"):
            made[section] = value
        else:
            made[section] = made[section] | {field or "name": value}
    return {"init_seed": made["seed"], "order_seed": made["seed"]} | made
