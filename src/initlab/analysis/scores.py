"""What a run counts as: its metric at the last step, the worst that there is if it diverged, nothing if it failed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from initlab.errors import Refused
from initlab.stats.intervals import ANYWHERE
from initlab.storage.journal import Record

BOUNDS = {"accuracy": (0.0, 1.0), "loss": (0.0, np.inf), "r2": (-np.inf, 1.0)}


def bounds(metric: str) -> tuple[float, float]:
    """Where a mean of it must lie."""
    return BOUNDS.get(metric, ANYWHERE)


def worst(metric: str, direction: str) -> float:
    """What a run that diverged counts as: 0 for an accuracy, infinitely bad for all else."""
    return bounds(metric)[0] if direction == "max" else bounds(metric)[1]


def outcome(record: Record, part: str, metric: str, direction: str) -> float:
    """A run's metric of the part (val, test) at the last step; NaN where it failed or has no such metric."""
    name = f"{part}/{metric}"
    if record["status"] == "failed" or name not in record["final"]:
        return np.nan
    value = record["final"][name] if record["status"] == "done" else None
    return worst(metric, direction) if value is None else float(value)


def primary(records: Sequence[Record]) -> tuple[str, str] | None:
    """The metric that the runs share, without its part, and its direction; None if they have none, or several."""
    found = {(record["metric"].removeprefix("val/"), record["direction"]) for record in records if "metric" in record}
    return found.pop() if len(found) == 1 else None


def named(metric: str, records: Sequence[Record], where: str) -> tuple[str, str]:
    """The metric and its direction. Raises Refused if the runs have no such one."""
    known = {name.removeprefix("val/") for record in records for name in record["final"] if name.startswith("val/")}
    if known and metric not in known:
        raise Refused(f"metric={metric}: {where} have {', '.join(sorted(known))}.")
    return metric, "min" if metric == "loss" else "max"
