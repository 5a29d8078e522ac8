"""Whether a wider stack fits: one rule for a host's memory and a GPU's; and nothing stays of a stack that has ended."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from faults import made, train
from initlab.config import Config
from initlab.executors.items import Rehearse
from initlab.training import device, rehearsal
from initlab.training import train as training
from initlab.training.module import StackModule
from recorder import as_a_gpu

CUDA = torch.device("cuda")


class Gpu:
    """As torch.cuda tells of memory: ``total`` bytes, of which others have ``others``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, total: int, others: int = 0) -> None:
        self.total, self.others, self.used, self.peak, self.held = total, others, 0, 0, 0
        monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: setattr(self, "peak", self.used))
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: self.peak)
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: self.held)
        monkeypatch.setattr(torch.cuda, "empty_cache", lambda: setattr(self, "held", self.used))
        monkeypatch.setattr(torch.cuda, "synchronize", lambda _: None)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (self.total - self.others - self.held, self.total))

    def stack(self, most: int, kept: int = 0) -> None:
        """One whose tensors take ``most`` bytes and which leaves ``kept``; torch's cache holds the rest for later."""
        self.used, self.peak, self.held = kept, max(self.peak, most), max(self.held, most)


@pytest.mark.parametrize("kept", [0, 10], ids=["freed since", "still there"])
def test_of_a_gpu_the_peak_of_the_last_stack_is_held_against_what_is_free(
    monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    """Beside 10 bytes of a stack 90 are free, wherever those 10 lie by now: 44 more fit, 45 are not less than half."""
    gpu = Gpu(monkeypatch, total=120, others=20)
    gpu.stack(30)  # an earlier one, which is not asked about; its memory is in torch's cache
    device.watch(CUDA)
    gpu.stack(10, kept)
    assert device.fits(5.4, CUDA) and not device.fits(5.5, CUDA)


def test_of_a_process_its_own_memory_is_held_against_the_machines(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The same rule: 100 pages of this process, 900 free."""
    files = {"/proc/self/statm": "500 100 3", "/proc/meminfo": "MemTotal: 9\nMemAvailable: 3600 kB\n"}
    for name, text in files.items():
        (tmp_path / name.replace("/", "")).write_text(text)
    monkeypatch.setattr(device, "Path", lambda name: tmp_path / name.replace("/", ""))
    monkeypatch.setattr(device.os, "sysconf", lambda _: 4096)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", None)  # not asked
    cpu = torch.device("cpu")
    device.watch(cpu)
    assert device.fits(5.4, cpu) and not device.fits(5.5, cpu)
    (tmp_path / "procmeminfo").unlink()
    assert device.fits(1e9, cpu)  # who cannot know tries


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    ],
)
def test_who_runs_out_of_memory_says_so(error: Exception) -> None:
    assert device.out_of_memory(error)
    assert not device.out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))


def test_what_is_left_of_ended_stacks_is_looked_for_where_it_is_much(monkeypatch: pytest.MonkeyPatch) -> None:
    class Knot:
        def __init__(self) -> None:
            self.itself = self

    gpu = Gpu(monkeypatch, total=100)
    gc.disable()
    try:
        gone = weakref.ref(Knot())
        gpu.stack(5)
        device.reclaim(CUDA)
        device.reclaim(torch.device("cpu"))
        assert gone() is not None
        gpu.stack(6)
        device.reclaim(CUDA)
        assert gone() is None and gpu.held == 0
    finally:
        gc.enable()


def test_of_a_gpu_that_computes_nothing_any_more_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """How an item ended is told then too: what asks for its memory would raise in that place."""

    def broken(*_: Any) -> Any:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    Gpu(monkeypatch, total=100).stack(50)
    assert device.usable(CUDA)
    for name in ("synchronize", "mem_get_info", "empty_cache"):
        monkeypatch.setattr(torch.cuda, name, broken)
    assert not device.usable(CUDA) and device.usable(torch.device("cpu"))
    device.reclaim(CUDA)


def test_nothing_stays_of_a_stack_that_has_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Once it is reclaimed, whether it was trained or raised; a rehearsal's goes by itself."""
    before: list[weakref.ref[StackModule]] = []
    alive: list[int] = []

    class Counted(StackModule):
        def __init__(self, configs: Sequence[Config], *args: Any, **words: Any) -> None:
            alive.append(sum(module() is not None for module in before))
            before.append(weakref.ref(self))
            super().__init__(configs, *args, **words)

        def on_train_epoch_start(self) -> None:
            if self.configs[0]["act"]["name"] == "tanh":
                raise MemoryError
            super().on_train_epoch_start()

    monkeypatch.setattr(training, "StackModule", Counted)
    monkeypatch.setattr(rehearsal, "StackModule", Counted)
    monkeypatch.setattr(training, "reclaim", lambda _: gc.collect())
    planned = made(tmp_path, "init=xavier,kaiming", "act=tanh,relu", "sweep.stack_width=1", "trainer.max_steps=2")
    gc.disable()
    try:
        assert train(planned) == {"done": 2, "failed": 2}
        configs = tuple(run.config for run in planned.runs if run.config["act"]["name"] == "relu")
        assert rehearsal.timed(Rehearse("s", configs, 2, 1, 100.0)).how == "done"
        as_a_gpu(monkeypatch)
        assert rehearsal.timed(Rehearse("s", configs, 2, 1, 100.0)).how == "done"
    finally:
        gc.enable()
    assert len(alive) >= 8 and set(alive) == {0}  # a rehearsal may time a width twice
