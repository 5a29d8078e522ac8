"""Updates that are recorded and replayed are those that are done, on a CPU that `recorder` makes like a GPU."""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from conftest import small
from faults import made, train
from initlab.config import Config
from initlab.datasets import Data
from initlab.executors.items import Item
from initlab.specs import ACTS, ARCHS, OPTIMIZERS
from initlab.training import graphs, sweep
from initlab.training.module import Chunk, StackModule
from initlab.training.train import fit
from initlab.training.updates import Resident
from nets import data_for, small_arch
from recorder import as_a_gpu

STEPS = 13  # of epochs of 8: another schedule's factor, order and batch each time, and an end within an epoch
SGD = {"name": "sgd", "momentum": 0.5, "nesterov": True, "weight_decay": 0.01, "clip": 0.1, "warmup": 0.5}
BATCH_NORM = small_arch("mlp", norm="batch")
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    **{f"arch={name}": (small_arch(name), SGD) for name in ARCHS},
    **{
        f"optimizer={name}": (small_arch("mlp", norm="batch"), {"name": name, "schedule": "cosine"})
        for name in OPTIMIZERS
    },
}


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[graphs.Choice]:
    """Every choice that is made."""
    return as_a_gpu(monkeypatch)


def configs_of(arch: dict[str, Any], optimizer: dict[str, Any], act: str = "tanh") -> list[Config]:
    """Three runs, the second of which diverges, but where it is clipped."""
    trainer = {"max_steps": STEPS, "probe_every": 4}
    lr = [0.01, 1e300, 0.02]
    return [
        small(seed, optimizer=optimizer | {"lr": lr[seed]}, trainer=trainer, act={"name": act}) | {"arch": arch}
        for seed in range(3)
    ]


def trained(configs: list[Config], data: Data, graphs: bool) -> StackModule:
    module = StackModule(configs, data, graphs=graphs)
    fit(module)
    return module


def assert_equal(a: StackModule, b: StackModule) -> None:
    """Every tensor of the state, and every curve, bit for bit."""
    for some, others in ((a.state.params, b.state.params), (a.state.buffers, b.state.buffers)):
        assert some.keys() == others.keys()
        for name in some:
            assert torch.equal(some[name], others[name]), name
    for name, kept in a.state.slots.items():
        assert all(map(torch.equal, kept, b.state.slots[name])), name
    assert a.state.t == b.state.t and all(map(torch.equal, a.state[4:], b.state[4:]))
    curves, others = a.curves.whole(), b.curves.whole()
    assert curves.keys() == others.keys()
    for metric, series in curves.items():
        assert np.array_equal(series.steps, others[metric].steps)
        alive = ~(a.state.diverged_at.numpy() > 0)  # what a dead lane computes on is nobody's
        assert np.array_equal(series.values[alive], others[metric].values[alive], equal_nan=True), metric


@pytest.mark.parametrize("case", CASES)
def test_replays_give_the_numbers_of_a_cpus_own_way(case: str, request: pytest.FixtureRequest) -> None:
    arch, optimizer = CASES[case]
    configs, data = configs_of(arch, optimizer), data_for(arch)
    asking = trained(configs, data, True)
    assert asking.choice is None  # a CPU has no graphs
    choices = request.getfixturevalue("recorded")
    eager, replayed = trained(configs, data, False), trained(configs, data, True)
    (choice,) = choices
    assert choice.replayed and replayed.choice == choice and eager.choice is None, choice.why
    assert choice.why == "a replay takes 500000 us, eagerly 1000000"  # and nothing of a difference
    assert isinstance(replayed.updates, Resident) and replayed.updates.replay is not None
    assert_equal(eager, replayed)
    assert_equal(asking, eager)


def test_a_replay_goes_on_from_any_state(recorded: list[graphs.Choice]) -> None:
    """In the middle of an epoch, as from a checkpoint; and from a state that is not the one it was recorded on."""
    arch, optimizer = CASES["optimizer=adam"]
    configs, data = configs_of(arch, optimizer), data_for(arch)
    whole = trained(configs, data, True)
    module = StackModule(configs, data, graphs=True)
    module.prepare()
    module.on_train_epoch_start()
    module.training_step(Chunk(0, 0, 5), 0)
    state = module.updates.held(module.state)
    slots = {name: tuple(x.clone() for x in kept) for name, kept in state.slots.items()}
    later = StackModule(configs, data, graphs=True)
    later.prepare()
    later.state = state._replace(slots=slots, alive=state.alive.clone())
    for one in (module, later):  # the first goes on, the other is given its state
        if one is later:
            one.on_train_epoch_start()
        one.training_step(Chunk(0, 5, 3), 0)
        one.on_train_epoch_start()
        one.training_step(Chunk(1, 0, STEPS - 8), 0)
        for name, p in whole.state.params.items():
            assert torch.equal(one.state.params[name], p)
    assert all(choice.replayed for choice in recorded) and len(recorded) == 3


class Asks(nn.Module):
    """Whose slope hangs on a value."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * (1.0 if float(x.detach().sum()) < 1e30 else 0.5)


class Turns(nn.Module):
    """Another function at every second call, as Python sees it: a recording knows only the one of its time."""

    calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x * (1 + 1e-3 * (self.calls % 2))


@pytest.mark.parametrize(
    ("act", "why"),
    [
        (Asks, r"no graph: RuntimeError: aten\._local_scalar_dense.*not permitted"),
        (Turns, r"no graph: two replays are \d\.\de-0\d from two updates"),
    ],
)
def test_what_a_graph_refuses_or_gets_wrong_is_done_eagerly(
    act: type[nn.Module],
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    recorded: list[graphs.Choice],
) -> None:
    """One run alone, as vmap would refuse the first of these, and it would be trained run by run."""
    monkeypatch.setitem(ACTS._functions, "tanh", act)
    arch, optimizer = small_arch("mlp"), {"name": "sgd"}
    configs, data = configs_of(arch, optimizer)[:1], data_for(arch)
    module = StackModule(configs, data, graphs=True)
    module.prepare()
    before = {name: p.clone() for name, p in module.state.params.items()}
    module.on_train_epoch_start()
    (choice,) = recorded
    assert not choice.replayed and choice.broken
    assert re.match(why, choice.why), choice.why
    assert all(torch.equal(before[name], p) for name, p in module.state.params.items())  # as if nothing had been tried
    module.training_step(Chunk(0, 0, 3), 0)
    assert module.state.t == 3 and module.state.alive.all()


def test_where_the_device_is_what_takes_its_time_nothing_is_recorded(
    monkeypatch: pytest.MonkeyPatch, recorded: list[graphs.Choice]
) -> None:
    monkeypatch.setattr(graphs, "_seconds", lambda update, _: (1e-4, 1e-3))
    monkeypatch.setitem(graphs.RECORDERS, "cpu", None)
    trained(configs_of(small_arch("mlp"), {"name": "sgd"}), data_for(small_arch("mlp")), True)
    assert recorded == [graphs.Choice(False, "an update takes 1000 us, and 100 to ask for: nothing to gain")]


def test_two_updates_that_differ_allow_a_replay_to(
    monkeypatch: pytest.MonkeyPatch, recorded: list[graphs.Choice]
) -> None:
    """As sums without an order do on a GPU."""

    class Noisy(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * (1 + 1e-6 * torch.rand_like(x[:1]))

    monkeypatch.setitem(ACTS._functions, "tanh", Noisy)
    trained(configs_of(small_arch("mlp"), {"name": "sgd"})[:1], data_for(small_arch("mlp")), True)
    (choice,) = recorded
    assert choice.replayed and re.search(r"; \de-\d+ apart$", choice.why), choice.why


class Cuda:
    """torch.cuda as a recording uses it; ``breaks``: what ends one raises for what was raised in it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.said: list[str] = []
        self.mode = 0
        side = SimpleNamespace(wait_stream=lambda _: self.said.append("waits"))
        for name, value in {
            "current_stream": lambda: side,
            "Stream": lambda: side,
            "stream": lambda _: self.within("side"),
            "CUDAGraph": lambda: SimpleNamespace(replay=lambda: self.said.append("replay")),
            "graph": lambda graph, stream: self.within("graph"),
            "get_sync_debug_mode": lambda: self.mode,
            "set_sync_debug_mode": lambda mode: setattr(self, "mode", mode),
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)
        monkeypatch.setattr(graphs.CudaGraph, "broken_off", False)

    @contextmanager
    def within(self, what: str) -> Iterator[None]:
        self.said.append(f"in {what}")
        try:
            yield
        except ValueError:
            raise RuntimeError("operation failed due to a previous error during capture")  # noqa: B904
        finally:
            self.said.append(f"out of {what}")

    def update(self) -> None:
        self.said.append(f"update {self.mode}" if gc.isenabled() else "update without gc")


def test_a_cuda_graph_is_warmed_up_watched_and_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = Cuda(monkeypatch)
    replay = graphs.CudaGraph(cuda.update)
    updates = ["update 0", "update 0", "update error", "in graph", "update without gc", "out of graph"]
    assert cuda.said == ["waits", "in side", *updates, "out of side", "waits"] and gc.isenabled() and cuda.mode == 0
    replay()
    assert cuda.said[-1] == "replay"


def test_after_a_recording_that_broke_off_there_is_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it was is said, not what its end makes of it; an update that waits is found before it is recorded."""
    cuda, fails = Cuda(monkeypatch), ["error"]

    def update() -> None:
        cuda.update()
        if cuda.mode == fails[0] or (fails[0] == "graph" and not gc.isenabled()):
            raise ValueError("a number is read")

    with pytest.raises(RuntimeError) as raised:
        graphs.CudaGraph(update)
    assert graphs._reason(raised.value) == "ValueError: a number is read" and "in graph" not in cuda.said
    fails[0] = "graph"
    with pytest.raises(RuntimeError, match="previous error") as raised:
        graphs.CudaGraph(update)
    assert graphs._reason(raised.value) == "ValueError: a number is read"
    assert gc.isenabled() and cuda.mode == 0 and cuda.said[-2:] == ["out of graph", "out of side"]
    with pytest.raises(RuntimeError, match="an earlier recording broke off"):
        graphs.CudaGraph(cuda.update)


def test_a_replay_that_is_slower_is_not_taken(monkeypatch: pytest.MonkeyPatch, recorded: list[graphs.Choice]) -> None:
    monkeypatch.setattr(graphs, "_seconds", lambda update, _: (2e-4,) * 2 if "replay" in str(update) else (1e-4,) * 2)
    module = trained(configs_of(small_arch("mlp"), {"name": "sgd"}), data_for(small_arch("mlp")), True)
    assert recorded == [graphs.Choice(False, "a replay takes 200 us, eagerly 100")]
    assert isinstance(module.updates, Resident) and module.updates.replay is None


def test_where_memory_ends_nothing_is_recorded(monkeypatch: pytest.MonkeyPatch, recorded: list[graphs.Choice]) -> None:
    def full(update: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setitem(graphs.RECORDERS, "cpu", full)
    module = trained(configs_of(small_arch("mlp"), {"name": "sgd"}), data_for(small_arch("mlp")), True)
    assert recorded == [graphs.Choice(False, "no graph: out of memory", broken=True)]
    assert module.state.t == STEPS


def test_a_sweep_says_what_it_chose_and_can_be_told_not_to(tmp_path: Path, recorded: list[graphs.Choice]) -> None:
    words = ["init=xavier,kaiming", "trainer.max_steps=5", "sweep.workers=1", "sweep.stack_width=auto"]
    assert train(made(tmp_path / "a", *words)) == {"done": 2}
    (note,) = json.loads((tmp_path / "a" / "sweep.json").read_text())["widths"]
    assert note["graphs"] == "a replay takes 500000 us, eagerly 1000000" and recorded
    del recorded[:]
    assert train(made(tmp_path / "b", *words, "sweep.graphs=never")) == {"done": 2}
    (note,) = json.loads((tmp_path / "b" / "sweep.json").read_text())["widths"]
    assert "graphs" not in note and not recorded


def test_the_user_is_told_what_a_graph_gets_wrong(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    recorded: list[graphs.Choice],
) -> None:
    monkeypatch.setitem(ACTS._functions, "tanh", Turns)
    assert train(made(tmp_path, "act=tanh", "trainer.max_steps=5", "sweep.workers=1")) == {"done": 1}
    assert "  updates were asked for one by one: no graph: two replays are " in capsys.readouterr().out


def test_no_graph_is_recorded_again_where_a_worker_has_died(tmp_path: Path) -> None:
    plan = made(tmp_path, "seed=0,1", "trainer.max_steps=5")
    going = sweep._Sweep.__new__(sweep._Sweep)
    going.store = SimpleNamespace(plan=plan)  # type: ignore[assignment]
    for deaths, may in ((0, True), (1, False)):
        item = going._item(plan.stacks[0], plan.runs, deaths)
        assert item.graphs is may and Item.received(item.sent()).graphs is may
