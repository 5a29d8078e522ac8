"""Sweeps that are stopped and started again, in this process, and what "equal to the undisturbed one" means.

Only what a clock says may differ: `ended` and `seconds` of a record, the times of points and events.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event

from initlab import events, plan, sweep
from initlab.compose import Composer
from initlab.folder import read
from initlab.plan import Plan
from initlab.store import Store

ROOT = Path(__file__).resolve().parent.parent
# Two stacks of two runs, two epochs of four batches and half of a third; a point at each step.
WORDS = ["init=xavier,kaiming", "act=relu,tanh", "dataset=gaussian", "dataset.samples=200", "dataset.batch_size=32"]
WORDS += ["dataset.features=4", "arch.width=8", "arch.depth=1", "trainer.max_steps=10", "trainer.log_every_n_steps=1"]
WORDS += ["optimizer=adam", "arch.norm=batch", "trainer.accelerator=cpu", "sweep.checkpoint_every=0"]


class Killed(BaseException):
    """The process ends here, as far as the code under test can tell."""


def made(folder: Path, *words: str, base: list[str] = WORDS) -> Plan:
    return plan.make(Composer(ROOT / "conf"), [*base, f"hydra.sweep.dir={folder}", *words], True)


def train(planned: Plan) -> dict[str, int]:
    with Store.open(planned, lambda: {"command": ["python", "train.py"], "created": "2026-01-01T00:00:00Z"}) as store:
        return dict(sweep.run(store))


def numbers(folder: Path) -> dict[str, Any]:
    """Everything that a sweep says in its folder, but for what a clock says."""
    found: dict[str, Any] = {"table": _without_seconds((folder / "results.csv").read_text())}
    for record in read(folder).records:
        place = folder / record["folder"]
        assert json.loads((place / "result.json").read_text()) == record
        found[record["name"]] = {k: v for k, v in record.items() if k not in ("ended", "seconds")}
        weights = place / "weights.safetensors"
        found[f"{record['name']} weights"] = weights.read_bytes() if weights.exists() else None
        found[f"{record['name']} config"] = (place / "config.yaml").read_text()
        found[f"{record['name']} events"] = shown(place / events.FILE_NAME)
    for file in sorted((folder / "curves").iterdir()):
        with np.load(file) as arrays:
            kept = [name for name in arrays.files if not name.endswith(".time")]
            found[file.name] = {name: (arrays[name].dtype.str, arrays[name].tobytes()) for name in kept}
    return found


def shown(path: Path) -> list[tuple[int, list[tuple[str, float]]]]:
    """The events of a file: step, tags and values. The steps have to increase."""
    if not path.exists():
        return []
    found = [Event.FromString(data) for data in events._payloads(path)]
    assert found[0].file_version == events.VERSION
    points = [(event.step, [(v.tag, v.simple_value) for v in event.summary.value]) for event in found[1:]]
    steps = [step for step, _ in points]
    assert steps == sorted(set(steps))
    return points


def assert_equal(folder: Path, undisturbed: Path) -> None:
    here, there = numbers(folder), numbers(undisturbed)
    assert here.keys() == there.keys()
    assert not [name for name in here if here[name] != there[name]]


def _without_seconds(table: str) -> list[str]:
    return [line.rsplit(",", 1)[0] for line in table.splitlines()]
