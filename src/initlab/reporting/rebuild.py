"""TensorBoard's files of a sweep's runs, made again from the curves and the journal.

    rebuild(folder)                    # how many runs; the scalars are those that training wrote, at their times

They are a view: removed, damaged or left out of a copy, they come back. Those of the report's cells come with a report.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from initlab.storage import events, received
from initlab.storage.folder import read
from initlab.training.curves import Series
from initlab.views import hparams


def rebuild(folder: Path) -> int:
    """Write the event files of every run that has curves, and the rows of the hyper-parameter table.

    Returns the number of runs. Raises Refused for what is no sweep's folder, or damaged.
    """
    sweep = read(folder)
    received.check_tree(folder)  # what is written lies in the folder
    measured = [record for record in sweep.records if "curves" in record]
    for name in dict.fromkeys(record["curves"] for record in measured):
        arrays = received.arrays(folder, name)
        lanes = {key: lane for lane, key in enumerate(arrays["key"].tolist())}
        curves = {metric: _series(arrays, metric) for metric in arrays if f"{metric}.step" in arrays}
        for record in (record for record in measured if record["curves"] == name):
            points = events.of_run(curves, lanes[record["key"]], record.get("diverged", {}).get("step", 0))
            path = folder / record["folder"] / events.FILE_NAME
            path.parent.mkdir(parents=True, exist_ok=True)
            events.append(path, points, anew=True)
    hparams.write(folder)
    return len(measured)


def _series(arrays: Mapping[str, NDArray[Any]], metric: str) -> Series:
    steps, samples, times = (arrays[f"{metric}.{part}"] for part in ("step", "samples", "time"))
    return Series(steps, samples, times, arrays[metric])
