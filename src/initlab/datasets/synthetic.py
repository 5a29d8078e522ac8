"""Data sets that are drawn: row by row, so that the first rows of a larger set are a smaller one's."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from initlab.datasets.parts import Rows
from initlab.specs import DATASETS
from initlab.streams import uniforms, words


@DATASETS.register("gaussian")
def gaussian(*, samples: int, features: int, classes: int, separation: float, seed: int) -> Rows:
    """A mixture of Gaussians: centres ~ N(0, separation^2 I), x ~ N(centre, I) [samples, features]."""
    y = _labels(samples, classes, seed, "gaussian labels")
    centres = separation * normals((classes, features), seed, "gaussian centres")
    x = centres[y] + normals((samples, features), seed, "gaussian x")
    return Rows("classification", classes, x.astype(np.float32), y)


@DATASETS.register("spirals")
def spirals(*, samples: int, arms: int, turns: float, noise: float, seed: int) -> Rows:
    """x = 2 (r cos a, r sin a) + 2 noise N(0, I) [samples, 2]; r ~ U(0, 1), a = 2 pi (turns r + k / arms) on arm k."""
    y = _labels(samples, arms, seed, "spirals labels")
    radius = uniforms((samples,), seed, "data", "spirals radius")
    angle = 2.0 * np.pi * (turns * radius + y / arms)
    curve = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    x = 2.0 * (curve + noise * normals((samples, 2), seed, "spirals noise"))  # about unit variance
    return Rows("classification", arms, x.astype(np.float32), y)


@DATASETS.register("teacher")
def teacher(*, samples: int, features: int, width: int, noise: float, seed: int) -> Rows:
    """y = w2' tanh(w1' x) / its deviation + noise N(0, 1), [samples, 1]; x ~ N(0, I), weights ~ N(0, 1 / fan_in).

    The deviation is that of the rows drawn: the first rows of a larger set have the same x, and y up to that factor.
    """
    x = normals((samples, features), seed, "teacher x")
    w1 = normals((features, width), seed, "teacher w1") / math.sqrt(features)
    w2 = normals((width, 1), seed, "teacher w2") / math.sqrt(width)
    # einsum, as the last bit of a BLAS product may change with the number of rows and of threads.
    clean = np.einsum("nw,wo->no", np.tanh(np.einsum("nf,fw->nw", x, w1)), w2)
    y = clean / clean.std() + noise * normals((samples, 1), seed, "teacher noise")
    return Rows("regression", 1, x.astype(np.float32), y.astype(np.float32))


def _labels(samples: int, classes: int, seed: int, name: str) -> NDArray[np.int64]:
    """Each run of ``classes`` labels is a permutation of them: balanced up to rounding, whatever the number of rows."""
    blocks = math.ceil(samples / classes)
    order = words(blocks * classes, seed, "data", name).reshape(blocks, classes)
    return np.argsort(order, axis=1, kind="stable").astype(np.int64).ravel()[:samples]


def normals(shape: tuple[int, ...], seed: int, name: str) -> NDArray[np.float64]:
    """N(0, 1) in float64, one per element (Box & Muller 1958): element i depends on word i of two streams alone."""
    radius = np.sqrt(-2.0 * np.log(uniforms(shape, seed, "data", f"{name} radius")))
    angle = 2.0 * np.pi * uniforms(shape, seed, "data", f"{name} angle")
    return np.asarray(radius * np.cos(angle))
