"""A sweep's folder as it is read: without a lock, and by whoever has a copy of it.

    sweep = read(folder)               # Sweep: the description, records, and curves on demand

Only `store` writes there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from initlab import journal
from initlab.errors import Refused
from initlab.journal import Record


@dataclass(frozen=True)
class Sweep:
    """A folder as read: `description` is sweep.json, `records` one a finished run, in the plan's order."""

    folder: Path
    description: dict[str, Any]
    records: list[Record]

    def curves(self, record: Record) -> dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """A run's curves: metric -> (steps [T], values [T])."""
        with np.load(self.folder / record["curves"], allow_pickle=False) as file:
            (row,) = np.flatnonzero(file["key"] == record["key"])
            metrics = [name for name in file.files if f"{name}.step" in file.files]
            return {metric: (file[f"{metric}.step"], file[metric][row]) for metric in metrics}


def read(folder: Path) -> Sweep:
    """A sweep's folder. Raises Refused if it is none."""
    if (description := description_of(folder)) is None:
        raise Refused(f"{folder}: no sweep's folder, as it has no sweep.json.")
    done = journal.read(folder / "journal")
    return Sweep(folder, description, [done[run["key"]] for run in description["runs"] if run["key"] in done])


def description_of(folder: Path) -> dict[str, Any] | None:
    """sweep.json, or None if there is none. Raises Refused if it is not one of ours."""
    path = folder / "sweep.json"
    if not path.exists():
        return None
    try:
        description = json.loads(path.read_text())
    except ValueError:
        description = None
    if not isinstance(description, dict) or not {"schema", "plan", "axes", "runs"} <= description.keys():
        raise Refused(f"{path}: is not a sweep's description, or damaged. Choose another folder.")
    return description
