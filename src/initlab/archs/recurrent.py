"""Recurrent nets on sequences, [B, T, F] -> [B, T, outputs]: layers of cells, and a readout at each step.

A gate is two layers of its own, of what comes in and of the state before, so that each has its role and a scheme of its
own; they are put together once a pass. The cells are matrix products, since vmap takes none of torch's. The state
starts at 0. What comes in is multiplied for all steps at once, so that a step has one product left.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from initlab.archs.plain import Act, Net
from initlab.roles import Role
from initlab.specs import ARCHS
from initlab.specs.shapes import sequence


class Gate(nn.Module):
    """The two layers of a gate or a candidate; ``inward`` has the bias."""

    def __init__(self, inputs: int, width: int, bias: bool = False) -> None:
        super().__init__()
        self.inward = nn.Linear(inputs, width)
        self.recurrent = nn.Linear(width, width, bias)


class Layer(nn.Module):
    """[B, T, F] -> [B, T, width], the state at each step. Subclasses name their gates and say how the state goes on."""

    gates: tuple[str, ...]  # each with a sigmoid
    candidate: str  # what the gates let through

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.width = width
        for name in (*self.gates, self.candidate):
            self.add_module(name, Gate(inputs, width))

    def forward(self, x: Tensor) -> Tensor:
        gates = [getattr(self, name) for name in (*self.gates, self.candidate)]
        inwards = torch.cat([gate.inward(x) for gate in gates], -1)
        recurrent = torch.cat([gate.recurrent.weight for gate in gates]).mT
        h = memory = x.new_zeros(*x.shape[:-2], self.width)
        states = []
        for inward in inwards.unbind(-2):
            h, memory = self.advance(inward, h @ recurrent, h, memory)
            states.append(h)
        return torch.stack(states, -2)

    def advance(self, inward: Tensor, recurrent: Tensor, h: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """The next state and memory, from the gates' parts [B, gates * width] of what comes in and of the state."""
        raise NotImplementedError


class Plain(Layer):
    """h <- act(W x + b + U h). Elman 1990."""

    gates, candidate = (), "state"

    def __init__(self, inputs: int, width: int, act: Act) -> None:
        super().__init__(inputs, width)
        self.act = act()

    def advance(self, inward: Tensor, recurrent: Tensor, h: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        return self.act(inward + recurrent), memory


class Lstm(Layer):
    """c <- f c + i g, h <- o tanh(c). Hochreiter & Schmidhuber 1997, with Gers, Schmidhuber & Cummins' forget gate."""

    gates, candidate = ("input", "forget", "output"), "cell"

    def advance(self, inward: Tensor, recurrent: Tensor, h: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        gates = inward + recurrent
        i, f, o = gates[..., : -self.width].sigmoid().chunk(3, -1)
        memory = f * memory + i * gates[..., -self.width :].tanh()
        return o * memory.tanh(), memory


class Gru(Layer):
    """h <- (1 - z) n + z h, n = tanh(W x + b + r (U h + c)). Cho et al. 2014; r after the product, as in cuDNN."""

    gates, candidate = ("reset", "update"), "new"

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.new = Gate(inputs, width, bias=True)

    def advance(self, inward: Tensor, recurrent: Tensor, h: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        r, z = (inward + recurrent)[..., : -self.width].sigmoid().chunk(2, -1)
        kept = recurrent[..., -self.width :] + self.new.recurrent.bias
        n = (inward[..., -self.width :] + r * kept).tanh()
        return n + z * (h - n), memory


@ARCHS.register("rnn")
def rnn(features: tuple[int, ...], outputs: int, act: Act, *, depth: int, width: int) -> nn.Module:
    """depth layers of h <- act(W x + b + U h), then a readout at each step."""
    return _net("rnn", features, outputs, depth, width, lambda inputs: Plain(inputs, width, act))


@ARCHS.register("lstm")
def lstm(features: tuple[int, ...], outputs: int, act: Act, *, depth: int, width: int) -> nn.Module:
    """depth layers of LSTM cells, then a readout at each step; the activations are its own, tanh and sigmoid."""
    return _net("lstm", features, outputs, depth, width, lambda inputs: Lstm(inputs, width))


@ARCHS.register("gru")
def gru(features: tuple[int, ...], outputs: int, act: Act, *, depth: int, width: int) -> nn.Module:
    """depth layers of gated recurrent units, then a readout at each step; the activations are tanh and sigmoid."""
    return _net("gru", features, outputs, depth, width, lambda inputs: Gru(inputs, width))


def _net(
    name: str, features: tuple[int, ...], outputs: int, depth: int, width: int, layer: Callable[[int], Layer]
) -> Net:
    sequence({"name": name}, features)
    layers = [layer(features[1] if i == 0 else width) for i in range(depth)]
    roles = {"readout": Role("readout")}
    for i, made in enumerate(layers):
        for gate in (*made.gates, made.candidate):
            where, place = f"layers.{i}.{gate}", Role("hidden" if i else "input", cell=f"layers.{i}", gate=gate)
            roles |= {f"{where}.inward": place, f"{where}.recurrent": replace(place, kind="recurrent")}
            if gate in made.gates:
                roles[f"{where}.inward.bias"] = replace(place, kind="gate")
    return Net(OrderedDict(layers=nn.Sequential(*layers), readout=nn.Linear(width, outputs)), roles)
