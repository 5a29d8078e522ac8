"""The quantities that a claim names, read off the runs: [S], NaN where a run is missing, failed, or has no such number.

    values(quantity("growth(probe.layers.5:25.gradient)"), runs)

A metric of a run that diverged is the worst that there is, and its steps to a threshold are all of its steps; of its
signals none is the worst, and it has no number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from initlab.analysis.runs import Run
from initlab.analysis.scores import outcome
from initlab.analysis.series import Curve, blocks, series
from initlab.claiming.quantities import Quantity
from initlab.errors import Refused, unknown
from initlab.stats import first_reached
from initlab.stats.intervals import Floats

ONE: Mapping[str, Callable[[float], float]] = {
    "ln": lambda x: math.log(x) if x > 0 else -math.inf if x == 0 else math.nan,
}
MANY: Mapping[str, Callable[[Floats], float]] = {
    "mean": lambda x: float(np.mean(x)),
    "greatest": lambda x: float(np.max(x)),
    "least": lambda x: float(np.min(x)),
    "growth": lambda x: _growth(x),
    "approach": lambda x: _growth(1 - x),
}


def _growth(x: Floats) -> float:
    """The factor an item from the first to the last."""
    return float((x[-1] / x[0]) ** (1 / (len(x) - 1))) if len(x) > 1 and x[0] else math.nan


def values(of: Quantity, runs: Sequence[Run | None]) -> Floats:
    """[S]. Raises Refused for what the runs, or their probes, do not have."""
    found = np.array([math.nan if run is None else _value(of, run) for run in runs])
    if of.bound is None:
        return found
    there = found >= of.bound if of.sign == ">=" else found <= of.bound
    return np.where(np.isnan(found), np.nan, there)


def _value(of: Quantity, run: Run) -> float:
    if of.word == "steps":
        return _steps(of, run)
    found = _probed(of, run) if of.probed else _signal(of, run) if of.signalled else _metric(of.path, run)
    if found is None:
        return math.nan
    if of.word is not None and of.word in MANY:
        return MANY[of.word](np.array([math.nan if one is None else one for one in _numbers(found, of.text)]))
    if isinstance(found, bool | list | dict | str):
        raise Refused(f"{of.text}: is {_kind(found)}, not a number; of a slice take {', '.join(MANY)}.")
    value = float(found)
    return ONE[of.word](value) if of.word else value


def _metric(path: str, run: Run) -> float:
    part, _, name = path.partition("/")
    known = run.record["final"]
    if known and path not in known:
        raise unknown(path, path, known, "metric of the runs")
    return outcome(run.record, part, name, "min" if name == "loss" else "max")


def _curve(of: Quantity, run: Run) -> Curve:
    """Raises Refused where the run has none."""
    for _, curve in series([run], of.path):
        return curve
    kept = sorted({block.metric for block in blocks([run])})
    raise unknown(of.text, of.path, kept, f"curve of {run.record['name']}")


def _signal(of: Quantity, run: Run) -> float:
    """At the last look; NaN where the run has failed, or had diverged by then."""
    return math.nan if run.record["status"] == "failed" else float(_curve(of, run)[1][-1])


def _steps(of: Quantity, run: Run) -> float:
    assert of.target is not None
    if run.record["status"] == "failed":
        return math.nan
    steps, heights = _curve(of, run)
    if run.record["status"] == "diverged":
        return float(steps[-1])
    reached = first_reached(steps, heights, of.target, "min" if of.path.endswith("loss") else "max")
    return min(reached, float(steps[-1]))


def _probed(of: Quantity, run: Run) -> Any:
    if run.record["status"] == "failed":
        return None
    if (probe := run.sweep.probe(run.record)) is None:
        raise Refused(f"{of.text}: {run.record['name']} was not probed; sweep.probe=true probes what is trained anew.")
    return _at(probe, of.path.split(".")[1:], of.text)


def _at(node: Any, parts: Sequence[str], text: str) -> Any:
    """What lies at the end of a path; of a slice of a list, each item's. None where the probe found nothing."""
    if not parts or node is None:
        return node
    if node == []:
        return None
    part, rest = parts[0], parts[1:]
    if isinstance(node, list):
        if re.fullmatch(r"-?\d*:-?\d*", part):
            start, stop = (int(end) if end else None for end in part.split(":"))
            return [_at(item, rest, text) for item in node[start:stop]]
        names = {str(item.get("name")): i for i, item in enumerate(node) if isinstance(item, dict)}
        at = names.get(part, int(part) if re.fullmatch(r"-?\d+", part) else len(node))
        if not -len(node) <= at < len(node):
            raise unknown(text, part, [*names, f"0 to {len(node) - 1}"], "layer")
        return _at(node[at], rest, text)
    if not isinstance(node, dict) or part not in node:
        raise unknown(text, part, node if isinstance(node, dict) else [], "part of the probe")
    return _at(node[part], rest, text)


def _numbers(found: Any, text: str) -> list[float | None]:
    if not isinstance(found, list) or not found or not all(isinstance(one, float | int | None) for one in found):
        raise Refused(f"{text}: is {_kind(found)}; its path needs a slice of layers, such as probe.layers.0:-1.q.")
    return found


def _kind(found: Any) -> str:
    kinds = {list: "a list", dict: "a group of numbers", str: "a word", bool: "true or false"}
    return kinds.get(type(found), "one number")
