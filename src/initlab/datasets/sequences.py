"""Sequence tasks, drawn: x [N, T, F], tokens one-hot. Row by row, as all that is drawn.

Each asks how long a net can hold what it has seen; its length is a field. A net answers at every position, and the last
ones count: a class a row, y [N], or one at each of the last P positions, y [N, P].
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from initlab.datasets.parts import Rows
from initlab.datasets.synthetic import normals
from initlab.specs import DATASETS
from initlab.streams import uniforms, words


@DATASETS.register("copy")
def copy(*, samples: int, symbols: int, span: int, delay: int, seed: int) -> Rows:
    """span symbols, delay - 1 blanks, a marker, span blanks; y [samples, span]: the symbols, at the last positions.

    Hochreiter & Schmidhuber 1997; laid out as in Arjovsky, Shah & Bengio 2016, sec. 5.1, who also score the blanks.
    """
    y = _tokens((samples, span), symbols, seed, "copy symbols")
    blank, marker = symbols, symbols + 1
    tokens = np.full((samples, 2 * span + delay), blank)
    tokens[:, :span] = y
    tokens[:, span + delay - 1] = marker
    return Rows("classification", symbols, _one_hot(tokens, symbols + 2), y)


@DATASETS.register("recall")
def recall(*, samples: int, pairs: int, keys: int, values: int, seed: int) -> Rows:
    """pairs of a key and its value, all keys different, then one of the keys again; y: its value. Ba et al. 2016."""
    order = words(samples * keys, seed, "data", "recall keys").reshape(samples, keys)
    shown = np.argsort(order, axis=1, kind="stable")[:, :pairs]
    stored = _tokens((samples, pairs), values, seed, "recall values")
    asked = _tokens((samples,), pairs, seed, "recall query")
    rows = np.arange(samples)
    tokens = np.empty((samples, 2 * pairs + 1), dtype=np.int64)
    tokens[:, 0:-1:2], tokens[:, 1::2], tokens[:, -1] = shown, keys + stored, shown[rows, asked]
    return Rows("classification", values, _one_hot(tokens, keys + values), stored[rows, asked])


@DATASETS.register("adding")
def adding(*, samples: int, length: int, seed: int) -> Rows:
    """x: numbers of U(0, 1), and a mark at one of each half; y [samples, 1]: the sum of the two that are marked.

    Hochreiter & Schmidhuber 1997, as in Arjovsky, Shah & Bengio 2016, sec. 5.2. To say 1 always costs a variance, 1/6.
    """
    half = length // 2
    numbers = uniforms((samples, length), seed, "data", "adding numbers")
    first = _tokens((samples,), half, seed, "adding first")
    second = half + _tokens((samples,), length - half, seed, "adding second")
    rows = np.arange(samples)
    x = np.stack([numbers, np.zeros_like(numbers)], axis=2).astype(np.float32)
    x[rows, first, 1] = x[rows, second, 1] = 1
    y = x[rows, first, 0].astype(np.float64) + x[rows, second, 0]
    return Rows("regression", 1, x, y[:, None].astype(np.float32))


@DATASETS.register("latch")
def latch(*, samples: int, symbols: int, length: int, distractors: Literal["tokens"] | float, seed: int) -> Rows:
    """A symbol, then length - 1 steps of distractors, other symbols or noise; y: the first symbol.

    Bengio, Simard & Frasconi 1994, sec. 2, with more than two classes.
    """
    tokens = _tokens((samples, length), symbols, seed, "latch symbols")
    x = _one_hot(tokens, symbols)
    if distractors != "tokens":
        noise = normals((samples, length, symbols), seed, "latch noise")
        noisy = (float(distractors) * noise).astype(np.float32)
        noisy[:, 0] = x[:, 0]
        return Rows("classification", symbols, noisy, tokens[:, 0])
    return Rows("classification", symbols, x, tokens[:, 0])


def _tokens(shape: tuple[int, ...], count: int, seed: int, name: str) -> NDArray[np.int64]:
    """Integers 0 ... count - 1, each as likely."""
    return (words(int(np.prod(shape)), seed, "data", name) % np.uint64(count)).astype(np.int64).reshape(shape)


def _one_hot(tokens: NDArray[np.int64], count: int) -> NDArray[np.uint8]:
    return np.eye(count, dtype=np.uint8)[tokens]
