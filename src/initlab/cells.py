"""A table of runs -> cells: seeds beside each other, nuisance axes optimised over, everything counted.

    found = cells([read(folder)])          # Cells: one Cell a combination of the scientific axes' values
    found.cells[0].mean                    # Estimate of the test metric at the chosen learning rate
    found.values                           # [C, S], NaN where there is no run

**The rule for nuisance axes.** Each cell takes the setting whose validation metric at the last step, averaged over the
seeds, is best, and reports that setting's test metric. A run that diverged counts as the worst that the metric can be:
0 for an accuracy, infinitely bad for anything else. A run that failed is missing, with its reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from initlab import streams
from initlab.errors import Refused
from initlab.folder import Sweep
from initlab.journal import Record
from initlab.runs import Axis, Run, Runs, merged, place
from initlab.stats import Estimate, iqm, mean
from initlab.stats.intervals import ANYWHERE, Floats

BOUNDS = {"accuracy": (0.0, 1.0), "loss": (0.0, np.inf), "r2": (-np.inf, 1.0)}

At = Mapping[str, Any]  # values on some of the axes


@dataclass(frozen=True)
class Trial:
    """A cell at one setting of the nuisance axes: [S] in the order of `Cells.seeds`, None or NaN where missing."""

    at: At
    runs: tuple[Run | None, ...]
    validation: Floats
    test: Floats
    mean: Estimate  # of the validation metric

    @property
    def counts(self) -> Counter[str]:
        """How many are done, diverged, failed, missing."""
        return Counter(run.record["status"] if run else "missing" for run in self.runs)

    @property
    def diverged(self) -> NDArray[np.bool_]:
        """[S]: whether it did."""
        return np.array([bool(run and run.record["status"] == "diverged") for run in self.runs])


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
    def values(self) -> Floats:
        """The test metric of the chosen setting, [S]."""
        return self.chosen.test


@dataclass(frozen=True)
class Cells:
    """All cells of one or several sweeps. `seeds` are the values of the repeat axes, one entry a repeat."""

    axes: tuple[Axis, ...]
    seeds: tuple[tuple[Any, ...], ...]
    cells: tuple[Cell, ...]
    rule: str  # in words, how the nuisance axes were settled

    @property
    def values(self) -> Floats:
        """[C, S]: the test metric at each cell's chosen setting."""
        return np.array([cell.values for cell in self.cells]).reshape(len(self.cells), len(self.seeds))

    @property
    def ranked(self) -> tuple[Cell, ...]:
        """Best mean first; by metric where they have several, cells without a value last."""

        def rank(cell: Cell) -> tuple[str, bool, float]:
            value = cell.mean.value
            return cell.metric, bool(np.isnan(value)), -value if cell.direction == "max" else value

        return tuple(sorted(self.cells, key=rank))


def cells(sweeps: Sequence[Sweep], metric: str | None = None) -> Cells:
    """The cells of all sweeps together, by each run's primary metric or the named one (accuracy, r2, loss).

    Raises Refused where the sweeps clash, nothing has finished, or there is no such metric.
    """
    table = merged(sweeps)
    scientific, nuisance, repeat = (table.of(role) for role in ("scientific", "nuisance", "repeat"))
    seeds = {_places(run.at, repeat): tuple(run.at[a.name] for a in repeat) for run in table.rows}
    if not seeds:
        raise Refused(
            f"{', '.join(str(s.folder) for s in sweeps)}: no run has ended yet, so there is nothing to report."
        )
    grouped: dict[tuple[str, ...], dict[tuple[str, ...], dict[tuple[str, ...], Run]]] = {}
    for run in table.rows:
        trials = grouped.setdefault(_places(run.at, scientific), {})
        trials.setdefault(_places(run.at, nuisance), {})[_places(run.at, repeat)] = run
    found = []
    for trials in grouped.values():
        runs = [tuple(by_seed.get(seed) for seed in seeds) for by_seed in trials.values()]
        found.append(_cell(runs, scientific, nuisance, metric))
    return Cells(table.axes, tuple(seeds.values()), tuple(found), _rule(table))


def worst(metric: str, direction: str) -> float:
    """What a run that diverged counts as."""
    if metric == "accuracy":
        return 0.0
    return -np.inf if direction == "max" else np.inf


def outcome(record: Record, part: str, metric: str, direction: str) -> float:
    """A run's metric at the last step of training, NaN if it failed, the worst if it diverged. Part is val or test."""
    if record["status"] == "failed":
        return np.nan
    value = record["final"].get(f"{part}/{metric}") if record["status"] == "done" else None
    return worst(metric, direction) if value is None else float(value)


def _cell(
    settings: Sequence[tuple[Run | None, ...]],
    scientific: Sequence[Axis],
    nuisance: Sequence[Axis],
    metric: str | None,
) -> Cell:
    some = next(run for runs in settings for run in runs if run)
    at = {axis.name: some.at[axis.name] for axis in scientific}
    label = ", ".join(f"{name}={value}" for name, value in at.items())
    name, direction = _measured([run.record for runs in settings for run in runs if run], metric, label)
    trials = tuple(_trial(runs, nuisance, name, direction, label) for runs in settings)
    chosen = max(trials, key=lambda trial: preference(trial, direction))
    rng = (streams.generator(0, "statistics", f"{statistic} of {name}: {label}") for statistic in ("mean", "iqm"))
    return Cell(
        at,
        name,
        direction,
        trials,
        chosen,
        tuple(_edges(chosen, trials, nuisance)),
        mean(chosen.test, next(rng), BOUNDS.get(name, ANYWHERE)),
        iqm(chosen.test, next(rng)),
    )


def _trial(runs: tuple[Run | None, ...], nuisance: Sequence[Axis], metric: str, direction: str, label: str) -> Trial:
    some = next(run for run in runs if run)
    at = {axis.name: some.at[axis.name] for axis in nuisance}
    validation, test = (
        np.array([outcome(run.record, part, metric, direction) if run else np.nan for run in runs])
        for part in ("val", "test")
    )
    rng = streams.generator(0, "statistics", f"validation of {metric}: {label}, {place(at)}")
    return Trial(at, runs, validation, test, mean(validation, rng, BOUNDS.get(metric, ANYWHERE)))


def _measured(records: Sequence[Record], metric: str | None, label: str) -> tuple[str, str]:
    """The metric of a cell without its part, and its direction."""
    primary = {(r["metric"].removeprefix("val/"), r.get("direction", "max")) for r in records if "metric" in r}
    if metric is None:
        return primary.pop() if len(primary) == 1 else ("loss", "min")
    known = {m.removeprefix("val/") for r in records for m in r["final"] if m.startswith("val/")}
    if known and metric not in known:
        raise Refused(f"metric={metric}: {label or 'the runs'} have {', '.join(sorted(known))}.")
    return metric, "min" if metric.endswith("loss") else "max"


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


def _rule(table: Runs) -> str:
    names = " and ".join(axis.name for axis in table.of("nuisance"))
    if not names:
        return "No axis was optimised over."
    return (
        f"{names}: for each cell the setting with the best validation metric at the last step, averaged over the "
        "seeds; reported is that setting's test metric."
    )
