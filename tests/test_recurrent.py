"""The schemes for recurrent nets: what each layer and each gate gets, and the law of chrono's biases."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import initlab
import initlab.archs
from initlab.errors import Refused
from initlab.laws import Weight
from initlab.planning.compose import Composer
from initlab.planning.plan import make
from initlab.schemes.recurrent import Chrono
from initlab.specs import ARCHS

ROOT = Path(__file__).parents[1]
EYE = torch.eye(64, dtype=torch.float64)


def parameters(arch: str, init: str, depth: int = 1, seed: int = 0, **fields: Any) -> dict[str, Tensor]:
    option = ARCHS.typed({"name": arch, "width": 64, "depth": depth})
    net = ARCHS.build(option, (9, 4), 3, nn.ReLU).double()
    return {name: p.detach() for name, p in initlab.initialize(net, init, seed=seed, **fields).named_parameters()}


def test_irnn_keeps_its_state_and_reads_little() -> None:
    found = parameters("rnn", "irnn", depth=2, scale=0.5)
    for layer in (0, 1):
        assert torch.equal(found[f"layers.{layer}.state.recurrent.weight"], 0.5 * EYE)
        assert (found[f"layers.{layer}.state.inward.bias"] == 0).all()
    small = torch.cat([found["layers.1.state.inward.weight"].flatten(), found["readout.weight"].flatten()])
    assert abs(small.std() / 0.001 - 1) < 5 / math.sqrt(2 * small.numel())


@pytest.mark.parametrize("arch", ["rnn", "lstm", "gru"])
def test_each_gate_has_an_orthogonal_matrix_of_its_own(arch: str) -> None:
    found = parameters(arch, "orthogonal_recurrent")
    matrices = [p for name, p in found.items() if name.endswith("recurrent.weight")]
    assert len(matrices) == {"rnn": 1, "lstm": 4, "gru": 3}[arch]
    for q in matrices:
        torch.testing.assert_close(q @ q.T, EYE, rtol=0, atol=1e-12)
    assert all(not torch.equal(q, matrices[0]) for q in matrices[1:])
    xavier = parameters(arch, "xavier_uniform")
    assert torch.equal(found["readout.weight"], xavier["readout.weight"])


def test_the_forget_gate_has_its_bias_and_no_other() -> None:
    lstm, gru = parameters("lstm", "forget_bias", forget=3.5), parameters("gru", "forget_bias", forget=3.5)
    for found, keeping in ((lstm, "forget"), (gru, "update")):
        for name, p in found.items():
            if name.endswith("bias"):
                assert (p == (3.5 if name == f"layers.0.{keeping}.inward.bias" else 0)).all(), name
    same = parameters("lstm", "orthogonal_recurrent")
    assert all(torch.equal(p, same[name]) for name, p in lstm.items() if name.endswith("weight"))


def test_chrono_gives_a_unit_one_time_for_both_its_gates() -> None:
    """b of the forget gate is ln of a time in [1, T - 1], of the input gate its negative; layers and seeds differ."""
    found = parameters("lstm", "chrono", depth=2, length=30)
    keep = found["layers.0.forget.inward.bias"]
    assert torch.equal(found["layers.0.input.inward.bias"], -keep)
    assert (keep > 0).all() and (keep < math.log(29)).all()
    assert (found["layers.0.output.inward.bias"] == 0).all() and (found["layers.0.cell.inward.bias"] == 0).all()
    assert not torch.equal(found["layers.1.forget.inward.bias"], keep)
    assert not torch.equal(parameters("lstm", "chrono", length=30, seed=1)["layers.0.forget.inward.bias"], keep)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_law_of_chrono_is_that_of_its_draws(sign: float) -> None:
    law = Chrono(40.0, sign)
    x = law.draw(Weight("b", (100_000,), 1, 1, {"name": "tanh"}, 0))
    assert law.low < x.min() and x.max() < law.high
    assert abs(x.mean() - law.mean) < 5 * law.std / math.sqrt(len(x))
    assert abs(x.std() / law.std - 1) < 0.02  # the kurtosis is below 9: five standard deviations
    # Kolmogorov's bound at 1e-6: sqrt(ln(2e6) / 2n)
    ranks = (torch.arange(len(x)) + 0.5) / len(x)
    assert (law.cdf(x.sort().values) - ranks).abs().max() < math.sqrt(math.log(2e6) / (2 * len(x)))


def test_a_bias_of_ln_t_keeps_one_over_e() -> None:
    """What the doc of forget_bias says: without inputs and recurrent weights a memory is kept as (1 - 1/T)^t."""
    option = ARCHS.typed({"name": "lstm", "width": 64})
    net: Any = initlab.initialize(ARCHS.build(option, (40, 4), 3, nn.Tanh).double(), "forget_bias", forget=math.log(39))
    layer, zero = net.layers[0], torch.zeros(1, 64, dtype=torch.float64)
    memory, bias = zero + 1, torch.cat([getattr(layer, gate).inward.bias for gate in (*layer.gates, layer.candidate)])
    for _ in range(40):
        _, memory = layer.advance(bias.unsqueeze(0), torch.zeros(1, 256, dtype=torch.float64), zero, memory)
    torch.testing.assert_close(memory, zero + (1 - 1 / 40) ** 40)


def test_a_net_without_a_state_is_refused_with_those_that_have_one() -> None:
    with pytest.raises(Refused) as refusal:
        make(Composer(ROOT / "conf"), ["dataset=latch", "arch=mlp", "init=irnn"], multirun=False)
    assert str(refusal.value) == (
        "init=irnn: needs a net with the role recurrent; this one of arch=mlp has not. These have: rnn, lstm, gru."
    )
    with pytest.raises(Refused, match=r"init=chrono: needs a net with the role gate; .* These have: lstm, gru\."):
        make(Composer(ROOT / "conf"), ["dataset=latch", "arch=rnn", "init=chrono"], multirun=False)
