#!/usr/bin/env python
"""The tables of docs/theory.md: python scripts/theory.py [--write] [--measure]

Without an option the tables of gains and critical points are printed; --write puts them into the page; --measure draws
nets, compares each layer with theory (some minutes), and puts that table there too.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

import numpy as np  # noqa: E402
from scripts.pages import table, update  # noqa: E402

from initlab import theory  # noqa: E402
from initlab.command import answered  # noqa: E402
from initlab.errors import Refused  # noqa: E402
from initlab.gains import gain_of  # noqa: E402
from initlab.specs import ACTS  # noqa: E402

PAGE = ROOT / "docs" / "theory.md"
CONFIDENCE = 0.99


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--measure", action="store_true")
    args = parser.parse_args()
    parts = tables()
    if args.measure:
        parts["measured"] = measured(depth=20, width=512, seeds=32)
    if args.write or args.measure:
        update(PAGE, parts)
    else:
        print("\n\n".join(parts.values()))
    return 0


def tables() -> dict[str, str]:
    """The parts of the page that follow from theory alone."""
    return {"gains": gains(), "critical": critical_points()}


def gains() -> str:
    header = ["act", "E φ", "E φ²", "forward", "backward", "critical", "torch", "χ at q = 1", "dq'/dq at q = 1"]
    rows = []
    for name in ACTS:
        act = ACTS.typed({"name": name})
        forward = theory.gain(act, "forward")
        unit = theory.MeanField(act, forward**2)  # the variance that keeps the second moment at 1
        moments = [theory.mean(act, 1.0), theory.second_moment(act, 1.0), forward, theory.gain(act, "backward")]
        last = [unit.chi(1.0), unit.chi_parallel(1.0)]
        rows.append(
            [f"`{name}`", *map(_six, moments), _or_none(act, "critical"), _or_none(act, "torch"), *map(_six, last)]
        )
    return table(header, rows)


def critical_points() -> str:
    rows = []
    for name in ACTS:
        try:
            point = theory.critical(ACTS.typed({"name": name}))
        except theory.NoCritical as none:
            rows.append([f"`{name}`", "none", "none", "none", str(none)])
            continue
        kind = "q → 0" if point.q == 0 else "every q" if point.bias_variance == 0 else "half-stable"
        q = "0" if point.q == 0 else "any" if kind == "every q" else f"{point.q:.8g}"
        rows.append([f"`{name}`", f"{point.weight_variance:.8f}", f"{point.bias_variance:.8f}", q, kind])
    return table(["act", "weight variance", "bias variance", "q*", "kind"], rows)


def _six(value: float) -> str:
    return f"{value if abs(value) > 5e-7 else 0.0:.6f}"


def _or_none(act: dict[str, Any], gain: str) -> str:
    try:
        return _six(gain_of(gain, act, 1.0))
    except Refused:
        return "none"


@dataclass(frozen=True)
class Cell:
    """One activation under one gain: predicted and measured second moments of the pre-activations, layer by layer."""

    act: str
    gain: str
    predicted: list[float]
    scatter: list[float | None]
    measured: np.ndarray[Any, Any]  # [seeds, layers]

    def ratios(self) -> np.ndarray[Any, Any]:
        return self.measured / np.array(self.predicted)

    def deviations(self) -> np.ndarray[Any, Any]:
        """(mean - predicted) in standard errors, [layers]: theory's where it is derived, else the seeds' own."""
        ratios = self.ratios()
        own = ratios.std(0, ddof=1)
        error = np.array([s if t is None else t for s, t in zip(own, self.scatter, strict=True)])
        return (ratios.mean(0) - 1) / (error / math.sqrt(len(ratios)))


def cells(depth: int, width: int, seeds: int, acts: Iterable[str] = tuple(ACTS)) -> list[Cell]:
    """Draw ``seeds`` MLPs a cell and pass one input of mean square 1 through each, in float64."""
    import torch

    import initlab
    import initlab.acts
    import initlab.archs
    from initlab.specs import ARCHS

    x = torch.from_numpy(np.random.default_rng(0).normal(size=(1, width)))
    x = x / x.square().mean().sqrt()
    found = []
    for name in acts:
        act = ACTS.typed({"name": name})
        option = ARCHS.typed({"name": "mlp", "depth": depth, "width": width})
        net = ARCHS.build(option, (width,), width, lambda act=act: ACTS.build(act)).double()
        for gain in ("forward", "torch"):
            if gain == "torch" and "torch_gain" not in ACTS[name].facts:
                continue
            predicted = initlab.trace(net, "kaiming", act=act, gain=gain, data=x).layers
            q: list[float] = []
            hooks = [m.register_forward_hook(_keeper(q)) for m in net.modules() if isinstance(m, torch.nn.Linear)]
            with torch.no_grad():
                for seed in range(seeds):
                    initlab.initialize(net, "kaiming", act=act, gain=gain, seed=seed)
                    net(x)
            for hook in hooks:
                hook.remove()
            # relu_squared squares a shrinking signal again and again: what double precision cannot hold is left out
            held = [layer for layer in predicted if layer.q > np.finfo(float).tiny]
            measured = np.array(q).reshape(seeds, -1)[:, : len(held)]
            found.append(Cell(name, gain, [p.q for p in held], [p.scatter for p in held], measured))
    return found


def _keeper(q: list[float]) -> Any:
    return lambda module, args, out: q.append(float(out.square().mean()))


def bounds(found: list[Cell]) -> tuple[float, float]:
    """The Bonferroni band over all cells and layers, in standard errors: theory's error known, or the seeds'."""
    from scipy import stats

    tests = sum(len(cell.predicted) for cell in found)
    tail = 1 - (1 - CONFIDENCE) / 2 / tests
    seeds = len(found[0].measured)
    return float(stats.norm.ppf(tail)), float(stats.t.ppf(tail, seeds - 1))


def outside(found: list[Cell]) -> list[str]:
    """Layers whose mean is out of the band."""
    normal, student = bounds(found)
    return [
        f"{cell.act} {cell.gain} layer {i + 1}: {value:+.1f} standard errors"
        for cell in found
        for i, value in enumerate(cell.deviations())
        if not abs(value) <= (student if cell.scatter[i] is None else normal)
    ]


def measured(depth: int, width: int, seeds: int) -> str:
    found = cells(depth, width, seeds)
    normal, student = bounds(found)
    rows = []
    for cell in found:
        deviations, ratios = cell.deviations(), cell.ratios()
        worst = int(np.abs(deviations).argmax())
        known = "theory" if cell.scatter[worst] is not None else "seeds"
        rows.append(
            [
                f"`{cell.act}`",
                cell.gain,
                str(len(cell.predicted)),
                f"{cell.predicted[-1]:.4g}",
                f"{ratios.mean(0)[-1]:.4g}",
                f"{ratios.std(0, ddof=1)[-1]:.4g}",
                f"{deviations[worst]:+.2f} (layer {worst + 1}, {known})",
            ]
        )
    missed = outside(found)
    words = (
        f"Depth {depth}, width {width}, {seeds} seeds, {sum(len(c.predicted) for c in found)} layers in {len(found)} "
        f"cells. The 99 % Bonferroni band is ±{normal:.2f} standard errors where the deviation is theory's and "
        f"±{student:.2f} where it is the seeds'. Outside: {', '.join(missed) if missed else 'none'}.\n\n"
    )
    header = [
        "act",
        "gain",
        "layers",
        "predicted q, last layer",
        "measured / predicted",
        "deviation over seeds",
        "worst layer",
    ]
    return words + table(header, rows)


if __name__ == "__main__":
    sys.exit(answered(main, sys.argv[1:]))
