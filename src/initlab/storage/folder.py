"""A sweep's folder as it is read: without a lock, and by whoever has a copy of it.

    sweep = read(folder)               # Sweep: the description, records, and curves on demand

Only `store` writes there. What is read may have come from a stranger: see `received`, and `forms` for its types.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from initlab.errors import Refused, printable
from initlab.storage import journal, received
from initlab.storage.commands import commands
from initlab.storage.forms import CONFIG, DESCRIPTION, PROBE, RECORD, conform
from initlab.storage.journal import Record
from initlab.training.curves import Series

MOST_DESCRIPTION = 2**26  # bytes of sweep.json
PROBE_FILE, MOST_PROBE = "probe.json", 2**26


class Unbegun(Refused):
    """A folder whose sweep has not begun, as its sweep.json is not there yet."""


@dataclass(frozen=True)
class Sweep:
    """A folder as read: `description` is sweep.json, `records` one a finished run, in the plan's order."""

    folder: Path
    description: dict[str, Any]
    records: list[Record]

    def curves(self, record: Record) -> dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """A run's curves: metric -> (steps [T], values [T]). Raises Refused for a file that is not as we write it."""
        ((_, found),) = self.stacked([record])
        return {metric: (series.steps, series.values[0]) for metric, series in found.items()}

    def stacked(self, records: Iterable[Record]) -> Iterator[tuple[list[Record], dict[str, Series]]]:
        """The curves of runs, a file at a time: those of the records [R] that share it, and metric -> Series [R, T].

        Raises Refused for a file that is not as we write it.
        """
        files: dict[str, list[Record]] = {}
        for record in records:
            files.setdefault(record.get("curves", ""), []).append(record)
        yield from ((together, self._curves(name, together)) for name, together in files.items())

    def _curves(self, name: str, records: Sequence[Record]) -> dict[str, Series]:
        where = printable(f"{self.folder}/{name}")
        arrays = received.arrays(self.folder, name)
        keys = arrays.get("key", np.zeros(0))
        known = keys.tolist() if keys.dtype.kind == "U" and keys.ndim == 1 else []
        for record in records:
            if known.count(record["key"]) != 1:
                raise Refused(f"{where}: has no curves of the run {record['name']}.")
        rows = [known.index(record["key"]) for record in records]
        found = {}
        for metric in (name for name in arrays if f"{name}.step" in arrays):
            parts = (f"{metric}.step", f"{metric}.samples", f"{metric}.time", metric)
            steps, samples, times, values = (arrays.get(part, np.zeros(0)) for part in parts)
            kinds = "".join(array.dtype.kind for array in (steps, samples, times, values))
            points = steps.shape
            shapes = (points, points, (len(known), *points))
            if kinds != "iiff" or len(points) != 1 or (samples.shape, times.shape, values.shape) != shapes:
                raise Refused(f"{where}: {printable(metric)} is no metric [R, T] over steps [T].")
            found[metric] = Series(steps, samples, times, values[rows])
        return found

    @property
    def command(self) -> list[str] | None:
        """The command that made it, to be shown and pasted; None where it does not call train.py, as nobody checked."""
        words: list[str] = self.description["command"]
        return words if words[:2] == ["python", "train.py"] else None

    def config(self, run: Mapping[str, Any]) -> dict[str, Any]:
        """The complete config of a run of the description, or of a record. Raises Refused for what Hydra acts on."""
        file = f"{run.get('folder', 'runs/' + run['name'])}/config.yaml"
        where = printable(f"{self.folder}/{file}")
        text = received.content(self.folder, file, received.MOST_YAML)
        config: dict[str, Any] = received.from_yaml(text, where)
        conform(config, CONFIG, where)
        for name, value in _leaves(config, ""):
            if name.startswith(("_", "hydra.")) or "._" in name or "${" in str(value):
                raise Refused(f"{where}: {name}: a recorded config has plain values, and nothing to be carried out.")
        return config

    def probe(self, record: Record) -> dict[str, Any] | None:
        """What a run's probe found, None if it has none. Raises Refused for a file that is not as we write it."""
        file = f"{record['folder']}/{PROBE_FILE}"
        if not os.path.lexists(self.folder / file):
            return None
        where = printable(f"{self.folder}/{file}")
        probe: dict[str, Any] = received.from_json(received.content(self.folder, file, MOST_PROBE), where)
        conform(probe, PROBE, where)
        return probe


def read(folder: Path) -> Sweep:
    """A sweep's folder. Raises Refused if it is none, or not as initlab writes it; Unbegun if it has not begun."""
    ours = os.path.lexists(folder / "lock") and not foreign(folder)
    if (description := description_of(folder)) is None:  # asked last, as a starter may be writing it just now
        if ours:
            raise Unbegun(f"{printable(str(folder))}: of a sweep that has not begun. The command that made it goes on.")
        raise Refused(f"{printable(str(folder))}: no sweep's folder, as it has no sweep.json.")
    done = journal.read(folder / "journal")
    records = [done[run["key"]] for run in description["runs"] if run["key"] in done]
    axes = {axis["name"]: axis["values"] for axis in description["axes"]}
    for record in records:
        _check(record, axes, printable(f"{folder}/journal"))
        if not all(number < len(commands(description)) for number in record.get("commands", [])):
            raise Refused(f"{printable(str(folder))}: {record['name']} is of a command that sweep.json does not have.")
    return Sweep(folder, description, records)


def description_of(folder: Path) -> dict[str, Any] | None:
    """sweep.json, or None if there is none. Raises Refused if it is not one of ours."""
    path = folder / "sweep.json"
    if not os.path.lexists(path):
        return None
    where = printable(str(path))
    try:
        text = received.content(folder, "sweep.json", MOST_DESCRIPTION)
        description: dict[str, Any] = received.from_json(text, where, verbatim=("diff",))
        conform(description, DESCRIPTION, where)
        runs = {run["key"] for run in description["runs"]}
        if not runs.issuperset(key for stack in description["stacks"] for key in stack["keys"]):
            raise Refused(f"{where}: its stacks have runs that it does not list.")
    except Refused as refusal:
        raise Refused(f"{refusal} It is not a sweep's description, or damaged. Choose another folder.") from None
    return description


def foreign(folder: Path) -> list[str]:
    """What a folder holds that none of ours does before its sweep.json is there."""
    return sorted(item.name for item in folder.iterdir() if not _of_unbegun(item))


def _of_unbegun(item: Path) -> bool:
    if item.name in ("curves", "checkpoints", "runs"):
        return item.is_dir() and not item.is_symlink() and not any(item.iterdir())
    return item.name in ("lock", "sweep.json.tmp")


def _check(record: Record, axes: Mapping[str, list[Any]], where: str) -> None:
    """Raises Refused for a record that is none of this sweep's."""
    conform(record, RECORD, f"{where}: {record['key']}")
    where = f"{where}: the run {record['name']}"
    if record["axes"].keys() != axes.keys() or not all(record["axes"][name] in axes[name] for name in axes):
        raise Refused(f"{where} has other axes, or other values of them, than sweep.json.")
    if record["status"] != "done" and {"failed": "error", "diverged": "diverged"}[record["status"]] not in record:
        raise Refused(f"{where} does not say how it {record['status']}.")
    if record.get("metric") not in {None, *record["best"]}:
        raise Refused(f"{where} has no best {record['metric']}.")
    if ("metric" in record) != ("direction" in record):
        raise Refused(f"{where} has a metric or its direction, and not both.")


def _leaves(node: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Each value that is no list or mapping, and its name: init.rules.0.param."""
    if isinstance(node, dict | list):
        for at, inner in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _leaves(inner, f"{place}.{at}" if place else str(at))
    else:
        yield place, node
