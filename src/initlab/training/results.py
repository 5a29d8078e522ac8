"""A trained stack -> the records of its runs: how each ended, its metrics, and where its numbers lie."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from initlab.datasets import Data
from initlab.planning.runs import Run
from initlab.storage.journal import Record
from initlab.training.curves import Series

if TYPE_CHECKING:
    from initlab.training.module import StackModule


def ended(
    runs: Sequence[Run], module: StackModule, part: str, seconds: float
) -> tuple[list[Record], dict[str, Series]]:
    """The records of the module's live lanes, which are ``runs``, and their curves [R, T]. ``seconds`` of each run."""
    diverged = module.state.diverged_at.cpu().numpy()
    measured = {metric: series.of(module.live) for metric, series in module.curves.whole().items()}
    curves = {metric: series.blank(diverged[module.live]) for metric, series in measured.items()}
    lanes = enumerate(zip(module.live, runs, strict=True))
    records = [_record(i, lane, run, part, module, curves) for i, (lane, run) in lanes]
    for i in diverged[module.live].nonzero()[0]:  # its lane was frozen at the last finite weights, and measured on
        records[i]["diverged"]["last"] = {
            m: _finite(s.values[i, -1]) for m, s in measured.items() if m != "train/loss" and not _signal(m)
        }
    return [record | {"seconds": round(seconds, 4)} for record in records], curves


def failed(run: Run, traceback: str) -> Record:
    """The record of a run that raised."""
    record = _base(run) | {"status": "failed", "error": traceback.strip().splitlines()[-1]}
    record |= {"traceback": f"runs/{run.name}/traceback.txt"}
    return record | {"final": {}, "best": {}, "steps": 0, "samples": 0, "seconds": 0.0}


def _record(i: int, lane: int, run: Run, part: str, module: StackModule, curves: Mapping[str, Series]) -> Record:
    step = int(module.state.diverged_at[lane])
    tensors = ["loss", *module.state.params]
    steps = step - 1 if step else module.state.t
    record = _base(run) | {
        "status": "diverged" if step else "done",
        "final": {metric: _finite(series.values[i, -1]) for metric, series in curves.items() if not _signal(metric)},
        "best": {m: _best(m, series.values[i], module.data) for m, series in curves.items() if m.startswith("val/")},
        "steps": steps,
        "samples": steps * module.batch_size,
        "initial_weights": module.initial_hashes[lane],
        "device": str(module.state.alive.device),
        "metric": f"val/{module.data.metric}",
        "direction": module.data.direction,
        "curves": f"curves/{part}.npz",
        "data": run.fingerprint,
    }
    if step:
        record["diverged"] = {"step": step, "first": tensors[int(module.state.diverged_in[lane])]}
    return record


def _base(run: Run) -> Record:
    return {
        "schema": 1,
        "key": run.key,
        "name": run.name,
        "folder": f"runs/{run.name}",
        "axes": dict(run.choices),
        "ended": time.time(),
    }


def _best(metric: str, values: NDArray[Any], data: Data) -> float | None:
    seen = values[np.isfinite(values)]
    if not len(seen):
        return None
    return float(seen.max() if metric.endswith(data.metric) and data.direction == "max" else seen.min())


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _signal(metric: str) -> bool:
    """Of a layer, and no outcome."""
    return metric.startswith("signal/")
