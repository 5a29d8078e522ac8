"""The generated parts of the documentation are current, and theory predicts what nets do."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scripts import schemes, theory
from scripts.pages import with_parts

import initlab
import initlab.acts

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(("page", "full"), [("README.md", False), ("docs/schemes.md", True)])
def test_the_tables_of_the_registries_are_current(page: str, full: bool) -> None:
    text = (ROOT / page).read_text()
    assert with_parts(text, schemes.parts(full)) == text, "python scripts/schemes.py --write renews it"


def test_theorys_tables_are_current() -> None:
    text = theory.PAGE.read_text()
    assert with_parts(text, theory.tables()) == text, "python scripts/theory.py --write renews it"


def test_a_page_without_a_place_is_told() -> None:
    with pytest.raises(ValueError, match="no place for init: the page needs <!-- init -->"):
        with_parts("no markers", {"init": "table"})
    assert with_parts("a <!-- x -->\nold\n<!-- /x --> b", {"x": "1 | 2"}) == "a <!-- x -->\n\n1 | 2\n\n<!-- /x --> b"


def test_theory_predicts_small_nets() -> None:
    """Every layer of 24 nets a cell within the 99 % Bonferroni band of the prediction."""
    found = theory.cells(depth=6, width=128, seeds=24, acts=("relu", "tanh", "gelu", "prelu"))
    assert len(found) == 6 and all(len(cell.predicted) == 7 for cell in found)
    assert not theory.outside(found)


def test_a_wrong_prediction_is_seen() -> None:
    (cell, _) = theory.cells(depth=6, width=128, seeds=24, acts=("relu",))
    wrong = theory.Cell("relu", "forward", [3 * q for q in cell.predicted], cell.scatter, cell.measured)
    assert len(theory.outside([wrong])) == 7


@pytest.mark.battery
def test_theory_predicts_every_activation() -> None:
    assert not theory.outside(theory.cells(depth=20, width=512, seeds=32))


def test_gradients_follow_the_trace() -> None:
    """200 ReLU nets of width 64: E (dL/d pre-activation)^2 within 4 standard errors, layer by layer."""
    sizes = [32, 64, 64, 64, 64]
    layers: list[torch.nn.Module] = []
    for n_in, n_out in itertools.pairwise(sizes):
        layers += [torch.nn.Linear(n_in, n_out), torch.nn.ReLU()]
    net = torch.nn.Sequential(*layers[:-1]).double()
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 32)))
    predicted = initlab.trace(net, "xavier", gain=1.2, data=x)
    squares = []
    for seed in range(200):
        initlab.initialize(net, "xavier", gain=1.2, seed=seed)
        kept: list[torch.Tensor] = []
        y = x
        for module in net:
            y = module(y)
            if isinstance(module, torch.nn.Linear):
                y.retain_grad()
                kept.append(y)
        weights = torch.from_numpy(np.random.default_rng(seed).normal(size=64))  # dL/dy of variance 1
        (y[0] @ weights).backward()
        squares.append([float(k.grad.square().mean()) for k in kept if k.grad is not None])
    measured = np.array(squares)
    error = measured.std(0, ddof=1) / math.sqrt(len(measured))
    assert (np.abs(measured.mean(0) - [layer.gradient for layer in predicted.layers]) < 4 * error).all()


def test_where_theory_stops() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    x = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    found = initlab.trace(net, "constant", data=x)
    assert found.layers == () and found.verdict == "unknown"
    assert found.stopped == "0.weight: theory follows weights of mean 0, and theirs is 0.63"
