"""What the numbers say, in sentences: made from the same estimates as the tables, so that they cannot differ.

answer(found, families(found))           # the paragraphs at the report's head
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from initlab.analysis.cells import Cells
from initlab.analysis.contrasts import Effect, Family, Pair, interplay
from initlab.analysis.contrasts import effects as main_effects
from initlab.reporting import plots
from initlab.reporting.document import Block, Paragraph, Section, Strong, Table
from initlab.reporting.sections import drawn, where
from initlab.reporting.wording import at, count, full, interval, joined, number, p_value, said, spoken

LEVEL = 0.05
ROWS = 15  # of a table beside the cells' own; its csv has them all
NAMED = 3  # cells that a sentence names


def answer(found: Cells, families: Sequence[Family]) -> list[Paragraph]:
    """One paragraph a scale: the best cell, and against which of the others there is evidence."""
    return [_answer(found, family) for family in families]


def _answer(found: Cells, family: Family) -> Paragraph:
    best, metric, seeds = family.cells[0], f"test {family.scale}", len(found.seeds)
    ended = [cell for cell in family.cells if cell.mean.n]
    if not ended:
        return Paragraph("Every run failed: no run ended, so that there is nothing to compare.")
    if not any(cell.chosen.counts["done"] for cell in ended):
        failed = " or failed" if any(cell.chosen.counts["failed"] for cell in family.cells) else ""
        return Paragraph(f"Every run diverged{failed}: there is no best {metric}.")
    if not np.isfinite(best.mean.value):  # what diverged counts as the worst
        return Paragraph(f"In every cell a run ended without a finite {metric}: there is no best.")
    if not best.at:
        return Paragraph(f"The {metric} is ", Strong(spoken(best.mean)), f", over {count(best.mean.n, 'seed')}.")
    words = [Strong(where(best)), f" has the best {metric}: {spoken(best.mean)}, over {count(best.mean.n, 'seed')}"]
    pairs = [pair for pair in family.against_best() if pair.worse in ended]
    if not pairs:
        return Paragraph(*words, ". There is no other cell to compare it with.")
    if seeds == 1:
        return Paragraph(*words, f". One seed gives no evidence that it is better than {_others(pairs, len(pairs))}.")
    clear, open_ = [p for p in pairs if evident(p)], [p for p in pairs if not evident(p)]
    if not clear:
        return Paragraph(
            *words, ". There is ", Strong("no evidence"), f" that it is better than {_others(pairs, len(pairs))}."
        )
    words.append(f". It is better than {_count(len(clear), len(pairs))}")
    if open_:
        words += ["; there is ", Strong("no evidence"), f" that it is better than {_others(open_, len(pairs))}"]
    return Paragraph(*words, ".")


def _count(clear: int, all_: int) -> str:
    if clear == all_:
        return {1: "the only other", 2: "both others"}.get(all_, f"all {all_} others")
    return f"{clear} of the {all_} others"


def _others(pairs: Sequence[Pair], all_: int) -> str:
    named = joined(where(pair.worse) for pair in pairs[:NAMED])
    return named if len(pairs) <= NAMED else f"the other {len(pairs)}" if len(pairs) < all_ else "any of the others"


def comparisons(family: Family) -> list[Block]:
    """The best cell against each of the others; none where there is nothing to test with."""
    pairs = family.against_best()
    if all(pair.p is None for pair in pairs):
        return []
    name, tests = f"comparisons-{family.name}", joined(sorted({pair.comparison.test for pair in pairs}))
    caption = (
        f"{where(family.cells[0])} against the others in test {family.scale}, paired by seed. p: {tests}, adjusted by "
        f"Holm over all {family.size} pairs of cells, as the data chose the best. g: Hedges' g of the differences. "
        f"Same: equivalent within ±{number(pairs[0].margin)} (p < {LEVEL})."
    )
    if len(pairs) > ROWS:
        caption += f" The first {ROWS}; all of them are in tables/{name}.csv."
    columns = ["against", "difference", "95 % interval", "p", "g", "verdict"]
    rows = [[where(pair.worse), *_compared(pair), verdict(pair)] for pair in pairs[:ROWS]]
    return [Table(name, caption, columns, rows, frozenset({1, 2, 3, 4}), 1, [exact(pair) for pair in pairs])]


def _compared(pair: Pair) -> list[str]:
    difference = pair.comparison.difference
    return [number(difference.value), interval(difference), p_value(pair.p), number(pair.comparison.effect.value)]


def exact(pair: Pair) -> dict[str, object]:
    """A pair in full, as a line of a csv file."""
    found = pair.comparison
    return {
        "better": where(pair.better),
        "worse": where(pair.worse),
        **full("difference", found.difference),
        "n": found.difference.n,
        "test": found.test,
        "p": found.p,
        "p Holm": pair.p,
        "g": found.effect.value,
        "superiority": found.superiority.value,
        "p same": pair.same,
        "margin": pair.margin,
        "verdict": verdict(pair),
    }


def evident(pair: Pair) -> bool:
    return pair.p is not None and pair.p < LEVEL


def verdict(pair: Pair) -> str:
    """Of the worse cell, against the better."""
    if evident(pair):
        return "worse"
    return "same" if pair.same is not None and pair.same < LEVEL else "no evidence"


def effects(found: Cells) -> Section | None:
    """What each axis does by itself, and where two do what their sum would not. None where there is one cell."""
    if len(found.cells) < 2:
        return None
    main = [effect for effect in main_effects(found) if effect.estimate.n]
    both = [effect for effect in interplay(found) if effect.estimate.n]
    blocks: list[Block] = []
    for metric in dict.fromkeys(effect.metric for effect in main):
        blocks.append(_main([e for e in main if e.metric == metric], metric))
        blocks.append(_interplay([e for e in both if e.metric == metric], metric))
    none = Paragraph("The cells are no grid: no axis can be averaged over the others.")
    return Section("effects", "Effects of the axes", blocks or [none])


def _main(main: Sequence[Effect], metric: str) -> Block:
    dots = [
        plots.Dot(said(value), effect.estimate.value, effect.estimate.low, effect.estimate.high, axis)
        for effect in main
        for axis, value in effect.at.items()
        if np.isfinite(effect.estimate.value)
    ]
    if not dots:
        return Paragraph(f"A cell without any finite test {metric} leaves the axes without effects to average.")
    caption = (
        f"Effect of each value on test {metric}: its mean over all other axes less the mean of all values, with its "
        "95 % interval over the seeds. Hollow: the interval holds zero, or there is none."
    )
    axes = joined(dict.fromkeys(dot.group for dot in dots))
    alt = f"Dots with intervals: the effect on test {metric} of each value of {axes}."
    return drawn(plots.forest(dots, f"difference in test {metric}"), f"effects-{metric}", caption, alt)


def _interplay(both: Sequence[Effect], metric: str) -> Block:
    """The largest interactions, or that there are none to see."""
    tested = [(effect.p, effect) for effect in both if effect.p is not None]
    clear = sorted((e for p, e in tested if p < LEVEL), key=lambda e: -abs(e.estimate.value))
    if not tested:
        return Paragraph("Interactions cannot be told from chance here." if both else "One axis interacts with none.")
    if not clear:
        return Paragraph(f"There is no evidence of interactions: of {len(tested)}, none has Holm's p < {LEVEL}.")
    caption = f"Interactions in test {metric}, Holm's p < {LEVEL}: what two values do beyond the sum of their effects."
    if len(clear) > ROWS:
        caption += f" The {ROWS} largest of {len(clear)}."
    columns = ["together", "interaction", "95 % interval", "p"]
    rows = [[at(e.at), number(e.estimate.value), interval(e.estimate), p_value(e.p)] for e in clear[:ROWS]]
    every = [{"together": at(e.at), **full("interaction", e.estimate), "p Holm": e.p} for e in both]
    return Table(f"interactions-{metric}", caption, columns, rows, frozenset({1, 2, 3}), 1, every)
