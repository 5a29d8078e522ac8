"""One page of many claims, made from their folders alone: the same folders give the same bytes.

write([Entry("he2015_depth", folder, control)], Path("outputs/gallery"), "make gallery")  # outputs/gallery/index.html
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from initlab.claiming import claimed
from initlab.claiming.judging import Judgement, Verdict
from initlab.errors import Refused
from initlab.reporting.document import Code, Document, Link, Listing, Paragraph, Section, Strong, Table
from initlab.reporting.figures import style
from initlab.reporting.typeset import page
from initlab.reporting.wording import count, interval, number
from initlab.storage.folder import Sweep, read

WORDS: Mapping[Verdict, tuple[str, str]] = {
    "holds": ("holds", "hold"),
    "does not hold": ("does not", "do not"),
    "inconclusive": ("is inconclusive", "are inconclusive"),
}
OPPOSITE = {"holds": "does not hold", "does not hold": "holds"}


@dataclass(frozen=True)
class Entry:
    """A claim's experiment and the folders of its runs, and of those under its negative control, if they were made."""

    name: str
    folder: Path
    control: Path | None = None

    @cached_property
    def sweep(self) -> Sweep:
        return read(self.folder)

    @cached_property
    def found(self) -> Judgement:
        return _judged(self.sweep)

    @cached_property
    def flipped(self) -> bool | None:
        """Whether the control has the opposite verdict; None without a control."""
        if self.control is None:
            return None
        verdict = _judged(read(self.control)).verdict
        return verdict == OPPOSITE.get(self.found.verdict, "does not hold")

    @property
    def as_recorded(self) -> bool:
        """Whether the verdict is the one that the experiment's file records."""
        return self.found.claim.found in (None, self.found.verdict)

    @property
    def seconds(self) -> float:
        return float(sum(record["seconds"] for record in self.sweep.records))

    @property
    def cost(self) -> str:
        return f"{count(len(self.sweep.records), 'run')}, {self.seconds:.0f} s"


def write(entries: Sequence[Entry], into: Path, command: str) -> Path:
    """Write the page of these claims, made by a command; returns it. Their reports are linked where there are any."""
    into.mkdir(parents=True, exist_ok=True)
    (into / "index.html").write_text(page(made(entries, into, command)), encoding="utf-8")
    return into / "index.html"


def made(entries: Sequence[Entry], into: Path, command: str) -> Document:
    """The page as a document."""
    verdicts = Counter(entry.found.verdict for entry in entries)
    counted = ", ".join(f"{verdicts[verdict]} {WORDS[verdict][verdicts[verdict] != 1]}" for verdict in WORDS)
    answer = [Paragraph(f"Of {count(len(entries), 'claim')}: ", Strong(counted), ".")]
    if other := [entry.name for entry in entries if not entry.as_recorded]:
        answer.append(Paragraph("Another verdict than their files record: ", Strong(", ".join(other)), "."))
    tried = [entry for entry in entries if entry.flipped is not None]
    if tried:
        flips = sum(bool(entry.flipped) for entry in tried)
        answer.append(Paragraph(f"Of {count(len(tried), 'negative control')}, {flips} flip the verdict."))
    with style():
        parts = [_part(entry, into) for entry in entries]
    facts = [count(sum(len(e.sweep.records) for e in entries), "run"), f"{sum(e.seconds for e in entries):,.0f} s"]
    title = "Do the field's claims on initialization hold on this machine?"
    return Document(title, [Listing(command)], answer, facts, [_summary(entries), *parts], "initlab gallery")


def _summary(entries: Sequence[Entry]) -> Section:
    """The claims at a glance, with the comparison that decides: the one nearest to failing."""
    rows = []
    for entry in entries:
        one = max(entry.found.results, key=lambda result: (result.verdict != "holds", result.p or 0.0))
        flips = {None: "–", True: "flips", False: "does not flip"}[entry.flipped]
        spread, wanted = (words.replace(" ", "\u00a0") for words in (interval(one.estimate), one.check.criterion))
        decides = f"{one.check.says}: {number(one.estimate.value)} {spread}, wanted {wanted}"
        name = Link(entry.name, f"#{entry.name}")
        rows.append([name, entry.found.verdict, entry.found.claim.question, decides, flips, f"{entry.seconds:,.0f} s"])
    caption = (
        "Each claim, and of its comparisons the one that decides: mean and 95 % interval over the seeds. Control: "
        "whether the verdict flips where it must."
    )
    columns = ["claim", "verdict", "question", "what decides", "control", "cost"]
    return Section("claims", "The claims", [Table("claims", caption, columns, rows, frozenset({5}), 1)])


def _part(entry: Entry, into: Path) -> Section:
    """A claim's verdict, evidence and command, and the way to its report."""
    changed = bool(entry.sweep.description.get("claim_changed"))
    section = claimed.section(entry.found, entry.name, changed, printed=False)
    blocks = [Paragraph(Strong(entry.found.claim.question)), *section.blocks]
    how = ["Run it: ", Code(f"python train.py -m +experiment={entry.name}"), f" ({entry.cost})."]
    report = entry.folder / "report" / "index.html"
    if report.exists():
        how += [" All cells, curves and seeds: ", Link("its report", _relative(report, into)), "."]
    return Section(entry.name, entry.name.replace("_", " "), [*blocks, Paragraph(*how)])


def _relative(path: Path, start: Path) -> str:
    return Path(os.path.relpath(path, start)).as_posix()


def _judged(sweep: Sweep) -> Judgement:
    found = claimed.judged([sweep])
    if found is None:
        raise Refused(f"{sweep.folder}: was made for no claim.")
    return found
