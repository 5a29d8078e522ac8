"""Where a stack is between two updates, as bytes: its state and what it measured, in safetensors, so without pickle.

    content = packed(Checkpoint(state, curves, hashes, seconds))
    unpacked(content)                # the same, bit for bit, on the CPU

Nothing else is needed to go on: batches are a function of the seed and the step.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

import torch
from safetensors.torch import load, save
from torch import Tensor

from initlab.training.curves import Series
from initlab.training.step import State, Tensors

SCHEMA = 1
SERIES = ("steps", "samples", "times", "values")


class Checkpoint(NamedTuple):
    """``curves`` so far [R, T], ``hashes`` of the runs' initial weights, ``seconds`` of training so far."""

    state: State
    curves: dict[str, Series]
    hashes: list[str]
    seconds: float


def packed(checkpoint: Checkpoint) -> bytes:
    state, curves, hashes, seconds = checkpoint
    slots = len(next(iter(state.slots.values())))
    tensors = {f"params {name}": p for name, p in state.params.items()}
    tensors |= {f"buffers {name}": b for name, b in state.buffers.items()}
    tensors |= {f"slot {i} {name}": kept[i] for name, kept in state.slots.items() for i in range(slots)}
    tensors |= {name: getattr(state, name) for name in ("alive", "diverged_at", "diverged_in")}
    for metric, series in curves.items():
        tensors |= {f"{part} {metric}": torch.from_numpy(getattr(series, part)) for part in SERIES}
    about = {"schema": SCHEMA, "t": state.t, "slots": slots, "hashes": hashes, "seconds": seconds}
    about |= {"params": list(state.params), "buffers": list(state.buffers), "metrics": list(curves)}  # in their order
    tensors["about"] = torch.frombuffer(bytearray(json.dumps(about).encode()), dtype=torch.uint8)
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


def unpacked(content: bytes) -> Checkpoint:
    tensors = load(content)
    about = json.loads(tensors["about"].numpy().tobytes())
    slots = range(about["slots"])
    state = State(
        _named("params", about["params"], tensors),
        _named("buffers", about["buffers"], tensors),
        {name: tuple(tensors[f"slot {i} {name}"] for i in slots) for name in about["params"]},
        about["t"],
        *(tensors[name] for name in ("alive", "diverged_at", "diverged_in")),
    )
    curves = {m: Series(*(tensors[f"{part} {m}"].numpy() for part in SERIES)) for m in about["metrics"]}
    return Checkpoint(state, curves, about["hashes"], about["seconds"])


def _named(kind: str, names: Iterable[str], tensors: Tensors) -> dict[str, Tensor]:
    return {name: tensors[f"{kind} {name}"] for name in names}
