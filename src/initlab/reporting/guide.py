"""The selection guide: what the sweep's evidence says of which init to take, beside what the textbook says.

The textbook is four rules. Each is held against the evidence wherever the sweep has both what it recommends and
something else: the best cell of the one side with the best of the other, paired by seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from initlab.analysis.cells import Cell
from initlab.analysis.contrasts import Family, Pair
from initlab.reporting.document import Block, Paragraph, Section, Table
from initlab.reporting.evidence import evident, exact
from initlab.reporting.wording import at, full, interval, joined, number, p_value, said, spoken
from initlab.specs import INITS

PHRASES = {"agrees": "in agreement", "disagrees": "in disagreement", "no evidence": "without evidence either way"}
NAMED = 4
RELUS = ("relu", "leaky_relu", "prelu")


@dataclass(frozen=True)
class Rule:
    """``advice`` on the values of ``axis``; whether it ``applies``, given all of a run's fields by name."""

    advice: str
    source: str
    axis: str
    applies: Callable[[Mapping[str, Any]], bool]
    recommends: Callable[[Any], bool]


def _constant(init: Any) -> bool:
    return init in INITS and INITS[init].facts.get("symmetric") is True


TEXTBOOK = (
    Rule(
        "Xavier for tanh and sigmoid",
        "Glorot and Bengio 2010",
        "init",
        lambda fields: fields.get("act") in ("tanh", "sigmoid"),
        lambda init: str(init).startswith("xavier"),
    ),
    Rule(
        "He (Kaiming) for ReLU",
        "He et al. 2015",
        "init",
        lambda fields: fields.get("act") in RELUS,
        lambda init: str(init).startswith("kaiming"),
    ),
    Rule(
        "Never constants", "Goodfellow et al. 2016, 8.4", "init", lambda fields: True, lambda init: not _constant(init)
    ),
    Rule("Biases zero", "Goodfellow et al. 2016, 8.4", "init.bias", lambda fields: True, lambda bias: bias == "zeros"),
)


def guide(families: Sequence[Family], fixed: Mapping[str, Any]) -> Section | None:
    """Evidence beside advice; ``fixed`` are the fields that no axis varies. None where init is no axis."""
    if not any("init" in cell.at or "init.bias" in cell.at for family in families for cell in family.cells):
        return None
    blocks: list[Block] = []
    for family in families:
        start = [_start(family)] if any("init" in cell.at for cell in family.cells) else []
        blocks += [*start, *_textbook(family, fixed)]
    return Section("guide", "Which to take", blocks)


def _start(family: Family) -> Table:
    """For each combination of the other axes: the best init, and what the evidence cannot tell from it."""
    rows: list[list[str]] = []
    every: list[dict[str, object]] = []
    for others, (best, *rest) in _groups(family.cells, "init"):
        tied = [said(cell.at["init"]) for cell in rest if not evident(family.pair(best, cell))]
        listed = joined(tied) if len(tied) <= NAMED else f"{', '.join(tied[:NAMED])} and {len(tied) - NAMED} more"
        init = said(best.at["init"])
        rows.append([at(others) or "everywhere", init, spoken(best.mean), listed])
        every.append({"where": at(others), "init": init, **full("mean", best.mean), "not worse": " ".join(tied)})
    caption = (
        f"For each setting of the other axes: the init with the best test {family.scale}, and those of which there is "
        "no evidence that they are worse."
    )
    columns = ["where", "init", f"test {family.scale}", "no evidence against"]
    return Table(f"guide-{family.name}", caption, columns, rows, frozenset({2}), 1, every)


def _textbook(family: Family, fixed: Mapping[str, Any]) -> list[Block]:
    held = [(rule, others, pair) for rule in TEXTBOOK for others, pair in _pairs(rule, family, fixed)]
    if not held:
        return [Paragraph("No rule of the textbook can be tested here: one side of each is missing from the sweep.")]
    verdicts = [_verdict(rule, pair) for rule, _, pair in held]
    counts = [f"{verdicts.count(word)} {phrase}" for word, phrase in PHRASES.items() if word in verdicts]
    times = "once" if len(held) == 1 else f"{len(held)} times"
    lead = Paragraph(f"The textbook's rules were held against the evidence {times}: {joined(counts)}.")
    sources = "; ".join(dict.fromkeys(f"{rule.advice}: {rule.source}" for rule, _, _ in held))
    caption = (
        f"The best cell that follows the rule against the best that does not, in test {family.scale}: the rule's "
        f"advantage over the seeds (negative: the textbook is wrong), p by Holm. {sources}."
    )
    columns = ["rule", "where", "following", "not", "advantage", "95 % interval", "p", "evidence"]
    rows = [
        [rule.advice, at(others) or "everywhere", *_compared(rule, pair, family), found]
        for (rule, others, pair), found in zip(held, verdicts, strict=True)
    ]
    every = [
        {"rule": rule.advice, "where": at(others), **exact(pair), "evidence": found}
        for (rule, others, pair), found in zip(held, verdicts, strict=True)
    ]
    return [lead, Table(f"textbook-{family.name}", caption, columns, rows, frozenset({4, 5, 6}), 2, every)]


def _verdict(rule: Rule, pair: Pair) -> str:
    if not evident(pair):
        return "no evidence"
    return "agrees" if rule.recommends(pair.better.at[rule.axis]) else "disagrees"


def _pairs(rule: Rule, family: Family, fixed: Mapping[str, Any]) -> Iterable[tuple[dict[str, Any], Pair]]:
    for others, cells in _groups(family.cells, rule.axis):
        if not rule.applies({**fixed, **others}):
            continue
        sides = [[cell for cell in cells if rule.recommends(cell.at[rule.axis]) is side] for side in (True, False)]
        if all(sides):
            yield others, family.pair(sides[0][0], sides[1][0])


def _groups(ranked: Sequence[Cell], axis: str) -> list[tuple[dict[str, Any], list[Cell]]]:
    """The cells that differ in one axis only, best first; none without the axis."""
    groups: dict[str, tuple[dict[str, Any], list[Cell]]] = {}
    for cell in ranked:
        if axis in cell.at:
            others = {name: value for name, value in cell.at.items() if name != axis}
            groups.setdefault(at(others), (others, []))[1].append(cell)
    return list(groups.values())


def _compared(rule: Rule, pair: Pair, family: Family) -> list[str]:
    """Both sides with their means, and the difference as the rule's side has it: positive where it is the better."""
    follows = rule.recommends(pair.better.at[rule.axis])
    sides = (pair.better, pair.worse) if follows else (pair.worse, pair.better)
    gain = pair.comparison.difference
    if (family.direction == "max") is not follows:
        low, high = (None if edge is None else -edge for edge in (gain.high, gain.low))
        gain = replace(gain, value=-gain.value, low=low, high=high)
    named = (f"{said(cell.at[rule.axis])} {number(cell.mean.value)}" for cell in sides)
    return [*named, number(gain.value), interval(gain), p_value(pair.p)]
