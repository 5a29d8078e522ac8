"""What is asked of a net from elsewhere, and what it is told: before anything is trained, in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import initlab
from initlab.errors import Refused
from initlab.roles import Role
from initlab.training.preflight import _check_answer


class Answer(nn.Module):
    """A layer, and what becomes of its output."""

    def __init__(self, then: Callable[[Tensor], Any], width: int = 3) -> None:
        super().__init__()
        self.fc, self.then = nn.Linear(5, width), then

    def forward(self, x: Tensor) -> Any:
        return self.then(self.fc(x))


REFUSED: list[tuple[nn.Module, str]] = [
    (Answer(lambda out: (out, out)), r"gives a tuple and not a tensor \[B, 3\]\. Return the part that counts"),
    (Answer(lambda out: {"logits": out}), r"gives a dict and not a tensor"),
    (Answer(lambda out: out, width=4), r"gives \[2, 4\] for 2 rows, and not a tensor \[B, 3\]"),
    (Answer(lambda out: out.sum(0)), r"gives \[3\] for 2 rows"),
    (nn.Linear(7, 3), r"raises on 2 rows \[2, 5\] of the data\. mat1 and mat2"),
    (nn.Sequential(nn.Linear(5, 3), nn.Dropout(0.1)), "draws random numbers while it computes, as dropout does"),
]


@pytest.mark.parametrize(("net", "told"), REFUSED)
def test_a_net_that_does_not_fit_is_refused(net: nn.Module, told: str) -> None:
    with pytest.raises(Refused, match=f"arch=theirs: {told}"):
        _check_answer(net, "arch=theirs", torch.randn(2, 5), 3)


def test_a_net_that_fits_passes() -> None:
    for net in (nn.Linear(5, 3), nn.Sequential(nn.Linear(5, 3), nn.Dropout(0.0)), nn.LSTM(5, 3, batch_first=True)):
        fits = Answer(lambda out, net=net: net(torch.zeros(2, 4, 5))[0]) if isinstance(net, nn.LSTM) else net
        _check_answer(fits, "arch=theirs", torch.randn(2, 5), 3)


def test_roles_come_with_the_call() -> None:
    """A residual net of somebody else's under Fixup, by name."""
    net: Any = nn.ModuleDict({"one": nn.Linear(4, 4), "two": nn.Linear(4, 4), "out": nn.Linear(4, 2)})
    place = {"block": 0, "blocks": 16, "layers": 2}
    roles = {"one": Role("hidden", layer=1, **place), "two": Role("hidden", layer=2, **place), "out": Role("readout")}
    plain = {name: p.clone() for name, p in initlab.initialize(net, "kaiming").named_parameters()}
    initlab.initialize(net, "fixup", roles=roles)
    torch.testing.assert_close(net["one"].weight, plain["one.weight"] / 4)
    assert not net["two"].weight.any() and not net["out"].weight.any()
