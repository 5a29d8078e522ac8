"""One GPU: 512 runs against one after another, against one, against what the chip can do; growth; two streams.

The floor of an update is the longer of two times: its bytes over the rate of a large copy, its operations over the rate
of torch.bmm at the hidden layers' shape, the three kinds of products in turn.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from scripts.benches.device import counted, seconds
from scripts.benches.floor import work
from scripts.benches.rows import ROOT, Note, Row
from scripts.benches.sweeps import BATCH, write_digits, yardstick_said

from initlab.config import Config
from initlab.datasets import load
from initlab.planning import plan
from initlab.planning.compose import Composer
from initlab.training.device import wait
from initlab.training.module import Chunk, StackModule
from initlab.training.nets import arithmetic
from initlab.training.train import fit, quiet

ROUNDS = 3  # epochs, of which the quickest counts, after one that does not


@dataclass(frozen=True)
class Size:
    """Of MLPs on digits, and of what is measured of them. ``copied``: bytes."""

    depth: int = 4
    width: int = 128
    batch: int = 128
    runs: int = 512
    epochs: int = 20
    counts: tuple[int, ...] = (1, 4, 16, 64, 256, 512, 1024, 2048)
    copied: int = 2**30

    @property
    def net(self) -> str:
        return f"MLP {self.depth}x{self.width}"


def rows(
    folder: Path, repeats: int, yardstick: Path | None, runs: int, device: str = "cuda", size: Size | None = None
) -> Iterator[Row | Note]:
    """``runs`` of the yardstick are taken. ``device``: cpu, for the tests of this."""
    if device == "cuda" and not torch.cuda.is_available():
        yield Note("gpu: torch finds no CUDA on this machine, so nothing is measured")
        return
    quiet()
    on, size = torch.device(device), size or Size()
    if device == "cuda":
        yield Note(f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}")
    yield from _against_one_by_one(on, size, folder, repeats, yardstick, runs)
    yield from _against_one(on, size, folder, repeats)
    yield from _against_the_floor(on, size, folder, repeats)
    yield from _growth(on, size, folder)
    yield from _streams(on, size, folder, repeats)


def _against_one_by_one(
    device: torch.device, size: Size, folder: Path, repeats: int, yardstick: Path | None, runs: int
) -> Iterator[Row]:
    """A stack from its first draw to its test, in turn with the yardstick's runs, which say their own."""
    write_digits(folder / "digits.npz")
    data = ["dataset=npz", f"dataset.path={folder / 'digits.npz'}", f"dataset.batch_size={BATCH}"]
    configs = _configs(device, size, folder, size.runs, data=data)
    whole, training, theirs = [], [], []
    for _ in range(repeats):
        took, drawn = _trained(configs, device)
        whole.append(took)
        training.append(took - drawn)
        if yardstick is not None:
            words = ["init=xavier", "act=relu", f"seed=range({1 + runs})"]
            words += [f"width={size.width}", f"depth={size.depth}", f"epochs={size.epochs}"]
            words += [f"accelerator={'gpu' if device.type == 'cuda' else 'cpu'}"]
            each = [float(line[2]) for _, line in yardstick_said(yardstick, words, folder)]
            theirs.append(size.runs * statistics.median(each[1:]))  # the first one starts the device
    yield Row(f"{size.runs} runs of {size.net}, digits, {size.epochs} epochs, a stack", whole)
    yield Row("  from its first update on", training)
    if theirs:
        yield Row(f"  the yardstick's, {size.runs} times the median of {runs}", theirs)
        yield Row("  ratio, pair by pair", [b / a for a, b in zip(whole, theirs, strict=True)], "times", "goal: 200")
        apart = [b / a for a, b in zip(training, theirs, strict=True)]
        yield Row("  ratio from our first update on", apart, "times")


def _trained(configs: list[Config], device: torch.device) -> tuple[float, float]:
    """Seconds of a stack, and those until its first update."""
    module, ready = StackModule(configs, load(configs[0]["dataset"]), graphs=True), list[float]()

    def stamp() -> None:
        wait(device)
        ready.append(time.perf_counter())

    module.on_ready = stamp
    began = time.perf_counter()
    with arithmetic(configs[0]):
        took = seconds(device, partial(fit, module))
    assert module.state.t == module.steps
    del module
    gc.collect()  # its trainer holds it, and memory is counted later
    return took, ready[0] - began


def _against_one(device: torch.device, size: Size, folder: Path, repeats: int) -> Iterator[Row]:
    of = {runs: _configs(device, size, folder, runs) for runs in (1, size.runs)}
    took = [{runs: _update(configs, device)[0] for runs, configs in of.items()} for _ in range(repeats)]
    for runs in of:
        yield Row(f"an update of {runs} runs of {size.net}", [1e6 * one[runs] for one in took], "us")
    yield Row("  ratio, pair by pair", [one[size.runs] / one[1] for one in took], "times", "goal: at most 3")


def _against_the_floor(device: torch.device, size: Size, folder: Path, repeats: int) -> Iterator[Row]:
    configs = _configs(device, size, folder, size.runs)
    data = load(configs[0]["dataset"])
    inputs = data.train.x[0].size
    needed = work([inputs, *[size.width] * size.depth, data.outputs], size.batch)
    for graphs in (True, False):
        took, over, why = [], [], []
        for _ in range(repeats):
            update, _, told = _update(configs, device, graphs)
            with arithmetic(configs[0]):
                bandwidth, rate = _bandwidth(device, size), _rate(device, size)
            took.append(1e6 * update)
            over.append(update / (size.runs * needed.floor(bandwidth, rate)))
            why.append(f"{bandwidth / 1e9:.0f} GB/s, {rate / 1e9:.0f} GFLOP/s; {told}")
        yield Row(f"an update of {size.runs} runs, {'graphs if they pay' if graphs else 'no graphs'}", took, "us")
        each = f"{needed.moved / 1e3:.0f} kB and {needed.operations / 1e6:.1f} MFLOP a run at {why[-1]}"
        yield Row("  over the floor", over, "times", f"goal: at most 3. {each}")


def _bandwidth(device: torch.device, size: Size) -> float:
    """Bytes a second of a large copy: read and written."""
    x = torch.zeros(size.copied, dtype=torch.uint8, device=device)
    y = torch.empty_like(x)
    return 2 * size.copied / min(seconds(device, lambda: y.copy_(x)) for _ in range(1 + ROUNDS))


def _rate(device: torch.device, size: Size) -> float:
    """Operations a second of batched products at the hidden layers' shape: x W', dy' x and dy W in turn."""
    x = torch.rand(size.runs, size.batch, size.width, device=device)
    w = torch.rand(size.runs, size.width, size.width, device=device)
    times = 10

    def products() -> None:
        for _ in range(times):
            torch.bmm(x, w.mT)
            torch.bmm(x.mT, x)
            torch.bmm(x, w)

    took = min(seconds(device, products) for _ in range(1 + ROUNDS))
    return 3 * times * 2 * size.runs * size.batch * size.width**2 / took


def _growth(device: torch.device, size: Size, folder: Path) -> Iterator[Row]:
    for runs in size.counts:
        took, memory, told = _update(_configs(device, size, folder, runs), device)
        yield Row(f"an update of {runs} runs of {size.net}", [1e6 * took], "us", f"{memory:.0f} MB; {told}")


def _update(configs: list[Config], device: torch.device, graphs: bool = True) -> tuple[float, float, str]:
    """Seconds of an update of a stack, the most megabytes that it has, and what came of graphs."""
    with arithmetic(configs[0]), counted(device) as megabytes:
        module = _ready(configs, device, graphs)
        epoch = partial(module.training_step, Chunk(0, 0, module.batches), 0)
        took = [seconds(device, epoch) / module.batches for _ in range(1 + ROUNDS)]
        return min(took[1:]), megabytes(), module.choice.why if module.choice else "no graphs"


def _ready(configs: list[Config], device: torch.device, graphs: bool) -> StackModule:
    """A stack of torch's own weights, which do not move, so that any number of updates may be timed."""
    module = StackModule(configs, load(configs[0]["dataset"]), graphs=graphs).to(device)
    module.prepare(rehearsal=True)
    module.on_train_epoch_start()
    return module


def _streams(device: torch.device, size: Size, folder: Path, repeats: int) -> Iterator[Row]:
    """Half of the runs with another activation: a stack each, update by update, in one queue or in two."""
    half = max(1, size.runs // 2)
    with arithmetic(_configs(device, size, folder, 1)[0]):
        pair = [_ready(_configs(device, size, folder, half, act), device, True) for act in ("relu", "tanh")]
        turns: list[float] = []
        beside: list[float] = []
        for _ in range(1 + repeats):
            for found, queues in ((turns, [nullcontext(), nullcontext()]), (beside, _queues(device))):
                found.append(seconds(device, partial(_epoch, pair, queues)) / pair[0].batches)
    yield Row(f"an update of a stack of relu and one of tanh, {half} runs each", [1e6 * one for one in turns[1:]], "us")
    yield Row("  on two CUDA streams", [1e6 * one for one in beside[1:]], "us")
    yield Row("  ratio, pair by pair", [b / a for a, b in zip(turns[1:], beside[1:], strict=True)], "times")


def _queues(device: torch.device) -> list[Any]:
    """Of which each begins once all that has been asked so far is done; nobody uses their work before all of it is."""
    if device.type != "cuda":
        return [nullcontext(), nullcontext()]
    wait(device)
    return [torch.cuda.stream(torch.cuda.Stream(device)) for _ in range(2)]  # type: ignore[no-untyped-call]


def _epoch(pair: list[StackModule], queues: list[Any]) -> None:
    for i in range(pair[0].batches):
        for module, queue in zip(pair, queues, strict=True):
            with queue:
                module.training_step(Chunk(0, i, 1), 0)


def _configs(
    device: torch.device, size: Size, folder: Path, runs: int, act: str = "relu", data: Sequence[str] = ()
) -> list[Config]:
    """``data``: in place of the digits as they come, in batches of the size's."""
    words = ["init=xavier", f"act={act}", f"seed=range({runs})", *(data or [f"dataset.batch_size={size.batch}"])]
    words += [f"arch.depth={size.depth}", f"arch.width={size.width}", f"trainer.max_epochs={size.epochs}"]
    words += [f"trainer.accelerator={'gpu' if device.type == 'cuda' else 'cpu'}", f"hydra.sweep.dir={folder}"]
    return [run.config for run in plan.make(Composer(ROOT / "conf"), words, multirun=True).runs]
