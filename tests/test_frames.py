"""A sweep as frames and arrays: the same numbers as on disk, typed, and back from Parquet."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import initlab
from initlab.errors import Refused
from sweeps import FAILED, sweep

AXES = {"init": ["xavier", "kaiming"], "optimizer.lr": [0.3, 1], "trainer.max_steps": [None, 20], "seed": [0, 1]}


def outcome(at: Mapping[str, Any]) -> Any:
    if at["optimizer.lr"] == 0.3 and at["trainer.max_steps"] == 20:
        return -np.inf if at["seed"] else FAILED
    return 0.5 + 0.1 * at["seed"]


def curve(at: Mapping[str, Any]) -> list[float]:
    points = [0.1, 0.2 + at["seed"], 0.3, 0.4]
    return points if at["trainer.max_steps"] is None else points[:3]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("frames") / "sweep"
    sweep(folder, AXES, outcome, curve=curve)
    return initlab.load(folder)


def test_a_row_a_run(loaded: Any) -> None:
    runs = loaded.runs
    assert len(runs) == 16 and runs["key"].is_unique
    assert list(runs.columns[:6]) == ["key", *AXES, "status"]
    kinds = {"init": "category", "optimizer.lr": "float64", "trainer.max_steps": "category", "seed": "int64"}
    assert {name: str(runs[name].dtype) for name in AXES} == kinds
    assert list(runs["init"].cat.categories) == ["xavier", "kaiming"]
    assert list(runs["trainer.max_steps"].cat.categories) == ["null", "20"]
    assert runs["status"].value_counts().to_dict() == {"done": 12, "diverged": 2, "failed": 2}
    done = runs[runs["status"] == "done"]
    assert done["final test/accuracy"].tolist() == pytest.approx([0.5 + 0.1 * seed for seed in done["seed"]])
    assert runs.loc[runs["status"] != "done", "final test/accuracy"].isna().all()
    assert runs.loc[runs["status"] == "diverged", "diverged at"].tolist() == [15, 15]
    assert runs.loc[runs["status"] == "failed", "error"].tolist() == ["ValueError: no"] * 2


def test_a_frame_pivots_as_one_would(loaded: Any) -> None:
    means = loaded.runs.pivot_table(index="init", columns="optimizer.lr", values="final test/accuracy", observed=True)
    assert means.loc["kaiming", 1.0] == pytest.approx(0.55)


def test_curves_in_long_form(loaded: Any) -> None:
    curves = loaded.curves("val/accuracy")
    assert list(curves.columns) == ["key", *AXES, "metric", "step", "samples", "value"]
    assert len(curves) == 8 * 4 + 6 * 3  # a run that failed has none
    key = loaded.runs.loc[3, "key"]
    one = curves[curves["key"] == key]
    assert (one["step"].tolist(), one["samples"].tolist()) == ([0, 10, 20], [0, 320, 640])
    assert one["value"].tolist() == [0.1, 1.2, 0.3]
    assert set(one["init"]) == {"xavier"} and set(one["trainer.max_steps"]) == {"20"}
    assert curves.equals(loaded.curves())


def test_an_array_has_the_axes_by_name(loaded: Any) -> None:
    array = loaded.array("val/accuracy")
    assert array.dims == (*AXES, "step")
    assert array.shape == (2, 2, 2, 2, 4)
    whole = array.sel({"init": "kaiming", "optimizer.lr": 1.0, "trainer.max_steps": "null", "seed": 1})
    assert whole.values.tolist() == [0.1, 1.2, 0.3, 0.4]
    short = array.sel({"init": "kaiming", "optimizer.lr": 1.0, "trainer.max_steps": "20", "seed": 0})
    np.testing.assert_equal(short.values, [0.1, 0.2, 0.3, np.nan])
    assert array.sel({"optimizer.lr": 0.3, "trainer.max_steps": "20", "seed": 0}).isnull().all()  # failed
    assert array.isnull().sum() == 2 * 4 + 6
    long = loaded.curves("val/accuracy")
    assert float(array.sum()) == pytest.approx(long["value"].sum())


def test_parquet_holds_the_same(loaded: Any, tmp_path: Path) -> None:
    where = loaded.to_parquet(tmp_path / "export")
    pd.testing.assert_frame_equal(pd.read_parquet(where / "runs.parquet"), loaded.runs)
    pd.testing.assert_frame_equal(pd.read_parquet(where / "curves.parquet"), loaded.curves())


def test_cells_are_the_reports(loaded: Any) -> None:
    assert [cell.label for cell in loaded.cells().cells] == ["init=xavier", "init=kaiming"]


def test_several_folders_are_one_table(tmp_path: Path) -> None:
    for act in ("relu", "tanh"):
        sweep(tmp_path / act, {"init": ["xavier"], "seed": [0]}, lambda at: 0.5, config={"act": act})
    loaded = initlab.load(tmp_path / "relu", str(tmp_path / "tanh"))
    assert loaded.runs["act"].tolist() == ["relu", "tanh"]
    assert loaded.array("val/accuracy").dims == ("init", "seed", "act", "step")


def test_a_sweep_without_a_result_is_empty(tmp_path: Path) -> None:
    sweep(tmp_path / "s", {"init": ["xavier"], "seed": [0]}, lambda at: FAILED)
    loaded = initlab.load(tmp_path / "s")
    assert len(loaded.runs) == 1 and len(loaded.curves()) == 0
    assert list(loaded.curves().columns) == ["key", "init", "seed", "metric", "step", "samples", "value"]


def test_what_is_not_there_is_refused(loaded: Any, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"no metric 'val/acuracy'\. Known: .*Did you mean val/accuracy\?"):
        loaded.curves("val/acuracy")
    with pytest.raises(Refused, match="no sweep's folder"):
        initlab.load(tmp_path)


def test_an_array_too_large_is_refused(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("initlab.analysis.frames.MOST", 63)
    with pytest.raises(Refused, match=r"an array of 2 x 2 x 2 x 2 x 4 numbers; 63 at most"):
        loaded.array("val/accuracy")


@pytest.mark.parametrize(("package", "call"), [("pandas", "curves"), ("xarray", "array"), ("pyarrow", "to_parquet")])
def test_a_missing_package_is_named(
    package: str, call: str, loaded: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == package:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    given = {"array": "val/accuracy", "to_parquet": tmp_path}.get(call)
    with pytest.raises(
        Refused, match=rf"{package} is not installed, and this needs it: pip install 'initlab\[report\]'"
    ):
        getattr(loaded, call)(*([] if given is None else [given]))
