"""The report of one or several sweeps, from their folders alone: the same folders give the same bytes.

    write([Path("outputs/init-act-91034133")])       # .../report/index.html, and beside it the same for other tools

It reads no clock, no environment and nothing outside the folders, and holds no path: a copied folder, on another day
and machine, gives what the first gave.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from initlab.analysis.bands import bands
from initlab.analysis.cells import Cells, cells
from initlab.analysis.contrasts import families
from initlab.analysis.speed import speed
from initlab.claiming import claimed
from initlab.errors import Refused
from initlab.reporting import board, bundle, provenance, sections, tuning
from initlab.reporting.before import before
from initlab.reporting.document import Document, Listing, Section
from initlab.reporting.evidence import answer, comparisons, effects
from initlab.reporting.figures import style
from initlab.reporting.guide import guide
from initlab.reporting.typeset import csv_of, markdown, page, tex_of
from initlab.reporting.wording import count, joined
from initlab.storage.folder import Sweep, read


def write(folders: Sequence[Path], into: Path | None = None, metric: str | None = None) -> Path:
    """Build the report of the sweeps in these folders; returns the page.

    ``into`` is the folder's own report/ by default, and has to be given for several. Raises Refused for what is no
    sweep's folder, has no result, or cannot be put together, and as `check` does.
    """
    if into is None and len(folders) != 1:
        raise Refused(f"{len(folders)} sweeps: say with --out in which folder their report is to be.")
    into = into or folders[0] / "report"
    check(into)
    return publish([read(folder) for folder in folders], into, metric)


def publish(sweeps: Sequence[Sweep], into: Path, metric: str | None = None) -> Path:
    """Write the report's files; those of an earlier one are replaced."""
    found = cells(sweeps, metric)
    document = made(sweeps, found)
    files: dict[str, bytes] = {}
    for table in document.tables():
        files |= {f"tables/{table.name}.{kind}": of(table).encode() for kind, of in (("csv", csv_of), ("tex", tex_of))}
    for figure in document.figures():
        files |= {f"figures/{figure.name}.svg": figure.svg.encode(), f"figures/{figure.name}.pdf": figure.pdf}
    measured = {name: by_cell for name in _measured(found) if (by_cell := bands(found.cells, name))}
    ended = max(record.get("ended", 0.0) for sweep in sweeps for record in sweep.records)
    files |= board.files(measured, {figure.name: figure.png for figure in document.figures()}, ended)
    bundle.replace(into, files | {"report.md": markdown(document).encode(), "index.html": page(document).encode()})
    return into / "index.html"


def check(into: Path | None = None) -> None:
    """Raises Refused where a package that only reports need is missing, or ``into`` holds what no report wrote."""
    if missing := [name for name in ("jinja2", "matplotlib") if find_spec(name) is None]:
        raise Refused(f"a report needs {joined(missing)}: pip install 'initlab[report]'.")
    if into is not None:
        bundle.check(into)


def made(sweeps: Sequence[Sweep], found: Cells) -> Document:
    """The report of the sweeps' cells as a document."""
    compared, claim = families(found), claimed.judged(sweeps)
    fixed = _fixed(sweeps)
    table = Section(
        "table", "The cells", [sections.table(found, speed(found)), *(b for f in compared for b in comparisons(f))]
    )
    with style():
        parts = [table, sections.heat(found), sections.curves(found), effects(found), *tuning.sensitivity(found)]
        if claim is not None:
            changed = bool(sweeps[0].description.get("claim_changed"))
            parts.insert(0, claimed.section(claim, "claim", changed))
    parts += [guide(compared, fixed), before(found), provenance.failures(sweeps), provenance.section(sweeps)]
    commands = [Listing(words) for sweep in sweeps if (words := provenance.command(sweep))]
    question = claim.claim.question if claim else _question(found, fixed)
    said = [claimed.sentence(claim)] if claim else answer(found, compared)
    return Document(question, commands, said, _facts(found, sweeps), [p for p in parts if p])


def _fixed(sweeps: Sequence[Sweep]) -> dict[str, Any]:
    """The options that the first run has, by group; what differs is an axis, and found there."""
    config = sweeps[0].config(sweeps[0].records[0])
    return {group: config[group]["name"] for group in ("dataset", "arch", "act", "init")}


def _question(found: Cells, fixed: dict[str, Any]) -> str:
    names = [axis.name for axis in sections.axes_of(found, "scientific")]
    metric = sections.metric_of(found) if any(cell.mean.n for cell in found.cells) else "test metric"
    where = " and ".join(
        f"{word} {fixed[group]}" for group, word in (("arch", "with"), ("dataset", "on")) if group not in names
    )
    where = where.replace(" and on ", " on ")
    if not names:
        return f"What {metric} does {fixed['init']} reach {where}?"
    return f"Which {joined(names)} give{'s' if len(names) == 1 else ''} the best {metric} {where}?"


def _facts(found: Cells, sweeps: Sequence[Sweep]) -> list[str]:
    counts = Counter(record["status"] for sweep in sweeps for record in sweep.records)
    ended, planned = sum(counts.values()), sum(len(sweep.description["runs"]) for sweep in sweeps)
    runs = count(ended, "run") if ended == planned else f"{ended} of {count(planned, 'run')} have ended"
    whole = [runs, count(len(found.cells), "cell"), count(len(found.seeds), "seed")]
    tuned = [f"{count(len(a.values), 'value')} of {a.name}" for a in sections.axes_of(found, "nuisance")]
    return [*whole, *tuned, *(f"{counts[status]} {status}" for status in ("diverged", "failed") if counts[status])]


def _measured(found: Cells) -> list[str]:
    """The metrics that are measured during training."""
    return ["train/loss", *dict.fromkeys(f"val/{name}" for name in ("loss", *(cell.metric for cell in found.cells)))]
