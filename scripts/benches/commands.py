"""Whole commands that train nothing, and what is written: how long each takes."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.benches.rows import ROOT, Row, command, timed

from initlab.specs import INITS

if TYPE_CHECKING:
    from initlab.planning.runs import Run

THOUSAND = ["-m", "init=xavier,kaiming", "act=relu,tanh", "optimizer.lr=0.1,0.03,0.01,3e-3,1e-3", "seed=range(50)"]
# every scheme that takes any net and any activation
SCHEMES = [name for name, spec in INITS.items() if not spec.facts.keys() & {"needs", "critical"}]
EVERY = ["-m", f"init={','.join(SCHEMES)}", "act=glob(*)", "optimizer.lr=0.1,0.01", "seed=range(4)"]
DRY = "sweep.dry_run=true"


def rows(folder: Path, repeats: int) -> Iterator[Row]:
    def row(what: str, call: Callable[[], object]) -> Row:
        return Row(what, [timed(call) for _ in range(repeats)])

    yield row("a refused override (init=xaveir)", lambda: command(["init=xaveir"], folder, 2))
    yield row("dry run of 1,000 runs over 4 axes", lambda: command([*THOUSAND, DRY], folder))
    yield row("dry run of schemes for any net and activations, each 8 x", lambda: command([*EVERY, DRY], folder))
    yield row("events of 500 runs x 200 points", lambda: _events(folder / "events"))
    for name in ("sgd", "adam"):
        yield row(f"a checkpoint of 64 runs, MLP 4x128, {name}", _checkpoint(folder / name, name))
    _synthetic(folder / "thousand")
    yield row("report of 1,000 runs x 1,000 points", lambda: _report(folder / "thousand"))


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
