"""`make gpu-check` finds nothing here, and finds what is wrong."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from scripts import gpu_check
from scripts.gpu_check import CPU
from torch import nn

import forked
from initlab.specs import ACTS, ARCHS, INITS, OPTIMIZERS


def verdicts(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Check -> pass, skip or FAIL."""
    said = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    return {words[1]: words[0] for words in said if words[0] in ("pass", "skip", "FAIL")}


def test_every_option_is_checked_and_passes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a few steps, and with the command in a forked child: that it trains right is proven elsewhere."""
    monkeypatch.setitem(gpu_check.TRAINER, "max_steps", 3)
    run = SimpleNamespace(run=lambda words, **_: forked.command(words[2:], Path.cwd()))
    monkeypatch.setattr(gpu_check, "subprocess", run)
    monkeypatch.setattr(sys, "argv", ["gpu_check.py", "--quick"])
    assert gpu_check.main() == 0
    found = verdicts(capsys)
    assert {f"{r.group}={name}" for r in (ACTS, ARCHS, INITS, OPTIMIZERS) for name in r} <= found.keys()
    assert set(found.values()) == {"pass"}


class Drifting(nn.Module):
    """Another function at each call."""

    calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        Drifting.calls += 1
        return x + 1e-6 * Drifting.calls


def test_a_difference_fails_and_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As if a run's company changed its numbers."""
    monkeypatch.setitem(ACTS._functions, "tanh", Drifting)
    tanh = [("act=tanh", lambda: gpu_check.same_training(CPU, {"act": {"name": "tanh"}}))]
    monkeypatch.setattr(gpu_check, "checks", lambda *_: iter(tanh))
    monkeypatch.setattr(sys, "argv", ["gpu_check.py"])
    assert gpu_check.main() == 1
    assert verdicts(capsys) == {"act=tanh": "FAIL"}
    with pytest.raises(AssertionError, match="touched the others"):
        gpu_check.isolated(CPU, None)


def test_what_does_not_go_together_is_skipped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A net that refuses the images is no failure."""
    even = [("arch=cnn", lambda: gpu_check.same_training(CPU, {"arch": {"name": "cnn", "depth": 9}}))]
    monkeypatch.setattr(gpu_check, "checks", lambda *_: iter(even))
    monkeypatch.setattr(sys, "argv", ["gpu_check.py"])
    assert gpu_check.main() == 0
    assert verdicts(capsys) == {"arch=cnn": "skip"}
