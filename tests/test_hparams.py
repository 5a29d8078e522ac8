"""The hyper-parameter table: what the real server makes of it, and that it can be made again from the records."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from initlab.storage import events, journal
from initlab.storage.journal import Record
from initlab.views import hparams
from tensorboard_server import ask, post, rows, serve, wait_for

WALL = 1_700_000_000.0
AXES: dict[str, list[Any]] = {
    "init": ["xavier", "kaiming", "null", "lecun"],
    "optimizer.lr": [0.1, 1e30, 1],
    "optimizer.nesterov": [True, False],
    "arch.sizes": [[64], [128, 64], None],
    "trainer.max_steps": [None, 100],
    "seed": [0, 1, 2],
    "init_seed": [0, 2**53 + 1],
}
TYPES = {
    "arch.sizes": ("DATA_TYPE_STRING", ["[64]", "[128, 64]", "null"]),
    "init": ("DATA_TYPE_STRING", ["xavier", "kaiming", "null", "lecun"]),
    "init_seed": ("DATA_TYPE_STRING", ["0", "9007199254740993"]),
    "optimizer.lr": ("DATA_TYPE_FLOAT64", {"minValue": 0.1, "maxValue": 1e30}),
    "optimizer.nesterov": ("DATA_TYPE_BOOL", [True, False]),
    "seed": ("DATA_TYPE_FLOAT64", {"minValue": 0.0, "maxValue": 2.0}),
    "status": ("DATA_TYPE_STRING", ["done", "diverged", "failed"]),
    "trainer.max_steps": ("DATA_TYPE_STRING", ["null", "100"]),
}


def records() -> list[Record]:
    """Eight runs: done, but for one that diverged, one that did so at once, and one that failed."""
    made = []
    for i in range(8):
        chosen = {name: values[i % len(values)] for name, values in AXES.items()}
        accuracy = (i * 3 % 8) / 8  # in another order than the names
        final: dict[str, float | None] = {"val/accuracy": accuracy, "val/loss": 2.0 - accuracy, "test/accuracy": 0.5}
        made.append(
            {"key": f"{i:016x}", "name": f"run{i}", "folder": f"runs/run{i}", "axes": chosen, "ended": WALL + i}
            | {"status": "done", "final": final, "best": {"val/accuracy": accuracy + 0.0625}, "steps": 20}
            | {"metric": "val/accuracy", "direction": "max", "seconds": 0.5}
        )
    blank = dict.fromkeys(made[0]["final"])
    last: dict[str, float | None] = {"val/loss": 5.0, "val/accuracy": 0.2, "test/accuracy": 0.375}
    made[2] |= {
        "status": "diverged",
        "steps": 14,
        "final": blank,
        "diverged": {"step": 15, "first": "loss", "last": last},
    }
    made[3] |= {
        "status": "diverged",
        "steps": 0,
        "final": blank,
        "diverged": {"step": 1, "first": "loss", "last": blank},
    }
    made[5] |= {"status": "failed", "error": "ValueError: no", "steps": 0, "final": {}, "best": {}}
    del made[5]["metric"], made[5]["direction"]
    return made


def folder(path: Path, finished: list[Record]) -> Path:
    """A sweep's folder as training leaves it: the description, the journal, the runs with their curves."""
    described = {
        "schema": 1,
        "plan": "p",
        "created": "2023-11-14T22:00:00Z",
        "command": ["python", "train.py"],
        "axes": [{"name": name, "role": "scientific", "values": values} for name, values in AXES.items()],
        "runs": [{"key": record["key"], "name": record["name"]} for record in finished],
        "stacks": [],
    }
    path.mkdir(exist_ok=True)
    (path / "sweep.json").write_text(json.dumps(described))
    journal.append(path / "journal", finished)
    for record in finished:
        (path / record["folder"]).mkdir(parents=True)
        if record["status"] == "failed":
            continue
        points = [
            (0, WALL, {"val/accuracy": 0.0625, "val/loss": 4.0}),
            (10, WALL, {"val/accuracy": 0.125, "val/loss": 3.0}),
        ]
        if record["status"] == "done":
            points.append((20, WALL, {k: v for k, v in record["final"].items() if v is not None}))
        cut = 1 if record["steps"] < 10 else None
        events.append(path / record["folder"] / events.FILE_NAME, points[:cut])
    return path


def steps(path: Path) -> list[int]:
    return [event.step for event in EventFileLoader(str(path)).Load() if event.HasField("summary")]


def test_a_real_server_shows_every_run_typed_and_complete(tmp_path: Path) -> None:
    finished = records()
    sweep = folder(tmp_path / "sweep", finished)
    hparams.write(sweep)
    with serve(sweep / "runs") as url:
        wait_for(lambda: len(rows(url)) == len(finished))
        columns = post(url, "data/plugin/hparams/experiment")
        domains = {
            info["name"]: (info["type"], info.get("domainDiscrete", info.get("domainInterval")))
            for info in columns["hparamInfos"]
        }
        assert domains == TYPES
        assert [(m["name"]["tag"], m["displayName"]) for m in columns["metricInfos"]] == [
            ("val/accuracy", "final val/accuracy"),
            ("val/loss", "final val/loss"),
            ("test/accuracy", "final test/accuracy"),
            ("val_best/accuracy", "best val/accuracy"),
        ]
        metric = {"metric": {"tag": "val/accuracy", "group": ""}, "order": "ORDER_DESC"}
        wait_for(lambda: sum(map(len, (row["metrics"] for row in rows(url)))) == 6 * 4 + 3)
        table = rows(url, metric)
        assert [row["name"] for row in table[:5]] == ["run7", "run4", "run1", "run6", "run2"]
        assert table[-1]["name"] == "run5"  # the server sorts what is missing last
        assert set(ask(url, "data/runs")) == {record["name"] for record in finished}  # and no run more
    for row in table:
        record = finished[int(row["name"][-1])]
        text = {k: v if isinstance(v, str) else json.dumps(v) for k, v in record["axes"].items() if k in TYPES}
        kinds = {name: TYPES[name][0] for name in AXES}
        axes = {k: text[k] if kinds[k] == "DATA_TYPE_STRING" else v for k, v in record["axes"].items()}
        assert row["hparams"] == axes | {"status": record["status"]}
        assert all(type(v) is not bool or kinds.get(k) == "DATA_TYPE_BOOL" for k, v in row["hparams"].items())
        assert row["metrics"] == shown(record)


def shown(record: Record) -> dict[str, float]:
    """Final and best; of a diverged run the last before it, and the test metric of its last finite weights, if any."""
    if record["status"] == "failed":
        return {}
    best = {"val_best/accuracy": record["best"]["val/accuracy"]}
    if record["status"] == "done":
        return record["final"] | best
    if record["steps"] == 0:
        return {"val/accuracy": 0.0625, "val/loss": 4.0} | best
    return {"val/accuracy": 0.125, "val/loss": 3.0, "test/accuracy": 0.375} | best


def test_the_view_is_written_once_and_can_be_made_again(tmp_path: Path) -> None:
    finished = records()
    sweep = folder(tmp_path, finished)
    hparams.write(sweep)
    files = sorted(sweep.glob(f"runs/*/{hparams.FILE_NAME}"))
    assert len(files) == len(finished) and not list(sweep.rglob("*.tmp"))
    first = {path: (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino) for path in files}
    hparams.write(sweep)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino) for path in files} == first
    files[0].unlink()
    files[1].write_bytes(b"torn")
    hparams.write(sweep)
    assert [path.read_bytes() for path in files] == [first[path][0] for path in files]
    assert all(a < b for path in files for a, b in pairwise(steps(path)))
    assert [len(steps(path)) for path in files] == [2] * len(files)


def test_a_stack_that_brings_a_metric_brings_it_to_every_run(tmp_path: Path) -> None:
    """TensorBoard takes the columns from any one run, so that all have to say the same."""
    finished = records()
    sweep = folder(tmp_path, finished)
    hparams.write(sweep)
    other = finished[7] | {"metric": "val/r2", "best": {"val/r2": 0.5}}
    journal.append(sweep / "journal", [other])
    hparams.write(sweep)
    for path in sweep.glob(f"runs/*/{hparams.FILE_NAME}"):
        assert b"best val/r2" in path.read_bytes()
    assert events.read(sweep / other["folder"] / hparams.FILE_NAME) == {"val_best/r2": [(20, 0.5)]}


@pytest.mark.parametrize("name", ["run0", "run2", "run3", "run5"])
def test_a_runs_tags_never_step_back(tmp_path: Path, name: str) -> None:
    """Over a run's two files together: TensorBoard drops what follows a step back within a tag."""
    sweep = folder(tmp_path, records())
    hparams.write(sweep)
    series: dict[str, list[int]] = {}
    for path in sorted((sweep / "runs" / name).glob("*tfevents*")):
        for tag, points in events.read(path).items():
            series.setdefault(tag, []).extend(step for step, _ in points)
    assert all(a < b for tag in series.values() for a, b in pairwise(tag))
