"""Theory through nets that are no chains: sums, norms, scales, recurrences, against many drawn nets; where it stops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import initlab
import initlab.acts
import initlab.archs
from initlab import theory
from initlab.datasets import load
from initlab.measuring.probing import probe
from initlab.specs import ACTS, ARCHS, DATASETS

SEEDS, WIDTH, CONFIDENCE = 24, 192, 0.99


class Cell(nn.Module):
    """h' = act(W h + U x), unrolled over the steps of x [B, T, inputs]; the last one is read out."""

    def __init__(self, act: nn.Module) -> None:
        super().__init__()
        self.state, self.given = nn.Linear(WIDTH, WIDTH), nn.Linear(16, WIDTH, bias=False)
        self.act, self.readout = act, nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(len(x), WIDTH)
        for t in range(x.shape[1]):
            h = self.act(self.state(h) + self.given(x[:, t]))
        return self.readout(h)


class Products(nn.Module):
    """Weights as parameters, multiplied by hand; a scaled branch; a constant that is added to all."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (nn.Parameter(torch.empty(WIDTH, WIDTH)) for _ in range(2))
        self.where = nn.Parameter(torch.full((WIDTH,), 0.5))
        self.scale = nn.Parameter(torch.tensor(0.3))

    def forward(self, x: Tensor) -> Tensor:
        h = x @ self.first.T + self.where
        return h + self.scale * torch.tanh(h) @ self.second.T


def built(act: str, **fields: Any) -> nn.Module:
    option = ACTS.typed({"name": act})
    return ARCHS.build(ARCHS.typed(fields), (WIDTH,), WIDTH, lambda: ACTS.build(option))


def layer_normed() -> nn.Module:
    layers: list[nn.Module] = []
    for _ in range(2):
        layers += [nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH), nn.ReLU(), nn.Dropout(0.2)]
    return nn.Sequential(*layers, nn.Linear(WIDTH, WIDTH))


NETS: dict[str, tuple[Any, str, dict[str, Any], tuple[int, ...]]] = {
    "residual": (lambda: built("relu", name="resmlp", depth=3, width=WIDTH), "relu", {}, (1, WIDTH)),
    "residual tanh": (lambda: built("tanh", name="resmlp", depth=3, width=WIDTH), "tanh", {}, (1, WIDTH)),
    "scaled": (lambda: built("relu", name="resmlp", depth=3, width=WIDTH, residual="scale"), "relu", {}, (1, WIDTH)),
    "layer norm": (layer_normed, "relu", {}, (1, WIDTH)),
    "normed residual": (
        lambda: built("relu", name="resmlp", depth=3, width=WIDTH, norm="layer"),
        "relu",
        {},
        (1, WIDTH),
    ),
    "recurrent": (lambda: Cell(nn.Tanh()), "tanh", {"bias": "normal", "bias_value": 0.2}, (1, 4, 16)),
    "products": (Products, "tanh", {"gain": 1.0}, (1, WIDTH)),
}


def measured(net: nn.Module, x: Tensor, act: str, fields: dict[str, Any], seeds: int) -> list[Any]:
    found = []
    for seed in range(seeds):
        initlab.initialize(net, "kaiming", act=act, seed=seed, **fields)
        found.append(probe(net, x, full=False).layers)
    return found


@pytest.mark.parametrize("name", NETS)
def test_signal_and_gradient_through_joins(name: str) -> None:
    """Each layer's q and gradient, the mean over 24 nets, within the 99 % Bonferroni band over all these nets."""
    make, act, fields, shape = NETS[name]
    net = make().double()
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(8, *shape[1:])))
    x = x / x.square().mean(-1, keepdim=True).sqrt()
    expected = initlab.trace(net, "kaiming", act=act, data=x, **fields)
    assert expected.stopped is None
    found = measured(net, x, act, fields, SEEDS)
    assert [layer.name.split("@")[0] for layer in found[0]] == [layer.name for layer in expected.layers]
    for quantity in ("q", "gradient"):
        values = np.log([[getattr(layer, quantity) or 1e-300 for layer in run] for run in found])
        want = np.array([getattr(layer, quantity) for layer in expected.layers])
        kept = want > 1e-200  # the state before the first step is 0
        values, want = values[:, kept], np.log(want[kept])
        # E ln q is below ln E q by half its variance
        deviation = values.mean(0) + values.var(0, ddof=1) / 2 - want
        error = np.sqrt(values.var(0, ddof=1) / SEEDS + values.var(0, ddof=1) ** 2 / 2 / (SEEDS - 1))
        band = stats.t.ppf(1 - (1 - CONFIDENCE) / 2 / (2 * len(NETS) * len(want)), SEEDS - 1)
        error = np.maximum(error, 1e-12)
        assert (np.abs(deviation) < band * error + 1e-9).all(), (name, quantity)


def test_a_likeness_of_two_inputs_is_followed_too() -> None:
    """Through residual blocks: the mean cosine of rows whose directions all have the same one."""
    net = built("relu", name="resmlp", depth=3, width=WIDTH).double()
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(8, WIDTH)))
    x = torch.linalg.qr(x.T).Q.T + 0.5 * x.mean(0) / x.mean(0).norm()
    expected = initlab.trace(net, "kaiming", data=x).layers
    found = measured(net, x, "relu", {}, SEEDS)
    cosines = np.array([[layer.correlation for layer in run] for run in found])
    assert cosines.mean(0) == pytest.approx([layer.correlation for layer in expected], abs=0.02)


SEQUENCES = {
    "attention": ({"name": "transformer", "depth": 2, "width": 128, "heads": 4}, "copy", 0.12),
    "patches": ({"name": "vit", "depth": 2, "width": 128, "heads": 4, "patch": 2, "pool": "mean"}, "digits", 0.15),
    "a token": ({"name": "vit", "depth": 2, "width": 128, "heads": 4, "patch": 2}, "digits", 0.15),
    "recurrence": ({"name": "rnn", "depth": 1, "width": 128}, "copy", 0.12),
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_attention_and_recurrence_of_our_nets(name: str) -> None:
    """Each q, the mean over 12 nets on 64 rows. The bounds are wide where positions are taken to be alike and are
    not."""
    option, dataset, bound = SEQUENCES[name]
    data = load(DATASETS.typed({"name": dataset}))
    x = torch.tensor(data.train.x[:64])
    act = ACTS.typed({"name": "tanh"})
    net = ARCHS.build(ARCHS.typed(option), tuple(x.shape[1:]), data.outputs, lambda: ACTS.build(act))
    expected = initlab.trace(net, "xavier", act="tanh", data=x)
    found = []
    for seed in range(12):
        initlab.initialize(net, "xavier", act="tanh", seed=seed)
        found.append([layer.q for layer in probe(net, x, full=False).layers])
    measured_q = np.mean(found, axis=0)[: len(expected.layers)]
    assert measured_q == pytest.approx([layer.q for layer in expected.layers], rel=bound)
    assert expected.stopped and len(expected.layers) > 10


@pytest.mark.parametrize("norm", ["none", "layer"])
def test_a_class_token_leaves_the_patches_their_signal(norm: str) -> None:
    """Into the first block goes what the patches carry: queries and keys follow theory, in size and in likeness."""
    data = load(DATASETS.typed({"name": "digits"}))
    x = torch.tensor(data.train.x[:64])
    option = ARCHS.typed({"name": "vit", "depth": 1, "width": 128, "heads": 4, "patch": 2, "norm": norm})
    net = ARCHS.build(option, tuple(x.shape[1:]), data.outputs, nn.ReLU)
    initlab.initialize(net, "kaiming")
    expected = initlab.trace(net, "kaiming", data=x).layers[:4]
    found = probe(net, x, full=False).layers[:4]
    assert [layer.q for layer in found] == pytest.approx([layer.q for layer in expected], rel=0.2)
    assert [layer.correlation for layer in found] == pytest.approx([layer.correlation for layer in expected], abs=0.06)


def test_a_batch_norm_makes_gradients_grow() -> None:
    """By pi / (pi - 1) a layer, in ReLU nets and large batches (Yang et al. 2019, arXiv:1902.08129)."""
    ops: list[theory.Op] = [theory.Dense("first", 100, 100, 2 / 100)]
    for i in range(20):
        ops += [theory.Norm(batch=True), theory.Act({"name": "relu"}), theory.Dense(f"fc{i}", 100, 100, 2 / 100)]
    layers = theory.trace(ops, 1.0, 0.3).layers
    assert layers[5].gradient and layers[6].gradient
    assert layers[5].gradient / layers[6].gradient == pytest.approx(np.pi / (np.pi - 1), rel=2e-3)


@pytest.mark.parametrize("features", [3, 20])
def test_a_batch_norm_meets_units_of_unlike_variance(features: int) -> None:
    """Data of few directions: the mean of 1 / variance is more than 1 / the mean. Taken as equal, 8.2 and 7.5 come out
    in place of 20.7 and 8.7, for the growth of a gradient over seven blocks."""
    torch.manual_seed(0)
    x, growth = torch.randn(128, features).double(), []
    arch = ARCHS.typed({"name": "resmlp", "depth": 8, "width": WIDTH, "norm": "batch"})
    for seed in range(12):
        net = ARCHS.build(arch, (features,), WIDTH, nn.ReLU).double()
        given: list[Tensor] = []
        for block in (0, 7):
            net.blocks[block].branch.fc2.register_forward_hook(lambda _, __, out, kept=given: kept.append(out))
        out = initlab.initialize(net, "kaiming", act="relu", seed=seed)(x)
        first, last = torch.autograd.grad(out, given, torch.randn_like(out))
        growth.append(float(first.square().mean() / last.square().mean()))
    plain = ARCHS.build(arch, (features,), WIDTH, nn.ReLU)
    found = {layer.name: layer.gradient for layer in initlab.trace(plain, "kaiming", act="relu", data=x).layers}
    expected = found["blocks.0.branch.fc2"] / found["blocks.7.branch.fc2"]
    assert expected == pytest.approx(np.mean(growth), rel=0.08)


def test_residual_blocks_grow_threefold() -> None:
    """h + W relu(V h) under He: q is tripled by a block; scaled by 1 / sqrt(L) it grows to (1 + 2 / L)^L."""
    ops: list[theory.Op] = [theory.Dense("stem", 64, 64, 1 / 64)]
    scaled = list(ops)
    for _ in range(10):
        branch = [theory.Dense("a", 64, 64, 2 / 64), theory.Act({"name": "relu"}), theory.Dense("b", 64, 64, 2 / 64)]
        ops += [*branch, theory.Add(len(ops) - 1)]
        scaled += [*branch, theory.Scale(10**-0.5), theory.Add(len(scaled) - 1)]
    for chain, growth in ((ops, 3.0**10), (scaled, 1.2**10)):
        layers = theory.trace([*chain, theory.Dense("readout", 64, 64, 1 / 64)], 1.0).layers
        assert layers[-1].q == pytest.approx(growth) and layers[0].gradient == pytest.approx(growth)


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Linear(8, 8) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.c(torch.sigmoid(self.a(x)) * torch.tanh(self.b(x)))


STOPS = {
    "a product": (Gated, 2, "the net: theory has no law for this mul of signals"),
    "a pool": (
        lambda: nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.MaxPool1d(2), nn.Linear(4, 2)),
        1,
        "2: theory has no law for MaxPool1d",
    ),
    "a cell of torch": (lambda: nn.Sequential(nn.Linear(8, 8), nn.RNNCell(8, 8)), 1, "1.weight_ih"),
}


def test_attention_at_init_lies_between_the_mean_and_a_choice() -> None:
    """Of softmax's weights: even without logits, one with very large ones; alike where the logits are."""
    assert theory.sharing(16, 0.0, 0.0) == pytest.approx((1 / 16, 1 / 16))
    own, other = theory.sharing(16, 200.0, 0.0)
    assert own > 0.97 and other == pytest.approx(1 / 16, abs=0.02)
    own, other = theory.sharing(1024, 1.0, 1.0)
    assert own == pytest.approx(other) and own == pytest.approx(np.e / 1024, rel=0.05)  # E exp(2z) / (E exp z)^2 = e


@pytest.mark.parametrize("name", STOPS)
def test_it_goes_as_far_as_it_can(name: str) -> None:
    make, layers, why = STOPS[name]
    found = initlab.trace(make(), "lecun", data=torch.ones(4, 8))
    assert len(found.layers) == layers and found.stopped and found.stopped.startswith(why)
    assert found.verdict == "unknown" and found.stopped in found.reason
    assert all(layer.q == pytest.approx(1) and layer.gradient is None for layer in found.layers)


def test_a_sum_with_itself_stops_it() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            y = self.fc(x)
            return y + y

    assert initlab.trace(Twice(), "lecun", data=torch.ones(4, 8)).stopped == "a sum of signals that are not independent"
