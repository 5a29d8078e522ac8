"""The training step of a stack: pure, (program, state, batch) -> (state, losses), for R runs at once.

    state, losses = step(program, state, x, y)         # x [R, B, *features], y [R, B]; losses [R]

Targets are classes, [R, B], or one for each of the last P positions of a sequence, [R, B, P]; of regression numbers,
[R, B, outputs].

A solo run is a stack of one: there is no other path. Nothing here crosses runs, so a run that turns NaN stays alone:
its lane is frozen at its last finite step and computes on, unused, at constant width.

Letters: R runs, B rows of a batch, N rows of a part, P positions, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from initlab.errors import Refused
from initlab.training.chain import Chain, Part
from initlab.training.clock import Clock
from initlab.training.optimizers import Hyper, Slots, Update
from initlab.training.tape import Gradients, Tensors, taped

LANES = ("alive", "diverged_at", "diverged_in")  # of a State: how each run fares
EVALUATION_ROWS = 1024  # rows of a part that pass through the net at once; of sequences, 16 positions count as one


@dataclass(frozen=True)
class Program:
    """What all runs of a stack share, and their hyper-parameters [R].

    ``chain`` is the net's. ``rates``: factors [R] of the learning rate of some parameters.
    """

    net: nn.Module
    chain: Chain
    task: Literal["classification", "regression"]
    update: Update
    hyper: Hyper
    clock: Clock
    rates: Mapping[str, Tensor] = field(default_factory=dict)


class State(NamedTuple):
    """Where a stack is after ``t`` updates: stacked tensors [R, ...] by name, and how each run fares.

    ``t`` is an integer; within an update that asks nothing of the host, a tensor without dimensions.
    ``diverged_at`` [R] is the update that would have made a run non-finite (0: none yet), ``diverged_in`` [R] what was
    first: 0 the loss, i the i-th parameter.
    """

    params: Tensors
    buffers: Tensors
    slots: dict[str, Slots]
    t: Any
    alive: Tensor
    diverged_at: Tensor
    diverged_in: Tensor

    def to(self, device: torch.device) -> State:
        params, buffers = ({name: x.to(device) for name, x in some.items()} for some in (self.params, self.buffers))
        slots = {name: tuple(x.to(device) for x in kept) for name, kept in self.slots.items()}
        return State(params, buffers, slots, self.t, *(x.to(device) for x in self[4:]))


def start(params: Tensors, buffers: Tensors, slots: int) -> State:
    """The state before the first update."""
    first = next(iter(params.values()))
    runs, device = first.shape[0], first.device
    none = torch.zeros(runs, dtype=torch.int64, device=device)
    empty = {name: tuple(torch.zeros_like(p) for _ in range(slots)) for name, p in params.items()}
    return State(params, buffers, empty, 0, torch.ones(runs, dtype=torch.bool, device=device), none, none.clone())


@torch.no_grad()
def step(
    program: Program,
    state: State,
    x: Tensor,
    y: Tensor,
    spare: Tensors | None = None,
    in_place: bool = False,
) -> tuple[State, Tensor]:
    """One update of every run; the losses [R] are those before it.

    ``spare``: parameters that nobody needs any more, such as those before the last update. They are written over, which
    costs less than memory that is new. Once no run is alive nothing is computed, and the losses are NaN. ``in_place``:
    the new state is written over the old one instead, and nothing hangs on a value, so that no device is waited for and
    the update can be recorded.
    """
    if not in_place and not state.alive.any():
        return state._replace(t=state.t + 1), next(iter(state.params.values())).new_full((len(state.alive),), math.nan)
    program.net.train()
    out, buffers, back = program.chain.forward(state.params, state.buffers, x)
    losses, slope = _loss_and_slope(program.task, out, y)
    grads = Gradients({name: torch.empty_like(p) for name, p in state.params.items()} if spare is None else spare)
    back(slope, grads)
    params, slots = _updated(program, state, grads)
    if not in_place and _none_falls(state.alive, losses, params):
        buffers = _as_it_was(state, params, buffers, slots)
        return state._replace(params=params, buffers=buffers, slots=slots, t=state.t + 1), losses
    return _settled(state, params, buffers, slots, losses, in_place), losses


def refusal(net: nn.Module, x: Tensor, low: torch.dtype | None = None) -> str | None:
    """None if vmap takes the net on a batch x [B, ...], else its reason in one line. ``low``: `Chain`'s."""
    params = {name: p.detach().expand(2, *p.shape) for name, p in net.named_parameters()}
    buffers = {name: b.detach().expand(2, *b.shape) for name, b in net.named_buffers()}
    net.train()
    try:
        Part(net, low=low)(params, buffers, x.expand(2, *x.shape), trained=False)
    except Exception as error:  # vmap raises whatever the operator without a batching rule happens to raise
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return None


def unused(net: nn.Module, x: Tensor) -> list[str]:
    """The parameters that no gradient reaches on a batch x [B, ...]: they are frozen, or not used."""
    own = {name: p.detach() for name, p in net.named_parameters()}
    net.train()
    part = Part(net)
    y, _, tape = taped(part.alone, own, dict(net.named_buffers()), x, part.frozen)
    _, _, none = tape(torch.ones_like(y), False)
    return [name for name in own if name in none]


def loss(task: str, out: Tensor, y: Tensor) -> Tensor:
    """Mean loss of each run, [R]: cross-entropy in nats, or the squared error averaged over outputs."""
    out = answers(task, out, y)
    if task == "regression":
        return (out - y).square().flatten(1).mean(1)
    picked = out.gather(-1, y.unsqueeze(-1)).squeeze(-1)
    return (out.logsumexp(-1) - picked).flatten(1).mean(1)


def _loss_and_slope(task: str, out: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Losses [R] and dL/d out, each run's of its own loss."""
    if task == "classification" and out.dim() == 3:  # by hand at a quarter of autograd's cost
        picked = y.unsqueeze(-1)
        total = out.logsumexp(-1, keepdim=True)
        losses = (total - out.gather(-1, picked)).squeeze(-1).mean(1)
        slope = (out - total).exp_()  # softmax(out) - one_hot(y), over the rows
        slope.scatter_add_(-1, picked, slope.new_full((), -1.0).expand(picked.shape))
        return losses, slope.div_(out.shape[1])
    with torch.enable_grad():
        leaf = out.detach().requires_grad_()
        losses = loss(task, leaf, y)
        (slope,) = torch.autograd.grad(losses.sum(), leaf)
    return losses.detach(), slope


def task_of(out: Tensor, y: Tensor, where: str) -> Literal["classification", "regression"]:
    """What targets y [N, ...] ask of outputs [N, ...] of one net. Raises Refused where the two do not fit."""
    task: Literal["classification", "regression"] = "regression" if y.is_floating_point() else "classification"
    told = f"{where}: targets {list(y.shape)} for outputs {list(out.shape)}."
    if task == "regression":
        if answers(task, out[None], y[None])[0].shape != y.shape:
            raise Refused(f"{told} Targets of a regression have the outputs' shape; it is not broadcast.")
        return task
    if out.dim() not in (2, 3) or answers(task, out[None], y[None])[0].shape[:-1] != y.shape:
        raise Refused(f"{told} Classes are [N] for outputs [N, C], or [N, positions] for [N, positions, C].")
    if y.numel() and not 0 <= int(y.min()) <= int(y.max()) < out.shape[-1]:
        raise Refused(f"{where}: classes {int(y.min())} to {int(y.max())}, and outputs for 0 to {out.shape[-1] - 1}.")
    return task


def answers(task: str, out: Tensor, y: Tensor) -> Tensor:
    """The outputs that have a target: of a net that answers at every position, [R, B, T, C], those at the last ones."""
    if out.dim() < 4:
        return out
    return out[:, :, -y.shape[2] :] if task == "classification" and y.dim() == 3 else out[:, :, -1]


@torch.no_grad()
def evaluate(program: Program, state: State, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Loss and metric (accuracy, or R^2 over all outputs) of each run on a part x [N, ...], y [N, ...]: [R] and [R].

    Accuracy counts targets: of rows that have several, each for itself.
    """
    program.net.eval()
    total = torch.zeros(len(state.alive), dtype=x.dtype, device=x.device)
    score = total.clone()
    positions = x.shape[1] if x.dim() == 3 else 1
    at_once = max(EVALUATION_ROWS * 16 // max(positions, 16), 1)
    for rows in range(0, len(x), at_once):
        some_x, some_y = x[rows : rows + at_once], y[rows : rows + at_once]
        shared = some_x.expand(len(total), *some_x.shape)
        out, _, _ = program.chain.forward(state.params, state.buffers, shared, trained=False)
        wanted = some_y.expand(len(out), *some_y.shape)
        total = total + loss(program.task, out, wanted) * len(some_x)
        if program.task == "classification":
            right = answers(program.task, out, wanted).argmax(-1) == wanted
            score = score + right.flatten(1).sum(1)
    mean = total / len(x)
    if program.task == "regression":
        return mean, 1 - mean / (y - y.mean(0)).square().mean()
    return mean, score / y.numel()


def _updated(program: Program, state: State, grads: Gradients) -> tuple[Tensors, dict[str, Slots]]:
    """The parameters and slots after the update, where all goes well."""
    scale, *factors = program.clock.at(state.t)
    hyper = program.hyper._replace(lr=program.hyper.lr * scale)
    slopes = grads.of if hyper.clip is None else _clipped(grads.of, hyper.clip)
    own = {dims: _broadcast(hyper, dims) for dims in {p.dim() for p in slopes.values()}}
    params, slots = {}, {}
    for name, p in state.params.items():
        its = own[p.dim()]
        if name in program.rates:
            its = its._replace(lr=its.lr * _along(program.rates[name], p.dim()))
        params[name], slots[name] = program.update(p, slopes[name], state.slots[name], its, factors)
    for name, none in grads.none.items():  # as torch's optimizers pass over it: no decay, no momentum
        params[name] = _where(~none, params[name], state.params[name])
        slots[name] = tuple(_where(~none, *pair) for pair in zip(slots[name], state.slots[name], strict=True))
    return params, slots


def _settled(
    state: State, params: Tensors, buffers: Tensors, slots: dict[str, Slots], losses: Tensor, in_place: bool
) -> State:
    """The next state: what is new of the runs that are finite, and what was of the others."""
    # An infinite gradient makes the new parameter non-finite, so that loss and parameters tell all.
    finite = torch.stack([losses, *(p.reshape(len(p), -1).abs().amax(1) for p in params.values())]).isfinite()
    good = state.alive & finite.all(0)
    fell = state.alive & ~good
    t = state.t + 1
    diverged_at = torch.where(fell, t, state.diverged_at)
    diverged_in = torch.where(fell, (~finite).to(torch.uint8).argmax(0), state.diverged_in)

    def settled(new: Tensor, old: Tensor) -> Tensor:
        return torch.where(_along(good, new.dim()), new, old, out=old if in_place else None)

    params = {name: settled(p, state.params[name]) for name, p in params.items()}
    buffers = {name: settled(b, state.buffers[name]) for name, b in buffers.items()}
    slots = {name: tuple(map(settled, kept, state.slots[name])) for name, kept in slots.items()}
    lanes = good, diverged_at, diverged_in
    if in_place:
        lanes = tuple(getattr(state, name).copy_(new) for name, new in zip(LANES, lanes, strict=True))
    return State(params, buffers, slots, t, *lanes)


def _none_falls(alive: Tensor, losses: Tensor, params: Tensors) -> bool:
    """Whether no run dies. A sum is finite only if all of its terms are, and costs a tenth of looking."""
    sums = torch.stack([losses, *(p.reshape(len(p), -1).sum(1) for p in params.values())])
    return bool((sums.isfinite().all(0) | ~alive).all())


def _as_it_was(state: State, params: Tensors, buffers: Tensors, slots: Mapping[str, Slots]) -> Tensors:
    """The lanes that are dead already, put back into what is new; the buffers, which are not all new, are returned."""
    if state.alive.all():
        return buffers
    for r in (~state.alive).nonzero().flatten().tolist():
        for name, p in state.params.items():
            for new, old in zip((params[name], *slots[name]), (p, *state.slots[name]), strict=True):
                new[r].copy_(old[r])
    return {name: _where(state.alive, b, state.buffers[name]) for name, b in buffers.items()}


def _clipped(grads: Tensors, clip: Tensor) -> Tensors:
    """Each run's gradient, scaled down where its norm over all tensors exceeds ``clip`` [R]; infinity: any may pass.

    torch.nn.utils.clip_grad_norm_'s formula. A norm that overflows gives a step of 0, as there; without a clip it is
    not asked, so that the run is the one that it would be in a stack where nobody has one.
    """
    norms = torch.stack([torch.linalg.vector_norm(g.reshape(len(g), -1), dim=1) for g in grads.values()])
    factor = (clip / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1)
    factor = factor.masked_fill(clip.isinf(), 1.0)
    return {name: g * _along(factor, g.dim()) for name, g in grads.items()}


def _broadcast(hyper: Hyper, dims: int) -> Hyper:
    return Hyper(*(h if h is None else _along(h, dims) for h in hyper))  # type: ignore[arg-type]  # lr is never None


def _along(values: Tensor, dims: int) -> Tensor:
    """[R] -> [R, 1, ...], to go with a tensor [R, ...] of ``dims`` dimensions."""
    return values.view(-1, *[1] * (dims - 1))


def _where(good: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(_along(good, new.dim()), new, old)
