"""Which widths end first: the arithmetic of the choice, on costs that are made up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from initlab.executors.widths import STACK, Group, best, may_gain
from initlab.planning.runs import even

SHARED = {1: 1.0e-3, 2: 1.1e-3, 4: 1.3e-3, 8: 1.7e-3, 16: 2.5e-3}  # each doubling costs less than twice
ALONE = {1: 1.0e-2, 2: 2.1e-2, 4: 4.4e-2}  # a conv net's: nothing is shared


def test_what_shares_is_stacked_and_what_does_not_is_not() -> None:
    split = best({(1, 1): [Group(64, 200, SHARED), Group(6, 200, ALONE)]})
    assert split.sizes == [[16] * 4, [1] * 6]
    assert split.seconds == pytest.approx(10 * STACK + 4 * 200 * 2.5e-3 + 6 * 200 * 1e-2)


def test_a_gain_that_may_be_noise_is_none() -> None:
    """A vision transformer on a CPU, say: whatever a few updates seem to tell, its runs train one by one."""
    noisy = {1: 1e-2, 2: 1.94e-2, 4: 3.64e-2, 8: 8.1e-2}
    assert best({(2, 1): [Group(8, 200, noisy)]}).sizes == [[1] * 8]
    assert best({(2, 1): [Group(8, 200, noisy | {4: 3.55e-2})]}).sizes == [[4, 4]]


def test_no_worker_is_idle_while_another_has_two_left() -> None:
    """Sixteen at once would be the cheapest update, and one of two cores would do nothing."""
    assert best({(2, 1): [Group(16, 2000, SHARED)]}).sizes == [[8, 8]]
    assert best({(2, 1): [Group(48, 2000, SHARED)]}).sizes == [[12, 12, 12, 12]]
    assert best({(2, 1): [Group(3, 2000, ALONE)]}).sizes == [[1, 1, 1]]


def test_one_worker_of_all_threads_where_that_ends_first() -> None:
    """A lone run can use its cores in no other way; many would rather have one each."""
    one, two = [Group(1, 500, {1: 1e-2})], [Group(1, 500, {1: 6e-3})]
    split = best({(1, 1): one, (1, 2): two})
    assert (split.workers, split.threads) == (1, 2)
    many, beside = [Group(8, 500, {1: 1e-2})], [Group(8, 500, {1: 6e-3})]
    split = best({(2, 1): many, (1, 2): beside})
    assert (split.workers, split.threads) == (2, 1)


def test_threads_are_tried_where_they_could_end_sooner() -> None:
    """What two threads halve at best: a lone run's update, or three runs' on two cores, but not that of eight."""
    gain = {runs: may_gain((2, 1), [Group(runs, 500, ALONE)], (1, 2)) for runs in (1, 2, 3, 8)}
    assert gain == {1: True, 2: False, 3: True, 8: False}
    assert not may_gain((2, 1), [Group(256, 500, SHARED)], (1, 2))


@given(runs=st.integers(1, 300), width=st.integers(1, 80))
def test_even_sizes(runs: int, width: int) -> None:
    sizes = even(runs, width)
    assert sum(sizes) == runs and max(sizes) <= width and max(sizes) - min(sizes) <= 1


@given(
    groups=st.lists(
        st.builds(
            Group,
            runs=st.integers(1, 40),
            steps=st.integers(1, 1000),
            seconds=st.dictionaries(st.sampled_from([2, 4, 8, 16]), st.floats(1e-5, 1)).map(lambda d: {1: 1e-3} | d),
        ),
        min_size=1,
        max_size=4,
    ),
    workers=st.integers(1, 8),
)
def test_every_run_has_its_place_and_nothing_is_slower_than_one_by_one(groups: list[Group], workers: int) -> None:
    split = best({(workers, 1): groups})
    assert [sum(sizes) for sizes in split.sizes] == [group.runs for group in groups]
    one_by_one = sum(group.runs * (STACK + group.steps * group.update(1)) for group in groups)
    assert split.seconds <= one_by_one * (1 + 1e-9)
