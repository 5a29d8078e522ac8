"""A probe as it is looked at: a table for the terminal, a figure, scalars over layers for TensorBoard.

    print(table(found)); draw(found, "title", folder / "probe")       # probe.svg and probe.png
    scalars(found)                                             # {"measured": [{"signal/q": 0.98, ...}, ...], ...}

Measured and predicted stand side by side. The layer that is at fault is marked wherever it is shown.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from initlab.measuring.findings import Layer, Probe
from initlab.theory.trace import Layer as Expected

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Number = float | None


class Quantity(NamedTuple):
    """What is told of a layer: measured, and expected where theory has it. ``log``: shown on a scale of powers of 2."""

    name: str
    words: str
    measured: Callable[[Layer], Number]
    expected: Callable[[Expected], Number] | None = None
    log: bool = False


QUANTITIES = (
    Quantity("q", "signal: E z²", lambda m: m.q, lambda p: p.q, True),
    Quantity("gradient", "gradient: E (dL/dz)², output = 1", lambda m: m.gradient, lambda p: p.gradient, True),
    Quantity("correlation", "cosine of two rows", lambda m: m.correlation, lambda p: p.correlation),
    Quantity("rank", "effective rank of the rows", lambda m: m.rank),
    Quantity("mean", "activation: mean", lambda m: m.mean, lambda p: p.mean),
    Quantity("variance", "activation: variance", lambda m: m.variance, lambda p: p.after - p.mean**2, True),
    Quantity("dead", "slopes that are 0", lambda m: m.dead, lambda p: p.dead),
    Quantity("saturated", "slopes below a tenth", lambda m: m.saturated, lambda p: p.saturated),
    Quantity("silent", "units dead for all rows", lambda m: m.silent),
    Quantity(
        "greatest",
        "greatest singular value",
        lambda m: m.singular.greatest if m.singular else None,
        lambda p: p.greatest,
    ),
    Quantity("least", "singular value", lambda m: m.singular.least if m.singular else None, lambda p: p.least),
    Quantity("spread", "sd of ln singular values", lambda m: m.singular.deviation if m.singular else None),
)
SIGNAL = ("q", "gradient", "correlation", "rank", "silent", "dead")


def pairs(found: Probe) -> Iterator[tuple[Layer, Expected | None]]:
    """Each layer with what theory expects of it, as far as it goes."""
    expected = found.predicted.layers if found.predicted else ()
    for i, layer in enumerate(found.layers):
        yield layer, expected[i] if i < len(expected) else None


def values(quantity: Quantity, layer: Layer, expected: Expected | None) -> tuple[Number, Number]:
    predicted = quantity.expected(expected) if quantity.expected and expected else None
    return quantity.measured(layer), predicted


def table(found: Probe) -> str:
    """Two lines a layer, in two tables: measured, and in brackets what theory expects. Long nets show their ends."""
    told = [q for q in QUANTITIES if any(q.measured(layer) is not None for layer in found.layers)]
    parts = [q for q in told if q.name in SIGNAL], [q for q in told if q.name not in SIGNAL]
    return "\n\n".join(_table(found, part) for part in parts if part)


def _table(found: Probe, columns: Sequence[Quantity]) -> str:
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=None, pad_edge=False)
    shown.add_column("layer", no_wrap=True)
    for quantity in columns:
        shown.add_column(quantity.name, justify="right", no_wrap=True)
    chosen = _ends(found)
    for i, (layer, expected) in enumerate(pairs(found)):
        if i in chosen:
            name = f"> {layer.name}" if layer.name == found.trouble else layer.name
            shown.add_row(name, *(_cell(*values(quantity, layer, expected)) for quantity in columns))
        elif i - 1 in chosen:
            shown.add_row("...")
    out = io.StringIO()
    Console(file=out, width=200).print(shown)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _ends(found: Probe, each: int = 8) -> set[int]:
    """The layers that a table shows: all of a short net, else its ends and those around the trouble."""
    count = len(found.layers)
    if count <= 3 * each:
        return set(range(count))
    names = [layer.name for layer in found.layers]
    middle = names.index(found.trouble) if found.trouble in names else 0
    return {*range(each), *range(count - each, count), *range(max(middle - 2, 0), min(middle + 3, count))}


def _cell(measured: Number, predicted: Number) -> str:
    text = "" if measured is None else f"{measured:.3g}"
    return text if predicted is None else f"{text} ({predicted:.3g})"


def scalars(found: Probe) -> dict[str, list[dict[str, float]]]:
    """What TensorBoard shows over layers, of two runs: measured, and predicted as far as theory goes."""
    lines: dict[str, list[dict[str, float]]] = {"measured": [], "predicted": []}
    for layer, expected in pairs(found):
        told = {f"signal/{q.name}": values(q, layer, expected) for q in QUANTITIES}
        lines["measured"].append({tag: m for tag, (m, _) in told.items() if m is not None})
        if expected is not None:
            lines["predicted"].append({tag: p for tag, (_, p) in told.items() if p is not None})
    return lines


# --- the figure -------------------------------------------------------------------------------------------------------

MEASURED, EXPECTED, FAULT, MUTED = "#1f5fa8", "#e08a1e", "#c62828", "#666666"
PANELS = ("q", "gradient", "correlation", "rank")


def draw(found: Probe, title: str, stem: Path) -> None:
    """Six panels over the layers, as stem.svg and stem.png of 1280 x 800; the layer at fault is a red band in each."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"font.size": 10, "svg.fonttype": "none", "svg.hashsalt": "initlab"}):
        figure = Figure(figsize=(12.8, 8.0), dpi=100)
        axes = figure.subplots(2, 3, sharex=True)
        for ax, name in zip(axes.flat, PANELS, strict=False):
            _lines(ax, found, next(q for q in QUANTITIES if q.name == name))
        _shares(axes[1, 1], found)
        _spectrum(axes[1, 2], found)
        for ax in axes.flat:
            _mark(ax, found)
        for ax in axes[1]:
            _name_layers(ax, found)
        axes[0, 0].legend(frameon=False, loc="best")
        heading = f"{_short(title, 88)}: {found.verdict}"
        figure.suptitle(heading, x=0.03, ha="left", fontsize=15, fontweight="bold")
        figure.text(0.03, 0.925, _wrapped(found.reason), va="top", color=FAULT if found.trouble else MUTED, fontsize=11)
        figure.subplots_adjust(left=0.06, right=0.985, top=0.83, bottom=0.14, wspace=0.2, hspace=0.2)
        figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None})
        figure.savefig(stem.with_suffix(".png"))


def _wrapped(words: str, width: int = 150) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(words, width))


def _lines(ax: Axes, found: Probe, quantity: Quantity) -> None:
    told = [values(quantity, layer, expected) for layer, expected in pairs(found)]
    x = range(1, len(told) + 1)
    measured, expected = ([_or_nan(pair[i], quantity.log) for pair in told] for i in (0, 1))
    ax.plot(x, measured, color=MEASURED, marker="o" if len(told) < 60 else None, ms=3.5, lw=1.5, label="measured")
    if any(not math.isnan(v) for v in expected):
        ax.plot(x, expected, color=EXPECTED, lw=1.5, ls="--", label="theory")
    if quantity.log and any(not math.isnan(v) for v in measured):
        ax.set_yscale("log", base=2)
        _at_least(ax, 16.0)
    if quantity.name == "correlation":
        ax.set_ylim(min(0.0, *(v for v in measured if v == v)) - 0.04, 1.04)
    ax.set_title(quantity.words, loc="left", fontsize=11)
    _plain(ax)


def _at_least(ax: Axes, factor: float) -> None:
    """No scale so fine that noise looks like a trend."""
    low, high = ax.get_ylim()
    if high / low < factor:
        middle = math.sqrt(low * high)
        ax.set_ylim(middle / math.sqrt(factor), middle * math.sqrt(factor))


def _shares(ax: Axes, found: Probe) -> None:
    x = range(1, len(found.layers) + 1)
    for name, color in (("saturated", "#9c6ade"), ("dead", MEASURED), ("silent", "#222222")):
        quantity = next(q for q in QUANTITIES if q.name == name)
        told = [values(quantity, layer, expected) for layer, expected in pairs(found)]
        ax.plot(x, [_or_nan(m) for m, _ in told], color=color, lw=1.5, label=quantity.words)
        if quantity.expected:
            ax.plot(x, [_or_nan(p if m is not None else None) for m, p in told], color=color, lw=1, ls="--")
    ax.set_ylim(-0.04, 1.04)
    ax.set_title("shares (dashed: theory)", loc="left", fontsize=11)
    ax.legend(frameon=False, loc="best", fontsize=9)
    _plain(ax)


def _spectrum(ax: Axes, found: Probe) -> None:
    x = list(range(1, len(found.layers) + 1))
    ends = [next(q for q in QUANTITIES if q.name == name) for name in ("least", "greatest")]
    told = [[values(q, layer, expected) for layer, expected in pairs(found)] for q in ends]
    low, high = ([_or_nan(m, True) for m, _ in told[i]] for i in (0, 1))
    if any(not math.isnan(v) for v in high):
        ax.fill_between(x, low, high, color=MEASURED, alpha=0.15, lw=0)
        ax.plot(x, high, color=MEASURED, lw=1.5)
        ax.plot(x, [_or_nan(p, True) for _, p in told[1]], color=EXPECTED, lw=1.5, ls="--")
        ax.set_yscale("log")
    ax.set_title("singular values of each weight", loc="left", fontsize=11)
    _plain(ax)


def _mark(ax: Axes, found: Probe) -> None:
    names = [layer.name for layer in found.layers]
    for i, name in enumerate(names, 1):
        if name in found.troubled:
            worst = name == found.trouble
            ax.axvspan(i - 0.5, i + 0.5, color=FAULT, alpha=0.28 if worst else 0.08, lw=0, zorder=0)
    if found.trouble in names:
        at = names.index(found.trouble) + 1
        side, gap, edge = ("right", -4, at - 0.5) if at > len(names) / 2 else ("left", 4, at + 0.5)
        ax.annotate(
            found.trouble, (edge, 0.02), (gap, 0), xycoords=("data", "axes fraction"), textcoords="offset points",
            ha=side, va="bottom", color=FAULT, fontsize=10, fontweight="bold",
        )  # fmt: skip


def _name_layers(ax: Axes, found: Probe) -> None:
    names = [layer.name for layer in found.layers]
    step = max(1, -(-len(names) // 10))
    at = [i for i in range(0, len(names), step) if i <= len(names) - 1 - step / 2] + [len(names) - 1]
    ax.set_xticks([i + 1 for i in at], [_short(names[i], 16, -1) for i in at], rotation=45, ha="right", fontsize=8)
    ax.set_xlim(0.5, len(names) + 0.5)


def _short(name: str, most: int, end: int = 1) -> str:
    """The name, or as much of its beginning (of its end: -1) as there is room for."""
    if len(name) <= most:
        return name
    return f"{name[: most - 1]}…" if end > 0 else f"…{name[1 - most :]}"


def _plain(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="#e6e6e6", lw=0.7)
    ax.set_axisbelow(True)


def _or_nan(value: Any, positive: bool = False) -> float:
    return math.nan if value is None or not math.isfinite(value) or (positive and value <= 0) else float(value)
