"""Updates as a CUDA graph, where that gives their numbers and pays.

    choice = choose(updates, state)      # from now on a replay is what `updates` does, if it is right and quicker
    choice.replayed, choice.why          # True, "a replay takes 212 us, eagerly 1740"

On a GPU an update of small nets is a hundred kernels of a few microseconds each, and the host takes longer to ask for
them than they take. A graph is asked for once. What is recorded is the very function that is otherwise called; before a
replay is taken it is held against that function, on the stack at hand. What a graph refuses, or gets wrong, is done
eagerly.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from initlab.training.memory import out_of_memory
from initlab.training.step import State
from initlab.training.updates import Resident

WARM = 3  # updates before a recording, as torch's notes on CUDA graphs ask
TIMED = 5  # updates, of which the quickest counts
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}  # of what is larger, 1 or the value, where bits differ
Update = Callable[[], None]


@dataclass(frozen=True)
class Choice:
    """Whether replays were taken, and why; ``broken`` says what stood in the way, where that was no matter of speed."""

    replayed: bool
    why: str
    broken: bool = False


def choose(updates: Resident, state: State) -> Choice:
    """Record the update, hold two replays against two updates, and take what is right and quicker.

    The stack stays where it is. Raises what the device raises if a recording has left it unusable.
    """
    updates.begin(state)
    device = state.alive.device
    try:
        before = [x.clone() for x in updates.tensors()]
    except torch.OutOfMemoryError:
        return Choice(False, "there is no memory to find out", broken=True)
    try:
        return _tried(updates, before, device)
    except Exception as error:  # the host's refusals are torch's, the device's are CUDA's: of any kind
        updates.replay = None
        _wait(device)  # raises if nothing can be computed there any more
        what = "out of memory" if out_of_memory(error) else f"{type(error).__name__}: {' '.join(str(error).split())}"
        return Choice(False, f"no graph: {what[:200]}", broken=True)
    finally:
        _put(updates, before)


def _tried(updates: Resident, before: list[Tensor], device: torch.device) -> Choice:
    def after(update: Update) -> list[Tensor]:
        _put(updates, before)
        update()
        update()
        return [x.clone() for x in updates.tensors()]

    for _ in range(WARM):
        updates.advance()
    wanted, eager = after(updates.advance), _seconds(updates.advance, device)
    replay = RECORDERS[device.type](updates.advance)
    far, quick = _apart(after(replay), wanted), _seconds(replay, device)
    if not far <= TOLERANCE[wanted[0].dtype]:
        return Choice(False, f"no graph: two replays are {far:.1e} from two updates", broken=True)
    told = f"a replay takes {1e6 * quick:.0f} us, eagerly {1e6 * eager:.0f}" + (f"; {far:.0e} apart" if far else "")
    if quick < eager:
        updates.replay = replay
    return Choice(quick < eager, told)


def _put(updates: Resident, values: list[Tensor]) -> None:
    for x, value in zip(updates.tensors(), values, strict=True):
        x.copy_(value)


def cuda_graph(update: Update) -> Update:
    """The update as a CUDA graph. Raises whatever stands in its way.

    It is warmed up on a side stream, as torch's notes ask. That stream is left on every way out: where a recording
    breaks off, torch's own context does not.
    """
    current, side = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(current)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.stream(side):
        for _ in range(WARM):
            update()
        with torch.cuda.graph(graph, stream=side):
            update()
    current.wait_stream(side)
    return graph.replay


RECORDERS: dict[str, Callable[[Update], Update]] = {"cuda": cuda_graph}  # by the device's type


def _apart(some: list[Tensor], others: list[Tensor]) -> float:
    """The largest difference, in units of what is larger, 1 or the value; 0 only if bits are equal, NaN being NaN."""
    far = 0.0
    for a, b in zip(some, others, strict=True):
        differ = (a != b) & ~((a != a) & (b != b))
        if differ.any():
            units = ((a.double() - b.double()) / b.double().abs().clamp(min=1)).abs()
            far = max(far, units.nan_to_num(nan=torch.inf)[differ].max().item())
    return far


def _seconds(update: Update, device: torch.device) -> float:
    """Of an update, the quickest of a few."""
    _wait(device)
    taken = []
    for _ in range(TIMED):
        began = time.perf_counter()
        update()
        _wait(device)
        taken.append(time.perf_counter() - began)
    return min(taken)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
