"""How a report, or a line in a terminal, writes numbers, intervals, values of axes and places in a sweep.

number(0.92444)                    # 0.924
spoken(estimate)                   # 0.924 [0.917, 0.931]
at({"init": "xavier", "act": "tanh"})     # init=xavier, act=tanh
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from initlab.stats import Estimate  # it loads scipy


def number(value: float | None) -> str:
    """Three decimals, or three digits where those would say little; a true minus."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "−∞" if value < 0 else "∞"
    text = f"{value:.3f}" if 5e-4 <= abs(value) < 100 or value == 0 else f"{value:.3g}"
    return re.sub(r"e\+?(-?)0*", r"e\1", text).replace("-", "−")


def steps(value: float) -> str:
    """A number of updates, which may lie between two."""
    return "∞" if math.isinf(value) else f"{value:,.0f}"


def interval(estimate: Estimate) -> str:
    """Its interval, or why there is none."""
    if estimate.low is None or estimate.high is None:
        return estimate.method
    return f"[{number(estimate.low)}, {number(estimate.high)}]"


def full(name: str, estimate: Estimate) -> dict[str, object]:
    """An estimate in full, as columns of a csv file."""
    return {name: estimate.value, f"{name} low": estimate.low, f"{name} high": estimate.high}


def spoken(estimate: Estimate) -> str:
    """A value with its interval."""
    if estimate.low is None:
        return f"{number(estimate.value)} ({estimate.method}: no interval)"
    return f"{number(estimate.value)} {interval(estimate)}"


def p_value(p: float | None) -> str:
    return "–" if p is None else "< 0.001" if p < 1e-3 else f"{p:.3f}"


def said(value: Any) -> str:
    """A value of an axis, as the command line has it."""
    if isinstance(value, list):
        return "+".join(map(said, value))
    return value if isinstance(value, str) else json.dumps(value)


def at(values: Mapping[str, Any]) -> str:
    """A place in a sweep: its values on some of the axes."""
    return ", ".join(f"{name}={said(value)}" for name, value in values.items())


def joined(words: Iterable[str]) -> str:
    """a, b and c; where they have commas themselves: a, b; c, d; and e. A dash for nothing."""
    *front, last = [*words] or ["–"]
    if any(", " in word for word in (*front, last)):
        return "; ".join([*front, f"and {last}"]) if front else last
    return f"{', '.join(front)} and {last}" if front else last


def count(n: int, word: str) -> str:
    """3 seeds, 1 seed."""
    return f"{n:,} {word}{'' if n == 1 else 's'}"
