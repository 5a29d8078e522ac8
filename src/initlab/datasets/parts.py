"""What a data set is: what a source gives (`Rows`), what a run gets (`Data`), and the fingerprint of the latter."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Task: TypeAlias = Literal["classification", "regression"]
Floats: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Part:
    """Rows: ``x`` float32, vectors [N, features], sequences [N, T, F] or images [N, C, H, W].

    ``y`` is int64 [N], or [N, P] where the last P positions of a sequence have a class each, or float32 [N, outputs].
    """

    x: Floats
    y: NDArray[Any]


class Rows(NamedTuple):
    """What a source knows, unsplit but for the parts it was published with.

    ``x`` [N, *features] and ``y`` ([N] or [N, P] of classes 0..outputs-1, or [N, outputs] of targets) are of any type;
    ``x`` counts in ``1 / unit``, so that images can stay bytes until they are split. ``val`` and ``test`` are (x, y).
    """

    task: Task
    outputs: int
    x: NDArray[Any]
    y: NDArray[Any]
    unit: int = 1
    val: tuple[NDArray[Any], NDArray[Any]] | None = None
    test: tuple[NDArray[Any], NDArray[Any]] | None = None


@dataclass(frozen=True, eq=False)
class Data:
    """A split data set. ``outputs`` is the number of classes or of regression targets."""

    task: Task
    outputs: int
    train: Part
    val: Part
    test: Part

    @property
    def metric(self) -> str:
        """What is reported beside the loss."""
        return "accuracy" if self.task == "classification" else "r2"

    @property
    def direction(self) -> str:
        """Whether the best of the metric is its "max" or its "min"."""
        return "max"

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over task, outputs, and name, dtype, shape and bytes (little-endian, C order) of each array."""
        digest = hashlib.sha256(f"{self.task}\0{self.outputs}\0".encode())
        for name, array in self.arrays():
            little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            digest.update(f"{name}\0{little.dtype.str}\0{little.shape}\0".encode())
            digest.update(little.view(np.uint8).data)  # hashed where it lies
        return digest.hexdigest()

    def arrays(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """Every array under its name, as the fingerprint takes them."""
        for name, part in (("train", self.train), ("val", self.val), ("test", self.test)):
            yield f"{name}.x", part.x
            yield f"{name}.y", part.y
