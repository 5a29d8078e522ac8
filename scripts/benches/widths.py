"""What the measurement of widths decides, by architecture: the same sweep with it and one by one, whole commands."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from scripts.benches.rows import Row, command

# Its data, and updates of a run, which take 10 to 40 s one by one on two cores. No run may diverge: alone, one that has
# costs nothing.
SWEEPS = {
    "mlp": ("digits", 2400),
    "cnn": ("digits", 240),
    "resmlp": ("digits", 1200),
    "resnet": ("digits", 120),
    "rnn": ("latch", 600),
    "lstm": ("latch", 160),
    "gru": ("latch", 160),
    "vit": ("digits", 160),
    "transformer": ("latch", 240),
}
WORDS = ["-m", "seed=range(8)", "optimizer.lr=0.01", "sweep.fresh=true"]
TAME = {"rnn": ["act=tanh", "init=xavier"]}


def rows(folder: Path, repeats: int, archs: Sequence[str]) -> Iterator[Row]:
    for arch in archs or SWEEPS:
        dataset, steps = SWEEPS[arch]
        words = [*WORDS, f"arch={arch}", f"dataset={dataset}", f"trainer.max_steps={steps}"]
        words += TAME.get(arch, [])
        chosen, lone, notes = [], [], []
        for _ in range(repeats):
            chosen.append(command([*words, f"hydra.sweep.dir={arch}"], folder)[0])
            notes.append(_noted(folder / arch))
            lone.append(command([*words, "sweep.stack_width=1", "hydra.sweep.dir=lone"], folder)[0])
        yield Row(f"8 runs of {arch}, {dataset}, {steps} updates", chosen, why="\n    ".join(notes))
        yield Row("  one by one", lone)
        yield Row("  ratio, pair by pair", [a / b for a, b in zip(chosen, lone, strict=True)], "times")


def _noted(sweep: Path) -> str:
    """What a sweep chose, and the measurement that it had."""
    with (sweep / "results.csv").open() as table:
        assert all(row["status"] == "done" for row in csv.DictReader(table)), f"{sweep.name}: a run diverged"
    (note,) = json.loads((sweep / "sweep.json").read_text())["widths"]
    updates = ", ".join(f"{1000 * seconds:.3g} ms of {width}" for width, seconds in note["update"].items())
    return f"stacks of {note['width']}, {note['workers']} workers of {note['threads']}: {updates}; {note['why']}"
