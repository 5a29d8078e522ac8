#!/usr/bin/env python
"""Measure what initlab promises of speed, on this machine: python scripts/bench.py [PART ...] [--yardstick SWEEP.py]

    commands    what trains nothing: refusals, plans, events, checkpoints, reports
    sweeps      256 runs, in turn with a yardstick: a Hydra program of yours (see benches/sweeps.py)
    writing     how much of a sweep's time goes to its folder
    floor       the training of MLP 4x128 against its matrix products alone
    conv        16 conv nets, against one by one in two processes
    widths      8 runs of each architecture at the widths that were measured, against one by one
    large       one net of 10 million parameters, against plain Lightning
    gpu         one GPU: 512 runs against the yardstick's, one run, and the chip; growth; two streams
    growth      1 to 1,024 runs: time and memory; --figure draws it

What is compared is measured in turn, so that a drift of the machine's speed hits both.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the command has it

from scripts.benches import commands, floor, growth, nets, sweeps, widths, writing  # noqa: E402
from scripts.benches.rows import Note, Row  # noqa: E402

from initlab.command import answered  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="which of them; all, if none is given")
    parser.add_argument("--yardstick", type=Path, help="a sweep program to compare with")
    parser.add_argument("--yardstick-runs", type=int, default=8, help="how many of its runs to take")
    parser.add_argument(
        "--archs", nargs="+", choices=widths.SWEEPS, default=[], help="of `widths`; all, if none is given"
    )
    parser.add_argument("--figure", type=Path, help="a file for the curve of growth")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    parts: dict[str, Callable[[Path], Iterator[Row | Note]]] = {
        "commands": lambda folder: commands.rows(folder, args.repeats),
        "sweeps": lambda folder: sweeps.rows(folder, args.repeats, args.yardstick, args.yardstick_runs),
        "writing": lambda folder: writing.rows(folder, args.repeats),
        "floor": lambda folder: floor.rows(folder, args.repeats),
        "conv": lambda folder: nets.conv(folder, args.repeats),
        "widths": lambda folder: widths.rows(folder, args.repeats, args.archs),
        "large": lambda folder: nets.large(folder, args.repeats),
        "gpu": lambda folder: _gpu(folder, args.repeats, args.yardstick, args.yardstick_runs),
        "growth": lambda folder: growth.rows(folder, args.repeats, args.figure),
    }
    if unknown := set(args.parts) - set(parts):
        parser.error(f"{', '.join(sorted(unknown))}: no part. Known: {', '.join(parts)}.")
    print(f"Python {platform.python_version()}, torch {version('torch')}, lightning {version('lightning')}, {_cpu()}\n")
    print(f"{'what':<66}{'min':>9}{'median':>9}{'max':>9}")
    for part in args.parts or parts:
        with tempfile.TemporaryDirectory() as scratch:
            for row in parts[part](Path(scratch)):
                print(row, flush=True)
    return 0


def _gpu(*given: Any) -> Iterator[Row | Note]:
    from scripts.benches import gpu  # torch and lightning, for who asks

    return gpu.rows(*given)


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{models[0]} x {len(models)}" if models else platform.processor()


if __name__ == "__main__":
    sys.exit(answered(main, sys.argv[1:]))
