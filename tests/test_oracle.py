"""The oracle: what R runs trained as one stack have to equal, each for itself.

The other side of each comparison is the plain program of `plain.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from conftest import small
from initlab.config import Config
from initlab.datasets import Data, load
from initlab.specs import ACTS, ARCHS, INITS
from initlab.streams import permutation
from initlab.training import module
from initlab.training.batches import Batches
from initlab.training.chain import Chain
from initlab.training.module import StackModule
from initlab.training.nets import build_net
from initlab.training.step import _clipped
from initlab.training.train import fit
from nets import data_for, small_arch
from plain import STEPS, error, images, train_plainly

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"name": "sgd"},
    "momentum": {"name": "sgd", "momentum": 0.9, "weight_decay": 0.01, "schedule": "cosine"},
    "nesterov": {"name": "sgd", "momentum": 0.8, "nesterov": True},
    "adam": {"name": "adam", "weight_decay": 0.01},
    "adamw": {"name": "adamw", "schedule": "cosine"},
}
# Crossed with nothing: what is done to the gradient and to lr does not know of the net.
SCHEDULED: dict[str, dict[str, Any]] = {
    "warm": {"name": "sgd", "momentum": 0.9, "warmup": 0.1},
    "warm cosine": {"name": "adam", "warmup": 0.25, "schedule": "cosine"},
    "clipped": {"name": "sgd", "momentum": 0.9, "weight_decay": 0.01, "clip": 0.3},
    "clipped adam": {"name": "adamw", "clip": 0.05, "warmup": 0.07, "schedule": "cosine"},
}


def stack_of(configs: list[Config], data: Data) -> StackModule:
    module = StackModule(configs, data)
    fit(module)
    return module


def assert_close(actual: Any, expected: Any) -> None:
    """|a - b| <= 1e-12 max(1, |a|), elementwise."""
    a, b = np.asarray(expected, dtype=np.float64), np.asarray(actual, dtype=np.float64)
    assert (np.abs(a - b) <= 1e-12 * np.maximum(1, np.abs(a))).all(), np.abs(a - b).max()


def runs(count: int, norm: str, optimizer: dict[str, Any], dataset: dict[str, Any]) -> list[Config]:
    """Runs that differ in seed, scheme, rate and, where there is one, momentum, weight decay and clip."""
    if norm == "batch" and "adam" in optimizer["name"]:
        # A bias before a BatchNorm has gradient 0: rounding errors, which Adam with its small eps makes into steps.
        optimizer = optimizer | {"eps": 1e-4}
    schemes = ["xavier", "kaiming", "orthogonal", "torch_default", "lecun"]
    configs = []
    for r in range(count):
        own: dict[str, Any] = {"lr": optimizer.get("lr", 0.05 if optimizer["name"] == "sgd" else 3e-3) * (1 + r)}
        if optimizer.get("momentum"):
            own["momentum"] = optimizer["momentum"] - 0.1 * r
        if optimizer.get("weight_decay"):
            own["weight_decay"] = optimizer["weight_decay"] * r
        if optimizer.get("clip"):
            own["clip"] = None if r == 1 else optimizer["clip"] * (1 + r)
        options = {
            "init": {"name": schemes[r]},
            "optimizer": optimizer | own,
            "arch": {"norm": norm},
            "dataset": dataset,
        }
        configs.append(small(seed=r, **options))
    return configs


@pytest.mark.parametrize(
    ("norm", "optimizer", "count"),
    [
        pytest.param(norm, optimizer, count, marks=() if within else pytest.mark.battery)
        for i, (norm, optimizer) in enumerate(product(["none", "batch", "layer"], OPTIMIZERS))
        for count, within in ((1, i % 4 == 0), (2, i % 4 == 2), (3, True), (5, i % 4 == 1))
    ],
)
def test_every_run_of_a_stack_equals_the_plain_program(norm: str, optimizer: str, count: int) -> None:
    """Each norm with each optimizer, and each number of runs with each norm; `make battery` crosses all three."""
    _compare(runs(count, norm, OPTIMIZERS[optimizer], {}))


def test_regression_equals_the_plain_program() -> None:
    dataset = {"name": "teacher", "samples": 400, "features": 6, "batch_size": 32}
    _compare(runs(3, "none", OPTIMIZERS["momentum"], dataset))


@pytest.mark.parametrize("optimizer", SCHEDULED)
def test_warm_up_and_clipping_equal_the_plain_program(optimizer: str) -> None:
    """Where there is a clip, it bites in some step of the first run, and the second run has none."""
    configs = runs(3, "none", SCHEDULED[optimizer], {})
    plain = _compare(configs)
    if clip := configs[0]["optimizer"]["clip"]:
        assert max(plain[0]["norms"]) > clip
        assert configs[1]["optimizer"]["clip"] is None


@pytest.mark.parametrize("norm", ["none", "layer"])
@pytest.mark.parametrize("optimizer", ["momentum", "adamw", "clipped adam"])
def test_learning_rates_of_single_tensors_equal_the_plain_program(optimizer: str, norm: str) -> None:
    """muP of two base widths beside a scheme that has none, in one stack: torch's groups of parameters."""
    configs = runs(3, norm, (OPTIMIZERS | SCHEDULED)[optimizer], {})
    for r, width in ((0, 8), (2, 64)):
        configs[r] = configs[r] | {"init": INITS.typed({"name": "mup", "base_width": width, "gain": 1.0})}
    _compare(configs)


@pytest.mark.parametrize("act", ACTS)
def test_every_activation_equals_the_plain_program(act: str) -> None:
    """In the plain program it is a formula. prelu's slopes are trained, decayed and clipped as the weights are."""
    optimizer = SCHEDULED["clipped"] | {"lr": 0.001}  # at the other tests' rate relu_squared blows up
    _compare([config | {"act": ACTS.typed({"name": act})} for config in runs(2, "none", optimizer, {})])


@pytest.mark.parametrize(
    ("norm", "pool", "padding_mode", "head", "kernel", "optimizer"),
    [
        ("none", "max", "zeros", "flatten", 3, "adam"),
        ("none", "none", "reflect", "mean", 5, "nesterov"),
        ("batch", "stride", "circular", "mean", 3, "momentum"),
        ("batch", "avg", "zeros", "flatten", 1, "adamw"),
        ("layer", "avg", "reflect", "flatten", 3, "momentum"),
        ("layer", "stride", "zeros", "flatten", 5, "adam"),
    ],
)
def test_a_conv_net_equals_the_plain_program(
    norm: str, pool: str, padding_mode: str, head: str, kernel: int, optimizer: str
) -> None:
    """Images of 2 x 7 x 6: odd, and not square."""
    arch = {"name": "cnn", "depth": 3, "width": 5, "norm": norm, "pool": pool, "padding_mode": padding_mode}
    arch |= {"head": head, "kernel": kernel}
    slow = OPTIMIZERS[optimizer] | {"lr": 0.003}
    _compare([config | {"arch": ARCHS.typed(arch)} for config in runs(2, norm, slow, {})], images())


VARIANTS = [
    ("resmlp", {"norm": "batch", "residual": "fixup"}),
    ("resnet", {"depth": 1, "norm": "layer", "residual": "scale", "shortcut": "pad"}),
    ("resnet", {"depth": 1, "norm": "batch", "residual": "fixup"}),
    ("vit", {"depth": 1, "norm": "none", "residual": "scale", "pool": "mean"}),
    ("transformer", {"depth": 1, "positions": "sinusoidal"}),
]


@pytest.mark.parametrize(("arch", "fields"), [*((arch, {}) for arch in ARCHS), *VARIANTS])
def test_every_architecture_equals_itself_alone(arch: str, fields: dict[str, Any]) -> None:
    """The plain program takes the net as it is, without vmap; what the net is, `test_archs` compares with torch's.

    Some gradients are 0 but for rounding (a bias before a BatchNorm, a key's): Adam's eps is larger than that.
    """
    option = small_arch(arch, **fields)
    data = data_for(option)
    configs = [config | {"arch": option} for config in runs(2, "none", SCHEDULED["clipped adam"] | {"eps": 1e-4}, {})]
    _compare(configs, data, lambda config: build_net(config, data))


@pytest.mark.parametrize("task", ["latch", "adding"])
def test_of_a_sequence_the_last_position_counts(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one target a row; `copy`, with several, is what the loop above gives to a net for sequences.

    Evaluated seven rows at a time, which is the mean over all.
    """
    monkeypatch.setattr("initlab.training.step.EVALUATION_ROWS", 7)
    dataset = {"name": task, "samples": 300, "length": 5, "batch_size": 32}
    configs = [config | {"arch": small_arch("rnn")} for config in runs(2, "none", OPTIMIZERS["momentum"], dataset)]
    _compare(configs, None, lambda config: build_net(config, load(config["dataset"])))


def _compare(
    configs: list[Config], data: Data | None = None, net: Callable[[Config], nn.Module | None] = lambda _: None
) -> list[dict[str, Any]]:
    """Every number of every run; what the plain program says of each."""
    data = data or load(configs[0]["dataset"])
    plains = [train_plainly(config, data, permutation, net(config)) for config in configs]
    initial = _drawn(configs, data)
    module = stack_of(configs, data)
    curves = module.curves.whole()
    for r, plain in enumerate(plains):
        for name, p in plain["initial"].items():
            assert torch.equal(initial[name][r], p)
        assert_close(curves["train/loss"].values[r], plain["losses"])
        for name, p in plain["net"].named_parameters():
            assert_close(module.state.params[name][r], p.detach())
        for name, b in plain["net"].named_buffers():
            assert_close(module.state.buffers[name][r], b)
        for part, where in (("val", data.val), ("test", data.test)):
            x, y = torch.tensor(where.x).double(), torch.tensor(where.y)
            out = plain["net"](x).detach()
            if data.task == "regression":
                loss = error(out, y.double(), True)
                metric = 1 - loss / y.double().var(correction=0)
            else:
                last = out if out.dim() == 2 else out[:, -y.shape[1] :] if y.dim() == 2 else out[:, -1]
                loss, metric = error(out, y, False), (last.argmax(-1) == y).double().mean()
            assert_close(curves[f"{part}/loss"].values[r, -1], loss)
            assert_close(curves[f"{part}/{data.metric}"].values[r, -1], metric)
    return plains


def _drawn(configs: list[Config], data: Data) -> dict[str, torch.Tensor]:
    module = StackModule(configs, data)
    module.prepare()
    return {name: p.clone() for name, p in module.state.params.items()}


def test_batches_agree_bit_for_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the stack feeds to run r in each step are the rows that the plain program takes."""
    configs = runs(3, "none", OPTIMIZERS["sgd"], {})
    data = load(configs[0]["dataset"])
    seen: list[torch.Tensor] = []

    class Spy(Batches):
        def take(self, i: int) -> tuple[torch.Tensor, torch.Tensor]:
            x, y = super().take(i)
            seen.append(x.clone())
            return x, y

    monkeypatch.setattr("initlab.training.module.Batches", Spy)
    stack_of(configs, data)
    x = torch.tensor(data.train.x).double()
    for r, config in enumerate(configs):
        batches = train_plainly(config, data, permutation)["batches"]
        assert len(seen) == len(batches) == STEPS
        assert all(torch.equal(seen[t][r], x[rows]) for t, rows in enumerate(batches))


@pytest.mark.parametrize(
    ("optimizer", "norm", "bad"),
    [
        ("sgd", "none", 0),
        ("adam", "batch", 2),
        ("momentum", "layer", 4),
        ("clipped", "none", 2),
        ("clipped", "none", 1),
    ],
)
def test_a_run_that_diverges_leaves_the_others_exactly_as_they_were(optimizer: str, norm: str, bad: int) -> None:
    configs = runs(5, norm, (OPTIMIZERS | SCHEDULED)[optimizer], {})
    data = load(configs[0]["dataset"])
    healthy = stack_of(configs, data)
    broken_config = configs[bad] | {"optimizer": configs[bad]["optimizer"] | {"lr": 1e308}}
    broken = stack_of([*configs[:bad], broken_config, *configs[bad + 1 :]], data)
    assert broken.state.diverged_at[bad] > 0
    others = [r for r in range(5) if r != bad]
    assert (broken.state.diverged_at[others] == 0).all()
    for metric, series in healthy.curves.whole().items():
        np.testing.assert_array_equal(broken.curves.whole()[metric].values[others], series.values[others])
    for name, p in healthy.state.params.items():
        assert torch.equal(broken.state.params[name][others], p[others])


def test_a_run_without_a_clip_does_not_notice_those_that_have_one() -> None:
    """Not by a bit, also where the norm of its gradient is more than a float can hold."""
    configs = runs(3, "none", OPTIMIZERS["momentum"], {})
    clips = (0.01, None, 0.02)
    clipped = [c | {"optimizer": c["optimizer"] | {"clip": clip}} for c, clip in zip(configs, clips, strict=True)]
    data = load(configs[0]["dataset"])
    free, mixed = stack_of(configs, data), stack_of(clipped, data)
    for name, p in free.state.params.items():
        assert torch.equal(mixed.state.params[name][1], p[1])
        assert not torch.equal(mixed.state.params[name][0], p[0])
    huge = torch.full((3, 4), 1e200, dtype=torch.float64)
    clip = torch.tensor([1.0, math.inf, math.inf], dtype=torch.float64)
    scaled = _clipped({"w": huge, "b": huge[:, 0]}, clip)
    assert torch.equal(scaled["w"][1:], huge[1:]) and (scaled["w"][0] == 0).all()


def test_a_diverged_run_is_frozen_at_its_last_finite_step() -> None:
    """Trained alone up to the step before, the run has the weights at which its lane stands still."""
    linear: dict[str, Any] = {
        "act": {"name": "identity"},
        "dataset": {"name": "teacher", "features": 6, "batch_size": 32},
    }
    configs = [small(0, **linear), small(1, optimizer={"lr": 1.0}, **linear)]
    data = load(configs[0]["dataset"])
    module = stack_of(configs, data)
    fell = int(module.state.diverged_at[1])
    assert fell > 1
    assert all(p[1].isfinite().all() for p in module.state.params.values())
    short = [config | {"trainer": config["trainer"] | {"max_steps": fell - 1}} for config in configs]
    before = stack_of(short, data)
    assert before.state.diverged_at[1] == 0
    assert all(torch.equal(before.state.params[name][1], p[1]) for name, p in module.state.params.items())
    blank = module.curves.whole()["train/loss"].blank(module.state.diverged_at.numpy()).values
    assert (
        np.isnan(blank[1, fell - 1 :]).all() and np.isfinite(blank[0]).all() and np.isfinite(blank[1, : fell - 1]).all()
    )


def test_a_stack_without_a_run_alive_computes_nothing() -> None:
    """Of three runs one diverges at once, the others some steps later: no pass is made after the last."""
    linear: dict[str, Any] = {"act": {"name": "identity"}, "dataset": {"name": "teacher", "features": 6}}
    configs = [small(r, optimizer={"name": "sgd", "lr": lr}, **linear) for r, lr in enumerate((1e308, 1.0, 1.5))]
    passes = 0

    class Counted(Chain):
        def forward(self, params: Any, buffers: Any, x: Any, trained: bool = True) -> Any:
            nonlocal passes
            passes += trained
            return super().forward(params, buffers, x, trained)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "Chain", Counted)
        stack = stack_of(configs, load(configs[0]["dataset"]))
    assert 0 < stack.state.diverged_at.min() < stack.state.diverged_at.max() == passes < STEPS == stack.state.t
    for r, config in enumerate(configs):
        alone = stack_of([config], stack.data)
        assert alone.state.diverged_at[0] == stack.state.diverged_at[r]
        for name, p in alone.state.params.items():
            assert_close(p[0], stack.state.params[name][r])


def test_float32_stays_close_to_float64() -> None:
    """The same stack in both precisions: the losses of 20 steps agree to some hundred roundings of float32."""
    configs = runs(3, "none", OPTIMIZERS["momentum"], {})
    data = load(configs[0]["dataset"])
    single = [c | {"trainer": c["trainer"] | {"precision": "float32"}} for c in configs]
    double = stack_of(configs, data).curves.whole()["train/loss"].values[:, :20]
    assert np.abs(stack_of(single, data).curves.whole()["train/loss"].values[:, :20] - double).max() < 1e-5


class Recurrent(nn.Module):
    """A net that vmap does not take: its LSTM has no batching rule."""

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(features, 8, batch_first=True), nn.Linear(8, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(x.unsqueeze(1))[0][:, -1])


def test_a_net_that_vmap_refuses_trains_one_by_one_and_says_why() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ARCHS._functions, "mlp", lambda features, outputs, act, **_: Recurrent(features[0], outputs))
        configs = [small(seed, trainer={"max_steps": 30}) for seed in range(2)]
        data = load(configs[0]["dataset"])
        together = stack_of(configs, data)
        assert together.refusal is not None and "lstm" in together.refusal
        for r, config in enumerate(configs):
            alone = stack_of([config], data)
            assert_close(together.curves.whole()["train/loss"].values[r], alone.curves.whole()["train/loss"].values[0])


class Tied(nn.Module):
    """In the manner of others: one weight in two places, a sum and an activation in place, a buffer that moves."""

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.inner, self.act = nn.Linear(features, features), nn.ReLU(inplace=True)
        self.again, self.norm = nn.Linear(features, features), nn.BatchNorm1d(features)
        self.again.weight = self.inner.weight
        self.head = nn.Linear(features, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.norm(self.act(self.inner(x)))
        out += self.again(x)
        return self.head(out)


def test_a_foreign_net_in_a_stack_equals_itself_alone() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ARCHS._functions, "mlp", lambda features, outputs, act, **_: Tied(features[0], outputs))
        configs = runs(2, "none", OPTIMIZERS["momentum"], {})
        _compare(configs, None, lambda config: Tied(6, 3))
        module = StackModule(configs, load(configs[0]["dataset"]))
        module.prepare()
        assert module.refusal is None and "again.weight" not in module.state.params


class Idle(nn.Module):
    """Some parameters have no gradient: two that it never uses, a frozen one, and one that it uses now and then."""

    def __init__(self, features: int, outputs: int, often: bool) -> None:
        super().__init__()
        self.inner, self.extra, self.rest = nn.Linear(features, 8), nn.Linear(4, 4), nn.Linear(8, 8)
        self.gain, self.head = nn.Parameter(torch.ones(8)), nn.Linear(8, outputs)
        self.often = often
        self.rest.weight.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.rest(self.inner(x).tanh())
        if not self.often and x[0, 0] > 0:  # no stack by vmap: that asks for a number
            x = x * self.gain
        return self.head(x)


@pytest.mark.parametrize(("optimizer", "often"), [("momentum", True), ("momentum", False), ("clipped adam", True)])
@pytest.mark.parametrize("count", [1, 3])
def test_a_parameter_without_a_gradient_is_passed_over(optimizer: str, often: bool, count: int) -> None:
    """As torch's optimizers do: no weight decay, no momentum; of each run for itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ARCHS._functions, "mlp", lambda features, outputs, act, **_: Idle(features[0], outputs, often))
        configs = runs(count, "none", (OPTIMIZERS | SCHEDULED)[optimizer], {})
        configs = [c | {"optimizer": c["optimizer"] | {"weight_decay": 0.01}} for c in configs]
        _compare(configs, None, lambda config: Idle(6, 3, often))


def test_training_leaves_the_global_generators_alone() -> None:
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state(legacy=False)
    stack_of([small(0, trainer={"max_steps": 5})], load(small()["dataset"]))
    assert torch.equal(torch.get_rng_state(), torch_before)
    np.testing.assert_equal(np.random.get_state(legacy=False), numpy_before)


def test_a_run_does_not_depend_on_its_place_or_its_company() -> None:
    """The same run alone, first, and last in a stack: the same initial weights, the same losses to 1e-12."""
    configs = runs(5, "batch", OPTIMIZERS["adam"], {})
    data = load(configs[0]["dataset"])
    forward, backward = stack_of(configs, data), stack_of(configs[::-1], data)
    assert forward.initial_hashes == backward.initial_hashes[::-1]
    assert_close(forward.curves.whole()["train/loss"].values, backward.curves.whole()["train/loss"].values[::-1])
    assert ACTS  # the registries were filled by importing the module, not by this test
