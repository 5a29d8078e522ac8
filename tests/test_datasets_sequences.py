"""The sequence tasks: what is asked can be read off what is shown, and the nets that cannot answer are refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from initlab.datasets import Data, load
from initlab.errors import Refused
from initlab.planning.compose import Composer
from initlab.planning.plan import make
from initlab.specs import DATASETS

ROOT = Path(__file__).parents[1]
# A fingerprint of each: its rows, their order and their types are the same on every machine.
GOLDEN = {
    "copy": "849e91bc3038355b5c0b4c83a43923c903189a37ecf57d6096a050450b789948",
    "recall": "f32f16099056ddb10313adf17e6e5a51f774172d2be7a28782a186e06701c764",
    "adding": "823bad1013f7b2d3b7bc929e61aacf0992db2c6f166e85f4240681b10814c736",
    "latch": "cf692fda3f1934930d82956ef376ff675259bd9e0ec8c7b80ffe8034ff02acd6",
}


def drawn(name: str, **fields: Any) -> Data:
    return load(DATASETS.typed({"name": name, "samples": 300, **fields}))


def test_copy_asks_for_the_first_symbols_at_the_last_positions() -> None:
    data = drawn("copy", symbols=4, span=3, delay=5)
    x, y = data.train.x, data.train.y
    assert (data.outputs, x.shape[1:], y.shape[1:]) == (4, (11, 6), (3,))
    tokens = x.argmax(2)
    assert (x.sum(2) == 1).all()
    np.testing.assert_array_equal(tokens[:, :3], y)
    np.testing.assert_array_equal(tokens[:, 3:], np.tile([4, 4, 4, 4, 5, 4, 4, 4], (len(x), 1)))
    assert set(np.unique(y)) == {0, 1, 2, 3}


def test_recall_asks_for_the_value_of_a_key() -> None:
    data = drawn("recall", pairs=3, keys=5, values=4)
    x, y = data.train.x, data.train.y
    assert (data.outputs, x.shape[1:], y.shape[1:]) == (4, (7, 9), ())
    tokens = x.argmax(2)
    for row, value in zip(tokens, y, strict=True):
        keys, values, asked = row[0:-1:2], row[1::2] - 5, row[-1]
        assert len(set(keys)) == 3 and (keys < 5).all()
        assert values[list(keys).index(asked)] == value
    assert set(tokens[:, -1]) == set(range(5))


def test_adding_asks_for_the_sum_of_the_marked_numbers() -> None:
    data = drawn("adding", samples=4000, length=9)
    x, y = data.train.x.astype(np.float64), data.train.y
    assert (data.task, data.outputs, x.shape[1:]) == ("regression", 1, (9, 2))
    np.testing.assert_allclose((x[..., 0] * x[..., 1]).sum(1), y[:, 0], atol=1e-6)
    assert (x[:, :4, 1].sum(1) == 1).all() and (x[:, 4:, 1].sum(1) == 1).all()
    assert set(x[..., 1].argmax(1)) == set(range(4))
    # the variance of a sum of two uniforms is 1/6; of n such squares the deviation is sqrt((2.4 - 1) / n) / 6 or less
    assert abs(y.var() - 1 / 6) < 5 * math.sqrt(1.4 / len(y)) / 6


@pytest.mark.parametrize("distractors", ["tokens", 0.02])
def test_latch_asks_for_the_first_symbol(distractors: str | float) -> None:
    data = drawn("latch", samples=4000, symbols=4, length=6, distractors=distractors)
    x, y = data.train.x, data.train.y
    assert (data.outputs, x.shape[1:]) == (4, (6, 4))
    np.testing.assert_array_equal(x[:, 0], np.eye(4)[y])
    if distractors == "tokens":
        assert (np.isin(x, (0, 1))).all() and (x.sum(2) == 1).all()
        same = (x[:, 1:].argmax(2) == y[:, None]).mean()
        assert abs(same - 1 / 4) < 5 * math.sqrt(3 / 16 / (5 * len(y)))
    else:
        noise = x[:, 1:].astype(np.float64)
        assert abs(noise.std() / 0.02 - 1) < 5 / math.sqrt(2 * noise.size)


@pytest.mark.parametrize("name", GOLDEN)
def test_rows_are_those_of_a_larger_set_and_of_every_machine(name: str) -> None:
    option = DATASETS.typed({"name": name, "samples": 100})
    few, more = DATASETS.build(option), DATASETS.build(option | {"samples": 200})
    np.testing.assert_array_equal(few.x, more.x[:100])
    np.testing.assert_array_equal(few.y, more.y[:100])
    assert not np.array_equal(few.x, DATASETS.build(option | {"seed": 1}).x)
    assert load(option).fingerprint == GOLDEN[name]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["dataset=copy", "arch=mlp"],
            "arch=mlp: answers once a row; dataset=copy has a class at each of 5 positions. By default these take it: "
            "transformer, rnn, lstm, gru.",
        ),
        (
            ["dataset=digits", "arch=lstm"],
            "arch=lstm: needs sequences [T, F]; dataset=digits has [1, 8, 8]. By default these take it: mlp, cnn, "
            "resmlp, resnet, vit.",
        ),
        (
            ["dataset=latch", "arch=vit"],
            "arch=vit: needs images [C, H, W]; dataset=latch has [40, 8]. By default these take it: mlp, resmlp, "
            "transformer, rnn, lstm, gru.",
        ),
        (
            ["dataset=recall", "dataset.pairs=9", "arch=rnn"],
            "dataset.keys=8, dataset.pairs=9: not allowed. dataset=recall needs at least as many keys as pairs.",
        ),
    ],
)
def test_a_net_that_cannot_answer_is_refused_while_planning(words: list[str], message: str) -> None:
    with pytest.raises(Refused) as refusal:
        make(Composer(ROOT / "conf"), words, multirun=False)
    assert str(refusal.value) == message


def test_a_vector_net_takes_a_sequence_with_one_answer() -> None:
    assert make(Composer(ROOT / "conf"), ["dataset=latch", "arch=mlp"], multirun=False).runs
