"""The streams: the published generator, keyed by seed, purpose and name; uniform, nested, and nobody else's state."""

from __future__ import annotations

import hashlib
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from initlab.streams import permutation, uniforms, words

MASK = 2**64 - 1
ALPHA = 1e-6  # of each statistical bound: the chance that a perfect generator breaks it
KEYS = st.tuples(st.integers(0, MASK), st.sampled_from(["init", "order", "data", "split"]), st.text(max_size=20))


def philox(counter: list[int], key: list[int]) -> list[int]:
    """One block of Philox4x64-10 in plain integers (Salmon et al. 2011, Parallel Random Numbers, sec. 3.3)."""
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(10):
        a, b = 0xD2E7470EE14C6C93 * c0, 0xCA5A826395121157 * c2
        c0, c1, c2, c3 = (b >> 64) ^ c1 ^ k0, b & MASK, (a >> 64) ^ c3 ^ k1, a & MASK
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & MASK, (k1 + 0xBB67AE8584CAA73B) & MASK
    return [c0, c1, c2, c3]


# Random123, tests/kat_vectors, "philox4x64 10": counter, key, block.
KNOWN = [
    (
        "0000000000000000 0000000000000000 0000000000000000 0000000000000000",
        "0000000000000000 0000000000000000",
        "16554d9eca36314c db20fe9d672d0fdc d7e772cee186176b 7e68b68aec7ba23b",
    ),
    (
        "ffffffffffffffff ffffffffffffffff ffffffffffffffff ffffffffffffffff",
        "ffffffffffffffff ffffffffffffffff",
        "87b092c3013fe90b 438c3c67be8d0224 9cc7d7c69cd777b6 a09caebf594f0ba0",
    ),
    (
        "243f6a8885a308d3 13198a2e03707344 a4093822299f31d0 082efa98ec4e6c89",
        "452821e638d01377 be5466cf34e90c6c",
        "a528f45403e61d95 38c72dbd566e9788 a5a1610e72fd18b5 57bd43b5e52b7fe6",
    ),
]


@pytest.mark.parametrize(("counter", "key", "block"), KNOWN)
def test_known_answers_of_random123(counter: str, key: str, block: str) -> None:
    numbers = [[int(word, 16) for word in text.split()] for text in (counter, key, block)]
    assert philox(numbers[0], numbers[1]) == numbers[2]
    # numpy counts up before each block, and takes the least significant word first.
    before = (sum(word << 64 * i for i, word in enumerate(numbers[0])) - 1) % 2**256
    whole_key = sum(word << 64 * i for i, word in enumerate(numbers[1]))
    assert np.random.Philox(counter=before, key=whole_key).random_raw(4).tolist() == numbers[2]


@given(KEYS)
def test_words_are_philox_under_the_digest_of_the_key(key: tuple[int, str, str]) -> None:
    seed, purpose, name = key
    digest = hashlib.sha256(b"\0".join([str(seed).encode(), purpose.encode(), name.encode()])).digest()
    philox_key = [int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")]
    expected = philox([1, 0, 0, 0], philox_key) + philox([2, 0, 0, 0], philox_key)
    assert words(8, seed, purpose, name).tolist() == expected


def test_golden_words() -> None:
    golden = [0xCC442E57C3F275A7, 0x629EE919BEE7C5F4, 0xC30EA83D4616448A, 0xCAA7EAC3E294CAB0]
    assert words(4, 0, "init", "net.0.weight").tolist() == golden


def test_each_of_seed_purpose_and_name_makes_another_stream() -> None:
    keys = itertools.product([0, 1, 10], ["init", "order"], ["a", "b", "0"])
    drawn = [words(64, *key) for key in keys]
    # 18 streams of 64 words: that two of all the words agree by chance has probability < 1152^2 / 2^65.
    assert len(np.unique(np.concatenate(drawn))) == 18 * 64


@given(KEYS, st.integers(0, 70), st.integers(0, 70))
def test_the_first_of_a_longer_draw_are_the_shorter_draw(key: tuple[int, str, str], n: int, more: int) -> None:
    np.testing.assert_array_equal(words(n + more, *key)[:n], words(n, *key))
    np.testing.assert_array_equal(uniforms((n + more, 3), *key)[:n], uniforms((n, 3), *key))


def test_uniforms_lie_strictly_between_0_and_1(monkeypatch: pytest.MonkeyPatch) -> None:
    extremes = np.array([0, MASK], dtype=np.uint64)
    monkeypatch.setattr("initlab.streams.words", lambda count, *key: extremes[:count])
    low, high = uniforms((2,), 0, "init", "w")
    assert (low, high) == (2.0**-53, 1 - 2.0**-53)
    assert 0 < low < high < 1


def test_uniforms_have_the_shape_asked_for() -> None:
    assert uniforms((3, 4, 5), 0, "init", "w").shape == (3, 4, 5)
    assert uniforms((), 0, "init", "w").shape == ()
    assert uniforms((0, 7), 0, "init", "w").shape == (0, 7)
    assert uniforms((2,), 0, "init", "w").dtype == np.float64


@pytest.mark.parametrize("seed", range(5))
def test_uniforms_are_uniform(seed: int) -> None:
    """Kolmogorov's distance is below the Dvoretzky-Kiefer-Wolfowitz bound (Massart 1990) for n draws."""
    n = 100_000
    u = np.sort(uniforms((n,), seed, "init", "net.0.weight"))
    steps = np.arange(n + 1) / n
    distance = max(np.max(steps[1:] - u), np.max(u - steps[:-1]))
    assert distance < math.sqrt(math.log(2 / ALPHA) / (2 * n))


@pytest.mark.parametrize("lag", [1, 2, 4])
def test_uniforms_are_not_correlated_within_and_between_streams(lag: int) -> None:
    """A correlation of n independent pairs has standard deviation 1/sqrt(n); 5 of them bound it."""
    n = 100_000
    u = (uniforms((n,), 0, "init", "a") - 0.5) * math.sqrt(12)
    v = (uniforms((n,), lag, "init", "a") - 0.5) * math.sqrt(12)
    assert abs(np.mean(u[lag:] * u[:-lag])) < 5 / math.sqrt(n - lag)
    assert abs(np.mean(u * v)) < 5 / math.sqrt(n)


@given(st.integers(0, 300), KEYS)
def test_a_permutation_has_every_number_once(count: int, key: tuple[int, str, str]) -> None:
    drawn = permutation(count, *key)
    assert drawn.dtype == np.int64
    assert sorted(drawn.tolist()) == list(range(count))


@given(st.lists(st.integers(0, MASK) | st.integers(0, 3), max_size=60))
def test_equal_words_keep_their_order(raw: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("initlab.streams.words", lambda count, *_: np.array(raw, dtype=np.uint64))
        drawn = permutation(len(raw), 0, "order", "epoch 0").tolist()
    assert drawn == sorted(range(len(raw)), key=raw.__getitem__)


def test_permutations_are_uniform() -> None:
    """Pearson's statistic of the 24 permutations of 4 is below a tail bound of chi^2 (Laurent & Massart 2000)."""
    seeds = 4800
    drawn = [tuple(permutation(4, seed, "order", "epoch 0").tolist()) for seed in range(seeds)]
    counts = np.array([drawn.count(order) for order in itertools.permutations(range(4))])
    freedom, x = 23, math.log(1 / ALPHA)
    assert np.sum((counts - seeds / 24) ** 2) / (seeds / 24) < freedom + 2 * math.sqrt(freedom * x) + 2 * x


def test_numpys_global_generator_is_neither_read_nor_advanced() -> None:
    before = np.random.get_state(legacy=False)
    drawn = permutation(50, 0, "order", "epoch 0")
    after = np.random.get_state(legacy=False)
    np.testing.assert_equal(after, before)
    np.random.random(5)
    np.testing.assert_array_equal(permutation(50, 0, "order", "epoch 0"), drawn)
    np.random.set_state(before)
