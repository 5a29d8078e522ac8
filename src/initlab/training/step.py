"""The training step of a stack: pure, (program, state, batch) -> (state, losses), for R runs at once.

    state, losses = step(program, state, x, y)         # x [R, B, *features], y [R, B]; losses [R]

Targets are classes, [R, B], or one for each of the last P positions of a sequence, [R, B, P]; of regression numbers,
[R, B, outputs].

A solo run is a stack of one: there is no other path. The gradient of the *sum* of the runs' losses is each run's own
gradient, and nothing here crosses runs, so a run that turns NaN stays alone: its lane is frozen at its last finite
step and computes on, unused, at constant width.

Letters: R runs, B rows of a batch, N rows of a part, P positions, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from initlab.errors import Refused
from initlab.training.optimizers import Hyper, Slots, Update

Tensors = dict[str, Tensor]
EVALUATION_ROWS = 1024  # rows of a part that pass through the net at once; of sequences, 16 positions count as one


@dataclass(frozen=True)
class Program:
    """What all runs of a stack share, and their hyper-parameters [R].

    ``stackable``: vmap takes the net. ``rates``: factors [R] of the learning rate of some parameters.
    """

    net: nn.Module
    task: Literal["classification", "regression"]
    update: Update
    hyper: Hyper
    schedule: Literal["constant", "cosine"]
    steps: int
    warmup: int = 0
    stackable: bool = True
    rates: Mapping[str, Tensor] = field(default_factory=dict)


class State(NamedTuple):
    """Where a stack is after ``t`` updates: stacked tensors [R, ...] by name, and how each run fares.

    ``diverged_at`` [R] is the update that would have made a run non-finite (0: none yet), ``diverged_in`` [R] what was
    first: 0 the loss, i the i-th parameter.
    """

    params: Tensors
    buffers: Tensors
    slots: dict[str, Slots]
    t: int
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


def step(program: Program, state: State, x: Tensor, y: Tensor) -> tuple[State, Tensor]:
    """One update of every run; the losses [R] are those before it."""
    leaves = {name: p.detach().requires_grad_() for name, p in state.params.items()}
    program.net.train()
    out, buffers = forward(program.net, leaves, state.buffers, x, stackable=program.stackable)
    losses = loss(program.task, out, y)
    grads = torch.autograd.grad(losses.sum(), list(leaves.values()))
    with torch.no_grad():
        return _advanced(program, state, dict(zip(leaves, grads, strict=True)), buffers, losses.detach())


def forward(
    net: nn.Module, params: Tensors, buffers: Tensors, x: Tensor, *, stackable: bool = True, shared: bool = False
) -> tuple[Tensor, Tensors]:
    """Outputs [R, B, outputs] and the buffers after the pass; ``shared``: x is [B, ...], the same for every run."""

    def one(params: Tensors, buffers: Tensors, x: Tensor) -> tuple[Tensor, Tensors]:
        buffers = {name: b.clone() for name, b in buffers.items()}  # norms write into the ones they are given
        return functional_call(net, (params, buffers), (x,)), buffers

    if stackable:
        out, after = vmap(one, in_dims=(0, 0, None if shared else 0))(params, buffers, x)
        return out, after
    lanes = range(next(iter(params.values())).shape[0])
    each = [one(lane(params, r), lane(buffers, r), x if shared else x[r]) for r in lanes]
    return torch.stack([out for out, _ in each]), {name: torch.stack([b[name] for _, b in each]) for name in buffers}


def refusal(net: nn.Module, x: Tensor) -> str | None:
    """None if vmap takes the net on a batch x [B, ...], else its reason in one line."""
    params = {name: p.detach().unsqueeze(0) for name, p in net.named_parameters()}
    buffers = {name: b.detach().unsqueeze(0) for name, b in net.named_buffers()}
    net.train()
    try:
        forward(net, params, buffers, x, shared=True)
    except Exception as error:  # vmap raises whatever the operator without a batching rule happens to raise
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return None


def loss(task: str, out: Tensor, y: Tensor) -> Tensor:
    """Mean loss of each run, [R]: cross-entropy in nats, or the squared error averaged over outputs."""
    out = answers(task, out, y)
    if task == "regression":
        return (out - y).square().flatten(1).mean(1)
    picked = out.gather(-1, y.unsqueeze(-1)).squeeze(-1)
    return (out.logsumexp(-1) - picked).flatten(1).mean(1)


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
        out, _ = forward(program.net, state.params, state.buffers, some_x, stackable=program.stackable, shared=True)
        wanted = some_y.expand(len(out), *some_y.shape)
        total = total + loss(program.task, out, wanted) * len(some_x)
        if program.task == "classification":
            right = answers(program.task, out, wanted).argmax(-1) == wanted
            score = score + right.flatten(1).sum(1)
    mean = total / len(x)
    if program.task == "regression":
        return mean, 1 - mean / (y - y.mean(0)).square().mean()
    return mean, score / y.numel()


def _advanced(program: Program, state: State, grads: Tensors, buffers: Tensors, losses: Tensor) -> tuple[State, Tensor]:
    t = state.t + 1
    hyper = _scheduled(program, state.t)
    if hyper.clip is not None:
        grads = _clipped(grads, hyper.clip)
    params, slots = {}, {}
    for name, p in state.params.items():
        own = hyper._replace(lr=hyper.lr * program.rates[name]) if name in program.rates else hyper
        params[name], slots[name] = program.update(p, grads[name], state.slots[name], _broadcast(own, p.dim()), t)
    # An infinite gradient makes the new parameter non-finite, so that loss and parameters tell all.
    finite = torch.stack([losses, *(p.reshape(len(p), -1).abs().amax(1) for p in params.values())]).isfinite()
    good = state.alive & finite.all(0)
    if losses.device.type != "cpu" or not good.all():  # on a CPU asking is free; a GPU would have to wait
        params = {name: _where(good, p, state.params[name]) for name, p in params.items()}
        buffers = {name: _where(good, b, state.buffers[name]) for name, b in buffers.items()}
        slots = {
            name: tuple(_where(good, *pair) for pair in zip(s, state.slots[name], strict=True))
            for name, s in slots.items()
        }
    fell = state.alive & ~good
    diverged_at = torch.where(fell, t, state.diverged_at)
    diverged_in = torch.where(fell, (~finite).to(torch.uint8).argmax(0), state.diverged_in)
    return State(params, buffers, slots, t, good, diverged_at, diverged_in), losses


def _clipped(grads: Tensors, clip: Tensor) -> Tensors:
    """Each run's gradient, scaled down where its norm over all tensors exceeds ``clip`` [R]; infinity: any may pass.

    torch.nn.utils.clip_grad_norm_'s formula. A norm that overflows gives a step of 0, as there; without a clip it is
    not asked, so that the run is the one that it would be in a stack where nobody has one.
    """
    norms = torch.stack([torch.linalg.vector_norm(g.reshape(len(g), -1), dim=1) for g in grads.values()])
    factor = (clip / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1)
    factor = factor.where(clip.isfinite(), 1.0)
    return {name: g * _along(factor, g.dim()) for name, g in grads.items()}


def _scheduled(program: Program, done: int) -> Hyper:
    """The hyper-parameters after ``done`` of the program's steps.

    lr rises linearly, from lr / warmup in the first step to lr in the warm-up's last (Goyal et al. 2017, sec. 2.2).
    The steps that are left have the schedule: a cosine as torch's CosineAnnealingLR to 0 (Loshchilov & Hutter 2017).
    """
    if done < program.warmup:
        factor = (done + 1) / program.warmup
    elif program.schedule == "cosine":
        factor = (1 + math.cos(math.pi * (done - program.warmup) / (program.steps - program.warmup))) / 2
    else:
        return program.hyper
    return program.hyper._replace(lr=program.hyper.lr * factor)


def _broadcast(hyper: Hyper, dims: int) -> Hyper:
    return Hyper(*(h if h is None else _along(h, dims) for h in hyper))  # type: ignore[arg-type]  # lr is never None


def _along(values: Tensor, dims: int) -> Tensor:
    """[R] -> [R, 1, ...], to go with a tensor [R, ...] of ``dims`` dimensions."""
    return values.view(-1, *[1] * (dims - 1))


def _where(good: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(_along(good, new.dim()), new, old)


def lane(tensors: Tensors, run: int) -> Tensors:
    """One run's tensors."""
    return {name: tensor[run] for name, tensor in tensors.items()}
