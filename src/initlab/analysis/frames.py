"""A sweep as data frames and arrays, for notebooks and pipelines.

    sweep = initlab.load("outputs/init-act-91034133")
    sweep.runs                        # pandas: a row a run, a column an axis, how it ended, its metrics
    sweep.curves("val/loss")          # pandas, long: a row a run and step
    sweep.array("val/loss")           # xarray: a dimension an axis, and the steps
    sweep.cells()                     # what a report says: seeds averaged, nuisance axes chosen on validation
    sweep.to_parquet("export")        # runs.parquet, curves.parquet

pandas, xarray and pyarrow are imported when they are used: `pip install 'initlab[report]'`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from initlab.analysis.cells import Cells, cells
from initlab.analysis.runs import Axis, Run, Runs, merged, place
from initlab.analysis.series import blocks
from initlab.errors import Refused, unknown
from initlab.storage.folder import Sweep, read

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

KINDS: Mapping[type, set[type]] = {bool: {bool}, int: {int}, float: {int, float}}
MOST = 2**28  # numbers of an array: 2 GiB


def load(*folders: str | Path) -> Loaded:
    """The sweep of a folder, or several as one. Raises Refused for what is no sweep's folder, or if they clash."""
    sweeps = tuple(read(Path(folder)) for folder in folders)
    return Loaded(sweeps, merged(sweeps))


@dataclass(frozen=True)
class Loaded:
    """What the folders held when they were read; curves are read when they are asked for."""

    sweeps: tuple[Sweep, ...]
    table: Runs

    @cached_property
    def runs(self) -> pd.DataFrame:
        """A row a run: key, axes, status, `final`, `best` and `test` metrics, steps, samples, seconds, why it failed.

        An axis is a column of its own type, or a category where its values are text or of several kinds. The metrics
        of a run that diverged or failed are NaN.
        """
        with _extra("pandas"):
            import pandas as pd
        rows, records = self.table.rows, [run.record for run in self.table.rows]
        columns: dict[str, Any] = {"key": [record["key"] for record in records]}
        columns |= {axis.name: _column(axis, rows) for axis in self.table.axes}
        columns["status"] = pd.Categorical([r["status"] for r in records], ["done", "diverged", "failed"])
        for part in ("final", "best"):
            for metric in dict.fromkeys(metric for record in records for metric in record[part]):
                columns[f"{part} {metric}"] = np.array([record[part].get(metric) for record in records], dtype=float)
        columns |= {name: [record[name] for record in records] for name in ("steps", "samples", "seconds")}
        columns["diverged at"] = np.array([r.get("diverged", {}).get("step") for r in records], dtype=float)
        columns["error"] = [record.get("error") for record in records]
        columns["folder"] = [str(run.sweep.folder / run.record["folder"]) for run in rows]
        return pd.DataFrame(columns)

    def curves(self, *metrics: str) -> pd.DataFrame:
        """A row a run, metric and step: key, axes, metric, step, samples, value. All metrics unless some are named.

        The value is NaN from the step on at which a run diverged.
        """
        with _extra("pandas"):
            import pandas as pd
        found = list(blocks(self.table.rows, self._known(metrics)))
        position = {id(run): i for i, run in enumerate(self.table.rows)}
        at = _joined(np.repeat([position[id(run)] for run in b.runs], len(b.steps)) for b in found).astype(int)
        sizes = [block.values.size for block in found]
        names = list(dict.fromkeys(block.metric for block in found))
        keys = pd.Index([run.record["key"] for run in self.table.rows])
        columns: dict[str, Any] = {"key": pd.Categorical.from_codes(at, keys)}
        columns |= {axis.name: self.runs[axis.name].take(at).array for axis in self.table.axes}
        metric = np.repeat([names.index(block.metric) for block in found], sizes).astype(int)
        columns["metric"] = pd.Categorical.from_codes(metric, pd.Index(names))
        for name, part in (("step", "steps"), ("samples", "samples")):
            columns[name] = _joined(np.tile(getattr(b, part), len(b.runs)) for b in found).astype(int)
        columns["value"] = _joined(block.values.ravel() for block in found)
        return pd.DataFrame(columns)

    def array(self, metric: str) -> xr.DataArray:
        """The curves of a metric with a dimension an axis, and ``step``: all steps of any run. NaN where nothing is.

        Raises Refused for an unknown metric, and where the grid of the axes is too large to be held.
        """
        with _extra("xarray"):
            import xarray as xr
        found = list(blocks(self.table.rows, self._known([metric])))
        steps = np.unique(_joined(block.steps for block in found)).astype(int)
        shape = (*(len(axis.values) for axis in self.table.axes), len(steps))
        if math.prod(shape) > MOST:
            sizes = " x ".join(map(str, shape))
            raise Refused(f"{metric}: an array of {sizes} numbers; {MOST} at most are made. Take curves() instead.")
        values = np.full(shape, np.nan)
        positions = [(a.name, {place(value): i for i, value in enumerate(a.values)}) for a in self.table.axes]
        for block in found:
            there = np.searchsorted(steps, block.steps)
            for run, curve in zip(block.runs, block.values, strict=True):
                at = tuple(index[place(run.at[name])] for name, index in positions)
                values[at][there] = curve
        coordinates = {axis.name: [_plain(axis, value) for value in axis.values] for axis in self.table.axes}
        return xr.DataArray(values, {**coordinates, "step": steps}, name=metric)

    def cells(self, metric: str | None = None) -> Cells:
        """The cells, by each run's primary metric or the named one (accuracy, r2, loss)."""
        return cells(self.sweeps, metric)

    def to_parquet(self, folder: str | Path) -> Path:
        """Write runs.parquet and curves.parquet; returns the folder."""
        with _extra("pyarrow"):
            import pyarrow  # noqa: F401 - so that it is ours who says what is missing
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.runs.to_parquet(folder / "runs.parquet", index=False)
        self.curves().to_parquet(folder / "curves.parquet", index=False)
        return folder

    def _known(self, metrics: Sequence[str]) -> Sequence[str]:
        """The names, once they are known to be metrics."""
        known = {metric: None for run in self.table.rows for metric in run.record["final"]}
        for metric in metrics:
            if metric not in known:
                raise unknown("load", metric, known, "metric")
        return metrics


def _joined(parts: Iterable[NDArray[Any]]) -> NDArray[Any]:
    """One array, also of none."""
    return np.concatenate([np.empty(0), *parts])


def _column(axis: Axis, rows: Sequence[Run]) -> Any:
    """The axis's values, run by run: truth values, whole numbers, numbers, or categories in the axis's order."""
    import pandas as pd

    values = [_plain(axis, run.at[axis.name]) for run in rows]
    if _kind(axis) is str:
        return pd.Categorical(values, list(dict.fromkeys(_plain(axis, value) for value in axis.values)))
    return np.array(values, dtype=_kind(axis))


def _kind(axis: Axis) -> type:
    kinds = {type(value) for value in axis.values}
    if kinds == {int} and any(abs(value) >= 2**63 for value in axis.values):
        return str
    return next((kind for kind, of in KINDS.items() if kinds <= of), str)


def _plain(axis: Axis, value: Any) -> Any:
    """A value as a column holds it: what is neither text nor a number, a list say, is JSON in an axis of text."""
    return value if _kind(axis) is not str or isinstance(value, str) else json.dumps(value)


@contextmanager
def _extra(package: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise Refused(f"{package} is not installed, and this needs it: pip install 'initlab[report]'.") from None
