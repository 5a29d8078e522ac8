"""Updates as a CUDA graph, where that gives their numbers and pays.

    choice = choose(updates, state)      # from now on a replay is what `updates` does, if it is right and quicker
    choice.replayed, choice.why          # True, "a replay takes 212 us, eagerly 1740"

On a GPU an update of small nets is a hundred kernels of a few microseconds each, and the host takes longer to ask for
them than they take. A graph is asked for once. What is recorded is the very function that is otherwise called; before a
replay is taken it is held against that function, on the stack at hand. What a graph refuses, or gets wrong, is done
eagerly.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from initlab.training.device import no_waiting, out_of_memory, wait
from initlab.training.step import State
from initlab.training.updates import Resident

WARM = 3  # updates before a recording, as torch's notes on CUDA graphs ask
TIMED = 3  # updates, of which the quickest counts
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}  # of what is larger, 1 or the value, where bits differ
AHEAD = 0.5  # of an update's time: a host that has asked for all of it by then is not what it waits for
Update = Callable[[], None]


@dataclass(frozen=True)
class Choice:
    """Whether replays were taken, and why; ``broken`` says that what stood in the way was no matter of speed."""

    replayed: bool
    why: str
    broken: bool = False


def choose(updates: Resident, state: State) -> Choice:
    """Record the update, hold two replays against two updates, and take what is right and quicker.

    The stack stays where it is. A graph is not to be replayed beyond the fit that it was recorded in: at the end of one
    Lightning frees the memory that cuBLAS works in. Raises what the device raises if nothing can be computed there any
    more.
    """
    updates.begin(state)
    device = state.alive.device
    try:
        before = [x.clone() for x in updates.tensors()]
    except torch.OutOfMemoryError:
        return Choice(False, "no graph: out of memory", broken=True)
    try:
        return _tried(updates, before, device)
    except Exception as error:  # the host's refusals are torch's, the device's are CUDA's: of any kind
        updates.replay = None
        wait(device)
        return Choice(False, f"no graph: {_reason(error)}", broken=True)
    finally:
        _put(updates, before)


def _tried(updates: Resident, before: list[Tensor], device: torch.device) -> Choice:
    def after(update: Update) -> list[Tensor]:
        _put(updates, before)
        update()
        update()
        return [x.clone() for x in updates.tensors()]

    updates.advance()  # whatever is done for the first time
    asked, eager = _seconds(updates.advance, device)
    if asked < AHEAD * eager:
        return Choice(False, f"an update takes {1e6 * eager:.0f} us, and {1e6 * asked:.0f} to ask for: nothing to gain")
    wanted = after(updates.advance)
    drift = _apart(after(updates.advance), wanted)  # of some operations on a GPU, whose sums have no order
    replay = RECORDERS[device.type](updates.advance)
    far = _apart(after(replay), wanted)
    if not far <= max(TOLERANCE[wanted[0].dtype], 4 * drift):
        return Choice(False, f"no graph: two replays are {far:.1e} from two updates", broken=True)
    _, quick = _seconds(replay, device)
    if quick < eager:
        updates.replay = replay
    told = f"a replay takes {1e6 * quick:.0f} us, eagerly {1e6 * eager:.0f}"
    return Choice(quick < eager, told + (f"; {far:.0e} apart" if far else ""))


def _put(updates: Resident, values: list[Tensor]) -> None:
    for x, value in zip(updates.tensors(), values, strict=True):
        x.copy_(value)


def _reason(error: BaseException) -> str:
    """In words: the first of those that followed from each other, as a recording that breaks off raises once more."""
    while error.__context__ is not None:
        error = error.__context__
    return "out of memory" if out_of_memory(error) else f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


class CudaGraph:
    """The update as a CUDA graph, replayed when it is called. Raises whatever stands in its way.

    It is warmed up on a side stream, as torch's notes ask, and the last of these updates may not wait for the GPU: that
    breaks a recording off, and of one that does not all of torch recovers, so that no other is begun in the process.
    The stream is left on every way out: where a recording breaks off, torch's own context does not.
    """

    broken_off: ClassVar[bool] = False

    def __init__(self, update: Update) -> None:
        if CudaGraph.broken_off:
            raise RuntimeError("an earlier recording broke off")
        current, side = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(current)
        with torch.cuda.stream(side):
            for _ in range(WARM - 1):
                update()
            with no_waiting(torch.device("cuda")):
                update()
            self._recorded(update, side)
        current.wait_stream(side)

    def _recorded(self, update: Update, side: torch.cuda.Stream) -> None:
        self._graph, collects = torch.cuda.CUDAGraph(), gc.isenabled()
        gc.disable()  # what it may free of an earlier stack's cannot be freed meanwhile
        CudaGraph.broken_off = True
        try:
            with torch.cuda.graph(self._graph, stream=side):
                update()
            CudaGraph.broken_off = False
        finally:
            if collects:
                gc.enable()

    def __call__(self) -> None:
        self._graph.replay()


RECORDERS: dict[str, Callable[[Update], Update]] = {"cuda": CudaGraph}  # by the device's type


def _apart(some: list[Tensor], others: list[Tensor]) -> float:
    """The largest difference, in units of what is larger, 1 or the value; 0 only if bits are equal, NaN being NaN."""
    far = 0.0
    for a, b in zip(some, others, strict=True):
        differ = (a != b) & ~((a != a) & (b != b))
        if differ.any():
            units = ((a.double() - b.double()) / b.double().abs().clamp(min=1)).abs()
            far = max(far, units.nan_to_num(nan=torch.inf)[differ].max().item())
    return far


def _seconds(update: Update, device: torch.device) -> tuple[float, float]:
    """Until the host has asked for an update, and until the device has done it: of a few, the quickest of each."""
    wait(device)
    asked, done = [], []
    for _ in range(TIMED):
        began = time.perf_counter()
        update()
        asked.append(time.perf_counter() - began)
        wait(device)
        done.append(time.perf_counter() - began)
    return min(asked), min(done)
