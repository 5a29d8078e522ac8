"""The plainest program there is: an nn.Module written out here, torch.optim, a loop over batches.

It imports neither the step nor the module, the activations nor the architectures; only the draws (initial weights,
permutations) are those of the program that it is compared with.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from initlab.config import Config
from initlab.datasets import Data, Part
from initlab.schemes.apply import draw
from initlab.slots import slots
from initlab.streams import uniforms

STEPS = 100
# In formulas, where a formula is short. A learnable one is a module, so that it has its parameter.
ACTIVATIONS: dict[str, Callable[..., Tensor]] = {
    "identity": lambda x: x,
    "relu": lambda x: x.clamp(min=0),
    "leaky_relu": lambda x, negative_slope: torch.where(x > 0, x, negative_slope * x),
    "tanh": lambda x: x.exp().sub((-x).exp()) / x.exp().add((-x).exp()),
    "sigmoid": lambda x: 1 / (1 + (-x).exp()),
    "gelu": lambda x, approximate: x * (1 + torch.erf(x / math.sqrt(2))) / 2,
    "silu": lambda x: x / (1 + (-x).exp()),
    "selu": lambda x: (
        1.0507009873554804934193349852946
        * torch.where(x > 0, x, 1.6732632423543772848170429916717 * (x.clamp(max=0).exp() - 1))
    ),
    "elu": lambda x, alpha: torch.where(x > 0, x, alpha * (x.clamp(max=0).exp() - 1)),
    "mish": lambda x: x * torch.tanh((1 + x.exp()).log()),
    "softplus": lambda x: (1 + x.exp()).log(),
    "softsign": lambda x: x / (1 + x.abs()),
    "hardtanh": lambda x: x.clamp(-1, 1),
    "hardswish": lambda x: x * (x + 3).clamp(0, 6) / 6,
    "sin": torch.sin,
    "erf": torch.erf,
    "relu_squared": lambda x: x.clamp(min=0) ** 2,
}


class Act(nn.Module):
    def __init__(self, option: Config) -> None:
        super().__init__()
        self.name, self.fields = option["name"], {key: value for key, value in option.items() if key != "name"}
        if self.name == "prelu":
            self.weight = nn.Parameter(torch.tensor([option["slope"]]))

    def forward(self, x: Tensor) -> Tensor:
        if self.name == "prelu":
            return x.clamp(min=0) + self.weight * x.clamp(max=0)
        return ACTIVATIONS[self.name](x, **self.fields)


class Plain(nn.Module):
    """The hand-written net: two hidden layers of 16, an optional norm before each activation."""

    def __init__(self, config: Config, data: Data, width: int = 16) -> None:
        super().__init__()
        make = {"none": lambda n: nn.Identity(), "batch": nn.BatchNorm1d, "layer": nn.LayerNorm}[config["arch"]["norm"]]
        self.fc1, self.norm1, self.act1 = nn.Linear(data.train.x[0].size, width), make(width), Act(config["act"])
        self.fc2, self.norm2, self.act2 = nn.Linear(width, width), make(width), Act(config["act"])
        self.fc3 = nn.Linear(width, data.outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act1(self.norm1(self.fc1(x.flatten(1))))
        return self.fc3(self.act2(self.norm2(self.fc2(x))))


class PlainConv(nn.Module):
    """The hand-written conv net: three layers of 5 channels, halved after the second; ``side`` as its head has it."""

    def __init__(self, config: Config, data: Data) -> None:
        super().__init__()
        self.arch = arch = config["arch"]
        assert (arch["depth"], arch["width"], arch["pool_every"]) == (3, 5, 2)
        norms = {"none": lambda n: nn.Identity(), "batch": nn.BatchNorm2d, "layer": lambda n: nn.GroupNorm(1, n)}
        channels, height, width = data.train.x.shape[1:]
        for i in (1, 2, 3):
            setattr(self, f"conv{i}", nn.Conv2d(channels if i == 1 else 5, 5, arch["kernel"]))
            setattr(self, f"norm{i}", norms[arch["norm"]](5))
            setattr(self, f"act{i}", Act(config["act"]))
        half = {"none": lambda n: n, "stride": lambda n: math.ceil(n / 2)}.get(arch["pool"], lambda n: n // 2)
        self.fc = nn.Linear(5 if arch["head"] == "mean" else 5 * half(height) * half(width), data.outputs)

    def forward(self, x: Tensor) -> Tensor:
        margins = [self.arch["kernel"] // 2] * 4
        mode = {"zeros": "constant"}.get(self.arch["padding_mode"], self.arch["padding_mode"])
        for i in (1, 2, 3):
            conv, norm, act = (getattr(self, f"{part}{i}") for part in ("conv", "norm", "act"))
            stride = 2 if i == 2 and self.arch["pool"] == "stride" else 1
            x = act(norm(F.conv2d(F.pad(x, margins, mode), conv.weight, conv.bias, stride)))
            if i == 2 and self.arch["pool"] == "max":
                x = F.max_pool2d(x, 2)
            if i == 2 and self.arch["pool"] == "avg":
                x = F.avg_pool2d(x, 2)
        return self.fc(x.mean((2, 3)) if self.arch["head"] == "mean" else x.flatten(1))


def images(rows: int = 280, shape: tuple[int, ...] = (2, 7, 6)) -> Data:
    """Images of three classes, each with its own bright line; as many training rows as 400 samples leave."""

    def part(rows: int, name: str) -> Part:
        y = np.arange(rows) % 3
        x = uniforms((rows, *shape), 0, "test", name).astype(np.float32)
        x[np.arange(rows), :, y] += 1
        return Part(x, y)

    return Data("classification", 3, part(rows, "train"), part(60, "val"), part(60, "test"))


def mup_rates(config: Config) -> dict[str, float]:
    """Of `Plain` under muP: table 3 of Yang et al. 2022, the net being m times as wide as its base."""
    if config["init"]["name"] != "mup":
        return {}
    m = 16 / config["init"]["base_width"]
    vectors = dict.fromkeys(["fc1.weight", "fc1.bias", "fc2.bias", "norm1.weight", "norm1.bias"], m)
    vectors |= dict.fromkeys(["norm2.weight", "norm2.bias"], m)
    if config["optimizer"]["name"] == "sgd":
        return vectors | {"fc3.weight": 1 / m}
    return {"fc2.weight": 1 / m, "fc3.weight": 1 / m}


def torch_optimizer(config: Config, net: nn.Module) -> tuple[torch.optim.Optimizer, Any]:
    """The optimizer, and its schedule: torch's cosine where that is all, else a LambdaLR."""
    o, rates = config["optimizer"], mup_rates(config)
    common = {"lr": o["lr"], "weight_decay": o["weight_decay"]}
    groups = [{"params": [p], "lr": o["lr"] * rates.get(name, 1.0)} for name, p in net.named_parameters()]
    if o["name"] == "sgd":
        optimizer: Any = torch.optim.SGD(groups, momentum=o["momentum"], nesterov=o["nesterov"], **common)
    else:
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[o["name"]]
        optimizer = kind(groups, betas=(o["beta1"], o["beta2"]), eps=o["eps"], **common)
    if o["schedule"] == "cosine" and not o["warmup"]:
        return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    warm = round(o["warmup"] * STEPS)

    def factor(t: int) -> float:
        if t < warm:
            return (t + 1) / warm
        return (1 + math.cos(math.pi * (t - warm) / (STEPS - warm))) / 2 if o["schedule"] == "cosine" else 1.0

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def error(out: Tensor, y: Tensor, regression: bool) -> Tensor:
    """Mean squared error or cross-entropy; of a net that answers at every position the last ones count."""
    if out.dim() == 3:
        out = out[:, -y.shape[1] :] if y.dim() == 2 and not regression else out[:, -1]
    return F.mse_loss(out, y) if regression else F.cross_entropy(out.flatten(0, -2), y.flatten())


def train_plainly(
    config: Config, data: Data, order: Callable[[int, int, str, str], Any], net: nn.Module | None = None
) -> dict[str, Any]:
    """One run, alone: its initial weights, batches, losses and gradient norms of every step, and the trained net.

    The net is written out above, or the one that is given.
    """
    x, y = torch.tensor(data.train.x).double(), torch.tensor(data.train.y)
    regression = data.task == "regression"
    y = y.double() if regression else y
    net = (net or {"mlp": Plain, "cnn": PlainConv}[config["arch"]["name"]](config, data)).double()
    base = Plain(config, data, config["init"]["base_width"]) if config["init"]["name"] == "mup" else None
    drawn = draw(slots(net, base=base), config["init"], config["act"], config["init_seed"])
    with torch.no_grad():
        for name, p in net.named_parameters():
            p.copy_(drawn.get(name, p))
    initial = {name: p.detach().clone() for name, p in net.named_parameters()}
    optimizer, schedule = torch_optimizer(config, net)
    size, clip, epoch = config["dataset"]["batch_size"], config["optimizer"]["clip"], 0
    losses, batches, norms = [], [], []
    while len(losses) < STEPS:
        for rows in torch.from_numpy(order(len(x), config["order_seed"], "order", f"epoch {epoch}")).split(size):
            if len(rows) < size or len(losses) == STEPS:
                break
            out = net(x[rows])
            loss = error(out, y[rows], regression)
            optimizer.zero_grad()
            loss.backward()
            norms.append(nn.utils.clip_grad_norm_(net.parameters(), math.inf if clip is None else clip).item())
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            batches.append(rows)
        epoch += 1
    return {"initial": initial, "losses": losses, "batches": batches, "norms": norms, "net": net.eval()}
