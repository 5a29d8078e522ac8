"""A table of runs -> cells: seeds beside each other, nuisance axes optimised over, everything counted.

    found = cells([read(folder)])          # Cells: one Cell a combination of the scientific axes' values
    found.cells[0].mean                    # Estimate of the test metric at the chosen learning rate
    found.values                           # [C, S], NaN where there is no run

**The rule for nuisance axes.** Each cell takes the setting whose validation metric at the last step, averaged over the
seeds, is best, and reports that setting's test metric. `scores` says what a run counts as that diverged or failed.

**The units are seeds.** Where several seeds are crossed, runs are averaged within each value of the first of them, for
runs that share a seed are not independent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from initlab import streams
from initlab.analysis.runs import Axis, Run, Runs, merged, place
from initlab.analysis.scores import bounds, named, outcome, primary
from initlab.errors import Refused
from initlab.stats import Estimate, iqm, mean
from initlab.stats.intervals import Floats
from initlab.storage.folder import Sweep

At = Mapping[str, Any]  # values on some of the axes


@dataclass(frozen=True)
class Trial:
    """A cell at one setting of the nuisance axes: [S] in the order of `Cells.seeds`, NaN where nothing is.

    `runs` [N] has all its runs, None where one is missing, and `units` [N] says which of the S each belongs to: as many
    as S and in their order, unless seeds are crossed.
    """

    at: At
    runs: tuple[Run | None, ...]
    units: NDArray[np.int64]
    validation: Floats
    test: Floats
    mean: Estimate  # of the validation metric

    @property
    def counts(self) -> Counter[str]:
        """How many are done, diverged, failed, missing."""
        return Counter(run.record["status"] if run else "missing" for run in self.runs)

    @property
    def diverged(self) -> NDArray[np.bool_]:
        """[S]: whether one of its runs did."""
        fell = [bool(run and run.record["status"] == "diverged") for run in self.runs]
        return np.bincount(self.units, fell, len(self.validation)) > 0


@dataclass(frozen=True)
class Cell:
    """One combination of the scientific axes' values. `mean` and `iqm` are those of the test metric at `chosen`.

    `edge` names the nuisance axes whose chosen value is the least or the greatest of those tried: the best may lie
    beyond.
    """

    at: At
    metric: str  # accuracy, loss, r2: chosen by val/<metric>, reported as test/<metric>
    direction: str
    trials: tuple[Trial, ...]
    chosen: Trial
    edge: tuple[str, ...]
    mean: Estimate
    iqm: Estimate

    @property
    def label(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.at.items())

    @property
    def scale(self) -> str:
        """What it may be compared on: its metric, and where data sets are an axis, on which: 'accuracy on iris'."""
        data = [(name, value) for name, value in self.at.items() if name.partition(".")[0] == "dataset"]
        words = ", ".join(str(value) if name == "dataset" else f"{name}={value}" for name, value in data)
        return f"{self.metric} on {words}" if words else self.metric

    @property
    def values(self) -> Floats:
        """The test metric of the chosen setting, [S]."""
        return self.chosen.test

    @property
    def budget(self) -> int:
        """How many runs it had, over all settings."""
        return sum(run is not None for trial in self.trials for run in trial.runs)


@dataclass(frozen=True)
class Cells:
    """All cells of one or several sweeps. `seeds` [S] are the values of the repeat axis whose values are the units."""

    axes: tuple[Axis, ...]
    seeds: tuple[Any, ...]
    cells: tuple[Cell, ...]
    rule: str  # in words: how the nuisance axes were settled, and what the units are

    @property
    def values(self) -> Floats:
        """[C, S]: the test metric at each cell's chosen setting."""
        return np.array([cell.values for cell in self.cells]).reshape(len(self.cells), len(self.seeds))

    @property
    def uneven(self) -> tuple[Cell, ...]:
        """The cells that had less to choose from than others: fewer settings, or fewer runs at one of them."""
        most = max(cell.budget for cell in self.cells)
        return tuple(cell for cell in self.cells if cell.budget < most)

    @property
    def ranked(self) -> tuple[Cell, ...]:
        """Best mean first, scale by scale; cells without a value come last of theirs."""
        scales = list(dict.fromkeys(cell.scale for cell in self.cells))

        def rank(cell: Cell) -> tuple[int, bool, float, int]:
            value = -cell.mean.value if cell.direction == "max" else cell.mean.value
            return scales.index(cell.scale), bool(np.isnan(value)), value, cell.chosen.counts["diverged"]

        return tuple(sorted(self.cells, key=rank))


def cells(sweeps: Sequence[Sweep], metric: str | None = None) -> Cells:
    """The cells of all sweeps together, by each run's primary metric or the named one (accuracy, r2, loss).

    Raises Refused where the sweeps clash, nothing has finished, or there is no such metric.
    """
    table = merged(sweeps)
    if not table.rows:
        folders = ", ".join(str(sweep.folder) for sweep in sweeps)
        raise Refused(f"{folders}: no run has ended yet, so there is nothing to report.")
    scientific, nuisance, repeat = (table.of(role) for role in ("scientific", "nuisance", "repeat"))
    unit = next((axis for axis in repeat if len(axis.values) > 1), None)
    seeds = {place(run.at[unit.name]): run.at[unit.name] for run in table.rows} if unit else {"": None}
    repeats = {_places(run.at, repeat): place(run.at[unit.name]) if unit else "" for run in table.rows}
    ordered = sorted(repeats, key=lambda at: list(seeds).index(repeats[at]))
    units = np.array([list(seeds).index(repeats[at]) for at in ordered])
    grouped: dict[tuple[str, ...], dict[tuple[str, ...], dict[tuple[str, ...], Run]]] = {}
    for run in table.rows:
        trials = grouped.setdefault(_places(run.at, scientific), {})
        trials.setdefault(_places(run.at, nuisance), {})[_places(run.at, repeat)] = run
    overall = primary([run.record for run in table.rows])
    found = []
    for trials in grouped.values():
        runs = [tuple(by_seed.get(at) for at in ordered) for by_seed in trials.values()]
        found.append(_cell(runs, units, scientific, nuisance, metric, overall))
    crossed = unit.name if unit and len(ordered) > len(seeds) else None
    return Cells(table.axes, tuple(seeds.values()), tuple(found), _rule(table, crossed))


def _cell(
    settings: Sequence[tuple[Run | None, ...]],
    units: NDArray[np.int64],
    scientific: Sequence[Axis],
    nuisance: Sequence[Axis],
    metric: str | None,
    overall: tuple[str, str] | None,
) -> Cell:
    present = [run for runs in settings for run in runs if run]
    at = {axis.name: present[0].at[axis.name] for axis in scientific}
    label = ", ".join(f"{name}={value}" for name, value in at.items())
    records = [run.record for run in present]
    if metric is None:
        name, direction = primary(records) or overall or ("loss", "min")
    else:
        name, direction = named(metric, records, label or "the runs")
    trials = tuple(_trial(runs, units, nuisance, name, direction, label) for runs in settings)
    chosen = max(trials, key=lambda trial: preference(trial, direction))
    rng = (streams.generator(0, "statistics", f"{statistic} of {name}: {label}") for statistic in ("mean", "iqm"))
    edge = tuple(_edges(chosen, trials, nuisance))
    average = mean(chosen.test, next(rng), bounds(name))
    return Cell(at, name, direction, trials, chosen, edge, average, iqm(chosen.test, next(rng)))


def _trial(
    runs: tuple[Run | None, ...],
    units: NDArray[np.int64],
    nuisance: Sequence[Axis],
    metric: str,
    direction: str,
    label: str,
) -> Trial:
    some = next(run for run in runs if run)
    at = {axis.name: some.at[axis.name] for axis in nuisance}
    validation, test = (
        _within(units, [outcome(run.record, part, metric, direction) if run else np.nan for run in runs])
        for part in ("val", "test")
    )
    rng = streams.generator(0, "statistics", f"validation of {metric}: {label}, {place(at)}")
    return Trial(at, runs, units, validation, test, mean(validation, rng, bounds(metric)))


def _within(units: NDArray[np.int64], values: Sequence[float]) -> Floats:
    """[S]: the mean of the values [N] of each unit, NaN of none."""
    given = np.array(values)
    present = ~np.isnan(given)
    sums, counts = (np.bincount(units[present], w, units.max() + 1) for w in (given[present], None))
    return np.where(counts > 0, sums, np.nan) / np.maximum(counts, 1)


def preference(trial: Trial, direction: str) -> tuple[bool, float, int, float]:
    """Greatest for the setting to choose: by the mean; where all are infinite by fewer divergences, then the rest."""
    sign = 1.0 if direction == "max" else -1.0
    finite = trial.validation[np.isfinite(trial.validation)]
    score = sign * trial.mean.value
    rest = sign * float(finite.mean()) if len(finite) else -np.inf
    return not np.isnan(score), -np.inf if np.isnan(score) else score, -trial.counts["diverged"], rest


def _edges(chosen: Trial, trials: Sequence[Trial], nuisance: Sequence[Axis]) -> Iterator[str]:
    for axis in nuisance:
        tried = {trial.at[axis.name] for trial in trials if isinstance(trial.at[axis.name], int | float)}
        if len(tried) > 1 and chosen.at[axis.name] in (min(tried), max(tried)):
            yield axis.name


def _places(at: At, axes: Sequence[Axis]) -> tuple[str, ...]:
    return tuple(place(at[axis.name]) for axis in axes)


def _rule(table: Runs, crossed: str | None) -> str:
    names = " and ".join(axis.name for axis in table.of("nuisance"))
    rule = "No axis was optimised over."
    if names:
        rule = (
            f"{names}: for each cell the setting with the best validation metric at the last step, averaged over the "
            "seeds; reported is that setting's test metric."
        )
    if crossed:
        rule += f" Seeds are crossed: runs are averaged within each {crossed}, and n counts those."
    return rule
