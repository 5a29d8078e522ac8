"""Whether a claim holds: each of its checks, cell by cell, and all together.

    found = judge(claim, [read(folder)])
    found.verdict                         # holds, does not hold, inconclusive
    for one in found.results: print(one.place, one.estimate, one.p, one.verdict)

**The rule.** A comparison is a mean over the seeds against its bounds. It holds if the mean lies within them and
differs from both, does not hold if it lies beyond one and differs from it, and is inconclusive otherwise. The p values
are adjusted by Holm over all of a claim's comparisons, and the level is shared by the looks at growing seeds. A claim
holds if all of its comparisons do, and does not if one of them does not.

Nothing is estimated here: values and intervals are those of `cells` and `stats`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from initlab import streams
from initlab.analysis.cells import Cell, Trial, cells
from initlab.claiming.claims import Check, Claim
from initlab.claiming.quantities import Quantity, quantity
from initlab.claiming.readings import values
from initlab.errors import Refused
from initlab.planning.design import same
from initlab.stats import Estimate, differences, holm, mean, proportion
from initlab.stats.comparisons import against_none, against_share
from initlab.stats.intervals import Floats
from initlab.stats.trends import aucs, rank_correlations, slopes
from initlab.storage.folder import Sweep

Verdict = Literal["holds", "does not hold", "inconclusive"]


@dataclass(frozen=True)
class Result:
    """One comparison: `p` is Holm's, of the mean against the bound that decides, by `test`; None without one.

    `lost` counts the seeds that have no number to compare, as a run is missing or failed: with one of them there is no
    verdict. An infinite one is a number: what diverged is the worst.
    """

    check: Check
    place: str
    estimate: Estimate
    p: float | None
    test: str
    lost: int
    verdict: Verdict


@dataclass(frozen=True)
class Judgement:
    claim: Claim
    verdict: Verdict
    results: tuple[Result, ...]
    seeds: int
    level: float  # of one look


def judge(claim: Claim, sweeps: Sequence[Sweep]) -> Judgement:
    """The verdict on the runs that there are. Raises Refused where they lack a number that the claim names."""
    found = cells(sweeps)
    level = claim.level / claim.looks
    raw = [
        _compared(check, place, numbers)
        for check in claim.checks
        for place, numbers in _comparisons(check, found.cells)
    ]
    adjusted = iter(holm([one.p for one in raw if one.p is not None]).tolist())
    raw = [one if one.p is None else replace(one, p=next(adjusted)) for one in raw]
    few = len(found.seeds) < claim.seeds
    results = tuple(replace(one, verdict="inconclusive" if few else _verdict(one, level)) for one in raw)
    verdicts = {one.verdict for one in results}
    whole: Verdict = "does not hold" if "does not hold" in verdicts else "inconclusive"
    return Judgement(claim, "holds" if verdicts == {"holds"} else whole, results, len(found.seeds), level)


def _comparisons(check: Check, all_: Sequence[Cell]) -> Iterator[tuple[str, Floats]]:
    """Each comparison's place in words, and its values [S]."""
    chosen = [cell for cell in all_ if _within(cell.at, check.at)]
    if not chosen:
        raise Refused(f"claim.checks.{check.name}: no run at {_said(check.at)} has ended.")
    of = quantity(check.of)
    if check.kind == "difference":
        yield from _differences(check, chosen, all_)
        return
    if check.kind in ("slope", "rank", "auc"):
        yield from _trends(check, chosen)
        return
    for cell in chosen:
        numbers = _values(of, cell)
        if check.kind == "ratio":
            by = check.to if isinstance(check.to, float) else _values(quantity(str(check.to)), cell)
            with np.errstate(divide="ignore", invalid="ignore"):
                numbers = numbers / by
        yield cell.label, numbers


def _differences(check: Check, chosen: Sequence[Cell], all_: Sequence[Cell]) -> Iterator[tuple[str, Floats]]:
    """Each chosen cell less the one that differs from it in the values of `against`, and in nothing else."""
    of, against = quantity(check.of), check.against or {}
    for cell in chosen:
        for other in all_:
            alike = all(same(name, cell.at[name], other.at[name]) for name in cell.at if name not in against)
            if other is not cell and alike and _within(other.at, against):
                numbers = differences(_values(of, cell), _values(of, other))
                yield f"{cell.label} against {_said({n: [other.at[n]] for n in against})}", numbers


def _trends(check: Check, chosen: Sequence[Cell]) -> Iterator[tuple[str, Floats]]:
    """A slope over an axis for each place on the others; a rank correlation or an area over all chosen cells."""
    groups: dict[str, list[Cell]] = {}
    for cell in chosen:
        others = {name: [value] for name, value in cell.at.items() if name != check.axis} if check.over else {}
        groups.setdefault(_said(others), []).append(cell)
    for place, cells_ in groups.items():
        numbers = np.array([_values(quantity(check.of), cell) for cell in cells_]).T  # [S, P]
        if check.over:
            x = np.array([float(cell.at[str(check.axis)]) for cell in cells_])
            yield place, slopes(np.log2(x) if check.over.startswith("log2(") else x, numbers)
        else:
            by = _order(check, cells_)
            yield place, (rank_correlations if check.kind == "rank" else aucs)(by, numbers)


def _order(check: Check, cells_: Sequence[Cell]) -> list[float]:
    """What is to order the cells: an axis, or the mean of a quantity over the seeds."""
    if check.axis is not None:
        return [float(cell.at[check.axis]) for cell in cells_]
    return [float(np.mean(_values(quantity(str(check.by)), cell))) for cell in cells_]


def _values(of: Quantity, cell: Cell) -> Floats:
    """[S], at the setting that the cell has chosen, or of all that were tried."""
    return _of_seeds(of, cell.chosen) if of.axis is None else _octaves(of, of.axis, cell)


def _of_seeds(of: Quantity, trial: Trial) -> Floats:
    """[S]: a seed's mean over its runs, of which it has several where seeds are crossed; NaN where one is lost."""
    numbers = values(of, trial.runs)
    return np.asarray(np.bincount(trial.units, numbers) / np.bincount(trial.units))


def _octaves(of: Quantity, axis: str, cell: Cell) -> Floats:
    """[S]: log2 of the axis's value at which each seed's metric is best; NaN where a run is lost, or none is best."""
    heights = np.array([_of_seeds(quantity(of.path), trial) for trial in cell.trials])  # [T, S]
    worse = heights if of.path.endswith("loss") else -heights
    octaves = np.log2([float(trial.at[axis]) for trial in cell.trials])
    lost = np.isnan(worse).any(0) | (worse == worse[0]).all(0)
    return np.where(lost, np.nan, octaves[np.argmin(worse, 0)])


def _compared(check: Check, place: str, numbers: Floats) -> Result:
    """The mean, its interval, and the test against the bound that decides."""
    lost = int(np.isnan(numbers).sum())
    rng = streams.generator(0, "statistics", f"claim {check.name}: {place}")
    present = numbers[~np.isnan(numbers)]
    shares = check.kind == "proportion" and bool(np.isin(present, (0, 1)).all())  # of crossed seeds it is between them
    estimate = proportion(float(present.sum()), len(present)) if shares else mean(present, rng)
    tests = [
        (against_share(present, bound), "binomial") if shares else against_none(present - bound)
        for bound in _deciding(estimate.value, check.bounds)
    ]
    p, test = max(((p, test) for p, test in tests if p is not None), default=(None, "none"))
    return Result(check, place, estimate, p, test.removeprefix("paired "), lost, "inconclusive")


def _deciding(value: float, bounds: tuple[float, float]) -> list[float]:
    """The bound that a value is beyond; both, if it lies between them."""
    beyond = [bound for bound, side in zip(bounds, (1, -1), strict=True) if side * (value - bound) < 0]
    return beyond or [bound for bound in bounds if math.isfinite(bound)]


def _verdict(one: Result, level: float) -> Verdict:
    if one.p is None or one.p > level or one.lost:
        return "inconclusive"
    low, high = one.check.bounds
    return "holds" if low < one.estimate.value < high else "does not hold"


def _within(at: Mapping[str, Any], wanted: Mapping[str, Sequence[Any]]) -> bool:
    return all(any(same(name, at[name], one) for one in some) for name, some in wanted.items() if name in at)


def _said(wanted: Mapping[str, Sequence[Any]]) -> str:
    return ", ".join(f"{name}={'+'.join(map(str, some))}" for name, some in wanted.items()) or "all cells"
