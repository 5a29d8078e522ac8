"""The signal before training beside the outcome after it, where the sweep probed its nets (sweep.probe)."""

from __future__ import annotations

from collections import Counter
from typing import Any

from initlab.analysis.cells import Cell, Cells
from initlab.analysis.runs import Run
from initlab.reporting.document import Section, Table
from initlab.reporting.sections import metric_of, where
from initlab.reporting.wording import joined, number

ROWS = 30


def before(found: Cells) -> Section | None:
    """What the probe found and what became of it, a cell a row, best first. None where nothing was probed."""
    rows: list[list[str]] = []
    every: list[dict[str, object]] = []
    for cell in found.ranked:
        if probes := [(run, probe) for run in cell.chosen.runs if run and (probe := run.sweep.probe(run.record))]:
            verdicts = Counter(str(probe["verdict"]) for _, probe in probes)
            said = joined(v if n == len(probes) else f"{v} ({n} of {len(probes)})" for v, n in sorted(verdicts.items()))
            signal, gradient = (_range([_kept(probe, part) for _, probe in probes]) for part in ("q", "gradient"))
            rows.append([where(cell), said, signal, gradient, number(cell.mean.value), _diverged(cell)])
            every += [_exact(cell, run, probe) for run, probe in probes]
    if not rows:
        return None
    caption = (
        "What the probe found in each net before its first step, and what became of the cell, best first. Signal: the "
        "pre-activations' second moment in the last layer over that in the first; gradient: the gradient's in the first"
        " over that in the last; 1 is kept as it is. Of several seeds the least and the greatest."
    )
    caption += f" The first {ROWS}; all are in tables/before.csv." if len(rows) > ROWS else ""
    columns = ["cell", "verdict", "signal", "gradient", metric_of(found), "diverged"]
    table = Table("before", caption, columns, rows[:ROWS], frozenset({2, 3, 4, 5}), 1, every)
    return Section("before", "Before training", [table])


def _kept(probe: dict[str, Any], part: str) -> float | None:
    """How much of the signal reaches the last layer, or of the gradient the first."""
    values = [layer.get(part) for layer in probe["layers"]]
    start, end = (values[:1], values[-1:]) if part == "q" else (values[-1:], values[:1])
    if not values or not start[0] or end[0] is None:
        return None
    return float(end[0] / start[0])


def _range(values: list[float | None]) -> str:
    known = sorted(value for value in values if value is not None)
    if not known:
        return number(None)
    low, high = number(known[0]), number(known[-1])
    return low if low == high else f"{low} to {high}"


def _diverged(cell: Cell) -> str:
    return f"{cell.chosen.counts['diverged']} of {cell.mean.n}"


def _exact(cell: Cell, run: Run, probe: dict[str, Any]) -> dict[str, object]:
    row = {"cell": where(cell), "run": run.record["name"], "verdict": probe["verdict"], "trouble": probe.get("trouble")}
    row |= {"signal": _kept(probe, "q"), "gradient": _kept(probe, "gradient"), "status": run.record["status"]}
    return row | {f"test/{cell.metric}": run.record["final"].get(f"test/{cell.metric}")}
