"""Signals during training: what a stack keeps of each run is what autograd says of it alone, and costs it no bit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from conftest import small
from initlab import command
from initlab.specs import ARCHS
from initlab.storage import events
from initlab.training.chain import Chain
from initlab.training.curves import Series
from initlab.training.module import StackModule
from initlab.training.signals import signals
from initlab.training.step import step
from initlab.training.train import fit
from nets import data_for, small_arch

ROOT = Path(__file__).resolve().parent.parent


def stack(option: dict[str, Any], act: str = "tanh", runs: int = 2, every: int = 0) -> StackModule:
    trainer = {"max_steps": 8, "probe_every": every}
    configs = [small(seed, arch=option, act={"name": act}, trainer=trainer) for seed in range(runs)]
    return StackModule(configs, data_for(option))


def ready(option: dict[str, Any], act: str = "tanh") -> StackModule:
    module = stack(option, act)
    module.prepare()
    module.on_train_epoch_start()
    return module


@pytest.mark.parametrize("name", ARCHS)
def test_a_stack_tells_what_each_run_does(name: str) -> None:
    """By plain SGD |W' - W| is lr |dL/dW|; and trained one by one they are told the same."""
    module = ready(small_arch(name))
    x, y = module.rows.take(0)
    before = module.state
    after, _ = step(module.program, before, x, y)
    found = signals(module.program, before, after, x, y)
    for n in (n for n, p in before.params.items() if p.dim() > 2):
        gradient, update = (found[f"signal/{what}/{n.removesuffix('.weight')}"] for what in ("gradient", "update"))
        moved = torch.stack([(a - b).norm() for a, b in zip(after.params[n], before.params[n], strict=True)])
        size = torch.stack(
            [torch.maximum(a.norm(), b.norm()) for a, b in zip(after.params[n], before.params[n], strict=True)]
        )
        assert torch.allclose(update, moved / size, rtol=1e-9, equal_nan=True)
        assert torch.allclose(module.program.hyper.lr * gradient, moved, rtol=1e-6, atol=1e-15)
    one_by_one = signals(
        replace(module.program, chain=Chain.of(module.program.net, stackable=False)), before, after, x, y
    )
    assert one_by_one.keys() == found.keys()
    for metric, values in found.items():
        assert torch.allclose(values, one_by_one[metric], rtol=1e-9, atol=1e-15), metric


@pytest.mark.parametrize("name", ["mlp", "cnn", "rnn"])
def test_dead_units_are_counted(name: str) -> None:
    """In the first run three of eight units get a bias that no row overcomes; in the other none."""
    module = ready(small_arch(name), "relu")
    biases = [n for n, p in module.state.params.items() if n.endswith("bias") and p.shape[1] == 8]
    for n in biases:
        module.state.params[n][0, :3] = -1e3
    x, y = module.rows.take(0)
    after, _ = step(module.program, module.state, x, y)
    found = signals(module.program, module.state, after, x, y)
    dead = torch.stack([values for metric, values in found.items() if metric.startswith("signal/dead/")])
    assert (dead[:, 0] >= 3 / 8).all() and (dead[:, 1] < 3 / 8).all()


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_the_mean_of_an_activation_is_the_modules_own(name: str) -> None:
    """What a hook on the plain net of each run sees, for the batch and the weights before the update."""
    module = ready(small_arch(name), "sigmoid")
    x, y = module.rows.take(0)
    after, _ = step(module.program, module.state, x, y)
    found = signals(module.program, module.state, after, x, y)
    seen: dict[str, list[torch.Tensor]] = {}
    net = module.program.net
    acts = [(n, m) for n, m in net.named_modules() if isinstance(m, nn.Sigmoid)]
    for n, m in acts:
        m.register_forward_hook(lambda _m, _args, out, n=n: seen.setdefault(n, []).append(out.mean()))
    for r in range(2):
        torch.func.functional_call(net, {k: p[r] for k, p in module.state.params.items()}, (x[r],))
    assert len(acts) > 1 and {f"signal/mean/{n}" for n, _ in acts} == {k for k in found if k.startswith("signal/mean/")}
    for n, _ in acts:
        assert torch.allclose(found[f"signal/mean/{n}"], torch.stack(seen[n]), rtol=1e-12)


def test_weights_are_the_same_bit_for_bit() -> None:
    option = small_arch("mlp", norm="batch")
    watched, plain = (stack(option, every=every) for every in (3, 0))
    for module in (watched, plain):
        fit(module)
    for name, p in plain.state.params.items():
        assert torch.equal(p, watched.state.params[name])
    for name, b in plain.state.buffers.items():
        assert torch.equal(b, watched.state.buffers[name])
    curves = watched.curves.whole()
    told = {metric for metric in curves if metric.startswith("signal/")}
    assert {"signal/gradient/fc1", "signal/update/fc3", "signal/dead/act2"} <= told
    assert all(curves[metric].steps.tolist() == [3, 6] for metric in told)
    assert curves.keys() - told == plain.curves.whole().keys()


def test_a_sweep_shows_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the curves and the events, and among no run's outcomes; asked for or not, a run is the same run."""
    monkeypatch.chdir(tmp_path)
    words = ["-m", "init=xavier,kaiming", "act=relu", "arch.depth=2", "arch.width=8", "trainer.max_steps=6"]
    words += ["sweep.stack_width=2"]
    for every in (0, 2):
        assert command.main(ROOT, [*words, f"trainer.probe_every={every}", f"hydra.sweep.dir=every{every}"]) == 0
    run = tmp_path / "every2" / "runs" / "init=xavier"
    scalars = events.read(run / events.FILE_NAME)
    assert [step for step, _ in scalars["signal/update/fc2"]] == [2, 4, 6]
    record, other = (
        json.loads((tmp_path / f"every{n}" / "runs" / "init=xavier" / "result.json").read_text()) for n in (2, 0)
    )
    assert record["final"] == other["final"] and record["key"] == other["key"]
    with np.load(tmp_path / "every2" / record["curves"]) as curves:
        assert curves["signal/dead/act1"].shape == (2, 3)


def test_one_module_for_several_sizes() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.third, self.act = nn.Linear(6, 8), nn.Linear(8, 4), nn.Linear(4, 3), nn.ReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.third(self.act(self.second(self.act(self.first(x)))))

    module = ready(small_arch("mlp"))
    net = Shared().double()
    params = {name: torch.stack([p.detach()] * 2) for name, p in net.named_parameters()}
    state = module.state._replace(params=params, buffers={})
    found = signals(replace(module.program, net=net), state, state, *module.rows.take(0))
    assert found["signal/dead/act"].shape == (2,) and not found["signal/update/second"].any()


def test_an_update_of_weights_at_zero_is_a_number() -> None:
    """Over the greater of the two norms; where both are 0 there is none, and the events leave it out."""
    module = ready(small_arch("mlp"))
    before = module.state._replace(params={n: p.clone() for n, p in module.state.params.items()})
    before.params["fc2.weight"].zero_()
    after = before._replace(params={n: p.clone() for n, p in before.params.items()})
    after.params["fc2.weight"][0] = 1.0
    found = signals(module.program, before, after, *module.rows.take(0))["signal/update/fc2"]
    assert found[0] == 1 and found[1].isnan()
    series = Series(np.array([1]), np.array([8]), np.array([0.0]), np.array([[1.0], [np.nan]]))
    assert events.of_run({"signal/update/fc2": series}, 0) == [(1, 0.0, {"signal/update/fc2": 1.0})]
    assert events.of_run({"signal/update/fc2": series}, 1) == []
