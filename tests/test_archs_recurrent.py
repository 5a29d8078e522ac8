"""Recurrent nets equal torch's given the same weights, layer upon layer; and their gates have roles."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import initlab.archs  # noqa: F401  (the functions join the registry)
from initlab.config import typed
from initlab.roles import Role
from initlab.schemes.initial import initialize
from initlab.slots import slots
from initlab.specs import ARCHS

# torch's order of the gates in its fused weights.
TORCHS: dict[str, tuple[type[nn.RNNBase], tuple[str, ...]]] = {
    "rnn": (nn.RNN, ("state",)),
    "lstm": (nn.LSTM, ("input", "forget", "cell", "output")),
    "gru": (nn.GRU, ("reset", "update", "new")),
}
EXACT: dict[str, Any] = {"rtol": 0, "atol": 1e-12}


def built(name: str, **fields: Any) -> Any:
    net = ARCHS.build(ARCHS.typed({"name": name, "width": 6, **fields}), (9, 4), 3, nn.Tanh)
    return initialize(net.double(), "xavier", bias="normal", seed=1)


def fused(layer: Any, gates: tuple[str, ...], of: str, leaf: str) -> Tensor:
    """torch's weight_ih, bias_ih, ... of a layer; where ours has no second bias it is 0."""
    parts = [getattr(getattr(layer, gate), of) for gate in gates]
    zeros = torch.zeros(6, dtype=torch.float64)
    return torch.cat([zeros if getattr(part, leaf) is None else getattr(part, leaf) for part in parts])


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("name", TORCHS)
def test_it_equals_torchs(name: str, depth: int) -> None:
    net = built(name, depth=depth)
    kind, gates = TORCHS[name]
    theirs = kind(4, 6, depth, batch_first=True).double()
    with torch.no_grad():
        for i, layer in enumerate(net.layers):
            for ours, short in (("inward", "ih"), ("recurrent", "hh")):
                for leaf in ("weight", "bias"):
                    getattr(theirs, f"{leaf}_{short}_l{i}").copy_(fused(layer, gates, ours, leaf))
    x = torch.randn(5, 9, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert net(x).shape == (5, 9, 3)
    torch.testing.assert_close(net(x), net.readout(theirs(x)[0]), **EXACT)


def test_the_gates_have_roles() -> None:
    found = {place.name: place.role for place in slots(built("lstm", depth=2))}
    cell = {"cell": "layers.1", "gate": "forget"}
    assert found["layers.1.forget.inward.weight"] == Role("hidden", **cell)
    assert found["layers.1.forget.inward.bias"] == Role("gate", **cell)
    assert found["layers.1.forget.recurrent.weight"] == Role("recurrent", **cell)
    assert found["layers.0.cell.inward.bias"] == Role("input", cell="layers.0", gate="cell")
    assert found["readout.weight"] == Role("readout")


def test_an_lstm_has_an_activation_of_its_own() -> None:
    """A run with another is the same run."""
    raw = {"dataset": {"name": "latch"}, "init": {"name": "xavier"}, "optimizer": {"name": "adam"}}
    first, second = (typed(raw | {"arch": {"name": "lstm"}, "act": {"name": act}}) for act in ("relu", "tanh"))
    assert first == second and first["act"] == {"name": "tanh"}
    assert typed(raw | {"arch": {"name": "rnn"}, "act": {"name": "relu"}})["act"] == {"name": "relu"}
