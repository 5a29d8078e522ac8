"""A run that turns non-finite or raises, in a stack of 64: the other 63 are exactly what they are without it."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from conftest import small
from faults import Killed, assert_equal, made, numbers, opened, train
from initlab.command import _exit_code
from initlab.config import Config
from initlab.datasets import load
from initlab.executors import here
from initlab.executors.items import Item, Outcome
from initlab.storage import store
from initlab.storage.folder import read
from initlab.training import updates as updating
from initlab.training.module import StackModule
from initlab.training.train import fit
from initlab.views import tables

WIDTH, STEPS, BAD_AT = 64, 6, 4
OPTIMIZERS: dict[str, dict[str, Any]] = {"sgd": {"name": "sgd"}, "adam, clip": {"name": "adam", "clip": 0.05}}


def every_run(*quick: int) -> pytest.MarkDecorator:
    """One run after the other; only a few of them in the default suite."""
    return pytest.mark.parametrize(
        "bad", [pytest.param(r, marks=() if r in quick else pytest.mark.torture) for r in range(WIDTH)]
    )


class Poisoned(StackModule):
    """The rows of one run's ``BAD_AT``-th batch are not finite."""

    bad, value = 0, math.nan

    def prepare(self, rehearsal: bool = False) -> None:
        super().prepare(rehearsal)
        take = self.rows.take

        def taken(i: int) -> tuple[Tensor, Tensor]:
            x, y = take(i)
            if self.state.t == BAD_AT - 1:
                x[self.bad] = self.value
            return x, y

        self.rows.take = taken  # type: ignore[method-assign]


def configs(optimizer: str) -> list[Config]:
    return [
        small(seed, arch={"depth": 1, "width": 8}, optimizer=OPTIMIZERS[optimizer], trainer={"max_steps": STEPS})
        for seed in range(WIDTH)
    ]


@cache
def healthy(optimizer: str) -> StackModule:
    whole = StackModule(configs(optimizer), load(small()["dataset"]))
    fit(whole)
    return whole


@every_run(0, 41)
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_run_that_is_poisoned_is_named_and_touches_no_other(optimizer: str, value: float, bad: int) -> None:
    there = healthy(optimizer)
    here = Poisoned(configs(optimizer), there.data)
    here.bad, here.value = bad, value
    fit(here)
    others = [r for r in range(WIDTH) if r != bad]
    assert here.state.diverged_at.tolist() == [BAD_AT if r == bad else 0 for r in range(WIDTH)]
    assert here.state.diverged_in[bad] == 0  # the loss, which the parameters follow
    for name, p in there.state.params.items():
        assert torch.equal(here.state.params[name][others], p[others]) and here.state.params[name][bad].isfinite().all()
    for metric, series in there.curves.whole().items():
        np.testing.assert_array_equal(here.curves.whole()[metric].values[others], series.values[others])


# --- a run that raises ---


def raising_draw(bad: int) -> Callable[..., Any]:
    whole = StackModule._initial

    def initial(self: StackModule, net: Any, r: int, *data: Tensor) -> Any:
        if self.configs[r]["init_seed"] == bad:
            raise RuntimeError(f"no weights for seed {bad}")
        return whole(self, net, r, *data)

    return initial


def raising_step(bad: int) -> Callable[..., Any]:
    """As long as the run is trained nobody can say which one it is that raises."""
    whole = updating.step

    def step(program: Any, state: Any, x: Any, y: Any, spare: Any) -> Any:
        if state.t == 2 and state.alive[bad]:
            raise RuntimeError(f"no step for seed {bad}")
        return whole(program, state, x, y, spare)

    return step


WORDS = [f"seed=range({WIDTH})", "trainer.max_steps=5", "sweep.checkpoint_every=100"]
HOW = {"sgd": ["optimizer=sgd"], "adam, clip": ["optimizer=adam", "optimizer.clip=0.05"]}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, dict[str, Any]]]:
    @cache
    def trained(optimizer: str) -> dict[str, dict[str, Any]]:
        folder = tmp_path_factory.mktemp("undisturbed") / "s"
        train(made(folder, *WORDS, *HOW[optimizer]))
        return comparable(folder)

    return trained


def comparable(folder: Path) -> dict[str, dict[str, Any]]:
    """The runs that are done; which others a curves file holds says nothing of a run."""
    found = {name: said for name, said in numbers(folder).items() if said["record"]["status"] == "done"}
    for said in found.values():
        del said["record"]["curves"]
    return found


@every_run(41)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("where", ["draw", "step"])
def test_a_run_that_raises_is_failed_and_touches_no_other(
    where: str,
    optimizer: str,
    bad: int,
    undisturbed: Callable[[str], dict[str, dict[str, Any]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = undisturbed(optimizer)
    planned = made(tmp_path / "s", *WORDS, *HOW[optimizer])
    if where == "draw":
        monkeypatch.setattr(StackModule, "_initial", raising_draw(bad))
    else:
        monkeypatch.setattr(updating, "step", raising_step(bad))
    assert train(planned) == {"done": WIDTH - 1, "failed": 1}
    assert comparable(tmp_path / "s") == {name: said for name, said in there.items() if name != f"seed={bad}"}
    assert _exit_code(planned) == 3
    (failed,) = [record for record in read(tmp_path / "s").records if record["status"] == "failed"]
    assert failed["name"] == f"seed={bad}" and failed["error"].endswith(f"for seed {bad}")
    assert numbers(tmp_path / "s")[f"seed={bad}"]["row"]["status"] == "failed"
    assert f"seed={bad} failed: {failed['error']}" in tables.results(tmp_path / "s").splitlines()


def test_what_failed_is_trained_again_in_its_old_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When asked: its lane in a stack of the same width, so that it is what it would have been with the others."""
    words = ["seed=range(5)", "trainer.max_steps=5"]
    train(made(tmp_path / "whole", *words))
    with monkeypatch.context() as patch:
        patch.setattr(StackModule, "_initial", raising_draw(3))
        assert train(made(tmp_path / "s", *words)) == {"done": 4, "failed": 1}
    again = made(tmp_path / "s", *words, "sweep.retry=failed")
    assert [run.name for run in store.missing(again)] == ["seed=3"]
    assert train(again) == {"done": 5}
    here, there = comparable(tmp_path / "s"), comparable(tmp_path / "whole")
    del here["seed=3"]["config"], there["seed=3"]["config"]  # sweep.retry is one of its words
    assert here == there


def test_only_memory_changes_a_width_and_the_folder_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack of 5 does not fit, its halves do: they are stacks of 2 and 3 from then on, in the next command too."""
    whole = updating.step

    def step(program: Any, state: Any, x: Any, y: Any, spare: Any) -> Any:
        if len(state.alive) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(program, state, x, y, spare)

    planned = made(tmp_path / "s", "seed=range(5)", "trainer.max_steps=5")
    monkeypatch.setattr(updating, "step", step)
    assert train(planned) == {"done": 5}
    assert [stack["width"] for stack in read(tmp_path / "s").description["stacks"]] == [2, 3]
    with opened(planned) as entered:
        assert [len(stack.runs) for stack in entered.plan.stacks] == [2, 3]


def test_a_half_that_does_not_fit_leaves_the_other_half_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack of 4 raises, and then its first half runs out of memory while the second waits: nobody trains twice."""
    whole, ends = here.carried_out, [Outcome("raised", "ValueError"), Outcome("raised", "MemoryError", memory=True)]
    trained: list[str] = []

    def carried_out(item: Item, outlet: Any) -> Outcome:
        if ends:
            return ends.pop(0)
        trained.extend(run.key for run in item.runs)
        return whole(item, outlet)

    monkeypatch.setattr(here, "carried_out", carried_out)
    planned = made(tmp_path / "s", "seed=range(4)", "trainer.max_steps=5")
    assert train(planned) == {"done": 4}
    assert sorted(trained) == sorted(run.key for run in planned.runs)


def test_a_stack_is_split_once_nothing_of_it_trains_in_the_old_width(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stack of 4 raises and its first half does not fit: stopped in its other half, the sweep goes on there."""
    whole, stopping = updating.step, [False]

    def step(program: Any, state: Any, x: Any, y: Any, spare: Any) -> Any:
        alive = state.alive.tolist()
        if sum(alive) == 4:
            raise RuntimeError("one of them")
        if alive == [True, True, False, False]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        if stopping[0] and state.t == 3:
            raise Killed
        return whole(program, state, x, y, spare)

    monkeypatch.setattr(updating, "step", step)
    words = ["seed=range(4)", "trainer.max_steps=5"]
    assert train(made(tmp_path / "whole", *words)) == {"done": 4}
    stopping[0] = True
    with pytest.raises(Killed):
        train(made(tmp_path / "s", *words))
    assert [stack["width"] for stack in read(tmp_path / "s").description["stacks"]] == [4]
    stopping[0] = False
    assert train(made(tmp_path / "s", *words)) == {"done": 4}
    assert "passed over" not in capsys.readouterr().out
    assert [stack["width"] for stack in read(tmp_path / "s").description["stacks"]] == [2, 2]
    assert_equal(tmp_path / "s", tmp_path / "whole")
