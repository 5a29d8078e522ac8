"""Where a stack is between two updates, as bytes: its state and what it measured, in safetensors, so without pickle.

    content = packed(Checkpoint(state, curves, hashes, seconds, intervals))
    unpacked(content, layout)        # the same, bit for bit, on the CPU

Nothing else is needed to go on: batches are a function of the seed and the step. The bytes may be a stranger's, so that
everything that the stack itself decides is held against it: names, shapes, types, and at which steps was measured.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from initlab.errors import Refused, printable
from initlab.fields import Integer, Number
from initlab.storage.forms import NAME, Form, conform
from initlab.storage.received import from_json
from initlab.training.curves import Series
from initlab.training.step import LANES, State
from initlab.training.tape import Tensors

SCHEMA = 2
SERIES = ("steps", "samples", "times", "values")
INTERVALS = ("log_every_n_steps", "probe_every")  # of the trainer: at which steps it measures
MOST_HEADER = 2**24  # bytes: a tensor's entry has a hundred
SHOWN = 4  # names
ABOUT: Form = {
    "schema": Integer(SCHEMA, SCHEMA),
    "t": Integer(1),
    "hashes": [NAME],
    "seconds": Number(ge=0, lt=1e11),
    "intervals": dict(zip(INTERVALS, (Integer(1, 2**53), Integer(0, 2**53)), strict=True)),
    "metrics": [NAME],
}


class Checkpoint(NamedTuple):
    """``curves`` so far [R, T], ``hashes`` of the runs' initial weights, ``seconds`` of training so far, and the
    trainer's ``intervals`` at which it measures."""

    state: State
    curves: dict[str, Series]
    hashes: list[str]
    seconds: float
    intervals: dict[str, int]


class Layout(NamedTuple):
    """What the checkpoints of a stack have in common: a ``state`` of the same names, shapes and types, without values;
    the lanes that are trained; its steps, those of an epoch, the rows of a batch; what is measured of a part."""

    state: State
    live: Sequence[int]
    steps: int
    batches: int
    batch_size: int
    measured: Sequence[str]


def packed(checkpoint: Checkpoint) -> bytes:
    state, curves, hashes, seconds, intervals = checkpoint
    tensors = _tensors(state)
    for metric, series in curves.items():
        tensors |= {f"{part} {metric}": torch.from_numpy(getattr(series, part)) for part in SERIES}
    about = {"schema": SCHEMA, "t": state.t, "hashes": hashes, "seconds": seconds, "intervals": intervals}
    about |= {"metrics": list(curves)}  # in their order
    tensors["about"] = torch.frombuffer(bytearray(json.dumps(about).encode()), dtype=torch.uint8)
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


def _tensors(state: State) -> Tensors:
    """A state's tensors by the names that they have in a file."""
    tensors = {f"params {name}": p for name, p in state.params.items()}
    tensors |= {f"buffers {name}": b for name, b in state.buffers.items()}
    tensors |= {f"slot {i} {name}": x for name, kept in state.slots.items() for i, x in enumerate(kept)}
    return tensors | {name: getattr(state, name) for name in LANES}


def unpacked(content: bytes, layout: Layout) -> Checkpoint:
    """Raises Refused for what no stack of this layout can have left."""
    tensors = _loaded(content)
    about = _about(tensors.pop("about", None))
    if (t := about["t"]) > layout.steps:
        raise Refused(f"it stands at step {t} of {layout.steps}.")
    state = _state(
        {name: _taken(tensors, name, x.shape, x.dtype) for name, x in _tensors(layout.state).items()}, t, layout
    )
    points = _points(about, layout)
    curves = {metric: _series(metric, tensors, points[metric], layout) for metric in about["metrics"]}
    if tensors:
        raise Refused(f"it has a {sorted(tensors)[0]}, and this stack has none.")
    _check_lanes(state, curves["train/loss"], layout)
    if len(about["hashes"]) != len(state.alive):
        raise Refused(f"it has {len(about['hashes'])} hashes of initial weights, for {len(state.alive)} runs.")
    return Checkpoint(state, curves, about["hashes"], about["seconds"], about["intervals"])


def _loaded(content: bytes) -> Tensors:
    if (size := int.from_bytes(content[:8], "little")) > MOST_HEADER:
        raise Refused(f"it claims a header of {size} bytes; {MOST_HEADER} at most are read.")
    try:
        return dict(load(content))
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError, MemoryError) as error:
        raise Refused(f"it is no safetensors file ({printable(' '.join(str(error).split())[:200])}).") from None


def _about(tensor: Tensor | None) -> dict[str, Any]:
    if tensor is None or tensor.dtype != torch.uint8 or tensor.dim() != 1:
        raise Refused("it does not say what it is about.")
    about: dict[str, Any] = from_json(tensor.numpy().tobytes(), "about")
    conform(about, ABOUT, "about")
    return about


def _taken(tensors: Tensors, name: str, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """The tensor of this name, out of those that are left."""
    if (tensor := tensors.pop(name, None)) is None:
        raise Refused(f"it has no {name}.")
    if (list(tensor.shape), tensor.dtype) != (list(shape), dtype):
        raise Refused(f"its {name} is {list(tensor.shape)} of {tensor.dtype}, and not {list(shape)} of {dtype}.")
    return tensor


def _state(taken: Tensors, t: int, layout: Layout) -> State:
    like = layout.state
    return State(
        {name: taken[f"params {name}"] for name in like.params},
        {name: taken[f"buffers {name}"] for name in like.buffers},
        {name: tuple(taken[f"slot {i} {name}"] for i in range(len(kept))) for name, kept in like.slots.items()},
        t,
        *(taken[name] for name in LANES),
    )


def _points(about: Mapping[str, Any], layout: Layout) -> dict[str, NDArray[np.int64]]:
    """Metric -> the steps at which a stack has measured it, where it stands."""
    t, every, probed = about["t"], *(about["intervals"][name] for name in INTERVALS)
    evaluated = np.union1d(np.arange(0, t + 1, layout.batches), [t] if t == layout.steps else [0])
    points = dict.fromkeys(layout.measured, evaluated)
    points["train/loss"] = np.union1d([1], np.arange(every, t + 1, every))
    if 0 < probed <= t:
        signals = (metric for metric in about["metrics"] if metric.startswith("signal/"))
        points |= dict.fromkeys(signals, np.arange(probed, t + 1, probed))
    if sorted(about["metrics"]) != sorted(points):
        raise Refused(f"it has curves of {_some(about['metrics'])}, and not of {_some(points)}.")
    return points


def _some(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)[:SHOWN]) or "nothing"


def _series(metric: str, tensors: Tensors, points: NDArray[np.int64], layout: Layout) -> Series:
    shapes = [points.shape] * 3 + [(len(layout.state.alive), len(points))]
    dtypes = [torch.int64, torch.int64, torch.float64, torch.float64]
    parts = [
        _taken(tensors, f"{part} {metric}", shape, dtype).numpy()
        for part, shape, dtype in zip(SERIES, shapes, dtypes, strict=True)
    ]
    series = Series(*parts)
    if (series.steps != points).any() or (series.samples != points * layout.batch_size).any():
        raise Refused(f"its {metric} is of other steps than those at which a stack measures.")
    if not ((series.times >= 0) & (series.times < 1e11)).all():
        raise Refused(f"its {metric} has a time that is none.")
    return series


def _check_lanes(state: State, losses: Series, layout: Layout) -> None:
    """Raises Refused where it is not so what is said of the runs: who trains, who diverged, that others did not."""
    at, lanes = state.diverged_at, torch.zeros(len(state.alive), dtype=torch.bool)
    lanes[list(layout.live)] = True
    alive = lanes & (at == 0)
    in_range = (at >= 0) & (at <= state.t) & (lanes | (at == 0))
    named = (state.diverged_in >= 0) & (state.diverged_in <= len(state.params))
    if not torch.equal(state.alive.view(torch.uint8), alive.view(torch.uint8)) or not (in_range & named).all():
        raise Refused("what it says of who trains and who diverged does not agree.")
    if not all(p[alive].isfinite().all() for p in state.params.values()):
        raise Refused("a run that trains has a weight that is not finite.")
    sound = (
        torch.from_numpy(losses.values).isfinite() | (torch.from_numpy(losses.steps) >= at[:, None]) & (at > 0)[:, None]
    )
    if not sound[lanes].all():
        raise Refused("a run that trains has a loss that is not finite.")
