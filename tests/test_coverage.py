"""The statistics' own error rates, by simulation: a share of N trials lies within four binomial deviations of its law.

The long form, the tables of docs/statistics.md, is in the battery.
"""

from __future__ import annotations

import numpy as np
import pytest
from scripts import coverage
from scripts.pages import with_parts


def deviations(share: float, expected: float, trials: int) -> float:
    return (share - expected) / np.sqrt(expected * (1 - expected) / trials)


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_t_covers_what_it_says(n: int) -> None:
    assert abs(deviations(coverage.of_the_mean("t", "normal", n, 4000), 0.95, 4000)) < 4


@pytest.mark.parametrize(("n", "expected"), [(3, 0.72), (5, 0.84)])
def test_the_bootstrap_falls_short_of_few_seeds(n: int, expected: float) -> None:
    """Which is why it is not used there."""
    assert abs(deviations(coverage.of_the_mean("BCa", "normal", n, 600), expected, 600)) < 4


def test_the_expanded_bootstrap_is_right_from_twenty_on() -> None:
    assert abs(deviations(coverage.of_the_mean("BCa, expanded", "normal", 20, 600), 0.95, 600)) < 4


def test_the_interval_of_an_effect_is_exact() -> None:
    assert abs(deviations(coverage.of_the_effect(5, 1.0, 1000), 0.95, 1000)) < 4


@pytest.mark.parametrize(("n", "share"), [(5, 0.8), (20, 0.5)])
def test_wilson_covers_nearly_what_it_says(n: int, share: float) -> None:
    """Against its exact coverage: over all counts of wins, each with its probability."""
    from scipy import stats

    from initlab.stats import proportion

    held = [(e.low or 0.0) <= share <= (e.high or 0.0) for e in (proportion(k, n) for k in range(n + 1))]
    exact = float(stats.binom.pmf(np.arange(n + 1), n, share) @ np.array(held))
    assert 0.9 < exact < 1.0
    assert abs(deviations(coverage.of_a_share(n, share, 2000), exact, 2000)) < 4


def test_the_median_of_censored_times_is_covered() -> None:
    """Ten seeds: from the second to the ninth, 1 - 2 P(Bin(10, 1/2) <= 1) = .979."""
    assert abs(deviations(coverage.of_the_median(10, 1000), 0.9785, 1000)) < 4


def test_seeds_are_the_units_and_runs_are_not() -> None:
    assert abs(deviations(coverage.by_seeds_or_runs("seeds"), 0.95, coverage.TRIALS)) < 4
    assert coverage.by_seeds_or_runs("runs") < 0.75


def test_a_rate_is_chosen_on_validation() -> None:
    """Choosing on test itself costs more coverage; on validation some is lost too, as a run's quality is in both."""
    on_validation, on_test = coverage.after_a_choice(10)
    assert on_validation > on_test + 0.05


def test_holm_holds_the_chance_of_any_false_finding() -> None:
    found = coverage.any_false_finding(True, trials=1000)
    assert found < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 1000)
    assert coverage.any_false_finding(False, trials=1000) > 0.2


def test_equivalence_is_seldom_claimed_at_the_margin() -> None:
    at_margin = coverage.called_the_same(10, 1.0, 2000)
    assert at_margin < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 2000)
    assert coverage.called_the_same(10, 0.0, 2000) > 0.9


@pytest.mark.battery
def test_the_page_is_current() -> None:
    text = coverage.PAGE.read_text()
    assert with_parts(text, coverage.parts()) == text, "python scripts/coverage.py --write renews it"
