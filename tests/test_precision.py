"""trainer.precision: what is rounded and what is not, against float32 and against torch's own autocast."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from conftest import small
from faults import made, train
from initlab.config import Config
from initlab.datasets import Data, load
from initlab.errors import Refused
from initlab.specs import ARCHS
from initlab.storage.folder import read
from initlab.training.module import Chunk, StackModule
from initlab.training.nets import arithmetic, build_net
from initlab.training.preflight import check
from nets import data_for, small_arch

ROUNDING = 2.0**-8  # of a number in bfloat16, relative
UPDATES = 3


def configs_of(precision: str, **sections: Any) -> list[Config]:
    shared = {"trainer": {"precision": precision, "max_steps": UPDATES}}
    return [small(seed, **shared, **sections) for seed in range(2)]


def after(configs: list[Config], data: Data, updates: int = UPDATES) -> StackModule:
    module = StackModule(configs, data)
    module.prepare()
    module.on_train_epoch_start()
    module.training_step(Chunk(0, 0, updates), 0)
    return module


def losses(module: StackModule) -> np.ndarray:
    return module.curves.whole()["train/loss"].values


@pytest.mark.parametrize("arch", ARCHS)
def test_bf16_is_float32_but_for_the_rounding_of_products(arch: str) -> None:
    """The same weights are drawn, bit for bit, the first losses agree to some roundings of bfloat16, and a stack's with
    those of its runs alone. What it keeps and updates is float32."""
    option = small_arch(arch)
    data = data_for(option)
    full, mixed = ([c | {"arch": option} for c in configs_of(precision)] for precision in ("float32", "bf16"))
    single, low = after(full, data), after(mixed, data)
    assert low.refusal is None and low.initial_hashes == single.initial_hashes
    assert {p.dtype for p in low.state.params.values()} == {torch.float32}
    assert np.abs(losses(low) - losses(single)).max() <= 4 * ROUNDING * np.abs(losses(single)).max()
    assert (losses(low) != losses(single)).any()  # it is rounded
    for r, config in enumerate(mixed):
        alone = after([config], data)
        assert np.abs(losses(low)[r] - losses(alone)).max() <= 4 * ROUNDING * np.abs(losses(alone)).max()


@pytest.mark.parametrize("norm", ["none", "layer"])
def test_bf16_is_torchs_autocast(norm: str) -> None:
    """A plain loop under torch.autocast, with the stack's weights and batches: its losses, and how far weights move."""
    configs = configs_of("bf16", arch={"norm": norm}, act={"name": "tanh"})
    data = load(configs[0]["dataset"])
    module = after(configs, data, updates=0)
    first = {name: p.clone() for name, p in module.state.params.items()}
    batches = [module.rows.take(i) for i in range(UPDATES)]
    module.training_step(Chunk(0, 0, UPDATES), 0)
    for r, config in enumerate(configs):
        net, found = build_net(config, data), []
        net.load_state_dict({name: p[r] for name, p in first.items()})
        optimizer = torch.optim.SGD(net.parameters(), lr=config["optimizer"]["lr"])
        for x, y in batches:
            with torch.autocast("cpu", torch.bfloat16):
                out = net(x[r])
            loss = F.cross_entropy(out.float(), y[r])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            found.append(loss.item())
        assert np.abs(losses(module)[r] - found).max() <= ROUNDING / 4
        for name, p in net.named_parameters():
            moved, wanted = module.state.params[name][r] - first[name][r], p.detach() - first[name][r]
            assert (moved - wanted).norm() <= 4 * ROUNDING * wanted.norm(), name


def switches() -> tuple[bool, bool, bool]:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    return matmul.allow_tf32, cudnn.allow_tf32, matmul.allow_bf16_reduced_precision_reduction


def test_torchs_switches_are_set_while_a_stack_trains_and_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """They hold for the process: a worker's next group has another precision."""
    before = switches()
    with arithmetic(small()):
        assert switches() == (False, False, False)  # cuDNN's own default would round float32 convolutions
    assert switches() == before
    monkeypatch.setattr("initlab.training.nets.device_of", lambda _: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    with pytest.raises(ZeroDivisionError), arithmetic(small(trainer={"precision": "tf32"})):
        assert switches() == (True, True, False)
        raise ZeroDivisionError
    assert switches() == before
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "an older one")
    with pytest.raises(Refused, match="an older one has none"), arithmetic(small(trainer={"precision": "tf32"})):
        pass


def test_tf32_is_refused_where_nothing_would_be_rounded_to_it(tmp_path: Path) -> None:
    """By the command, and by a worker on another machine than the command's."""
    planned = made(tmp_path, "seed=0,1", "trainer.precision=tf32", "trainer.accelerator=cpu")
    with pytest.raises(Refused, match=r"trainer\.precision=tf32: .* would train on a CPU\. float32 is what"):
        check(planned)
    with pytest.raises(Refused, match=r"trainer\.precision=tf32"), arithmetic(planned.runs[0].config):
        pass


@pytest.mark.parametrize("workers", [1, 2])
def test_a_precision_that_only_a_worker_lacks_is_no_runs_failure(workers: int, tmp_path: Path) -> None:
    """Its machine may be another than the one where the plan was checked; the same words come from this process."""
    words = ["act=relu,tanh", "trainer.precision=tf32", "trainer.accelerator=cpu", f"sweep.workers={workers}"]
    with pytest.raises(Refused, match=r"^trainer\.precision=tf32: .* would train on a CPU\. float32 is what"):
        train(made(tmp_path, *words))
    assert not read(tmp_path).records


def test_precision_is_part_of_what_a_run_is(tmp_path: Path) -> None:
    """Each has its stack, its key, its config on disk, and its place among the axes."""
    assert train(made(tmp_path, "trainer.precision=float32,bf16,float64", "trainer.max_steps=3")) == {"done": 3}
    sweep = read(tmp_path)
    assert len({record["key"] for record in sweep.records}) == 3
    assert {record["axes"]["trainer.precision"] for record in sweep.records} == {"float32", "bf16", "float64"}
    finals = {record["axes"]["trainer.precision"]: record["final"]["train/loss"] for record in sweep.records}
    assert finals["float32"] != finals["bf16"]
    assert finals["bf16"] == pytest.approx(finals["float64"], rel=4 * ROUNDING)
