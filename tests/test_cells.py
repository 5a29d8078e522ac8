"""Cells: what is averaged, chosen, counted and paired, by hand; and several sweeps as one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from initlab.analysis.cells import cells
from initlab.analysis.runs import merged
from initlab.analysis.scores import outcome
from initlab.errors import Refused
from sweeps import FAILED, MISSING, sweep

NAN, INF = np.nan, np.inf
At = Mapping[str, Any]


def test_a_cell_is_the_runs_that_differ_in_their_seeds(tmp_path: Path) -> None:
    axes = {"init": ["xavier", "kaiming"], "seed": [0, 1, 2]}
    values = {"xavier": [0.5, 0.6, 0.7], "kaiming": [0.9, 0.8, 0.7]}
    found = cells([sweep(tmp_path / "s", axes, lambda at: values[at["init"]][at["seed"]])])
    assert found.seeds == (0, 1, 2)
    assert [cell.at for cell in found.cells] == [{"init": "xavier"}, {"init": "kaiming"}]
    assert found.values.tolist() == list(values.values())
    assert [cell.label for cell in found.ranked] == ["init=kaiming", "init=xavier"]
    assert found.rule == "No axis was optimised over."
    first = found.cells[0]
    assert (first.metric, first.direction, first.edge, first.mean.n) == ("accuracy", "max", (), 3)
    assert first.mean.value == pytest.approx(0.6)


def test_the_setting_is_chosen_on_validation_and_reported_on_test(tmp_path: Path) -> None:
    """The rate with the best test metric, .3, is not the one with the best mean on validation, .1."""
    scores = {0.3: (0.80, 0.99), 0.1: (0.85, 0.75), 0.03: (0.10, 0.10)}
    axes = {"init": ["xavier"], "optimizer.lr": [0.3, 0.1, 0.03], "seed": [0, 1]}
    (cell,) = cells([sweep(tmp_path / "s", axes, lambda at: scores[at["optimizer.lr"]])]).cells
    assert cell.chosen.at == {"optimizer.lr": 0.1}
    assert cell.values.tolist() == [0.75, 0.75]
    assert [trial.mean.value for trial in cell.trials] == pytest.approx([0.80, 0.85, 0.10])


@pytest.mark.parametrize(("best", "edge"), [(0.3, ("optimizer.lr",)), (0.1, ()), (0.03, ("optimizer.lr",))])
def test_a_choice_at_the_edge_of_the_grid_is_flagged(tmp_path: Path, best: float, edge: tuple[str, ...]) -> None:
    axes = {"optimizer.lr": [0.1, 0.3, 0.03], "optimizer.schedule": ["constant", "cosine"], "seed": [0]}
    (cell,) = cells([sweep(tmp_path / "s", axes, lambda at: 0.9 if at["optimizer.lr"] == best else 0.5)]).cells
    assert cell.edge == edge


def test_divergence_is_the_worst_and_failure_is_missing(tmp_path: Path) -> None:
    outcomes = [0.9, -INF, FAILED, MISSING]
    axes = {"init": ["xavier", "kaiming"], "seed": [0, 1, 2, 3]}
    made = sweep(tmp_path / "s", axes, lambda at: outcomes[at["seed"]] if at["init"] == "xavier" else 0.4)
    found = cells([made])
    cell = found.cells[0]
    np.testing.assert_equal(cell.values, [0.9, 0.0, NAN, NAN])
    assert cell.chosen.counts == {"done": 1, "diverged": 1, "failed": 1, "missing": 1}
    assert (cell.mean.value, cell.mean.n) == (0.45, 2)
    assert [c.label for c in found.ranked] == ["init=xavier", "init=kaiming"]
    by_loss = cells([made], metric="loss").cells[0]
    np.testing.assert_allclose(by_loss.values, [0.1, INF, NAN, NAN])
    assert (by_loss.direction, by_loss.mean.value, by_loss.mean.method) == ("min", INF, "diverged")


def test_a_rate_that_diverges_is_not_chosen(tmp_path: Path) -> None:
    """Nor where every mean is infinitely bad: then the fewest divergences decide."""
    diverging = {0.3: [0, 1, 2], 0.1: [0], 0.03: [0, 1]}
    axes = {"optimizer.lr": [0.3, 0.1, 0.03], "seed": [0, 1, 2]}
    made = sweep(tmp_path / "s", axes, lambda at: -INF if at["seed"] in diverging[at["optimizer.lr"]] else 0.5)
    for metric in ("accuracy", "loss"):
        assert cells([made], metric).cells[0].chosen.at == {"optimizer.lr": 0.1}


def test_a_cell_without_any_result_is_kept_and_comes_last(tmp_path: Path) -> None:
    made = sweep(tmp_path / "s", {"init": ["a", "b"], "seed": [0]}, lambda at: FAILED if at["init"] == "a" else 0.1)
    found = cells([made])
    assert [cell.label for cell in found.ranked] == ["init=b", "init=a"]
    assert (found.cells[0].mean.n, found.cells[0].mean.method) == (0, "no runs")


def test_a_single_run_is_a_cell_of_one(tmp_path: Path) -> None:
    found = cells([sweep(tmp_path / "s", {}, lambda at: 0.5)])
    assert (found.cells[0].label, found.cells[0].mean.method, found.seeds) == ("", "one seed", (None,))


def test_another_metric_must_be_there(tmp_path: Path) -> None:
    made = sweep(tmp_path / "s", {"init": ["xavier"], "seed": [0]}, lambda at: 0.5)
    with pytest.raises(Refused, match=r"metric=r2: init=xavier have accuracy, loss\."):
        cells([made], "r2")
    with pytest.raises(Refused, match="no run has ended yet"):
        cells([sweep(tmp_path / "t", {"seed": [0]}, lambda at: MISSING)])


def test_sweeps_are_merged_by_what_differs(tmp_path: Path) -> None:
    """One sweeps init at relu, the other is at tanh; one has a seed more."""
    one = sweep(tmp_path / "one", {"init": ["xavier", "kaiming"], "seed": [0, 1]}, lambda at: 0.5)
    two = sweep(tmp_path / "two", {"init": ["xavier"], "seed": [0, 1, 2]}, lambda at: 0.6, config={"act": "tanh"})
    table = merged([one, two])
    assert [(axis.name, axis.role, axis.values) for axis in table.axes] == [
        ("init", "scientific", ("xavier", "kaiming")),
        ("seed", "repeat", (0, 1, 2)),
        ("act", "scientific", ("relu", "tanh")),
    ]
    found = cells([one, two])
    assert [cell.label for cell in found.cells] == [
        "init=xavier, act=relu",
        "init=kaiming, act=relu",
        "init=xavier, act=tanh",
    ]
    np.testing.assert_equal(found.values, [[0.5, 0.5, NAN], [0.5, 0.5, NAN], [0.6, 0.6, 0.6]])


def test_an_axis_of_one_sweep_is_a_field_of_the_other(tmp_path: Path) -> None:
    one = sweep(tmp_path / "one", {"init": ["xavier", "kaiming"], "seed": [0, 1]}, lambda at: 0.5)
    two = sweep(tmp_path / "two", {"optimizer.lr": [0.1, 0.3]}, lambda at: 0.6, config={"init": "lecun", "seed": 1})
    table = merged([one, two])
    assert [axis.name for axis in table.axes] == ["init", "seed", "optimizer.lr"]
    assert [tuple(run.at.values()) for run in table.rows[-2:]] == [("lecun", 1, 0.1), ("lecun", 1, 0.3)]


def test_a_run_of_two_sweeps_is_one_run(tmp_path: Path) -> None:
    """By its key; a result takes the place of a failure."""
    axes = {"init": ["xavier", "kaiming"], "seed": [0]}
    one = sweep(tmp_path / "one", axes, lambda at: FAILED)
    two = sweep(tmp_path / "two", axes, lambda at: 0.6)
    assert [run.record["status"] for run in merged([one, two]).rows] == ["done", "done"]
    assert len(merged([one, one]).rows) == 2


def test_what_clashes_is_refused(tmp_path: Path) -> None:
    axes = {"init": ["xavier", "lecun"], "seed": [0]}
    one = sweep(tmp_path / "one", axes, lambda at: 0.5)
    two = sweep(tmp_path / "two", axes, lambda at: 0.5, config={"init.gain": 2.0})
    with pytest.raises(
        Refused, match=r"init=xavier, seed=0: .*one and .*two both .* differ in init.gain \(default, 2.0\)"
    ):
        merged([one, two])
    three = sweep(tmp_path / "three", axes, lambda at: 0.5, role={"init": "nuisance"})
    with pytest.raises(Refused, match=r"init: scientific in .*one, nuisance in .*three"):
        merged([one, three])


def test_repeats_of_other_kinds_are_not_merged(tmp_path: Path) -> None:
    one = sweep(tmp_path / "one", {"init": ["xavier"], "seed": [0, 1]}, lambda at: 0.5)
    two = sweep(tmp_path / "two", {"init": ["lecun"], "init_seed": [0, 1]}, lambda at: 0.5)
    with pytest.raises(Refused, match=r"seed in .*one, init_seed in .*two: runs are paired by their seeds"):
        merged([one, two])


def test_crossed_seeds_are_averaged_within_the_first(tmp_path: Path) -> None:
    """Six runs of two initialisations in three orders are two units, not six; one that diverged takes its unit down."""
    values = {0: [0.5, 0.6, 0.7], 1: [0.9, -INF, 0.6]}
    axes = {"init": ["a"], "init_seed": [0, 1], "order_seed": [0, 1, 2]}
    found = cells([sweep(tmp_path / "s", axes, lambda at: values[at["init_seed"]][at["order_seed"]])])
    (cell,) = found.cells
    assert found.seeds == (0, 1)
    assert cell.values.tolist() == pytest.approx([0.6, 0.5])
    assert (cell.mean.n, len(cell.chosen.runs), cell.chosen.units.tolist()) == (2, 6, [0, 0, 0, 1, 1, 1])
    assert cell.chosen.diverged.tolist() == [False, True]
    assert found.rule.endswith("runs are averaged within each init_seed, and n counts those.")


def test_seeds_that_advance_together_are_no_cross(tmp_path: Path) -> None:
    axes = {"init_seed": [0, 1], "order_seed": [0, 1]}
    made = sweep(tmp_path / "s", axes, lambda at: 0.5 if at["init_seed"] == at["order_seed"] else MISSING)
    found = cells([made])
    assert (found.cells[0].mean.n, found.rule) == (2, "No axis was optimised over.")


def test_a_cell_with_less_to_choose_from_is_named(tmp_path: Path) -> None:
    axes = {"init": ["a", "b"], "optimizer.lr": [0.1, 0.3], "seed": [0, 1]}
    whole = cells([sweep(tmp_path / "s", axes, lambda at: 0.5)])
    assert (whole.uneven, whole.cells[0].budget) == ((), 4)
    gone = {"init": "b", "optimizer.lr": 0.3}
    part = cells([sweep(tmp_path / "t", axes, lambda at: MISSING if gone.items() <= at.items() else 0.5)])
    assert [(cell.label, cell.budget) for cell in part.uneven] == [("init=b", 2)]


def test_a_cell_of_failures_has_the_others_metric(tmp_path: Path) -> None:
    made = sweep(tmp_path / "s", {"init": ["a", "b"], "seed": [0]}, lambda at: FAILED if at["init"] == "a" else 0.1)
    assert [cell.metric for cell in cells([made]).cells] == ["accuracy", "accuracy"]


def test_a_metric_that_a_run_does_not_have_is_missing() -> None:
    done = {"status": "done", "final": {"val/r2": 0.5, "val/loss": None}}
    fell = {"status": "diverged", "final": dict.fromkeys(done["final"])}
    failed = {"status": "failed", "final": {}}
    scores = [outcome(r, "val", m, d) for r in (done, fell, failed) for m, d in (("r2", "max"), ("loss", "min"))]
    np.testing.assert_equal(scores, [0.5, INF, -INF, INF, NAN, NAN])
    assert np.isnan(outcome(done, "test", "r2", "max"))
