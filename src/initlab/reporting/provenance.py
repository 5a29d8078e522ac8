"""Where the numbers come from: the command, the code, the machine, the data, and how to run it all again.

section(sweeps)                    # from sweep.json and the records; no path, host or clock of whoever reads it
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from initlab.reporting.document import Block, Code, Listing, Paragraph, Points, Section, Strong, Table
from initlab.reporting.wording import count, joined
from initlab.storage.commands import commands, makings, numbers, of_each, shares
from initlab.storage.folder import Sweep
from initlab.storage.journal import Record

ROWS, FIRST = 30, 10  # of the tables on the page; their csv have them all
SHORT = 16  # digits of a hash that are enough to tell it
ONLY_WHERE = ("hydra.sweep.dir=", "hydra.run.dir=")  # words that say where a sweep lies, not what it is


def command(sweep: Sweep) -> str | None:
    """The command as it was given, without the place of its results; None where it is none of ours."""
    words = sweep.command
    return shlex.join(word for word in words if not word.startswith(ONLY_WHERE)) if words else None


def failures(sweeps: Sequence[Sweep]) -> Section:
    """How the runs ended; each that diverged or failed with its reason."""
    records = [record for sweep in sweeps for record in sweep.records]
    planned = sum(len(sweep.description["runs"]) for sweep in sweeps)
    counts = Counter(record["status"] for record in records)
    ended = [f"{counts[status]} {status}" for status in ("done", "diverged", "failed") if counts[status]]
    open_ = [f"{planned - len(records)} not ended yet"] if planned > len(records) else []
    lead = f"Of {count(planned, 'run')}: {joined([*ended, *open_])}. "
    odd = [record for status in ("failed", "diverged") for record in records if record["status"] == status]
    if not odd:
        return Section("failures", "Failures", [Paragraph(f"{lead}None diverged and none failed.")])
    more = f" The first {ROWS}; all of them are in tables/failures.csv." if len(odd) > ROWS else ""
    caption = f"Runs that did not end well, each with its reason.{more}"
    rows = [[record["name"], record["status"], reason(record)] for record in odd[:ROWS]]
    every = [
        {"run": record["name"], "key": record["key"], "status": record["status"], "reason": reason(record)}
        for record in odd
    ]
    worst = "A run that diverged counts as the worst and stays in every mean; one that failed is missing from it."
    made = Table("failures", caption, ["run", "status", "reason"], rows, exact=every)
    return Section("failures", "Failures", [Paragraph(lead + worst), made])


def reason(record: Record) -> str:
    if fell := record.get("diverged"):
        return f"not finite at step {fell['step']}, first in {fell['first']}"
    return str(record.get("error", ""))


def section(sweeps: Sequence[Sweep]) -> Section:
    """What made the numbers, sweep by sweep, and the runs with their keys."""
    blocks: list[Block] = []
    for i, sweep in enumerate(sweeps, 1):
        blocks += [Paragraph(Strong(f"Sweep {i} of {len(sweeps)}"))] if len(sweeps) > 1 else []
        blocks += _sweep(sweep)
    records = [record for sweep in sweeps for record in sweep.records]
    rows = [[r["name"], r["key"], str(r.get("initial_weights") or "–")[:SHORT]] for r in records[:FIRST]]
    columns = ["run", "key", "status", "data", "initial_weights"]
    made = [words for sweep in sweeps for words in of_each(sweep.records, sweep.description)]
    every = [
        {column: r.get("name" if column == "run" else column) for column in columns} | {"trained under": words}
        for r, words in zip(records, made, strict=True)
    ]
    caption = "Each run with its key, a hash of all that decides its numbers, and that of its initial weights. "
    caption += f"The first {FIRST} of {len(records)}; all" if len(records) > FIRST else "All"
    caption += " of them in full are in tables/runs.csv."
    runs = Table("runs", caption, ["run", "key", "initial weights"], rows, exact=every)
    return Section("provenance", "Provenance", [*blocks, runs])


def _sweep(sweep: Sweep) -> list[Block]:
    held = sweep.description
    every = range(len(commands(held)))
    used = {n for record in sweep.records for n in numbers(record, held) or every}
    makers = [maker for n, maker in enumerate(commands(held)) if n in used] or [held]
    several = len({making for n, making in enumerate(makings(held)) if n in used}) > 1
    devices = sorted({str(r["device"]) for r in sweep.records if "device" in r})
    seeds = [f"{name} {_values(values)}" for name, values in (held.get("seeds") or {}).items()]
    data = sorted({str(run["data"]) for run in held["runs"] if run.get("data")})
    points = [Paragraph("Plan ", Code(held["plan"][:SHORT]), f"; trained on {', '.join(devices) or 'nothing yet'}.")]
    if shared := shares(sweep.records, held):
        points.append(
            Paragraph(Strong("Not all runs were trained under the same code and versions: "), f"{'; '.join(shared)}.")
        )
    for maker in makers if several else makers[-1:]:
        points += _maker(maker)
    points += [
        Paragraph(
            f"Seeds: {'; '.join(seeds)}. All cells share them: the same batches, and weights from the same draws."
        ),
        Paragraph("Data (fingerprint): ", Code(", ".join(word[:SHORT] for word in data)), "."),
        Paragraph(
            "To train it again from the record alone and compare: ", Code("python scripts/replay.py SWEEP_DIR"), "."
        ),
    ]
    words = command(sweep)
    again = Listing(words, "Run it again") if words else Paragraph("The recorded command does not call train.py.")
    diffs = dict.fromkeys(diff for maker in makers if (diff := (maker.get("git") or {}).get("diff")))
    return [Points(points), again, *(Listing(diff, "Changes to the commit", folded=True) for diff in diffs)]


def _maker(command: Mapping[str, Any]) -> list[Paragraph]:
    """When a command began, and on what it trained."""
    git = command.get("git") or {}
    commit, diff = git.get("commit"), git.get("diff") or ""
    changes = "without changes" if not diff else f"with changes in {diff.count('diff --git')} files, below"
    code = Paragraph("Code: ", Code(commit), f", {changes}.") if commit else Paragraph("Code: no git checkout.")
    plugins = command.get("plugins")
    return [
        Paragraph(f"Started {command.get('created', '?')}."),
        code,
        Paragraph(f"Versions: {_pairs(command.get('versions'))}."),
        Paragraph(f"Machine: {_pairs(command.get('device'))}."),
        *([Paragraph("Plug-ins: ", Code(_pairs(plugins)), ".")] if plugins else []),
    ]


def _pairs(found: Any) -> str:
    return ", ".join(f"{name} {value}" for name, value in (found or {}).items() if value is not None) or "not recorded"


def _values(values: Iterable[Any]) -> str:
    words = list(map(str, values))
    return ", ".join(words) if len(words) <= 10 else f"{', '.join(words[:3])}, … {words[-1]} ({len(words)})"
