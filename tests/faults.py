"""Sweeps that are stopped and started again, in this process, and what "equal to the undisturbed one" means.

Only what a clock says may differ: `ended` and `seconds` of a record, the times of points and events.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tensorboard.compat.proto.event_pb2 import Event

from initlab.planning import plan
from initlab.planning.compose import Composer
from initlab.planning.plan import Plan
from initlab.storage import events
from initlab.storage.folder import read
from initlab.storage.store import Store
from initlab.training import sweep
from initlab.training import updates as updating

ROOT = Path(__file__).resolve().parent.parent
TINY = ["dataset=gaussian", "dataset.samples=200", "dataset.features=4", "dataset.batch_size=32", "arch.width=8"]
TINY += ["arch.depth=1", "arch.norm=batch", "optimizer=adam", "trainer.log_every_n_steps=1", "trainer.accelerator=cpu"]
TINY += ["sweep.checkpoint_every=0", "sweep.workers=1", "sweep.stack_width=64"]
# Two stacks of two runs, two epochs of four batches and half of a third.
SWEEP = ["init=xavier,kaiming", "act=relu,tanh", "trainer.max_steps=10"]


class Killed(BaseException):
    """The process ends here, as far as the code under test can tell."""


@cache
def _planned(words: tuple[str, ...]) -> Plan:
    return plan.make(Composer(ROOT / "conf"), [*TINY, *words], True)


def made(folder: Path, *words: str) -> Plan:
    """The plan of the words, which is made once, in a folder."""
    return replace(_planned(words or tuple(SWEEP)), folder=folder)


def opened(planned: Plan) -> Store:
    return Store.open(planned, lambda: {"command": ["python", "train.py"], "created": "2026-01-01T00:00:00Z"})


def train(planned: Plan) -> dict[str, int]:
    with opened(planned) as store:
        return dict(sweep.run(store))


@contextmanager
def updates(most: int | None = None) -> Iterator[list[int]]:
    """The steps that are made in here, by number; after so many of them the process ends."""
    whole, steps = updating.step, []

    def step(program: Any, state: Any, *batch: Any) -> Any:
        if len(steps) == most:
            raise Killed
        steps.append(state.t + 1)
        return whole(program, state, *batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(updating, "step", step)
        yield steps


def numbers(folder: Path) -> dict[str, dict[str, Any]]:
    """By run, everything that the folder says of it, but for what a clock says."""
    sweep, found = read(folder), {}
    rows = {row["key"]: row for row in csv.DictReader((folder / "results.csv").read_text().splitlines())}
    for record in sweep.records:
        place = folder / record["folder"]
        assert json.loads((place / "result.json").read_text()) == record
        found[record["name"]] = {
            "record": {k: v for k, v in record.items() if k not in ("ended", "seconds")},
            "row": {k: v for k, v in rows[record["key"]].items() if k != "seconds"},
            "config": (place / "config.yaml").read_text(),
            "events": shown(place / events.FILE_NAME),
        }
        if record["status"] != "failed":
            curves = {m: (s.tobytes(), v.tobytes()) for m, (s, v) in sweep.curves(record).items()}
            weights = (place / "weights.safetensors").read_bytes()
            found[record["name"]] |= {"curves": curves, "weights": weights}
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
    apart = [(name, part) for name in here for part in here[name] if here[name][part] != there[name][part]]
    assert not apart, [(*where, here[where[0]][where[1]], there[where[0]][where[1]]) for where in apart[:1]]
