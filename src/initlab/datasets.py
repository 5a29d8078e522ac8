"""Data sets: an option in, three parts out. A plan asks for row counts alone; a run loads the arrays.

    data = load({"name": "digits", "val": 0.15, "test": 0.15, "split_seed": 0, "standardize": False})
    data.train.x                                        # float32 [1257, 64], read-only
    data.fingerprint                                    # SHA-256 of everything a run can see of it

A source makes all rows, ``(task, outputs, x, y)``; `load` splits and standardises them, the same for each. Randomness
comes from `streams` alone. Sources draw row-major, so that the first rows of a larger set are a smaller one's.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from initlab.config import sizes
from initlab.specs import DATASETS
from initlab.streams import permutation, uniforms, words

Task: TypeAlias = Literal["classification", "regression"]
Floats: TypeAlias = NDArray[np.float32]
Made: TypeAlias = tuple[Task, int, Floats, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Part:
    """Rows: ``x`` float32 [N, *features]; ``y`` int64 [N] of classes, or float32 [N, outputs] of targets."""

    x: Floats
    y: NDArray[Any]


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
        for name, array in self._arrays():
            little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            digest.update(f"{name}\0{little.dtype.str}\0{little.shape}\0".encode())
            digest.update(little.tobytes())
        return digest.hexdigest()

    def _arrays(self) -> Iterator[tuple[str, NDArray[Any]]]:
        for name, part in (("train", self.train), ("val", self.val), ("test", self.test)):
            yield f"{name}.x", part.x
            yield f"{name}.y", part.y


def load(option: Mapping[str, Any]) -> Data:
    """The data set of a complete option {name, fields...}. Raises Refused for an unknown name or an empty part.

    The last few are kept, so that runs on the same data share its arrays, which are read-only for that reason.
    """
    return _load(_key(option))


def fingerprint(option: Mapping[str, Any]) -> str:
    """The fingerprint of a complete option's data, remembered for as long as the process lives."""
    return _fingerprint(_key(option))


def _key(option: Mapping[str, Any]) -> str:
    return json.dumps({key: value for key, value in option.items() if key != "batch_size"}, sort_keys=True)


@functools.cache
def _fingerprint(key: str) -> str:
    return _load(key).fingerprint


@functools.lru_cache(maxsize=16)
def _load(key: str) -> Data:
    option = json.loads(key)
    counts = sizes(option)  # refuses before anything is drawn
    task, outputs, x, y = DATASETS.build(option)
    rows = np.split(permutation(len(x), option["split_seed"], "split", "rows"), np.cumsum(counts)[:-1])
    xs = [x[part] for part in rows]
    if option["standardize"]:
        xs = _standardised(xs)
    data = Data(task, outputs, *(Part(part_x, y[part]) for part_x, part in zip(xs, rows, strict=True)))
    for _, array in data._arrays():
        array.setflags(write=False)
    return data


def _standardised(xs: list[Floats]) -> list[Floats]:
    """Zero mean, unit variance per feature by the first part's statistics; what is constant in it is only centred."""
    train = xs[0]
    mean, deviation = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
    # Float64 adds up to 2^29 equal float32 numbers without rounding, so that a constant's deviation is exactly 0.
    scale = np.where(deviation == 0, 1.0, deviation)
    return [((x - mean) / scale).astype(np.float32) for x in xs]


@DATASETS.register("digits")
def digits() -> Made:
    """1797 images of handwritten digits: x [1797, 64] in [0, 1]. Source: data/LICENSE-digits.txt."""
    with files("initlab").joinpath("data/digits.npz").open("rb") as file, np.load(file) as stored:
        return "classification", 10, stored["x"].astype(np.float32) / np.float32(16), stored["y"].astype(np.int64)


@DATASETS.register("gaussian")
def gaussian(*, samples: int, features: int, classes: int, separation: float, seed: int) -> Made:
    """A mixture of Gaussians: centres ~ N(0, separation^2 I), x ~ N(centre, I) [samples, features]."""
    # Each run of ``classes`` labels is a permutation of them: balanced up to rounding, whatever the number of rows.
    blocks = math.ceil(samples / classes)
    order = words(blocks * classes, seed, "data", "gaussian labels").reshape(blocks, classes)
    y = np.argsort(order, axis=1, kind="stable").astype(np.int64).ravel()[:samples]
    centres = separation * _normals((classes, features), seed, "gaussian centres")
    x = centres[y] + _normals((samples, features), seed, "gaussian x")
    return "classification", classes, x.astype(np.float32), y


@DATASETS.register("teacher")
def teacher(*, samples: int, features: int, width: int, noise: float, seed: int) -> Made:
    """y = w2' tanh(w1' x) / its deviation + noise N(0, 1), [samples, 1]; x ~ N(0, I), weights ~ N(0, 1 / fan_in).

    The deviation is that of the rows drawn: the first rows of a larger set have the same x, and y up to that factor.
    """
    x = _normals((samples, features), seed, "teacher x")
    w1 = _normals((features, width), seed, "teacher w1") / math.sqrt(features)
    w2 = _normals((width, 1), seed, "teacher w2") / math.sqrt(width)
    # einsum, as the last bit of a BLAS product may change with the number of rows and of threads.
    clean = np.einsum("nw,wo->no", np.tanh(np.einsum("nf,fw->nw", x, w1)), w2)
    y = clean / clean.std() + noise * _normals((samples, 1), seed, "teacher noise")
    return "regression", 1, x.astype(np.float32), y.astype(np.float32)


def _normals(shape: tuple[int, ...], seed: int, name: str) -> NDArray[np.float64]:
    """N(0, 1) in float64, one per element (Box & Muller 1958): element i depends on word i of two streams alone."""
    radius = np.sqrt(-2.0 * np.log(uniforms(shape, seed, "data", f"{name} radius")))
    angle = 2.0 * np.pi * uniforms(shape, seed, "data", f"{name} angle")
    return np.asarray(radius * np.cos(angle))
