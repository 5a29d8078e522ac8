"""Cells against each other, by hand: pairs, effects, basins, and the steps to a threshold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from initlab.analysis.cells import Cells, cells
from initlab.analysis.contrasts import basins, effects, families, interplay
from initlab.analysis.speed import speed
from initlab.reporting.evidence import verdict
from initlab.reporting.sections import table
from initlab.stats import equivalence, holm
from sweeps import FAILED, MISSING, sweep

At = Mapping[str, Any]
VALUES = {"a": [0.9, 0.8, 0.85], "b": [0.7, 0.75, 0.6], "c": [0.65, 0.7, 0.5]}


@pytest.fixture
def three(tmp_path: Path) -> Cells:
    return cells([sweep(tmp_path / "s", {"init": list(VALUES), "seed": [0, 1, 2]}, lambda at: _of(at, VALUES))])


def _of(at: At, values: Mapping[str, list[float]]) -> float:
    return values[at["init"]][at["seed"]]


def test_the_best_is_compared_with_each_and_corrected_over_all_pairs(three: Cells) -> None:
    """Two pairs are shown, and Holm's family has three: which cell is best was not known beforehand."""
    (family,) = families(three)
    own = [stats.ttest_rel(VALUES[x], VALUES[y]).pvalue for x, y in ("ab", "ac", "bc")]
    assert family.size == 3
    pairs = family.against_best()
    assert [(pair.better.label, pair.worse.label) for pair in pairs] == [("init=a", "init=b"), ("init=a", "init=c")]
    assert [pair.comparison.p for pair in pairs] == pytest.approx(own[:2])
    assert [pair.p for pair in pairs] == pytest.approx(holm(own)[:2])
    assert pairs[0].comparison.difference.value == pytest.approx(0.5 / 3)


def test_a_pair_is_the_same_either_way(three: Cells) -> None:
    (family,) = families(three)
    a, _, c = three.cells
    assert family.pair(a, c) == family.pair(c, a) == family.against_best()[1]


def test_the_same_within_a_margin(tmp_path: Path) -> None:
    values = {"a": [0.9, 0.8, 0.7, 0.6], "b": [0.901, 0.8, 0.701, 0.6], "c": [0.7, 0.9, 0.5, 0.8]}
    (family,) = families(
        cells([sweep(tmp_path / "s", {"init": list("abc"), "seed": range(4)}, lambda at: _of(at, values))])
    )
    same, unknown = family.against_best()
    assert (same.margin, unknown.margin) == (0.01, 0.01)
    own = [equivalence(np.subtract(values[x], values[y]), 0.01) for x, y in ("ab", "ac", "bc")]
    assert [same.same, unknown.same] == pytest.approx(holm(own)[[0, 1]], rel=1e-3)
    assert same.same is not None and same.same < 0.001
    assert unknown.same is not None and unknown.same > 0.3


def test_nothing_is_the_same_as_an_infinite_loss(tmp_path: Path) -> None:
    values = {"a": [-np.inf, 0.9, 0.9], "b": [-np.inf, 0.5, 0.4]}
    made = sweep(tmp_path / "s", {"init": ["a", "b"], "seed": [0, 1, 2]}, lambda at: _of(at, values))
    (pair,) = families(cells([made], "loss"))[0].against_best()
    assert pair.margin == 0.0
    assert pair.same is not None and pair.same > 0.5


def test_of_a_loss_the_lesser_is_better(tmp_path: Path) -> None:
    made = sweep(tmp_path / "s", {"init": list(VALUES), "seed": [0, 1, 2]}, lambda at: _of(at, VALUES))
    (family,) = families(cells([made], "loss"))
    pair = family.against_best()[0]
    assert (pair.better.label, pair.comparison.superiority.value) == ("init=a", 1.0)
    assert pair.comparison.difference.value == pytest.approx(-0.5 / 3)
    assert pair.margin == pytest.approx(0.05 * 0.15)


def test_ranks_that_lean_against_the_means_show_nothing(tmp_path: Path) -> None:
    """By loss a is the better at nine seeds of ten, and infinitely worse at one; so are its mean, and nothing else."""
    values = {"a": [0.9] * 9 + [-np.inf], "b": [0.7 + 0.001 * seed for seed in range(10)], "c": [0.1] * 9 + [-np.inf]}
    made = sweep(tmp_path / "s", {"init": list("abc"), "seed": list(range(10))}, lambda at: _of(at, values))
    (family,) = families(cells([made], "loss"))
    by_label = {pair.worse.label: pair for pair in family.against_best()}
    assert family.cells[0].label == "init=b"
    assert by_label["init=a"].comparison.p == pytest.approx(stats.wilcoxon([*range(1, 10), -10]).pvalue, abs=1e-3)
    assert by_label["init=a"].comparison.p < 0.1
    assert by_label["init=a"].p == 1.0
    a_and_c = family.pair(family.cells[1], family.cells[2])
    assert (a_and_c.better.label, a_and_c.worse.label) == ("init=a", "init=c")
    own = [1.0, 2 / 2**10, a_and_c.comparison.p]  # ten of ten seeds are better with b than with c
    assert [by_label["init=a"].p, by_label["init=c"].p, a_and_c.p] == pytest.approx(holm(own))


def test_shared_seeds_that_lean_against_the_means_show_nothing(tmp_path: Path) -> None:
    """On the five seeds that both have b is better each time; a's mean is greater by six on which b failed."""

    def outcome(at: At) -> Any:
        shared, shift = at["seed"] < 5, 0.002 * at["seed"]
        if at["init"] == "a":
            return 0.6 + shift if shared else 0.99
        return 0.65 + 1.01 * shift if shared else FAILED

    made = sweep(tmp_path / "s", {"init": ["a", "b"], "seed": range(11)}, outcome)
    (pair,) = families(cells([made]))[0].against_best()
    assert pair.better.label == "init=a" and pair.comparison.difference.value == pytest.approx(-0.05, abs=1e-3)
    assert pair.comparison.p is not None and pair.comparison.p < 1e-6 and pair.p == 1.0
    assert verdict(pair) == "no evidence"


def test_cells_of_several_data_sets_are_not_compared(tmp_path: Path) -> None:
    """An easier data set makes no init a better one: a family, a best cell and a threshold each."""
    ends = {("a", "digits"): 0.5, ("b", "digits"): 0.6, ("a", "iris"): 0.9, ("b", "iris"): 0.8}
    axes = {"init": ["a", "b"], "dataset": ["digits", "iris"], "seed": [0, 1, 2]}
    made = sweep(
        tmp_path / "s", axes, lambda at: ends[at["init"], at["dataset"]] + 0.01 * at["seed"] * (at["init"] == "a")
    )
    found = cells([made])
    assert [(f.name, f.scale, f.size, f.cells[0].at["init"]) for f in families(found)] == [
        ("accuracy", "accuracy on digits", 1, "b"),
        ("accuracy-2", "accuracy on iris", 1, "a"),
    ]
    assert [(s.scale, len(s.steps)) for s in speed(found)] == [("accuracy on digits", 2), ("accuracy on iris", 2)]
    assert {tuple(e.at) for e in effects(found)} == {("init",), ("dataset",)}


def test_the_reports_table_names_cells_with_less_to_choose_from(tmp_path: Path) -> None:
    axes = {"init": ["a", "b"], "optimizer.lr": [0.1, 0.3], "seed": [0, 1]}
    gone = {"init": "b", "optimizer.lr": 0.3}
    whole, part = (
        cells([sweep(tmp_path / name, axes, lambda at, out=out: MISSING if out.items() <= at.items() else 0.5)])
        for name, out in (("whole", {"init": "c"}), ("part", gone))
    )
    assert "Unequal" not in table(whole, ()).caption
    assert "Unequal budgets: fewer runs than others to choose from had init=b." in table(part, ()).caption


def test_seeds_that_are_not_shared_make_no_pair(tmp_path: Path) -> None:
    made = sweep(
        tmp_path / "s",
        {"init": ["a", "b"], "seed": [0, 1, 2]},
        lambda at: MISSING if (at["init"] == "a") == at["seed"] else 0.5,
    )
    assert [p.comparison.difference.n for p in families(cells([made]))[0].against_best()] == [1]


def test_one_seed_is_no_evidence(tmp_path: Path) -> None:
    made = cells([sweep(tmp_path / "s", {"init": ["a", "b"], "act": ["relu", "tanh"], "seed": [0]}, lambda at: 0.5)])
    (family,) = families(made)
    assert family.size == 0
    assert {(pair.p, pair.comparison.test) for pair in family.against_best()} == {(None, "one seed")}
    assert {(e.p, e.estimate.low, e.estimate.method) for e in effects(made)} == {(None, None, "one seed")}


def test_effects_are_over_the_other_axes_with_n_the_seeds(tmp_path: Path) -> None:
    """init b adds .2, act tanh .1, both together .04 more; each seed shifts everything."""

    def outcome(at: At) -> float:
        b, tanh = at["init"] == "b", at["act"] == "tanh"
        noise = [0.0, 0.01, -0.02, 0.03][at["seed"]]
        return 0.3 + 0.2 * b + 0.1 * tanh + 0.04 * (b and tanh) + noise * (1 + b)

    found = cells([sweep(tmp_path / "s", {"init": ["a", "b"], "act": ["relu", "tanh"], "seed": range(4)}, outcome)])
    by = {tuple(effect.at.values()): effect for effect in effects(found)}
    assert {at: (round(e.estimate.value, 4), e.estimate.n) for at, e in by.items()} == {
        ("a",): (-0.1125, 4),
        ("b",): (0.1125, 4),
        ("relu",): (-0.06, 4),
        ("tanh",): (0.06, 4),
    }
    half = [0.11 + noise / 2 for noise in (0.0, 0.01, -0.02, 0.03)]
    own = stats.ttest_1samp(half, 0.0).pvalue
    assert by["b",].estimate.low == pytest.approx(stats.ttest_1samp(half, 0.0).confidence_interval().low)
    # The act's effect has no spread over the seeds: 2 / 2^4 by signs. Two axes are two tests, not four.
    assert by["b",].p == by["a",].p == pytest.approx(2 * own)
    assert by["tanh",].p == 2 / 2**4
    assert {(round(e.estimate.value, 4), e.p) for e in interplay(found)} == {(0.01, 2 / 2**4), (-0.01, 2 / 2**4)}


def test_an_effect_with_infinite_losses_is_not_made_up(tmp_path: Path) -> None:
    axes = {"init": ["a", "b"], "act": ["relu", "tanh"], "seed": [0, 1, 2]}
    made = sweep(tmp_path / "s", axes, lambda at: -np.inf if at["init"] == "a" and at["seed"] == 1 else 0.5)
    assert {(e.estimate.method, e.p) for e in effects(cells([made], "loss"))} == {("diverged", None)}
    assert all(e.estimate.low is not None for e in effects(cells([made])) if "init" in e.at)


def test_a_basin_by_hand(tmp_path: Path) -> None:
    """At seed 0 two neighbours are within .02 of the best, at seed 1 the best alone, at seed 2 two that are apart."""
    rates = [1.0, 0.1, 0.01, 0.001]
    score = [[0.5, 0.9, 0.89, 0.5], [0.5, 0.9, 0.5, 0.5], [0.9, 0.5, 0.9, 0.5]]
    axes = {"init": ["a"], "optimizer.lr": rates, "seed": [0, 1, 2]}
    made = sweep(tmp_path / "s", axes, lambda at: score[at["seed"]][rates.index(at["optimizer.lr"])])
    (basin,) = basins(cells([made]))
    assert basin.share.value == pytest.approx((2 + 1 + 2) / 4 / 3)
    assert basin.decades.value == pytest.approx(1 / 3)
    assert basin.tolerance == "within 0.02 of the best"
    assert (basin.share.n, basin.decades.low) == (3, 0.0)
    (of_loss,) = basins(cells([made], "loss"))
    assert of_loss.tolerance == "within 10 % of the best"
    assert of_loss.share.value == pytest.approx((1 + 1 + 2) / 4 / 3)


def test_a_basin_counts_what_diverged_as_outside(tmp_path: Path) -> None:
    axes = {"optimizer.lr": [1.0, 0.1, 0.01], "seed": [0, 1]}
    made = sweep(tmp_path / "s", axes, lambda at: -np.inf if at["optimizer.lr"] == 1.0 else 0.9)
    for metric in ("accuracy", "loss"):
        assert basins(cells([made], metric))[0].share.value == pytest.approx(2 / 3)
    gone = sweep(tmp_path / "t", axes, lambda at: -np.inf)
    assert [basins(cells([gone], m))[0].share.value for m in ("accuracy", "loss")] == [0.0, 0.0]


def test_two_rates_have_no_basin(tmp_path: Path) -> None:
    assert basins(cells([sweep(tmp_path / "s", {"optimizer.lr": [1.0, 0.1], "seed": [0]}, lambda at: 0.5)])) == ()


def test_steps_to_a_threshold_for_all_cells(tmp_path: Path) -> None:
    """From .1 before training to .9 + .01, the best cell's mean: the threshold is .1 + .9 x .81 = .829."""
    curves = {"a": [0.1, 0.83, 0.91], "b": [0.1, 0.5, 0.85], "c": [0.1, 0.2, 0.3]}
    ends = {"a": 0.9, "b": 0.84, "c": 0.29}

    def outcome(at: At) -> Any:
        if at["init"] == "b" and at["seed"] == 1:
            return -np.inf
        return FAILED if at["init"] == "b" and at["seed"] == 2 else ends[at["init"]]

    axes = {"init": ["a", "b", "c"], "seed": [0, 1, 2]}
    found = cells([sweep(tmp_path / "s", axes, outcome, curve=lambda at: curves[at["init"]])])
    (one,) = speed(found)
    assert (one.metric, one.horizon) == ("accuracy", 20)
    assert one.threshold == pytest.approx(0.829)
    assert {label: (s.median.value, s.restricted.value, s.reached, s.n) for label, s in one.steps.items()} == {
        "init=a": (10, 10, 3, 3),
        "init=b": (20, 20, 1, 2),  # a divergence never arrives, a failure is missing
        "init=c": (np.inf, 20, 0, 3),
    }
    assert speed(found, 0.2)[0].steps["init=c"].median.value == 10


def test_speed_needs_curves(tmp_path: Path) -> None:
    assert speed(cells([sweep(tmp_path / "s", {"seed": [0]}, lambda at: FAILED)])) == ()


def test_steps_of_crossed_seeds_are_those_of_their_units(tmp_path: Path) -> None:
    """At order 0 all arrive at 10, at orders 1 and 2 never: in the middle a unit never arrives, and two units are n."""
    axes = {"init_seed": [0, 1], "order_seed": [0, 1, 2]}
    curves = [[0.1, 0.9, 0.9], [0.1, 0.2, 0.3], [0.1, 0.2, 0.3]]
    found = cells([sweep(tmp_path / "s", axes, lambda at: 0.5, curve=lambda at: curves[at["order_seed"]])])
    steps = speed(found, 0.8)[0].steps[""]
    assert (steps.n, steps.median.value, steps.restricted.value) == (2, np.inf, 20)
