"""However a sweep is stacked, and wherever its stacks are trained, every run equals the plain program.

Ray and a queue are held against this process, bit for bit, in `test_executors`; nets and optimizers in `test_oracle`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from faults import made, train
from initlab.datasets import load
from initlab.storage.folder import read
from initlab.streams import permutation
from plain import STEPS, train_plainly
from recorder import as_a_gpu

# Rates and clips of their own, and one run that diverges.
WORDS = ["optimizer=sgd", "optimizer.momentum=0.5", "optimizer.lr=0.02,0.1,1e300", "optimizer.clip=null,0.2"]
WORDS += ["arch.norm=none", "arch.depth=2", "arch.width=16", "trainer.precision=float64", f"trainer.max_steps={STEPS}"]


@pytest.fixture(scope="module")
def plain() -> dict[str, dict[str, Any]]:
    """Of each run, by name, what the plain program makes of it in float64."""
    runs = made(Path("nowhere"), *WORDS).runs
    with np.errstate(all="ignore"):
        return {run.name: train_plainly(run.config, load(run.config["dataset"]), permutation) for run in runs}


@pytest.mark.parametrize(
    ("width", "workers", "precision", "graphs"),
    [
        *((1, 1, "float64", False), (2, 2, "float64", False), (64, 1, "float64", False)),
        *((1, 2, "float32", False), (64, 1, "float32", False)),
        *((64, 1, "float64", True), (1, 1, "float64", True), (64, 1, "float32", True)),
    ],
)
def test_every_path_gives_the_numbers_of_the_plain_program(
    width: int,
    workers: int,
    precision: str,
    graphs: bool,
    plain: dict[str, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In float32 to a thousand of its roundings, as the differences grow over a hundred steps."""
    choices = as_a_gpu(monkeypatch) if graphs else []
    tolerance = {"float64": 1e-12, "float32": 1e-4}[precision]
    words = [*WORDS, f"trainer.precision={precision}", f"sweep.stack_width={width}", f"sweep.workers={workers}"]
    assert train(made(tmp_path, *words)) == {"done": 4, "diverged": 2}
    assert all(choice.replayed for choice in choices) and bool(choices) == graphs
    sweep = read(tmp_path)
    for record in sweep.records:
        expected = plain[record["name"]]
        steps, losses = sweep.curves(record)["train/loss"]
        until = record["diverged"]["step"] - 1 if record["status"] == "diverged" else STEPS
        assert (record["status"] == "diverged") == (record["axes"]["optimizer.lr"] == 1e300)
        assert list(steps) == list(range(1, STEPS + 1)) and np.isnan(losses[until:]).all()
        wanted = np.array(expected["losses"][:until])
        assert (np.abs(losses[:until] - wanted) <= tolerance * np.maximum(1, np.abs(wanted))).all()
        if record["status"] == "done":
            weights = load_file(tmp_path / record["folder"] / "weights.safetensors")
            for name, p in expected["net"].named_parameters():
                assert np.allclose(weights[name], p.detach().numpy(), rtol=tolerance, atol=tolerance), name
