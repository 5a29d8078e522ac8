"""`make gpu-check` finds nothing here, and finds what is wrong."""

from __future__ import annotations

import sys

import pytest
import torch
from scripts import gpu_check
from scripts.gpu_checks import commands, options, replays, stacks, waiting
from scripts.gpu_checks.stacks import CPU
from torch import nn

import forked
from initlab.specs import ACTS, ARCHS, INITS, OPTIMIZERS
from initlab.training import graphs
from initlab.training.device import no_waiting
from initlab.training.step import State
from initlab.training.updates import Resident
from recorder import as_a_gpu


def verdicts(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Check -> pass, skip or FAIL."""
    said = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    return {words[1]: words[0] for words in said if words[0] in ("pass", "skip", "FAIL")}


def test_every_option_is_checked_and_passes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a few steps, and with the command in a forked child: that it trains right is proven elsewhere."""
    monkeypatch.setitem(stacks.TRAINER, "max_steps", 3)
    monkeypatch.setattr(commands, "command", forked.command)
    monkeypatch.setattr(sys, "argv", ["gpu_check.py", "--quick"])
    assert gpu_check.main() == 0
    found = verdicts(capsys)
    assert {f"{r.group}={name}" for r in (ACTS, ARCHS, INITS, OPTIMIZERS) for name in r} <= found.keys()
    skipped = {name for name, verdict in found.items() if verdict == "skip"}
    assert set(found.values()) == {"pass", "skip"}
    assert all(name.startswith(("trainer.precision=tf32", "nothing is asked", "a graph")) for name in skipped), skipped


def test_replays_are_compared_where_there_are_some(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for graphs, which gets a run's number wrong in the end."""
    choices = as_a_gpu(monkeypatch)
    for _, check in replays.checks(CPU, quick=True):
        assert check() == "bit for bit; a replay takes 500000 us, eagerly 1000000"
    assert all(choice.replayed for choice in choices)
    call = Resident.__call__

    def wrong(self: Resident, state: State, i: int) -> tuple[State, torch.Tensor]:
        state, losses = call(self, state, i)
        return state, losses + 1e-8 * (self.replay is not None)

    monkeypatch.setattr(Resident, "__call__", wrong)
    with pytest.raises(AssertionError, match="1e-08 apart"):
        replays.same_replayed(CPU, {})
    monkeypatch.setitem(graphs.RECORDERS, "cpu", lambda update: 1 / 0)
    with pytest.raises(AssertionError, match="no graph: ZeroDivisionError"):
        replays.same_replayed(CPU, {})


@pytest.mark.battery
def test_the_command_goes_every_way() -> None:
    """Processes of its own: Ray, and one that is stopped."""
    for _, check in commands.checks(CPU, quick=False):
        assert "identical" in check()


class Asking(nn.Module):
    """It looks at what it computes."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if bool(x.sum() > 0) else -x


def test_who_asks_the_device_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GPU too; on one torch's watch is set for that while alone, whatever happens."""
    monkeypatch.setitem(ACTS._functions, "tanh", Asking)
    with pytest.raises(RuntimeError, match="cannot be called on meta tensors"):
        waiting.unasked(CPU, {})
    modes = ["default"]
    monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: modes[-1])
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    with pytest.raises(ZeroDivisionError), no_waiting(torch.device("cuda")):
        raise ZeroDivisionError
    assert modes == ["default", "error", "default"]


class Drifting(nn.Module):
    """Another function at each call."""

    calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        Drifting.calls += 1
        return x + 1e-6 * Drifting.calls


def test_a_difference_fails_and_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As if a run's company changed its numbers."""
    monkeypatch.setitem(ACTS._functions, "tanh", Drifting)
    tanh = [("act=tanh", lambda: options.same_training(CPU, {"act": {"name": "tanh"}}))]
    monkeypatch.setattr(gpu_check, "checks", lambda *_: iter(tanh))
    monkeypatch.setattr(sys, "argv", ["gpu_check.py"])
    assert gpu_check.main() == 1
    assert verdicts(capsys) == {"act=tanh": "FAIL"}
    with pytest.raises(AssertionError, match="touched the others"):
        options.isolated(CPU, None)


def test_what_does_not_go_together_is_skipped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A net that refuses the images is no failure."""
    even = [("arch=cnn", lambda: options.same_training(CPU, {"arch": {"name": "cnn", "depth": 9}}))]
    monkeypatch.setattr(gpu_check, "checks", lambda *_: iter(even))
    monkeypatch.setattr(sys, "argv", ["gpu_check.py"])
    assert gpu_check.main() == 0
    assert verdicts(capsys) == {"arch=cnn": "skip"}
