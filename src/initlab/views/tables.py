"""What the terminal shows: the plan before training, the results after it, as plain aligned text."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from initlab.planning.plan import Axis, Plan
from initlab.reporting.wording import count
from initlab.storage import journal
from initlab.storage.folder import PROBE_FILE, read
from initlab.storage.journal import Record
from initlab.storage.store import missing

if TYPE_CHECKING:
    from initlab.claiming.judging import Judgement  # it loads scipy

DRY_RUN_ROWS = 20
BEST_ROWS, WORST_ROWS, ODD_ROWS = 20, 3, 10
CELL = 60  # a longer value would break the table's lines


def summary(plan: Plan) -> str:
    """One line of what will be trained and where it goes, then the plan's notes."""
    stacks = count(len(plan.stacks), "group" if plan.stacks[0].open else "stack")
    product = f": {plan.product}" if plan.product else ""
    return "\n".join([f"{count(len(plan.runs), 'run')}{product}, in {stacks} -> {plan.folder}", *plan.notes])


def dry_run(plan: Plan) -> str:
    """The axes with their roles, every stack with its runs (the first twenty of each), and what would be written."""
    lines = [f"{axis.name}: {axis.role}, {_values(axis)}" for axis in plan.axes]
    for stack in plan.stacks:
        config = stack.config
        shared = ", ".join(config[group]["name"] for group in ("dataset", "arch", "act", "optimizer"))
        width = "runs, in stacks as wide as a measurement will say" if stack.open else "wide"
        lines.append(f"{'group' if stack.open else 'stack'} {stack.id}: {len(stack.runs)} {width} ({shared})")
        lines += [f"  {run.key}  {run.name}" for run in stack.runs[:DRY_RUN_ROWS]]
        if len(stack.runs) > DRY_RUN_ROWS:
            lines.append(f"  ... and {len(stack.runs) - DRY_RUN_ROWS} more")
    done = len(plan.runs) - len(missing(plan))
    if done == len(plan.runs):
        return "\n".join([*lines, f"all {done} are done already in {plan.folder}. Nothing would be trained."])
    if done:
        lines.append(f"{done} of {len(plan.runs)} are done already.")
    weights = " and weights.safetensors" if plan.runs[0].config["trainer"]["save_weights"] else ""
    lines.append(f"would write {plan.folder}/: sweep.json, journal, results.csv, curves/<stack>.npz,")
    lines.append(
        f"  runs/<name>/ with config.yaml, result.json, the event file{weights}. Nothing was trained or written."
    )
    return "\n".join(lines)


def _values(axis: Axis) -> str:
    some = ", ".join(map(str, axis.values[:DRY_RUN_ROWS]))
    return f"{some}, ... ({len(axis.values)} values)" if len(axis.values) > DRY_RUN_ROWS else some


def results(folder: Path) -> str:
    """The table of a folder's runs, best first; what diverged or failed, and why; the next commands."""
    sweep = read(folder)
    ranked = ranking(sweep.records)
    measured = _measured(ranked)
    axes = [axis["name"] for axis in sweep.description["axes"] if len(axis["values"]) > 1] or ["name"]
    rows = [
        [
            *(_text(_of(r, a)) for a in axes),
            r["status"],
            *(_text(r["final"].get(m)) for m in measured),
            f"{r['seconds']:.2f}",
        ]
        for r in ranked
    ]
    lines = _cut(aligned([[*axes, "status", *measured, "seconds"], *rows]).splitlines())
    order = "; ".join(f"{m} ({'least' if d == 'min' else 'greatest'} first)" for m, d in _orders(ranked).items())
    if order:
        lines += ["", f"Metrics are those at the last step, ordered by {order}; results.csv has the best as well."]
    lines += ["", *_odd(ranked, folder)]
    lines += [f"results: {folder}", f"next:    {view(folder)}"]
    if sweep.command and any(r["status"] == "failed" for r in ranked):
        words = [word for word in sweep.command[1:] if word not in ("sweep.fresh=true", "sweep.retry=failed")]
        lines.append(f"failed:  {shlex.join([_program('python'), *words, 'sweep.retry=failed'])}")
    return "\n".join(lines)


def unprobed(folder: Path) -> int:
    """How many runs were trained without a probe."""
    trained = [record for record in read(folder).records if record["status"] != "failed"]
    return sum(not (folder / record["folder"] / PROBE_FILE).exists() for record in trained)


def judgement(found: Judgement) -> str:
    """A claim's comparisons, each with its mean, interval, criterion and verdict, and the verdict on the whole."""
    rows = [
        [
            one.check.name,
            one.place,
            _text(one.estimate.value),
            "-" if one.estimate.low is None else f"{_text(one.estimate.low)} to {_text(one.estimate.high)}",
            one.check.criterion,
            "-" if one.p is None else f"{one.p:.2g}",
            one.verdict + (f" ({one.lost} without a number)" if one.lost else ""),
        ]
        for one in found.results
    ]
    table = aligned([["check", "cell", "mean", "95 % interval", "criterion", "p", "verdict"], *rows])
    lines = [f"claim: {found.claim.question}", f"source: {found.claim.source}", "", table, ""]
    words = f"the claim {'is inconclusive' if found.verdict == 'inconclusive' else found.verdict}"
    few = f", too few: it needs {found.claim.seeds}" if found.seeds < found.claim.seeds else ""
    return "\n".join([*lines, f"verdict: {words}, over {found.seeds} seeds{few}"])


def kept(folder: Path, runs: int) -> str:
    """What a stop leaves of a plan of so many runs."""
    done = len(read(folder).records)
    words = f": {done} of {runs} runs done and kept"
    if not (open_parts := list(journal.checkpoints(folder / "journal").values())):
        return words if done == runs else f"{words}; the stack in progress starts again"
    lasts = [lines[-1] for lines in open_parts]
    steps = f"step {lasts[-1]['step']} of {lasts[-1]['of']}"
    if len(lasts) > 1:
        return f"{words}; the {len(lasts)} stacks in progress are kept, the last up to {steps}"
    return f"{words}; the stack in progress is kept up to {steps}"


def view(folder: Path) -> str:
    """The command that shows the sweep in TensorBoard."""
    where = shlex.quote(f"{folder}/runs")
    return (
        f"{_program('tensorboard')} --logdir {where} --samples_per_plugin scalars=100000"  # it samples 1000 otherwise
    )


def ranking(records: Iterable[Record]) -> list[Record]:
    """Best first, by each run's own metric and direction; runs of another metric after them, those without at last."""
    records = list(records)
    metrics = [*_orders(records), None]

    def rank(record: Record) -> tuple[bool, int, float]:
        metric = record.get("metric")
        value = record["final"].get(metric)
        sign = 1.0 if record.get("direction") == "min" else -1.0
        return value is None, metrics.index(metric), sign * (value or 0.0)

    return sorted(records, key=rank)


def _orders(records: Iterable[Record]) -> dict[str, str]:
    """The primary metrics of the records, in their order, and the direction of each."""
    return {r["metric"]: r.get("direction", "max") for r in records if "metric" in r}


def _measured(records: Iterable[Record]) -> list[str]:
    """The metrics of the table."""
    primary = list(_orders(records)) or ["val/accuracy"]
    return [*primary, "val/loss", *(metric.replace("val/", "test/") for metric in primary)]


def _cut(table: list[str]) -> list[str]:
    """A table's lines as far as a terminal shows them: the best and the worst."""
    head, rows = table[:2], table[2:]
    left = len(rows) - BEST_ROWS - WORST_ROWS
    if left < 2:
        return table
    return [*head, *rows[:BEST_ROWS], f"... {left} more in results.csv", *rows[-WORST_ROWS:]]


def _odd(ranked: Sequence[Record], folder: Path) -> list[str]:
    """What did not end well: how many, and why each of the first."""
    counts = Counter(record["status"] for record in ranked)
    lines = []
    for status in ("diverged", "failed"):
        records = [record for record in ranked if record["status"] == status]
        lines += [f"{record['name']} {status}{reason(record)}" for record in records[:ODD_ROWS]]
        if len(records) > ODD_ROWS:
            lines.append(f"... {len(records) - ODD_ROWS} more {status}")
    if not lines:
        return []
    if counts["failed"]:
        lines.append(f"tracebacks: {folder}/runs/<name>/traceback.txt")
    total = ", ".join(f"{counts[status]} {status}" for status in ("done", "diverged", "failed") if counts[status])
    return [*lines, f"{len(ranked)} runs: {total}", ""]


def reason(record: Record) -> str:
    """Why a run diverged or failed, as it follows the word."""
    if fell := record.get("diverged"):
        return f" at step {fell['step']}, first in {fell['first']}"
    return f": {record['error']}"


def _program(name: str) -> str:
    """A program as this terminal can call it: by name, or out of the environment that runs us."""
    here = Path(sys.executable).with_name(name)
    found = shutil.which(name)
    return name if not here.exists() or (found and Path(found).samefile(here)) else os.path.relpath(here)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns of equal width, words to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    numeric = [all(_is_number(row[i]) for row in rows[1:]) for i in range(len(widths))]
    lines = []
    for row in rows:
        cells = [cell.rjust(w) if n else cell.ljust(w) for cell, w, n in zip(row, widths, numeric, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def _of(record: Record, axis: str) -> Any:
    return record["name"] if axis == "name" else record["axes"][axis]


def _text(value: Any) -> str:
    if value is None:
        return "-"
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= CELL else f"{text[: CELL - 3]}..."


def _is_number(cell: str) -> bool:
    return cell == "-" or cell.replace(".", "").replace("-", "").replace("e", "").replace("+", "").isdigit()
