#!/usr/bin/env python
"""The probe's verdicts against what came of it: python scripts/probe_grid.py FOLDER... [--write]

FOLDER: sweeps with sweep.probe=true and several learning rates (docs/probe.md has the commands). A cell is what differs
in arch, depth, norm, act and init; where two schemes draw equal weights it is one cell. It trains if the best of its
rates ends above half of the validation rows right. Thresholds were fixed on the activations of FITTED; all others are
reported. --write puts the tables into the page.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

import numpy as np  # noqa: E402
from scripts.pages import table, update  # noqa: E402

from initlab import stats, streams  # noqa: E402
from initlab.command import answered  # noqa: E402
from initlab.errors import Refused  # noqa: E402
from initlab.stats import trends  # noqa: E402
from initlab.storage.folder import read  # noqa: E402

PAGE = ROOT / "docs" / "probe.md"
FITTED = ("leaky_relu", "erf", "silu")
HALF = 0.5  # of the validation rows
DRAWS = 2000
BINS = (0.0, 0.1, 0.5, 0.9, 1.0)


@dataclass(frozen=True)
class Cell:
    """What a cell was told before training, and what its best rate came to."""

    at: tuple[str, ...]  # arch, norm, depth, act, init
    probe: dict[str, Any]
    accuracy: float
    rate: float

    @property
    def trains(self) -> bool:
        return self.accuracy > HALF

    @property
    def right(self) -> bool:
        return self.trains == (self.probe["verdict"] == "trains")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    found = cells(args.folders)
    parts = {
        "grid": verdicts("cells", [c for c in found if c.at[3] not in FITTED]),
        "fitted": verdicts("cells", [c for c in found if c.at[3] in FITTED]),
        "calibration": calibration([c for c in found if c.at[3] not in FITTED]),
        "wrong": wrong([c for c in found if c.at[3] not in FITTED]),
    }
    if args.write:
        update(PAGE, parts)
    else:
        print("\n\n".join(parts.values()))
    return 0


def cells(folders: Iterable[Path]) -> list[Cell]:
    best: dict[tuple[str, ...], Cell] = {}
    drawn: dict[tuple[str, ...], str] = {}  # the rest of a cell and its initial weights -> the scheme that came first
    for folder in folders:
        sweep = read(folder)
        for record in sweep.records:
            config, probe = sweep.config(record), sweep.probe(record)
            if probe is None:
                raise Refused(
                    f"{folder}: {record['name']} was not probed; sweep.probe=true probes what is trained anew."
                )
            arch = config["arch"]
            at = (arch["name"], arch["norm"], str(arch["depth"]), config["act"]["name"], _scheme(config["init"]))
            if drawn.setdefault((*at[:-1], record["initial_weights"]), at[-1]) != at[-1]:
                continue  # the same net once more, under another scheme's name
            accuracy = (record["final"].get("val/accuracy") if record["status"] == "done" else None) or 0.0
            cell = Cell(at, probe, accuracy, config["optimizer"]["lr"])
            if at not in best or accuracy > best[at].accuracy:
                best[at] = cell
    return list(best.values())


def _scheme(init: dict[str, Any]) -> str:
    return str(init["name"])


def verdicts(word: str, found: list[Cell]) -> str:
    """How many cells train, how many verdicts are right, and the AUC of the risk with a bootstrap over cells."""
    if not found:
        return f"No {word}."
    lines = []
    for name, part in _parts(found):
        trained = sum(c.trains for c in part)
        right = stats.proportion(sum(c.right for c in part), len(part))
        interval = f"{right.value:.2f} [{right.low:.2f}, {right.high:.2f}]"
        area = [_auc(part, lambda probe: -probe["risk"]), *(_auc(part, score) for score in SCORES.values())]
        lines.append([name, str(len(part)), f"{trained / len(part):.2f}", interval, *area])
    return table([word, "n", "train", "verdict right", "AUC of the risk", *SCORES], lines)


def _change(probe: dict[str, Any]) -> float:
    """log2 of the gradient's variance at the first hidden layer over that at the last."""
    logs = [np.log2(layer["gradient"]) for layer in probe["layers"][:-1] if layer["gradient"]]
    return float(logs[0] - logs[-1]) if logs else 0.0


SCORES = {
    "of the gradient alone": lambda probe: -abs(_change(probe)),
    "of the rank alone": lambda probe: probe["layers"][-2]["rank"],
    "of theory's gradient": lambda probe: _theory(probe),
}


def _theory(probe: dict[str, Any]) -> float:
    layers = [layer["gradient"] for layer in probe["predicted"]["layers"][:-1]]
    return -abs(np.log2(layers[0] / layers[-1])) if layers and None not in layers else 0.0


def _parts(found: list[Cell]) -> Iterable[tuple[str, list[Cell]]]:
    yield "all", found
    for place, title in ((0, "arch"), (3, "act")):
        for value in dict.fromkeys(c.at[place] for c in found):
            yield f"{title}={value}", [c for c in found if c.at[place] == value]
    for norm in dict.fromkeys(c.at[1] for c in found):
        yield f"norm={norm}", [c for c in found if c.at[1] == norm]


def _auc(part: list[Cell], score: Any) -> str:
    scores = np.array([score(c.probe) for c in part])
    trains = np.array([c.trains for c in part], dtype=float)
    area = float(trends.aucs(scores, trains[None])[0])
    if np.isnan(area):
        return "one kind"
    rng = streams.generator(0, "statistics", "area under the curve of a probe's score")
    drawn = [rng.integers(len(part), size=len(part)) for _ in range(DRAWS)]
    areas = np.array([trends.aucs(scores[rows], trains[rows][None])[0] for rows in drawn])
    low, high = np.nanquantile(areas, [0.025, 0.975])
    return f"{area:.3f} [{low:.3f}, {high:.3f}]"


def calibration(found: list[Cell]) -> str:
    """The chance that was told against the share that trains, and Brier's score beside that of the base rate."""
    rows = []
    chances = np.array([c.probe["chance"] for c in found])
    trains = np.array([c.trains for c in found], dtype=float)
    for i, (low, high) in enumerate(itertools.pairwise(BINS)):
        inside = (chances >= low) & ((chances < high) | (i == len(BINS) - 2))
        if inside.any():
            share = stats.proportion(trains[inside].sum(), int(inside.sum()))
            interval = f"{share.value:.2f} [{share.low:.2f}, {share.high:.2f}]"
            rows.append([f"{low} to {high}", str(inside.sum()), f"{chances[inside].mean():.2f}", interval])
    brier, base = np.mean((chances - trains) ** 2), trains.mean() * (1 - trains.mean())
    return (
        table(["chance told", "cells", "mean", "trained"], rows)
        + f"\n\nBrier score {brier:.3f}; {base:.3f} of the base rate."
    )


def wrong(found: list[Cell]) -> str:
    rows = []
    for c in sorted((c for c in found if not c.right), key=lambda c: c.at):
        told = [c.probe["verdict"], f"{c.probe['risk']:.2f}", f"{_change(c.probe):+.1f}"]
        rows.append([*c.at, *told, f"{c.probe['layers'][-2]['rank']:.2f}", f"{c.accuracy:.2f}", f"{c.rate:g}"])
    header = ["arch", "norm", "depth", "act", "init", "verdict", "risk", "gradient", "rank", "accuracy", "best rate"]
    return table(header, rows) if rows else "None."


if __name__ == "__main__":
    sys.exit(answered(main, sys.argv[1:]))
