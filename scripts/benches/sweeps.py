"""A sweep of 256 runs, whole commands, in turn with a yardstick: the same data, net, batches, epochs, points, events.

A yardstick is any Hydra program that takes `-m init=... act=... seed=... width=... batch_size=...` and prints a line
`RUN name seconds val_loss` a run. Of its runs some are trained, and the rest is taken to go on as their median does.
"""

from __future__ import annotations

import csv
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from scripts.benches.rows import Row, command

GRID = ["-m", "init=xavier,kaiming,lecun,orthogonal", "act=relu,tanh", "seed=range(32)"]
RUNS = 4 * 2 * 32
# Of 1,797 digits the first 1,500 to train on: 12 batches of 125 and nothing left over, here as there.
TRAIN, BATCH = 1500, 125


def rows(folder: Path, repeats: int, yardstick: Path | None, runs: int) -> Iterator[Row]:
    write_digits(folder / "digits.npz")
    data = ["dataset=npz", "dataset.path=digits.npz", f"dataset.batch_size={BATCH}"]
    for width in (32, 128):
        ours, theirs, losses = [], [], []
        for _ in range(repeats):
            words = [*GRID, *data, f"arch.width={width}", "sweep.fresh=true", f"hydra.sweep.dir=w{width}"]
            ours.append(command(words, folder)[0])
            if yardstick is not None:
                seconds, found = _yardstick(yardstick, runs, width, folder)
                theirs.append(seconds)
                losses += found
        yield Row(f"{RUNS} runs, MLP 4x{width}, digits, 20 epochs", ours, why=_stages(folder))
        if theirs:
            yield Row(f"the yardstick's, of {runs} runs", theirs)
            yield Row("ratio, pair by pair", [b / a for a, b in zip(ours, theirs, strict=True)], "times")
            yield Row("val/loss: the same cells here", _losses(folder / f"w{width}"), "nats")
            yield Row("val/loss: the yardstick's runs", losses, "nats")


def write_digits(path: Path) -> None:
    """The rows in their order, as the yardstick cuts them."""
    import numpy as np

    from initlab.datasets.embedded import digits

    rows = digits()
    x, y = (rows.x / rows.unit).astype(np.float32), rows.y
    held = {"x_val": x[TRAIN:], "y_val": y[TRAIN:], "x_test": x[TRAIN:], "y_test": y[TRAIN:]}
    np.savez(path, allow_pickle=False, x_train=x[:TRAIN], y_train=y[:TRAIN], **held)


def _stages(folder: Path) -> str:
    """What the command said of its stacks, the last time."""
    lines = [line for line in (folder / "said").read_text().splitlines() if line.startswith("as measured")]
    return lines[-1] if lines else ""


def _losses(folder: Path) -> list[float]:
    with (folder / "results.csv").open() as table:
        cells = [row for row in csv.DictReader(table) if row["init"] in ("xavier", "kaiming")]
    return [float(row["final val/loss"]) for row in cells]


def _yardstick(program: Path, runs: int, width: int, cwd: Path) -> tuple[float, list[float]]:
    """Seconds of its `RUNS` runs: until its first begins, and as many times the median from one's end to the next's."""
    words = ["init=xavier,kaiming", "act=relu,tanh", f"seed=range({-(-runs // 4)})", f"width={width}"]
    start = time.perf_counter()
    said = yardstick_said(program, words, cwd)
    ends = [at for at, _ in said]
    each = statistics.median(b - a for a, b in pairwise(ends))
    return ends[0] - each - start + RUNS * each, [float(words[3]) for _, words in said]


def yardstick_said(program: Path, words: Sequence[str], cwd: Path) -> list[tuple[float, list[str]]]:
    """Of each of its runs, when it ended and the words of its line: RUN, name, seconds, val_loss."""
    words = ["-m", *words, f"batch_size={BATCH}", "hydra.sweep.dir=theirs"]
    with subprocess.Popen(
        [sys.executable, str(program), *words], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        return [(time.perf_counter(), line.split()) for line in process.stdout if line.startswith("RUN ")]
