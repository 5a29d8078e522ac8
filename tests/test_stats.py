"""Statistics by hand, against scipy, and their own coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from initlab import streams
from initlab.stats import (
    Estimate,
    bca,
    compare,
    differences,
    effect,
    equivalence,
    first_reached,
    holm,
    iqm,
    mean,
    proportion,
    survival,
    trimmed,
)
from initlab.stats.comparisons import against_none, equivalences, p_values
from initlab.stats.factors import interactions, main_effects
from initlab.stats.intervals import expanded
from initlab.stats.trends import areas, aucs, rank_correlations, slopes

FOUR = [1.0, 2.0, 3.0, 6.0]


def rng(name: str = "test") -> np.random.Generator:
    return streams.generator(0, "test", name)


def normal(*shape: int, name: str = "draws") -> np.ndarray:
    from scipy.special import ndtri

    return ndtri(streams.uniforms(shape, 0, "test", name))


def test_a_mean_by_hand() -> None:
    """Mean 3, deviation sqrt(14/3), t(3) at .975 = 3.182446."""
    found = mean(FOUR, rng())
    half = 3.182446 * np.sqrt(14 / 3) / 2
    assert (found.value, found.n, found.method) == (3.0, 4, "t")
    assert [found.low, found.high] == pytest.approx([3 - half, 3 + half], rel=1e-6)


def test_the_interval_of_the_mean_is_scipys() -> None:
    values = normal(9)
    low, high = scipy_stats.ttest_1samp(values, 0.0).confidence_interval()
    found = mean(values, rng())
    assert [found.low, found.high] == pytest.approx([low, high], rel=1e-9)


@pytest.mark.parametrize(
    ("values", "value", "n", "method"),
    [
        ([], np.nan, 0, "no runs"),
        ([np.nan, np.nan], np.nan, 0, "no runs"),
        ([0.5], 0.5, 1, "one seed"),
        ([0.5, np.nan], 0.5, 1, "one seed"),
        ([0.5, 0.6, -np.inf], -np.inf, 3, "diverged"),
        ([0.5, 0.5, 0.5], 0.5, 3, "no spread"),
        ([0.1] * 25, 0.1, 25, "no spread"),
    ],
)
def test_no_interval_is_made_up(values: list[float], value: float, n: int, method: str) -> None:
    for found in (mean(values, rng()), iqm(values, rng())):
        assert found.value == pytest.approx(value, nan_ok=True)
        assert (found.low, found.high, found.n, found.method) == (None, None, n, method)


def test_a_missing_run_is_left_out_and_counted() -> None:
    assert mean([*FOUR, np.nan], rng()) == mean(FOUR, rng())


def test_the_method_follows_the_number_of_seeds() -> None:
    assert mean(normal(19), rng()).method == "t"
    assert mean(normal(20), rng()).method == "BCa"
    assert iqm(normal(19), rng()).method == "under 20 seeds"
    assert iqm(normal(20), rng()).method == "BCa"


def test_the_bootstrap_is_scipys() -> None:
    """Two runs of 9999 resamples differ by the noise of a quantile: four of its deviations, for skewed draws."""
    values = np.exp(normal(30))
    found = bca(values, np.mean, rng())
    other = scipy_stats.bootstrap((values,), np.mean, n_resamples=9999, method="BCa", rng=np.random.default_rng(1))
    noise = np.sqrt(0.025 * 0.975 / 9999) / 0.058 * values.std() / np.sqrt(30)  # 0.058: the density at 1.96 deviations
    expected = other.confidence_interval
    assert found == pytest.approx((expected.low, expected.high), abs=4 * np.sqrt(2) * noise)


def test_the_level_of_a_bootstrap_is_expanded_for_few_seeds() -> None:
    """At 20 seeds t = 2.0930, times sqrt(20 / 19) it is 2.1474: 2 Phi - 1 = .9682. With many it is 95 %."""
    assert expanded(20) == pytest.approx(0.9682, abs=1e-4)
    assert expanded(100_000) == pytest.approx(0.95, abs=1e-4)
    values = normal(20)
    found = mean(values, rng())
    assert (found.low, found.high) == bca(values, np.mean, rng(), expanded(20))


def test_cells_that_share_seeds_are_resampled_together() -> None:
    """Ten cells that repeat one column say no more than that column; ten independent ones do."""

    def pooled(values: np.ndarray, axis: int) -> np.ndarray:
        return values.mean(axis=(axis, axis + 1))

    column = normal(25)
    assert bca(np.tile(column[:, None], 10), pooled, rng()) == pytest.approx(bca(column, np.mean, rng()))
    low, high = bca(normal(25, 10), pooled, rng())
    assert high - low < 0.5 * np.subtract(*bca(column, np.mean, rng())[::-1])


def test_a_stream_decides_the_resamples() -> None:
    values = normal(25)
    assert mean(values, rng("a")) == mean(values, rng("a"))
    assert mean(values, rng("a")) != mean(values, rng("b"))


def test_an_interval_ends_where_the_mean_must_be() -> None:
    found, cut = mean([0.9, 1.0, 1.0], rng()), mean([0.9, 1.0, 1.0], rng(), bounds=(0.0, 1.0))
    assert found.high > 1.0
    assert (cut.low, cut.high) == (found.low, 1.0)


def test_the_interquartile_mean_by_hand() -> None:
    """Of eight the middle four; of five three, as a quarter of five is rounded down; infinite ones go first."""
    assert trimmed(np.array([8.0, 1, 7, 2, 6, 3, 5, 100])) == (3 + 5 + 6 + 7) / 4
    assert trimmed(np.array([0.0, 1, 2, 3, 100])) == 2
    assert iqm([-np.inf, 1, 2, 3], rng()).value == 1.5
    values = normal(21)
    assert trimmed(values) == pytest.approx(scipy_stats.trim_mean(values, 0.25))


def test_a_proportion_is_scipys() -> None:
    for successes in (0, 3, 10):
        low, high = scipy_stats.binomtest(successes, 10).proportion_ci(method="wilson")
        found = proportion(successes, 10)
        assert [found.value, found.low, found.high] == pytest.approx([successes / 10, low, high], abs=1e-12)
    assert proportion(0, 0).low is None


def test_differences_are_paired_and_divergence_counts() -> None:
    bad, gone = -np.inf, np.nan
    a, b = [1, 2, gone, bad, bad, 5], [0, 2, 3, bad, 4, bad]
    assert differences(a, b).tolist() == [1, 0, 0, -np.inf, np.inf]


def test_a_comparison_is_scipys() -> None:
    a, b = normal(8, name="a"), normal(8, name="b") + 0.5
    found, expected = compare(a, b, rng()), scipy_stats.ttest_rel(a, b)
    low, high = expected.confidence_interval()
    assert (found.test, found.difference.method) == ("paired t", "t")
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert [found.difference.low, found.difference.high] == pytest.approx([low, high])
    assert found.superiority == proportion(int((a > b).sum()), 8)


def test_a_comparison_where_runs_diverged_is_by_ranks() -> None:
    """Eight of eight are better, two of them infinitely: p = 2 / 2^8."""
    found = compare(np.arange(8.0), [-1, -1, -1, -1, -1, -1, -np.inf, -np.inf], rng())
    assert (found.test, found.p) == ("Wilcoxon", pytest.approx(2 / 2**8))
    assert found.difference.low is None and found.effect.low is None
    assert found.superiority.value == 1.0


@pytest.mark.parametrize(
    ("a", "b", "p", "test"),
    [
        ([1.0], [2.0], None, "one seed"),
        ([1.0, np.nan], [np.nan, 1.0], None, "no seed in common"),
        ([1.0, 2.0], [1.0, 2.0], 1.0, "all equal"),
    ],
)
def test_no_test_is_made_up(a: list[float], b: list[float], p: float | None, test: str) -> None:
    found = compare(a, b, rng())
    assert (found.p, found.test) == (p, test)


def test_an_effect_by_hand() -> None:
    """Differences 1, 2, 3: mean 2 deviations, times the exact correction gamma(1) / (gamma(1/2) sqrt(1)) = 0.5642."""
    found = effect(np.array([1.0, 2.0, 3.0]))
    assert found.value == pytest.approx(2 * 0.5641896)
    # Ends at which the observed t = 2 sqrt(3) lies at the 97.5th and the 2.5th percentile.
    t = 2 * np.sqrt(3)
    assert scipy_stats.nct.cdf(t, 2, found.low * np.sqrt(3)) == pytest.approx(0.975, abs=1e-4)
    assert scipy_stats.nct.cdf(t, 2, found.high * np.sqrt(3)) == pytest.approx(0.025, abs=1e-4)


def test_two_seeds_have_no_effect_size() -> None:
    """Its factor against bias is 0 there, whatever the difference; an interval without its value says nothing."""
    for values, why in (([], "no runs"), ([0.1], "one seed"), ([0.1, 0.11], "two seeds")):
        found = effect(np.array(values))
        assert np.isnan(found.value) and found.low is None and found.high is None and found.method == why


def test_which_is_better_follows_the_direction() -> None:
    a, b = [0.1, 0.2, 0.3], [0.4, 0.1, 0.3]
    assert compare(a, b, rng(), "max").superiority.value == 0.5
    assert compare(a, b, rng(), "min").superiority.value == 0.5
    assert compare([1.0, 2.0], [3.0, 4.0], rng(), "min").superiority.value == 1.0
    assert compare([1.0, 2.0], [3.0, 4.0], rng(), "max").superiority.value == 0.0


def test_equal_differences_are_tested_by_their_signs() -> None:
    """t would divide by no spread and be certain at once; five of five signs are 2 / 2^5."""
    for n in (2, 5, 13, 14):  # as scipy has it, which goes through all choices of signs up to 13
        exact = scipy_stats.wilcoxon(np.full(n, 0.1), zero_method="zsplit").pvalue
        assert against_none(np.full(n, 0.1)) == against_none(np.full(n, -0.1)) == (pytest.approx(exact), "Wilcoxon")


def test_all_pairs_at_once_are_the_pairs_one_by_one() -> None:
    values = normal(8, 5).round(1)
    values[0, 0] = values[1, 0] = values[2, 3] = -np.inf
    values[3, 1] = values[3, 2] = values[4, 1] = np.nan
    values[5] = values[6] + 0.5
    values[7, :4] = np.nan
    margins = np.linspace(0.0, 0.7, 8)
    found, alike = p_values(values), equivalences(values, margins)
    for i in range(8):
        for j in range(8):
            p, _ = against_none(differences(values[i], values[j]))
            same = equivalence(differences(values[min(i, j)], values[max(i, j)]), margins[min(i, j)])
            assert i == j or alike[i, j] == pytest.approx(np.nan if same is None else same, nan_ok=True), (i, j)
            assert i == j or found[i, j] == pytest.approx(np.nan if p is None else p, nan_ok=True), (i, j)


def test_equivalence_by_hand() -> None:
    """Differences -1, 0, 1: error 1 / sqrt(3), so that margin 2 is 2 sqrt(3) errors away on either side."""
    p = scipy_stats.t.sf(2 * np.sqrt(3), 2)
    assert equivalence([-1.0, 0.0, 1.0], 2.0) == pytest.approx(p)
    nearer = scipy_stats.t.sf(1.5 * np.sqrt(3), 2)
    assert equivalence([-0.5, 0.5, 1.5], 2.0) == pytest.approx(nearer)
    assert equivalence([0.1, 0.1], 0.2) == 0.0 and equivalence([0.2, 0.2], 0.1) == 1.0
    assert equivalence([0.1], 0.2) is None and equivalence([0.0, np.inf], 0.2) == 1.0


def test_effects_and_interactions_by_hand() -> None:
    """One seed of a grid of 2 x 2: rows average 1.5 and 5, columns 2 and 4.5, all 3.25; then all of it twice."""
    grid = np.array([[[1.0, 2.0], [3.0, 7.0]], [[2.0, 4.0], [6.0, 14.0]]])
    assert main_effects(grid, 0).tolist() == [[-1.75, 1.75], [-3.5, 3.5]]
    assert main_effects(grid, 1).tolist() == [[-1.25, 1.25], [-2.5, 2.5]]
    assert interactions(grid, 0, 1)[0].tolist() == [[0.75, -0.75], [-0.75, 0.75]]


def test_an_additive_grid_has_its_effects_and_no_interaction() -> None:
    a, b, c, seed = np.array([0.0, 1.0]), np.array([0.0, 2.0, 7.0]), np.array([0.0, 5.0]), np.array([0.0, 0.3, -0.1])
    grid = seed[:, None, None, None] + a[:, None, None] + b[:, None] + c
    np.testing.assert_allclose(main_effects(grid, 1), np.tile(b - 3, (3, 1)))
    np.testing.assert_allclose(interactions(grid, 0, 1), 0, atol=1e-12)
    assert interactions(grid, 2, 0).shape == (3, 2, 2)


def test_effects_are_of_the_balanced_part() -> None:
    """The second column lacks a cell and says nothing of rows; the third seed lacks a run."""
    grid = np.array([[[1.0, 100.0], [3.0, np.nan]]] * 3)
    grid[2, 0, 0] = np.nan
    assert main_effects(grid, 0).tolist() == [[-1.0, 1.0]] * 2
    assert main_effects(grid[:, :, 1:], 0).shape == (0, 2)


def test_slopes_are_least_squares_seed_by_seed() -> None:
    x, values = [0.0, 1.0, 3.0], normal(4, 3)
    assert slopes(x, values).tolist() == pytest.approx([np.polyfit(x, row, 1)[0] for row in values])
    assert np.isnan(slopes(x, [[1.0, np.nan, 2.0]])).all()


def test_rank_correlations_are_spearmans() -> None:
    predicted, values = [3.0, 1.0, 1.0, 2.0, 5.0], normal(6, 5).round(1)
    expected = [scipy_stats.spearmanr(predicted, row).statistic for row in values]
    assert rank_correlations(predicted, values).tolist() == pytest.approx(expected)
    found = rank_correlations([1, 2, 3], [[0.1, 0.2, np.inf], [1.0, 1.0, 1.0], [1.0, np.nan, 2.0]])
    np.testing.assert_allclose(found, [1.0, np.nan, np.nan])


def test_aucs_by_hand() -> None:
    """Where it happened the scores are 3 and 1, elsewhere 2 and 1: of four pairs two are won and one is a tie."""
    found = aucs([3.0, 1.0, 2.0, 1.0], [[1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0], [1, np.nan, 0, 0]])
    np.testing.assert_allclose(found, [2.5 / 4, 1.0, np.nan, np.nan, np.nan])
    scores, happened = normal(40, name="scores"), normal(1, 40, name="happened") > 0
    u = scipy_stats.mannwhitneyu(scores[happened[0]], scores[~happened[0]]).statistic
    assert aucs(scores, happened)[0] == pytest.approx(u / (happened.sum() * (~happened).sum()))


def test_areas_by_hand() -> None:
    """Half of 20 steps rise from 0 to 1, the others stay; and a curve that diverges is worst from there on."""
    steps = [0, 10, 20]
    found = areas(steps, [[0.0, 1.0, 1.0], [1.0, 1.0, np.nan]], worst=0.0)
    assert found.tolist() == pytest.approx([0.75, 0.75])
    assert areas(steps, [[2.0, 1.0, np.nan]], worst=np.inf).tolist() == [np.inf]


def test_holm_by_hand() -> None:
    """3 x .01, then 2 x .03, then .04 raised to the one before; in the order given."""
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.6]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []


def test_steps_to_a_threshold() -> None:
    assert first_reached([0, 10, 20, 30], [0.1, np.nan, 0.9, 0.8], 0.8, "max") == 20
    assert first_reached([0, 10], [2.0, 1.0], 1.0, "min") == 10
    assert first_reached([0, 10], [0.1, 0.2], 0.8, "max") == np.inf


def test_survival_by_hand() -> None:
    """Three of five arrive, the third at 30; min(time, 100) averages to (10 + 20 + 30 + 200) / 5 = 52."""
    found = survival([30, 10, np.inf, 20, np.inf, np.nan], 100, rng())
    assert (found.reached, found.n, found.median.value, found.restricted.value) == (3, 5, 30, 52)


def test_under_half_that_arrive_have_no_median() -> None:
    found = survival([10, np.inf, np.inf], 100, rng())
    assert (found.median.value, found.median.method, found.restricted.value) == (np.inf, "under 6 seeds", 70)
    assert survival([np.inf] * 6, 100, rng()).median == Estimate(np.inf, np.inf, np.inf, 6, "order statistics")
    assert survival([np.inf] * 6, 100, rng()).restricted.method == "no spread"
    assert survival([10.0], 100, rng()).median.method == "one seed"
    assert survival([], 100, rng()).median.method == "no runs"


def test_later_than_the_horizon_is_never() -> None:
    assert survival([10, 150], 100, rng()) == survival([10, np.inf], 100, rng())


def test_the_median_is_kaplan_and_meiers() -> None:
    """Nine seeds, four of them censored at the horizon; its interval from the second to the eighth covers .961."""
    times = np.array([50.0, 20, 80, 30, 70, np.inf, np.inf, np.inf, np.inf])
    arrived = np.isfinite(times)
    curve = scipy_stats.ecdf(scipy_stats.CensoredData(times[arrived], right=np.full(4, 100.0))).sf
    found = survival(times, 100, rng()).median
    assert found.value == curve.quantiles[np.nonzero(curve.probabilities <= 0.5)[0][0]] == 80
    assert (found.low, found.high) == (30, np.inf)
    assert 1 - 2 * scipy_stats.binom.cdf(1, 9, 0.5) == pytest.approx(0.961, abs=1e-3)
