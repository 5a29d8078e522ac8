"""Cells against each other: pairs over the same seeds, what each axis does over all others, and how wide a basin is.

    families(cells)[0].against_best()            # Pairs, Holm's correction over all pairs of cells
    effects(cells), interplay(cells), basins(cells)

The best cell is named by the data, so what it is compared with is a family of all pairs, not of those with the best.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, groupby
from typing import Any

import numpy as np

from initlab import streams
from initlab.analysis.cells import Cell, Cells, Trial, preference
from initlab.analysis.runs import Axis, place
from initlab.stats import Comparison, Estimate, compare, differences, holm, mean
from initlab.stats.comparisons import against_none, equivalences, p_values, signed_ranks
from initlab.stats.factors import interactions, main_effects
from initlab.stats.intervals import Floats

MARGIN = {"accuracy": 0.01, "r2": 0.01}  # differences within it are no difference that matters; of a loss, 5 % of it
TOLERANCE = {"accuracy": 0.02, "r2": 0.02}  # of the best rate; of a loss, 10 % of it


@dataclass(frozen=True)
class Pair:
    """Two cells over the seeds that both have; `better` has the better mean.

    `comparison` is of better - worse in the metric itself, so that of a loss its difference is negative; its p is the
    pair's own, `p` Holm's over the family. `same` is that of their being equivalent within `margin`.
    """

    better: Cell
    worse: Cell
    comparison: Comparison
    p: float | None
    same: float | None
    margin: float


@dataclass(frozen=True)
class Effect:
    """What a value of one axis, or a pair of values of two, does beyond the rest, averaged over the other axes.

    `p` is Holm's over all effects, or all interactions, of the sweep.
    """

    at: dict[str, Any]
    metric: str
    estimate: Estimate
    p: float | None


@dataclass(frozen=True)
class Basin:
    """How much of a cell's grid of one nuisance axis is within `tolerance` of its best value, seed by seed.

    `share` is of the values tried, `decades` the width on a logarithmic axis between neighbours that are both within.
    """

    cell: Cell
    axis: str
    share: Estimate
    decades: Estimate
    tolerance: str


@dataclass(frozen=True)
class Family:
    """The cells of one scale, best first, and their pairs.

    `adjusted` [C, C] are Holm's p values over all pairs, of a difference, and `same` [C, C] those of equivalence. The
    order is that of each cell's own mean; where what a pair is tested by leans against it, p is 1: nothing is shown.
    """

    name: str  # the metric, numbered where several data sets have it
    scale: str
    metric: str
    direction: str
    cells: tuple[Cell, ...]
    adjusted: Floats
    same: Floats

    @property
    def size(self) -> int:
        """How many tests the correction is over."""
        return int((~np.isnan(self.adjusted)).sum()) // 2

    def pair(self, a: Cell, b: Cell) -> Pair:
        """The two, in whichever order they are given."""
        i, j = sorted((self.cells.index(a), self.cells.index(b)))
        better, worse = self.cells[i], self.cells[j]
        rng = streams.generator(0, "statistics", f"{self.metric}: {better.label} against {worse.label}")
        comparison = compare(better.values, worse.values, rng, self.direction)
        p, same = (None if np.isnan(found[i, j]) else float(found[i, j]) for found in (self.adjusted, self.same))
        return Pair(better, worse, comparison, p, same, _margin(better))

    def against_best(self) -> tuple[Pair, ...]:
        """The best cell with each of the others, in their order."""
        return tuple(self.pair(self.cells[0], other) for other in self.cells[1:])


def families(found: Cells) -> tuple[Family, ...]:
    """One a scale: a metric, and a data set where these are an axis, as an easier one makes no init a better one."""
    made: list[Family] = []
    for scale, cells in groupby(found.ranked, key=lambda cell: cell.scale):
        metric = (ranked := tuple(cells))[0].metric
        before = sum(family.metric == metric for family in made)
        made.append(_family(f"{metric}-{before + 1}" if before else metric, scale, ranked))
    return tuple(made)


def _family(name: str, scale: str, cells: tuple[Cell, ...]) -> Family:
    values = np.array([cell.values for cell in cells])
    adjusted, same = p_values(values), equivalences(values, np.array([_margin(cell) for cell in cells]))
    sign = 1.0 if cells[0].direction == "max" else -1.0
    whole = np.isfinite(values).all(axis=1)  # the mean difference of two such cells is that of their means
    for i, j in combinations(range(len(cells)), 2):
        if not (whole[i] and whole[j]) and sign * _lean(differences(values[i], values[j])) <= 0:
            adjusted[i, j] = adjusted[j, i] = np.where(np.isnan(adjusted[i, j]), np.nan, 1.0)
    return Family(name, scale, cells[0].metric, cells[0].direction, cells, _corrected(adjusted), _corrected(same))


def _lean(paired: Floats) -> float:
    """Positive where differences [S] lean that way, by what they are tested by: their ranks if one is infinite.

    A divergence can decide a cell's mean, and so can a seed that the other cell lacks.
    """
    if len(paired) == 0:
        return 0.0
    return float(paired.mean()) if np.isfinite(paired).all() else signed_ranks(paired)


def _margin(better: Cell) -> float:
    """Of what is the same; nothing is the same as an infinite loss."""
    mean = better.mean.value
    return MARGIN.get(better.metric, 0.05 * abs(mean) if np.isfinite(mean) else 0.0)


def _corrected(p: Floats) -> Floats:
    """[C, C], symmetric: Holm's correction over the pairs that have a p value, in the upper half."""
    rows, columns = np.triu_indices(len(p), 1)
    known = ~np.isnan(p[rows, columns])
    rows, columns = rows[known], columns[known]
    found = np.full_like(p, np.nan)
    found[rows, columns] = found[columns, rows] = holm(p[rows, columns])
    return found


def effects(found: Cells) -> tuple[Effect, ...]:
    """Of every value of every scientific axis, over the balanced part of the grid; a metric at a time."""
    return _adjusted(_effects(found, 1))


def interplay(found: Cells) -> tuple[Effect, ...]:
    """The interactions of every two scientific axes, over the balanced part of the grid; a metric at a time."""
    return _adjusted(_effects(found, 2))


def _effects(found: Cells, order: int) -> Iterator[Effect]:
    axes = [axis for axis in found.axes if axis.role == "scientific"]
    for metric in dict.fromkeys(cell.metric for cell in found.cells):
        cells = [cell for cell in found.cells if cell.metric == metric]
        levels = [list({place(cell.at[axis.name]): cell.at[axis.name] for cell in cells}.values()) for axis in axes]
        grid = _grid(cells, axes, levels, len(found.seeds))
        for chosen in combinations([i for i in range(len(axes)) if len(levels[i]) > 1], order):
            by_seed = main_effects(grid, *chosen) if order == 1 else interactions(grid, *chosen)
            columns = by_seed.reshape(len(by_seed), math.prod(by_seed.shape[1:])).T  # also of no seed
            for position, values in zip(np.ndindex(*by_seed.shape[1:]), columns, strict=True):
                at = {axes[i].name: levels[i][k] for i, k in zip(chosen, position, strict=True)}
                rng = streams.generator(0, "statistics", f"effect on {metric} of {place(at)}")
                if np.isnan(values).any():
                    yield Effect(at, metric, Estimate(np.nan, None, None, len(values), "diverged"), None)
                else:
                    yield Effect(at, metric, mean(values, rng), against_none(values)[0])


def _grid(cells: Sequence[Cell], axes: Sequence[Axis], levels: Sequence[Sequence[Any]], seeds: int) -> Floats:
    """[S, A1, ..., Ak]: the cells' values at their places, NaN where there is no cell."""
    grid = np.full((seeds, *(len(level) for level in levels)), np.nan)
    positions = [{place(value): k for k, value in enumerate(level)} for level in levels]
    for cell in cells:
        at = tuple(position[place(cell.at[axis.name])] for axis, position in zip(axes, positions, strict=True))
        np.moveaxis(grid, 0, -1)[at] = cell.values
    return grid


def _adjusted(found: Iterable[Effect]) -> tuple[Effect, ...]:
    """Holm's correction over them. Opposite effects, as those of an axis of two values are, count as one test."""
    effects = list(found)
    tests = {_test(effect): effect.p for effect in effects if effect.p is not None}
    adjusted = dict(zip(tests, holm(list(tests.values())).tolist(), strict=True))
    return tuple(replace(effect, p=adjusted.get(_test(effect))) for effect in effects)


def _test(effect: Effect) -> tuple[str, ...]:
    return (effect.metric, *effect.at, "" if effect.p is None else f"{effect.p:.9e}")


def basins(found: Cells) -> tuple[Basin, ...]:
    """Of every cell and every nuisance axis with three positive numbers or more, on the validation metric."""
    return tuple(
        _basin(cell, axis.name)
        for axis in found.axes
        if axis.role == "nuisance"
        for cell in found.cells
        if len(_tried(cell, axis.name)) >= 3
    )


def _tried(cell: Cell, axis: str) -> dict[float, Trial]:
    """The positive values tried, in their order, each with the best of its trials."""
    best: dict[float, Trial] = {}
    for trial in cell.trials:
        value = trial.at[axis]
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            best[value] = max(best.get(value, trial), trial, key=lambda t: preference(t, cell.direction))
    return dict(sorted(best.items()))


def _basin(cell: Cell, axis: str) -> Basin:
    tried = _tried(cell, axis)
    values = np.array([np.where(trial.diverged, np.nan, trial.validation) for trial in tried.values()])  # [rates, S]
    missing = np.array([np.isnan(trial.validation) for trial in tried.values()]).any(axis=0)
    sign = 1.0 if cell.direction == "max" else -1.0
    best = np.fmax.reduce(sign * values[:, ~missing], axis=0)  # NaN where every rate diverged, and none is within
    allowed = TOLERANCE.get(cell.metric)
    slack = allowed if allowed is not None else 0.1 * np.abs(best)
    within = best - sign * values[:, ~missing] <= slack
    steps = np.diff(np.log10(list(tried)))
    decades = (steps[:, None] * (within[1:] & within[:-1])).sum(axis=0)
    words = f"within {allowed} of the best" if allowed is not None else "within 10 % of the best"
    share, width = (streams.generator(0, "statistics", f"{w} of {axis}: {cell.label}") for w in ("share", "decades"))
    return Basin(
        cell,
        axis,
        mean(within.mean(axis=0), share, (0.0, 1.0)),
        mean(decades, width, (0.0, float(steps.sum()))),
        words,
    )
