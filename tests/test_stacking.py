"""Open stacks are cut by a rehearsal, once: what it chose is in sweep.json, and who goes on keeps to it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from faults import Killed, assert_equal, made, opened, train
from initlab.config import Config
from initlab.datasets import Data
from initlab.errors import Refused
from initlab.executors import layout as layout_module
from initlab.executors.here import Here
from initlab.executors.items import Rehearse
from initlab.executors.layout import Layout
from initlab.executors.pool import pool
from initlab.executors.zygote import Zygote
from initlab.reporting.wording import count
from initlab.training import preflight, rehearsal, stacking, sweep
from initlab.training.module import StackModule
from initlab.training.rehearsal import Timed

OPEN = ["sweep.stack_width=auto", "trainer.max_steps=10"]
SIX = ["seed=range(6)", "act=relu,tanh", *OPEN]
COSTS = {1: 1.0, 2: 1.5, 4: 2.2, 6: 6.0}  # of an update: four at once are the cheapest


def said(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "sweep.json").read_text())


@pytest.fixture
def costs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """Updates cost what is written above, on any number of threads; which of what was asked, activation by width."""
    asked = []

    def update(configs: Sequence[Config], data: Data, graphs: bool) -> Timed:
        asked.append((configs[0]["act"]["name"], len(configs), torch.get_num_threads()))
        return Timed(60, COSTS[len(configs)])

    monkeypatch.setattr(rehearsal, "_update", update)
    monkeypatch.setattr(stacking, "SHARE", 100.0)
    return asked


def test_the_width_that_costs_least_is_taken_and_noted(tmp_path: Path, costs: list[Any]) -> None:
    before = torch.get_num_threads()
    assert train(made(tmp_path, *SIX)) == {"done": 12}
    held = said(tmp_path)
    assert [stack["width"] for stack in held["stacks"]] == [3, 3, 3, 3] and "open" not in str(held["stacks"])
    assert {width for _, width, _ in costs} == {1, 2, 4, 6} and {act for act, _, _ in costs} == {"relu", "tanh"}
    for note in held["widths"]:
        assert note.items() >= {"runs": 6, "width": 3, "workers": 1, "why": "these are all"}.items()
        assert note["update"] == {"1": 1.0, "2": 0.75, "4": 0.55, "6": 1.0}
    assert held["device"]["threads"] == held["widths"][0]["threads"]
    assert torch.get_num_threads() == before


class Timing(Here):
    """The workers that time, all in this process."""

    def __init__(self, layout: Layout, *_: Any) -> None:
        super().__init__(torch.get_num_threads())
        self.count = layout.workers


@pytest.mark.parametrize(
    ("workers", "threads", "cores", "told"),
    [
        ("auto", 1, 2, "4 stacks of 3 runs; 2 workers of 1 thread"),  # OMP_NUM_THREADS=1 takes no core away
        ("auto", 2, 2, "4 stacks of 3 runs; 2 workers of 1 thread"),  # two threads at best halve an update: not tried
        ("auto", 2, 8, "4 stacks of 3 runs; 4 workers of 2 threads"),
        ("auto", 8, 8, "4 stacks of 3 runs; 1 worker of 8 threads"),
        ("2", 2, 2, "4 stacks of 3 runs; 2 workers of 1 thread"),  # as told, and no more threads than cores
        ("9", 2, 2, "6 stacks of 2 runs; 6 workers of 1 thread"),
        ("1", 2, 2, "4 stacks of 3 runs; 1 worker of 2 threads"),
    ],
)
def test_the_workers_that_are_told_of_are_those_that_train(
    workers: str, threads: int, cores: int, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Threads help more than workers do here, wherever there may be several."""

    def update(configs: Sequence[Config], data: Data, graphs: bool) -> Timed:
        return Timed(60, COSTS[len(configs)] / torch.get_num_threads() ** 2)

    def trained(layout: Layout, store: Any) -> Any:
        used.append(layout)
        raise Killed

    used: list[Layout] = []
    at = [threads]
    monkeypatch.setattr(rehearsal, "_update", update)
    monkeypatch.setattr(stacking, "SHARE", 100.0)
    monkeypatch.setattr(stacking, "pool", Timing)
    monkeypatch.setattr(sweep, "pool", trained)
    monkeypatch.setattr(Zygote, "was_threaded", False)
    for module in (layout_module, stacking):
        monkeypatch.setattr(module, "cores", lambda: cores)
    monkeypatch.setattr(torch, "get_num_threads", lambda: at[-1])
    monkeypatch.setattr(torch, "set_num_threads", at.append)
    with pytest.raises(Killed):
        train(made(tmp_path, *SIX, f"sweep.workers={workers}"))
    (layout,) = used
    words = f"{count(layout.workers, 'worker')} of {count(layout.threads, 'thread')}"
    assert capsys.readouterr().out == f"as measured: {told}\n" and told.endswith(words)
    assert {note["workers"] for note in said(tmp_path)["widths"]} == {layout.workers}


def test_stacks_are_told_of_as_wide_as_they_are() -> None:
    """60 runs in 8 stacks are four of 8 and four of 7."""
    assert stacking.of_widths([[8, 8, 8, 8, 7, 7, 7, 7]]) == "8 stacks of up to 8 runs"
    assert stacking.of_widths([[1], [4, 4], [4, 3], [5, 5]]) == (
        "1 stack of 1 run, 4 stacks of up to 4 runs, 2 stacks of 5 runs"
    )


def test_who_goes_on_and_who_grows_keep_the_stacks(
    tmp_path: Path, costs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = StackModule.on_train_epoch_start

    def killed(self: StackModule) -> None:
        if self.configs[0]["act"]["name"] == "tanh":
            raise Killed
        whole(self)

    with monkeypatch.context() as patch:
        patch.setattr(StackModule, "on_train_epoch_start", killed)
        with pytest.raises(Killed):
            train(made(tmp_path / "s", *SIX))
    begun, timed = said(tmp_path / "s"), len(costs)
    assert train(made(tmp_path / "s", *SIX)) == {"done": 12}
    assert said(tmp_path / "s")["stacks"] == begun["stacks"] and len(costs) == timed
    train(made(tmp_path / "undisturbed", *SIX))
    assert_equal(tmp_path / "s", tmp_path / "undisturbed")
    assert train(made(tmp_path / "s", "seed=range(7)", *SIX[1:])) == {"done": 14}
    grown = said(tmp_path / "s")
    assert grown["stacks"][:4] == begun["stacks"] and [stack["width"] for stack in grown["stacks"][4:]] == [1, 1]
    assert grown["widths"][:2] == begun["widths"] and len(grown["widths"]) == 4
    assert grown["device"]["threads"] == begun["device"]["threads"]


def test_a_given_width_is_not_questioned(tmp_path: Path, costs: list[Any]) -> None:
    train(made(tmp_path, *SIX, "sweep.stack_width=4"))
    assert [stack["width"] for stack in said(tmp_path)["stacks"]] == [3, 3, 3, 3]
    assert not costs and "widths" not in said(tmp_path)


def test_what_cannot_be_timed_is_trained_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(configs: Sequence[Config], data: Data, graphs: bool) -> Timed:
        raise ValueError("not today")

    monkeypatch.setattr(rehearsal, "_update", raises)
    assert train(made(tmp_path, *SIX)) == {"done": 12}
    assert [stack["width"] for stack in said(tmp_path)["stacks"]] == [6, 6]
    assert {note["why"] for note in said(tmp_path)["widths"]} == {"it could not be timed"}


def test_what_is_too_large_to_be_timed_is_trained_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def large(configs: Sequence[Config], data: Data, graphs: bool) -> Timed:
        raise MemoryError

    monkeypatch.setattr(rehearsal, "_update", large)
    assert train(made(tmp_path, *SIX)) == {"done": 12}
    assert {stack["width"] for stack in said(tmp_path)["stacks"]} == {1}
    assert {note["why"] for note in said(tmp_path)["widths"]} == {stacking.LARGE}


def test_workers_time_together_and_train(tmp_path: Path) -> None:
    """With nothing made up: whatever is measured, every run is trained, and sweep.json says how."""
    assert train(made(tmp_path, *SIX, "sweep.workers=2")) == {"done": 12}
    held = said(tmp_path)
    assert sum(stack["width"] for stack in held["stacks"]) == 12
    for note in held["widths"]:
        assert note["update"].keys() >= {"1"} and all(spent > 0 for spent in note["update"].values())


def test_a_rehearsal_stops_where_gains_memory_or_time_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    configs = tuple(run.config for run in made(tmp_path, *SIX).stacks[0].runs)

    def update(configs: Sequence[Config], data: Data, graphs: bool) -> Timed:
        if len(configs) > 2:
            raise MemoryError
        return Timed(60, 1e-6)

    def found(share: float) -> dict[str, Any]:
        outcome = rehearsal.timed(Rehearse("s", configs, 10**9, 1, share))
        assert outcome.how == "done"
        return dict(outcome.found)

    monkeypatch.setattr(rehearsal, "_update", lambda configs, *_: Timed(60, 1e-6 * len(configs)))
    assert found(1.0) == {"steps": 60, "seconds": [(1, 1e-6), (2, 2e-6), (4, 4e-6)], "why": "wider ones gain nothing"}
    monkeypatch.setattr(rehearsal, "_update", update)
    assert found(1.0) == {"steps": 60, "seconds": [(1, 1e-6), (2, 1e-6)], "why": "4 do not fit into memory"}
    assert found(0.0)["why"] == "wider ones would take more than 0 % of the time"
    monkeypatch.setattr(rehearsal, "fits", lambda times, device: False)
    assert found(1.0)["why"] == "wider ones might not fit into memory"


def test_the_first_width_is_timed_again_where_a_gain_is_in_doubt(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A process grows warm: what gains little of a cold one's update may be no gain."""
    configs = tuple(run.config for run in made(tmp_path, *SIX).stacks[0].runs)
    for wider, seen in ((1.8, 0.9), (1.2, 1.0)):
        lone = iter([1.0, 0.9])
        cost = {2: wider, 4: 2 * wider, 6: 3 * wider}
        monkeypatch.setattr(
            rehearsal, "_update", lambda c, *_, lone=lone, cost=cost: Timed(60, cost.get(len(c)) or next(lone))
        )
        outcome = rehearsal.timed(Rehearse("s", configs, 10**9, 1, 1.0))
        assert outcome.found["seconds"][0] == (1, seen)


def test_a_rehearsal_trains_nothing(tmp_path: Path) -> None:
    """Rates that would make a run diverge do not, and the weights are not drawn: a scheme may take long, or raise."""
    planned = made(tmp_path, *SIX, "optimizer.lr=1e30", "init=lsuv")
    configs = tuple(run.config for run in planned.stacks[0].runs)
    outcome = rehearsal.timed(Rehearse("s", configs, len(configs), 1, 1.0))
    assert outcome.how == "done" and [width for width, _ in outcome.found["seconds"]][:2] == [1, 2]
    assert not (tmp_path / "runs").exists()


def test_no_fork_computes_on_threads_where_its_parent_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would wait for OpenMP's threads, which a fork does not have."""
    monkeypatch.setattr(Zygote, "was_threaded", False)
    plan, used = made(tmp_path, *SIX), []
    monkeypatch.setattr(preflight, "check_net", lambda *_: used.append(torch.get_num_threads()))
    torch.set_num_threads(2)
    try:
        preflight.check(plan)
        assert set(used) == {1} and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    with opened(plan) as store:
        layout = Layout("local", 2, 1)
        assert pool(layout, store, 2).transport.forks
        Here(1).give(Rehearse("", (), 1, threads=2, share=1.0))
        assert pool(layout, store).transport.forks and not pool(layout, store, 2).transport.forks


def test_threads_are_held_once_something_trains_and_are_not_without_bound(tmp_path: Path, costs: list[Any]) -> None:
    with opened(made(tmp_path, *SIX)) as store:
        assert stacking.threads(store) is None  # though sweep.json has a first guess
        stacking.settle(store, lambda _: None)
        assert stacking.threads(store) == said(tmp_path)["device"]["threads"]
    for threads in (0, 10**6, "2", None):
        (tmp_path / "sweep.json").write_text(json.dumps(said(tmp_path) | {"device": {"threads": threads}}))
        with pytest.raises(Refused, match=r"device: threads=.*an integer >= 1 and <= 1024"):
            train(made(tmp_path, *SIX))
