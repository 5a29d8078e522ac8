"""The table at the end: its order, its columns, and what is left of it when it is long."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from initlab.storage import journal
from initlab.storage.journal import Record
from initlab.views.tables import ranking, results


def record(name: str, value: float | None, metric: str = "val/accuracy", direction: str = "max") -> Record:
    final = {metric: value, "val/loss": 1.0, metric.replace("val", "test"): 0.25}
    status = (
        {"status": "done"} if value is not None else {"status": "diverged", "diverged": {"step": 7, "first": "loss"}}
    )
    return {
        "key": name,
        "name": name,
        "folder": f"runs/{name}",
        "axes": {"init": name, "act": "relu"},
        **status,
        "final": final,
        "best": {metric: value},
        "steps": 10,
        "seconds": 0.1,
        "metric": metric,
        "direction": direction,
    }


def folder(path: Path, records: list[Record], **axes: list[Any]) -> Path:
    records = [record | {"axes": {name: record["axes"][name] for name in axes}} for record in records]
    described = {
        "schema": 1,
        "plan": "p",
        "created": "2023-11-14T22:00:00Z",
        "command": ["python", "train.py", "-m", "init=a,b c", "sweep.fresh=true"],
        "axes": [{"name": name, "role": "scientific", "values": values} for name, values in axes.items()],
        "runs": [{"key": record["key"], "name": record["name"]} for record in records],
        "stacks": [],
    }
    (path / "sweep.json").write_text(json.dumps(described))
    journal.append(path / "journal", records)
    return path


@pytest.mark.parametrize(("direction", "names"), [("max", "bcad"), ("min", "acbd")])
def test_the_best_is_first_by_the_runs_own_direction(direction: str, names: str) -> None:
    values = {"a": 0.25, "b": 0.75, "c": 0.5, "d": None}
    records = [record(name, value, direction=direction) for name, value in values.items()]
    assert "".join(r["name"] for r in ranking(records)) == names


def test_runs_of_two_metrics_are_not_mixed(tmp_path: Path) -> None:
    records = [
        record("a", 0.2),
        record("b", 0.9, "val/r2"),
        record("c", 0.3),
        record("d", None),
        record("e", 1.0, "val/r2"),
    ]
    assert "".join(r["name"] for r in ranking(records)) == "cadeb".replace("d", "") + "d"
    printed = results(folder(tmp_path, records, init=list("abcde")))
    assert printed.splitlines()[0].split() == [
        *("init", "status", "val/accuracy", "val/r2", "val/loss", "test/accuracy", "test/r2", "seconds"),
    ]
    assert "ordered by val/accuracy (greatest first); val/r2 (greatest first)" in printed


def test_only_swept_axes_are_columns(tmp_path: Path) -> None:
    printed = results(folder(tmp_path, [record("a", 0.5), record("b", 0.25)], init=["a", "b"], act=["relu"]))
    assert printed.splitlines()[0].split()[:2] == ["init", "status"]


def test_a_long_table_keeps_the_best_and_the_worst(tmp_path: Path) -> None:
    records = [record(f"run{i:03}", i / 500) for i in range(500)]
    lines = results(folder(tmp_path, records, init=[r["name"] for r in records])).splitlines()
    shown = [line.split()[0] for line in lines[2:26]]
    assert shown == [*(f"run{i:03}" for i in range(499, 479, -1)), "...", "run002", "run001", "run000"]
    assert lines[22] == "... 477 more in results.csv"


def test_a_table_that_fits_is_whole(tmp_path: Path) -> None:
    records = [record(f"run{i:03}", i / 24) for i in range(24)]
    printed = results(folder(tmp_path, records, init=[r["name"] for r in records]))
    assert "more in" not in printed and all(r["name"] in printed for r in records)


def test_divergences_and_failures_are_named_with_their_reason(tmp_path: Path) -> None:
    failed = [record(f"bad{i}", None) | {"status": "failed", "error": "ValueError: no", "final": {}} for i in range(13)]
    failed = [{k: v for k, v in r.items() if k not in ("metric", "direction", "diverged")} for r in failed]
    records = [record("good", 0.5), record("wild", None), *failed]
    lines = results(folder(tmp_path, records, init=[r["name"] for r in records])).splitlines()
    assert "wild diverged at step 7, first in loss" in lines
    assert [line for line in lines if line.endswith("failed: ValueError: no")] == [
        f"bad{i} failed: ValueError: no" for i in range(10)
    ]
    assert "... 3 more failed" in lines and "15 runs: 1 done, 1 diverged, 13 failed" in lines
    assert lines[-1].startswith("failed: ") and lines[-1].endswith("train.py -m 'init=a,b c' sweep.retry=failed")
