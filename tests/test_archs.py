"""The architectures: names, shapes and sizes, what they refuse, and what other parameters a stack can train."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

import initlab.archs  # noqa: F401  (the functions join the registry)
from conftest import small
from initlab.config import typed
from initlab.datasets import load
from initlab.errors import Refused
from initlab.planning.compose import Composer
from initlab.planning.plan import make
from initlab.roles import Role
from initlab.schemes.initial import initialize
from initlab.slots import slots
from initlab.specs import ARCHS
from initlab.specs.shapes import conv_sizes
from initlab.training.module import StackModule
from initlab.training.train import fit
from plain import images

ROOT = Path(__file__).parents[1]


def cnn(features: tuple[int, ...] = (1, 8, 8), **fields: Any) -> nn.Sequential:
    return ARCHS.build(ARCHS.typed({"name": "cnn", **fields}), features, 10, nn.Tanh)


def names(net: nn.Sequential) -> str:
    return " ".join(name for name, _ in net.named_children())


def test_the_layers_of_a_conv_net_have_readable_names() -> None:
    assert names(cnn(norm="batch", depth=2)) == "conv1 norm1 act1 conv2 norm2 act2 pool2 flatten fc"
    assert names(cnn(pool="stride", head="mean", depth=2)) == "conv1 act1 conv2 act2 mean flatten fc"
    assert names(cnn(pool="avg", pool_every=1, depth=1)) == "conv1 act1 pool1 flatten fc"


def test_the_fans_of_a_conv_net() -> None:
    """[out, in, k, k]: in k k and out k k, strides not counted; fc takes every pixel or each channel's mean."""
    found = {p.name: (p.fan_in, p.fan_out) for p in slots(cnn((3, 8, 8), width=16)) if p.part == "weight"}
    convs = {"conv1.weight": (27, 144)} | {f"conv{i}.weight": (144, 144) for i in (2, 3, 4)}
    assert found == convs | {"fc.weight": (16 * 2 * 2, 10)}
    assert cnn((3, 8, 8), width=16, head="mean").fc.weight.shape == (10, 16)


def test_the_norms_of_a_conv_net() -> None:
    """batch: each channel over rows and pixels; layer: each row over channels and pixels."""
    x = 3 + torch.randn(50, 2, 6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for norm, over in (("batch", (0, 2, 3)), ("layer", (1, 2, 3))):
        net = cnn((2, 6, 5), norm=norm, depth=1, pool="none").double()
        normed = net.norm1(net.conv1(x))
        np.testing.assert_allclose(normed.mean(over).detach(), 0, atol=1e-12)
        np.testing.assert_allclose(normed.var(over, correction=0).detach(), 1, atol=1e-3)


@pytest.mark.parametrize(("mode", "margin"), [("zeros", 0.0), ("circular", 4.0), ("reflect", 2.0)])
def test_what_the_margins_hold(mode: str, margin: float) -> None:
    """The first pixel of a row 1 2 3 4 under a kernel that looks one to the left."""
    net = cnn((1, 4, 4), depth=1, width=1, padding_mode=mode)
    with torch.no_grad():
        net.conv1.weight.zero_()[0, 0, 1, 0] = 1.0
        net.conv1.bias.zero_()
    image = torch.arange(1.0, 5).expand(1, 1, 4, 4)
    assert net.conv1(image)[0, 0, 1].tolist() == [margin, 1, 2, 3]


@settings(max_examples=150, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(1, 12)),
    option=st.fixed_dictionaries(
        {
            "depth": st.integers(1, 5),
            "kernel": st.sampled_from([1, 3, 5]),
            "pool": st.sampled_from(["none", "max", "avg", "stride"]),
            "pool_every": st.integers(1, 3),
            "padding_mode": st.sampled_from(["zeros", "circular", "reflect"]),
            "head": st.sampled_from(["flatten", "mean"]),
        }
    ),
)
def test_the_sizes_are_those_that_the_layers_see(shape: tuple[int, int, int], option: dict[str, Any]) -> None:
    """A net that is not refused runs, and each conv layer and the head see what `conv_sizes` says."""
    try:
        sizes = conv_sizes(option, shape)
    except Refused:
        with pytest.raises(Refused):
            cnn(shape, width=2, **option)
        return
    net, seen = cnn(shape, width=2, **option), []
    head = net.mean if option["head"] == "mean" else net.flatten
    for layer in [*(m for m in net if isinstance(m, nn.Conv2d)), head]:
        layer.register_forward_pre_hook(lambda _, x: seen.append(tuple(x[0].shape[2:])))
    assert net(torch.zeros(2, *shape)).shape == (2, 10)
    assert seen == sizes


@pytest.mark.parametrize(
    ("shape", "fields", "message"),
    [
        ((20,), {}, "arch=cnn: needs images [C, H, W]; dataset=faces has [20]."),
        ((8, 8), {}, "arch=cnn: needs images [C, H, W]; dataset=faces has [8, 8]."),
        (
            (1, 8, 8),
            {"depth": 8},
            "arch.kernel=3: needs an image of more than 1 x 1; conv7 has 1 x 1 (dataset=faces has [1, 8, 8]). "
            "Take a smaller arch.kernel or arch.depth, or a larger arch.pool_every.",
        ),
        (
            (1, 2, 9),
            {"kernel": 5},
            "arch.kernel=5: needs an image of more than 2 x 2; conv1 has 2 x 9 (dataset=faces has [1, 2, 9]). "
            "Take a smaller arch.kernel or arch.depth, or a larger arch.pool_every.",
        ),
        (
            (3, 4, 4),
            {"kernel": 1, "depth": 6, "pool": "avg"},
            "arch.pool=avg: halves an image of 2 x 2 or more; conv6 has 1 x 1 (dataset=faces has [3, 4, 4]). "
            "Take a smaller arch.depth or a larger arch.pool_every.",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_its_sizes(
    shape: tuple[int, ...], fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(Refused) as refusal:
        ARCHS["cnn"].facts["fits"](ARCHS.typed({"name": "cnn", **fields}), shape, "dataset=faces")
    assert str(refusal.value) == message
    with pytest.raises(Refused, match="the data has"):
        cnn(shape, **fields)


def test_a_plan_refuses_a_net_that_does_not_fit_the_data() -> None:
    with pytest.raises(Refused) as refusal:
        make(Composer(ROOT / "conf"), ["dataset=gaussian", "arch=mlp,cnn"], multirun=True)
    assert str(refusal.value) == (
        "arch=cnn: needs images [C, H, W]; dataset=gaussian has [20]. By default these take it: mlp, resmlp. "
        "(in the run arch=cnn)"
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"pool": "none", "pool_every": 3}, {"pool": "none"}),
        ({"depth": 2, "pool_every": 3}, {"depth": 2, "pool": "none"}),
        ({"kernel": 1, "padding_mode": "reflect"}, {"kernel": 1}),
    ],
)
def test_nets_that_are_one_net_have_one_config(one: dict[str, Any], other: dict[str, Any]) -> None:
    raw = {"dataset": {"name": "gaussian"}, "act": {"name": "relu"}, "init": {"name": "kaiming"}}
    raw |= {"optimizer": {"name": "sgd"}}
    first, second = (typed(raw | {"arch": {"name": "cnn", **fields}}) for fields in (one, other))
    assert first == second


def test_a_conv_net_learns() -> None:
    """The classes of `images` differ by one bright line of six: far above chance after 100 steps, in every run."""
    arch = {"name": "cnn", "depth": 2, "width": 8}
    configs = [small(seed, arch=arch, act={"name": "relu"}, optimizer={"clip": 1.0, "warmup": 0.1}) for seed in (0, 1)]
    module = StackModule(configs, images(shape=(1, 6, 6)))
    fit(module)
    assert module.refusal is None
    accuracy = module.curves.whole()["test/accuracy"].values[:, -1]
    # 60 rows: a guesser of 3 classes is right in more than 45 with a probability of 1e-12
    assert (accuracy > 0.75).all(), accuracy


def test_a_residual_net_is_a_sum_of_branches() -> None:
    """Written out: h + a W2 act(norm2 W1 act(norm1 h)) per block, and the readout of act(norm h)."""
    x = torch.randn(7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    option = ARCHS.typed({"name": "resmlp", "depth": 2, "width": 6, "norm": "layer", "residual": "scale"})
    net: Any = initialize(ARCHS.build(option, (5,), 3, nn.Tanh).double(), "xavier", bias="normal")
    with torch.no_grad():
        for i, block in enumerate(net.blocks):
            block.scale.fill_(0.5 + i)
    h = net.stem(x)
    for block in net.blocks:
        branch = block.branch
        inner = branch.fc1(torch.tanh(torch.layer_norm(h, (6,))))
        h = h + block.scale * branch.fc2(torch.tanh(torch.layer_norm(inner, (6,))))
    torch.testing.assert_close(net(x), net.readout(torch.tanh(torch.layer_norm(h, (6,)))))


def test_fixup_has_numbers_before_each_activation_and_layer_in_place_of_biases() -> None:
    option = ARCHS.typed({"name": "resmlp", "depth": 1, "width": 6, "residual": "fixup"})
    net: Any = ARCHS.build(option, (5,), 3, nn.Tanh).double()
    branch = " ".join(name for name, _ in net.blocks[0].branch.named_children())
    assert branch == "shift1_in act1 shift1_out fc1 shift2_in act2 shift2_out fc2"
    assert net.blocks[0].branch.fc1.bias is None and net.readout.bias is not None
    with torch.no_grad():
        for i, (_, module) in enumerate(net.blocks[0].branch.named_children()):
            if hasattr(module, "shift"):
                module.shift.fill_(0.1 * (i + 1))
    h, (w1, w2) = torch.randn(4, 6).double(), (net.blocks[0].branch.fc1.weight, net.blocks[0].branch.fc2.weight)
    inner = (torch.tanh(h + 0.1) + 0.3) @ w1.T
    torch.testing.assert_close(net.blocks[0](h), h + (torch.tanh(inner + 0.5) + 0.7) @ w2.T)


@pytest.mark.parametrize("shortcut", ["project", "pad"])
def test_a_residual_net_of_convolutions(shortcut: str) -> None:
    """Written out: pre-activation, the image halved and the channels doubled in the first layer of each later stage."""
    x = torch.randn(3, 2, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    fields = {"depth": 2, "stages": 2, "width": 4, "shortcut": shortcut}
    net: Any = ARCHS.build(ARCHS.typed({"name": "resnet", **fields}), (2, 5, 6), 3, nn.ReLU)
    initialize(net.double(), "kaiming", bias="normal")
    h = F.conv2d(x, net.stem.weight, net.stem.bias, padding=1)
    for i, block in enumerate(net.blocks):
        stride, conv1, conv2 = (2 if i == 2 else 1), block.branch.conv1, block.branch.conv2
        inner = F.conv2d(h.relu(), conv1.weight, conv1.bias, stride, 1)
        branch = F.conv2d(inner.relu(), conv2.weight, conv2.bias, padding=1)
        if stride == 2 and shortcut == "project":
            h = F.conv2d(h, block.shortcut.weight, block.shortcut.bias, 2)
        elif stride == 2:
            h = torch.cat([h[:, :, ::2, ::2], torch.zeros(3, 4, 3, 3, dtype=torch.float64)], 1)
        h = h + branch
    torch.testing.assert_close(net(x), net.readout(h.relu().mean((2, 3))))
    roles = {place.name: place.role for place in slots(net)}
    assert roles["blocks.2.branch.conv2.weight"] == Role("hidden", block=2, blocks=4, layer=2, layers=2)
    assert roles.get("blocks.2.shortcut.weight") == (Role("shortcut") if shortcut == "project" else None)


class Scaled(nn.Module):
    """A net with a learnable number, of no dimension, and a parameter of three."""

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.scale, self.fc = nn.Parameter(torch.tensor(2.0)), nn.Linear(features, outputs)
        self.mix = nn.Parameter(torch.ones(1, 1, features))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.fc((x.unsqueeze(1) * self.mix).squeeze(1))


@pytest.mark.parametrize("clip", [None, 0.1])
def test_parameters_of_any_dimension_are_trained(monkeypatch: pytest.MonkeyPatch, clip: float | None) -> None:
    """A run of the stack equals the run alone, and a number that was given is where training starts."""
    monkeypatch.setitem(ARCHS._functions, "mlp", lambda x, y, _, **fields: Scaled(math.prod(x), y))
    optimizer = {"name": "adam", "lr": 0.01, "clip": clip}
    configs = [small(seed, optimizer=optimizer, trainer={"max_steps": 20}) for seed in (0, 1)]
    data = load(configs[0]["dataset"])
    stack, alone = StackModule(configs, data), StackModule(configs[1:], data)
    stack.prepare()
    assert stack.state.params["scale"].tolist() == [2.0, 2.0]
    for module in (stack, alone):
        fit(module)
    for name, p in alone.state.params.items():
        np.testing.assert_allclose(stack.state.params[name][1], p[0], rtol=0, atol=1e-12)
    assert (stack.state.params["scale"] != 2.0).all()
