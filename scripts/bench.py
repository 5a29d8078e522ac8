#!/usr/bin/env python
"""Measure what initlab promises of speed, on this machine: python scripts/bench.py [--yardstick SWEEP.py] [--repeats 3]

A yardstick is any Hydra program that takes the same `-m init=... act=... seed=...`; it runs in turn with initlab, so
that a drift of the machine's speed hits both. All are whole commands as the user waits for them, start-up included.
"""

from __future__ import annotations

import argparse
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from initlab.command import answered  # noqa: E402
from initlab.specs import INITS  # noqa: E402

if TYPE_CHECKING:
    from initlab.planning.plan import Run

GRID = ["-m", "init=xavier,kaiming,lecun,orthogonal", "act=relu,tanh", "seed=range(8)"]
THOUSAND = ["-m", "init=xavier,kaiming", "act=relu,tanh", "optimizer.lr=0.1,0.03,0.01,3e-3,1e-3", "seed=range(50)"]
# every scheme that takes any net and any activation
SCHEMES = [name for name, spec in INITS.items() if not spec.facts.keys() & {"needs", "critical"}]
EVERY = ["-m", f"init={','.join(SCHEMES)}", "act=glob(*)", "optimizer.lr=0.1,0.01", "seed=range(4)"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--yardstick", type=Path, help="a sweep program to compare with")
    parser.add_argument(
        "--yardstick-runs", type=int, default=8, help="how many of its runs to take; the rest by proportion"
    )
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    print(f"Python {platform.python_version()}, torch {version('torch')}, lightning {version('lightning')}, {_cpu()}\n")
    print(f"{'what':<58}{'min':>8}{'median':>8}{'max':>8}  seconds")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _row("a refused override (init=xaveir)", args.repeats, lambda: _initlab(["init=xaveir"], folder, 2))
        _row("dry run of 1,000 runs over 4 axes", args.repeats, lambda: _initlab([*THOUSAND, _DRY], folder))
        _row(
            "dry run of schemes for any net and activations, each 8 x",
            args.repeats,
            lambda: _initlab([*EVERY, _DRY], folder),
        )
        _row("events of 500 runs x 200 points", args.repeats, lambda: _events(folder / "events"))
        for name in ("sgd", "adam"):
            _row(f"a checkpoint of 64 runs, MLP 4x128, {name}", args.repeats, _checkpoint(folder / name, name))
        _synthetic(folder / "thousand")
        _row("report of 1,000 runs x 1,000 points", args.repeats, lambda: _report(folder / "thousand"))
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"  of any program so far, most memory: {peak:.0f} MB")
        ours, theirs = [], []
        for _ in range(args.repeats):
            ours.append(_timed(lambda: _initlab([*GRID, "sweep.fresh=true", "hydra.sweep.dir=grid"], folder)))
            if args.yardstick:
                theirs.append(_yardstick(args.yardstick, args.yardstick_runs, folder))
        _print_row("64 runs, MLP 4x128, digits, 20 epochs", ours)
        if theirs:
            _print_row(f"the yardstick's 64 runs (start + 64 x its median of {args.yardstick_runs})", theirs)
            ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
            _print_row("ratio, pair by pair", ratios)
    return 0


_DRY = "sweep.dry_run=true"


def _row(what: str, repeats: int, call: Callable[[], object]) -> None:
    _print_row(what, [_timed(call) for _ in range(repeats)])


def _print_row(what: str, seconds: list[float]) -> None:
    print(f"{what:<58}{min(seconds):8.2f}{statistics.median(seconds):8.2f}{max(seconds):8.2f}", flush=True)


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _initlab(words: list[str], cwd: Path, rc: int = 0) -> None:
    done = subprocess.run([sys.executable, str(ROOT / "train.py"), *words], cwd=cwd, capture_output=True, text=True)
    if done.returncode != rc:
        raise SystemExit(f"exit code {done.returncode} of {' '.join(words)}:\n{done.stdout}{done.stderr}")


def _yardstick(program: Path, runs: int, cwd: Path) -> float:
    """Seconds of its 64 runs: the measured start, and 64 times the median of its `RUN name seconds ...` lines."""
    words = ["-m", "init=xavier,kaiming", "act=relu,tanh", f"seed=range({-(-runs // 4)})", "hydra.sweep.dir=theirs"]
    start = time.perf_counter()
    done = subprocess.run([sys.executable, str(program), *words], cwd=cwd, capture_output=True, text=True, check=True)
    wall = time.perf_counter() - start
    each = [float(line.split()[2]) for line in done.stdout.splitlines() if line.startswith("RUN ")]
    return wall - sum(each) + 64 * statistics.median(each)


def _events(folder: Path) -> None:
    from initlab.storage import events

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    points = [(step, 0.0, {"train/loss": 1 / step}) for step in range(1, 201)]
    for run in range(500):
        for first in range(0, 200, 10):  # ten blocks of points a run, as an epoch's end writes them
            events.append(folder / str(run), points[first : first + 10])


def _checkpoint(folder: Path, optimizer: str) -> Callable[[], None]:
    """Saves a stack as it is in the middle of its training."""
    from initlab.datasets import load
    from initlab.planning import plan
    from initlab.planning.compose import Composer
    from initlab.storage.record import describe
    from initlab.storage.store import Store
    from initlab.training.checkpoint import Checkpoint, packed
    from initlab.training.module import StackModule

    words = ["seed=range(64)", f"optimizer={optimizer}", "optimizer.momentum=0.9"][: 3 if optimizer == "sgd" else 2]
    planned = plan.make(Composer(ROOT / "conf"), [*words, f"hydra.sweep.dir={folder}"], multirun=True)
    module = StackModule([run.config for run in planned.runs], load(planned.runs[0].config["dataset"]))
    module.prepare()
    store = Store.open(planned, lambda: describe(ROOT, []))

    def save() -> None:
        checkpoint = Checkpoint(module.state, module.curves.whole(), module.initial_hashes, 0.0, module.intervals)
        store.save(planned.stacks[0].id, packed(checkpoint), int(1e6 * time.time()), 1)

    return save


def _synthetic(folder: Path) -> None:
    """A sweep of 1,000 runs as the store writes it: losses that fall by chance, 1,000 points of each metric."""
    import numpy as np

    from initlab.planning import plan as planning
    from initlab.planning.compose import Composer
    from initlab.storage.store import Store
    from initlab.training.curves import Series, packed

    plan = planning.make(Composer(ROOT / "conf", "config", None), [*THOUSAND[1:], f"hydra.sweep.dir={folder}"], True)
    rng, steps = np.random.default_rng(0), np.arange(1000)
    times = 1e9 + steps.astype(np.float64)
    with Store.open(plan, lambda: {"command": ["train.py", *THOUSAND], "created": "2026-01-01T00:00:00Z"}) as store:
        for stack in plan.stacks:
            level = 0.5 + rng.random(len(stack.runs))[:, None]
            loss = level * np.exp(-steps / 300) + 0.1 * rng.random((len(stack.runs), len(steps)))
            values = {"train/loss": loss, "val/loss": loss, "val/accuracy": 1 - loss / 2, "test/loss": loss[:, -1:]}
            values["test/accuracy"] = 1 - values["test/loss"] / 2
            for run in stack.runs:
                store.begin(run)
            curves = {}
            for metric, of in values.items():
                at = slice(len(steps) - of.shape[1], None)
                curves[metric] = Series(steps[at], 32 * steps[at], times[at], of)
            records = [_record(r, run, stack.id, values) for r, run in enumerate(stack.runs)]
            store.commit(records, stack.id, packed(curves, [run.key for run in stack.runs]))


def _record(r: int, run: Run, stack: str, values: Mapping[str, Any]) -> dict[str, Any]:
    final = {metric: float(of[r, -1]) for metric, of in values.items()}
    best = {metric: value for metric, value in final.items() if metric.startswith("val/")}
    record = {"schema": 1, "key": run.key, "name": run.name, "folder": f"runs/{run.name}", "axes": dict(run.choices)}
    record |= {"ended": 1e9, "status": "done", "final": final, "best": best, "metric": "val/accuracy"}
    record |= {"direction": "max", "steps": 999, "samples": 999 * 32, "seconds": 1.0, "device": "cpu"}
    return record | {"initial_weights": run.key * 4, "curves": f"curves/{stack}.npz", "data": run.fingerprint}


def _report(folder: Path) -> None:
    subprocess.run([sys.executable, str(ROOT / "scripts" / "report.py"), str(folder)], check=True, capture_output=True)


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{models[0]} x {len(models)}" if models else platform.processor()


if __name__ == "__main__":
    sys.exit(answered(main, sys.argv[1:]))
