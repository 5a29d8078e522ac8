"""What must hold of the statistics whatever the numbers are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from initlab import streams
from initlab.stats import compare, equivalence, holm, iqm, mean, survival
from initlab.stats.factors import interactions, main_effects
from initlab.stats.survival import first_reached

TENTHS = st.integers(-50, 50).map(lambda tenths: tenths / 10)
RESULTS = st.one_of(TENTHS, st.just(np.nan), st.just(-np.inf))
SEEDS = st.lists(RESULTS, min_size=0, max_size=8)
PAIRS = st.lists(st.tuples(RESULTS, RESULTS), min_size=1, max_size=8)


def rng() -> np.random.Generator:
    return streams.generator(0, "test", "properties")


def equal(a: float | None, b: float | None) -> bool:
    return a == b or (a is not None and b is not None and a == pytest.approx(b, nan_ok=True, abs=1e-9))


@given(SEEDS, st.randoms(use_true_random=False))
def test_the_order_of_the_seeds_says_nothing(values: list[float], random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for statistic in (mean, iqm):
        one, other = statistic(values, rng()), statistic(shuffled, rng())
        assert equal(one.value, other.value) and equal(one.low, other.low) and equal(one.high, other.high)
        assert (one.n, one.method) == (other.n, other.method)


@given(st.lists(TENTHS, min_size=2, max_size=8), TENTHS, st.integers(1, 5))
def test_an_interval_moves_and_stretches_with_its_values(values: list[float], shift: float, factor: int) -> None:
    one, other = mean(values, rng()), mean(factor * np.array(values) + shift, rng())
    assert equal(other.value, factor * one.value + shift) and one.method == other.method
    assert one.low is None or equal(other.low, factor * one.low + shift)
    assert one.low is None or one.high is None or one.low <= one.value <= one.high


@given(PAIRS)
def test_a_comparison_turned_round_says_the_same(pairs: list[tuple[float, float]]) -> None:
    a, b = map(list, zip(*pairs, strict=True))
    one, other = compare(a, b, rng()), compare(b, a, rng())
    assert equal(one.difference.value, -other.difference.value) and equal(one.p, other.p)
    assert one.difference.n == sum(not (np.isnan(x) or np.isnan(y)) for x, y in pairs)
    assert one.difference.low is None or equal(one.difference.low, -(other.difference.high or 0.0))
    assert one.difference.n == 0 or equal(one.superiority.value, 1 - other.superiority.value)
    assert one.p is None or 0 <= one.p <= 1


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_is_its_definition(p: list[float]) -> None:
    """The k-th smallest is rejected at a level where all smaller ones are, each against level / (those left)."""
    adjusted = holm(p)
    assert all(p[i] <= adjusted[i] <= 1 for i in range(len(p)))
    for level in (0.01, 0.05, 0.3):
        rejected: set[int] = set()
        for k, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
            if p[i] * (len(p) - k) > level:
                break
            rejected.add(i)
        assert {i for i in range(len(p)) if adjusted[i] <= level} == rejected


@given(st.lists(TENTHS, min_size=2, max_size=8), st.floats(0.05, 5))
def test_equivalence_is_the_ninety_percent_interval(paired: list[float], margin: float) -> None:
    from scipy import stats

    p = equivalence(paired, margin)
    assert p is not None
    if np.ptp(paired) > 0 and abs(p - 0.05) > 1e-9:
        low, high = stats.ttest_1samp(paired, 0.0).confidence_interval(0.9)
        assert (p < 0.05) == (-margin < low and high < margin)


@settings(max_examples=50)
@given(arrays(float, (3, 2, 3, 2), elements=st.integers(-9, 9).map(float)))
def test_effects_sum_to_zero_and_do_not_see_each_other(grid: np.ndarray) -> None:
    for axis in range(3):
        effects = main_effects(grid, axis)
        np.testing.assert_allclose(effects.sum(axis=1), 0, atol=1e-12)
        moved = grid + np.arange(grid.shape[axis + 1]).reshape([-1 if d == axis + 1 else 1 for d in range(4)])
        other = (axis + 1) % 3
        np.testing.assert_allclose(main_effects(moved, other), main_effects(grid, other), atol=1e-12)
        np.testing.assert_allclose(interactions(moved, axis, other), interactions(grid, axis, other), atol=1e-12)
    both = interactions(grid, 0, 1)
    np.testing.assert_allclose(both.sum(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(interactions(grid, 1, 0), both.swapaxes(1, 2), atol=1e-12)


@given(st.lists(st.one_of(TENTHS.map(abs), st.just(np.inf)), min_size=1, max_size=12), st.floats(0.1, 6))
def test_a_later_horizon_never_lessens_a_time(times: list[float], horizon: float) -> None:
    near, far = survival(times, horizon, rng()), survival(times, 2 * horizon, rng())
    assert near.reached <= far.reached and near.restricted.value <= far.restricted.value + 1e-12
    assert near.median.value >= far.median.value
    assert near.restricted.value <= horizon + 1e-12


@given(st.lists(st.one_of(TENTHS, st.just(np.nan)), min_size=1, max_size=10), TENTHS)
def test_a_threshold_is_first_reached_where_nothing_before_reached_it(values: list[float], threshold: float) -> None:
    step = first_reached(range(len(values)), values, threshold, "max")
    before = values if step == np.inf else values[: int(step)]
    assert not any(value >= threshold for value in before)
    assert step == np.inf or values[int(step)] >= threshold
    mirrored = first_reached(range(len(values)), -np.array(values), -threshold, "min")
    assert step == mirrored
