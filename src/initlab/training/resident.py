"""A stack that lives on its device: an update reads and writes there alone, so that it can be recorded and replayed.

    resident = Resident(program, state, rows)
    resident.begin(t=360, i=0)           # where the stack stands: 360 updates, at its epoch's first batch
    resident.advance(); resident.advance()                  # two updates
    resident.losses(0, 2)                                   # [2, R], of these

    choose(resident)                     # from now on a replay is what `advance` does, if it is right and pays

On a GPU an update of small nets is two hundred kernels of a few microseconds each, and the host takes longer to ask for
them than they take. A CUDA graph is asked for once. What is recorded is the very function that is otherwise called, with
its counters, the epoch's order, the losses and whatever depends on t in tensors; so there is one way, and the graph has
to give its numbers. What is replayed is held against that before it is taken; what a graph refuses, or gets wrong, is
done eagerly.

Letters: R runs.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from initlab.training.batches import Batches
from initlab.training.step import LANES, Program, State, step

WARM, TIMED = 3, 3  # updates: before a recording, as torch asks for, and those of which the quickest counts
SLOWER = 1.05  # a replay that takes so many times what its update takes eagerly is not taken
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}  # of what is larger, 1 or the value, where bits differ
Update = Callable[[], None]


class Resident:
    """``state``: the stack's own tensors, which an update writes over; its ``t`` is not counted here."""

    def __init__(self, program: Program, state: State, rows: Batches) -> None:
        device, some = state.alive.device, next(iter(state.params.values()))
        self.program, self.state, self.rows = program, state, rows
        self._i = torch.zeros(1, dtype=torch.int64, device=device)
        self._first = torch.zeros((), dtype=torch.int64, device=device)
        self._losses = torch.zeros(rows.count, len(some), dtype=some.dtype, device=device)
        self.replay: Update | None = None  # in place of the update

    def begin(self, t: int, i: int) -> None:
        """The next update is that after t, on the epoch's batch i. Asks nothing, but at an epoch's first."""
        if self.program.clock.first != t - i:
            self.program.clock.start(t - i)
        self._first.fill_(t - i)
        self._i.fill_(i)

    def advance(self) -> None:
        """One update, of its losses and all else."""
        (self.replay or self.update)()

    def update(self) -> None:
        """One update of every run, on what the device says is the next batch."""
        x, y = self.rows.take(self._i)
        t = self._first + self._i.squeeze(0)
        _, losses = step(self.program, self.state._replace(t=t), x, y, in_place=True)
        self._losses.index_copy_(0, self._i, losses.unsqueeze(0))
        self._i.add_(1).remainder_(self.rows.count)  # never beyond the epoch, whoever forgets to begin

    def losses(self, first: int, until: int) -> Tensor:
        """Those of the epoch's batches first ... until - 1, [n, R]: a copy, in one piece."""
        return self._losses[first:until].clone()

    def held(self) -> State:
        """The state as it is, for who compares it with a later one."""
        params, buffers = ({n: p.clone() for n, p in some.items()} for some in (self.state.params, self.state.buffers))
        return self.state._replace(params=params, buffers=buffers)

    def tensors(self) -> list[Tensor]:
        """All that an update writes to."""
        state = self.state
        slots = [x for kept in state.slots.values() for x in kept]
        lanes = [getattr(state, name) for name in LANES]
        return [*state.params.values(), *state.buffers.values(), *slots, *lanes, self._losses, self._i]


def lives_there(device: torch.device) -> bool:
    """Whether stacks live on this device: not on a CPU, which can be asked at any time, and so knows a shorter way."""
    return device.type != "cpu" or device.type in RECORDERS


def cuda_graph(update: Update) -> Update:
    """The update as a CUDA graph. Raises whatever stands in its way.

    Warmed up on a side stream, as torch's notes on CUDA graphs ask. The stream is left on every way out: where a
    capture breaks off, torch's own context does not.
    """
    gc.collect()  # earlier stacks, which are held by cycles and whose graphs keep memory to themselves
    torch.cuda.empty_cache()
    current, side = torch.cuda.current_stream(), torch.cuda.Stream()
    side.wait_stream(current)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.stream(side):
        for _ in range(WARM):
            update()
        with torch.cuda.graph(graph, stream=side):
            update()
    current.wait_stream(side)
    return graph.replay


RECORDERS: dict[str, Callable[[Update], Update]] = {"cuda": cuda_graph}


@dataclass(frozen=True)
class Choice:
    """Whether a replay was taken, and why (not); seconds of an update, of the way that was taken."""

    replayed: bool
    why: str
    seconds: float


def choose(resident: Resident) -> Choice:
    """Record the update, hold a replay against it, and take what is right and quicker. The stack stays where it is.

    Raises what the device raises if a recording has left it unusable.
    """
    tensors = resident.tensors()
    before, device = [x.clone() for x in tensors], tensors[0].device

    def after(update: Update) -> list[Tensor]:
        _restore(tensors, before)
        update()
        update()
        return [x.clone() for x in tensors]

    for _ in range(WARM):
        resident.update()
    wanted, eager = after(resident.update), _seconds(resident.update, device)
    try:
        replay = RECORDERS[device.type](resident.update)
        far = _apart(after(replay), wanted)
        quick = _seconds(replay, device)
    except Exception as error:  # the host's refusals are torch's, the device's CUDA's: any kind
        why = f"not recorded: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        choice = Choice(False, why, eager)
        _wait(device)  # raises if nothing can be computed there any more
    else:
        choice = _judged(far, TOLERANCE[wanted[0].dtype], quick, eager)
        if choice.replayed:
            resident.replay = replay
    _restore(tensors, before)
    return choice


def _judged(far: float, tolerance: float, quick: float, eager: float) -> Choice:
    if not far <= tolerance:
        return Choice(False, f"a replay was {far:.1e} from the update", eager)
    told = f"a replay takes {1e6 * quick:.0f} us, eagerly {1e6 * eager:.0f}" + (f"; {far:.0e} apart" if far else "")
    return Choice(quick <= SLOWER * eager, told, min(quick, eager))


def _restore(tensors: list[Tensor], before: list[Tensor]) -> None:
    for x, then in zip(tensors, before, strict=True):
        x.copy_(then)


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
