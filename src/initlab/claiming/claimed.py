"""A claim's verdict with its evidence, as parts of a document.

sentence(judgement)                   # The claim holds: ...
section(judgement, "claim")           # source, expectation, the figure of effects and criteria, the table
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from initlab.claiming.claims import claim
from initlab.claiming.judging import Judgement, judge
from initlab.reporting import plots
from initlab.reporting.document import Code, Figure, Paragraph, Points, Section, Strong, Table
from initlab.reporting.sections import drawn
from initlab.reporting.wording import count, full, interval, joined, number, p_value
from initlab.storage.folder import Sweep

LONGEST = 48  # letters of a place beside a figure


def judged(sweeps: Sequence[Sweep]) -> Judgement | None:
    """The verdict on the claim that a sweep was made for; None for another, and for several together."""
    if len(sweeps) != 1 or "claim" not in sweeps[0].description:
        return None
    return judge(claim(sweeps[0].description["claim"]), sweeps)


def sentence(found: Judgement) -> Paragraph:
    """The verdict in a sentence, and what stands against it."""
    whole = {"holds": "The claim holds", "does not hold": "The claim does not hold"}.get(
        found.verdict, "The claim is inconclusive"
    )
    against = [one for one in found.results if one.verdict != "holds"]
    parts = count(len(found.results), "comparison")
    words = f", over {count(found.seeds, 'seed')}: " + (
        f"all of its {parts} hold." if not against else f"of its {parts}, {len(found.results) - len(against)} hold."
    )
    few = f" It needs {found.claim.seeds} seeds." if found.seeds < found.claim.seeds else ""
    return Paragraph(Strong(whole), words + few)


def section(found: Judgement, name: str, changed: bool = False, printed: bool = True) -> Section:
    """What was claimed and by whom, the figure, also as it is ``printed``, and every comparison."""
    said = found.claim
    points = [Paragraph("Source: ", said.source, "."), Paragraph("Expected: ", said.expected or "not said", ".")]
    if said.parametric:
        points.append(Paragraph("Fewer seeds carry it: ", said.parametric, "."))
    points.append(Paragraph("Must make it fail: ", Code(" ".join(said.control)), "."))
    if changed:
        points.append(Paragraph(Strong("The criterion was changed after the first runs.")))
    return Section(
        name, "The claim", [sentence(found), Points(points), figure(found, name, printed), table(found, name)]
    )


def figure(found: Judgement, name: str, printed: bool = True) -> Figure:
    checks = dict.fromkeys(one.check.name for one in found.results)
    parts = []
    for check in checks:
        results = [one for one in found.results if one.check.name == check]
        one = results[0].check
        title = f"{one.says}: {one.criterion}"
        dots = [
            plots.Dot(place, result.estimate.value, result.estimate.low, result.estimate.high)
            for place, result in zip(told_apart([result.place for result in results]), results, strict=True)
        ]
        parts.append(plots.Criterion(title, dots, *one.bounds))
    caption = "Each comparison's mean over the seeds with its 95 % interval; grey: what the criterion allows."
    alt = f"Dots with intervals against their criteria: {count(len(found.results), 'comparison')}, {found.verdict}."
    return drawn(plots.criteria(parts), name, caption, alt, printed)


def told_apart(places: Sequence[str]) -> list[str]:
    """The places beside a figure: what all share is left out, and so is an axis's group."""
    parts = [place.split(", ") for place in places]
    shared = set[str]() if len(parts) == 1 else set.intersection(*map(set, parts))
    short = [re.sub(r"\b\w+\.(?=\w+=)", "", ", ".join(p for p in one if p not in shared)) for one in parts]
    return [(place if len(place) <= LONGEST else f"{place[: LONGEST - 1]}…") or "all runs" for place in short]


def table(found: Judgement, name: str) -> Table:
    rows = [
        [
            one.check.says,
            one.place or "all runs",
            number(one.estimate.value),
            interval(one.estimate),
            one.check.criterion,
            p_value(one.p),
            one.verdict,
        ]
        for one in found.results
    ]
    exact = [
        {"check": one.check.name, "kind": one.check.kind, "of": one.check.of, "place": one.place}
        | full("mean", one.estimate)
        | {"n": one.estimate.n, "interval": one.estimate.method, "criterion": one.check.criterion, "p Holm": one.p}
        | {"test": one.test, "lost": one.lost, "verdict": one.verdict}
        for one in found.results
    ]
    tests = joined(sorted({one.test for one in found.results}))
    caption = (
        f"Each comparison: holds where its mean meets the criterion and differs from its bounds with p < "
        f"{found.level:.2g}. p: {tests} over the seeds, adjusted by Holm over all {len(rows)}."
    )
    columns = ["check", "where", "mean", "95 % interval", "criterion", "p", "verdict"]
    return Table(name, caption, columns, rows, frozenset({2, 3, 4, 5}), 2, exact)
