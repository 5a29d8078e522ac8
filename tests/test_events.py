"""The event file: what is written is read back, by us, by TensorBoard's reader and by its server."""

from __future__ import annotations

import math
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from initlab.storage.events import FILE_NAME, VERSION, Point, append, read
from tensorboard_server import ask, serve, wait_for

WALL = 1_700_000_000.25


def points(first: int, last: int, phase: float = 0.0) -> list[Point]:
    """A training loss every ten steps, and validation every fifty."""
    result: list[Point] = []
    for step in range(first, last, 10):
        values = {"train/loss": math.cos(step + phase)}
        if step % 50 == 0:
            values |= {"val/loss": math.sin(step + phase), "val/accuracy": step / 1000}
        result.append((step, WALL + step, values))
    return result


def scalars(written: list[Point]) -> dict[str, list[tuple[int, float]]]:
    """What ``read`` should give: float32 values by tag."""
    result: dict[str, list[tuple[int, float]]] = {}
    for step, _, values in written:
        for tag, value in values.items():
            result.setdefault(tag, []).append((step, float(np.float32(value))))
    return result


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / FILE_NAME


def test_two_appends_are_read_back_as_one(path: Path) -> None:
    append(path, points(0, 100))
    append(path, iter(points(100, 300)))
    assert read(path) == scalars(points(0, 300))
    assert path.read_bytes().count(VERSION.encode()) == 1


def test_the_bytes_do_not_depend_on_the_chunks(path: Path, tmp_path: Path) -> None:
    append(path, points(0, 300))
    for point in points(0, 300):
        append(tmp_path / "single", [point])
    assert path.read_bytes() == (tmp_path / "single").read_bytes()


def test_values_that_are_not_finite_round_trip(path: Path) -> None:
    append(path, [(1, WALL, {"a": math.nan, "b": math.inf, "c": -math.inf, "d": 1e300, "e": -0.0})])
    result = {tag: value for tag, [(_, value)] in read(path).items()}
    assert math.isnan(result["a"])
    assert (result["b"], result["c"], result["d"]) == (math.inf, -math.inf, math.inf)
    assert math.copysign(1, result["e"]) == -1


def test_numpy_scalars_are_values(path: Path) -> None:
    values: Any = {"a": np.float32(0.1), "b": np.float64(0.1), "c": np.int64(3)}
    append(path, [(1, WALL, values)])
    assert read(path) == scalars([(1, WALL, values)])


@pytest.mark.parametrize("make", [False, True], ids=["missing", "empty"])
def test_no_points_leave_a_readable_file(path: Path, make: bool) -> None:
    if make:
        path.touch()
    append(path, [])
    append(path, [])
    assert path.read_bytes().count(VERSION.encode()) == 1
    assert read(path) == {}


@pytest.mark.parametrize("step", [10, 9])
def test_steps_that_do_not_increase_are_refused_and_nothing_is_written(path: Path, step: int) -> None:
    with pytest.raises(ValueError, match=f"step {step} after step 10"):
        append(path, [(10, WALL, {"a": 1.0}), (step, WALL, {"a": 2.0})])
    assert not path.exists()


def test_a_torn_tail_is_cut(path: Path) -> None:
    written = points(0, 200)
    ends = []
    for point in written:
        append(path, [point])
        ends.append(path.stat().st_size)
    whole = path.read_bytes()
    for cut in range(1, 41):
        path.write_bytes(whole[:-cut])
        kept = sum(end <= len(whole) - cut for end in ends)
        assert kept < len(written)
        assert read(path) == scalars(written[:kept])


def test_any_head_of_the_file_can_be_read(path: Path) -> None:
    append(path, points(0, 60))
    whole, all_scalars = path.read_bytes(), scalars(points(0, 60))
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert all(pairs == all_scalars[tag][: len(pairs)] for tag, pairs in read(path).items())


def test_damage_is_an_error(path: Path) -> None:
    append(path, points(0, 60))
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(ValueError, match="wrong checksum in the record at byte"):
            read(path)


def test_tensorboards_own_reader_agrees(path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    append(path, points(0, 100))
    append(path, points(100, 300))
    reader = EventAccumulator(str(path.parent), size_guidance={"scalars": 0}).Reload()
    assert reader.file_version == 2.0
    assert {tag: [(e.step, e.value) for e in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]} == read(path)
    assert [e.wall_time for e in reader.Scalars("train/loss")] == [wall for _, wall, _ in points(0, 300)]


def test_the_module_needs_neither_torch_nor_tensorflow() -> None:
    code = "import sys, initlab.storage.events; sys.exit(bool({'torch', 'tensorflow'} & set(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_a_real_server_shows_every_point_of_every_run(tmp_path: Path) -> None:
    logdir = tmp_path / "runs"
    runs = {f"init={name},seed={seed}": points(0, 500, seed) for name in ("he", "xavier") for seed in (0, 1)}
    odd: Point = (1000, WALL + 1000, {"train/loss": math.nan, "val/loss": math.inf, "val/accuracy": -math.inf})
    names = list(odd[2])
    expected = {
        (run, tag): [row(wall, step, values[tag]) for step, wall, values in [*written, odd] if tag in values]
        for run, written in runs.items()
        for tag in names
    }
    for run, written in runs.items():
        (logdir / run).mkdir(parents=True)
        append(logdir / run / FILE_NAME, written)
    with serve(logdir) as base_url:

        def shown(run: str, tag: str) -> list[tuple[float, int, bytes]]:
            return [row(*point) for point in ask(base_url, "data/plugin/scalars/scalars", run=run, tag=tag)]

        wait_for(lambda: len(ask(base_url, "data/plugin/scalars/tags")) == len(runs))
        tags = ask(base_url, "data/plugin/scalars/tags")
        assert {run: sorted(by_tag) for run, by_tag in tags.items()} == {run: sorted(names) for run in runs}
        for run in runs:  # while the server looks on
            append(logdir / run / FILE_NAME, [odd])
        wait_for(lambda: all(len(shown(*which)) == len(rows) for which, rows in expected.items()))
        assert {which: shown(*which) for which in expected} == expected


def row(wall: float, step: int, value: float | str) -> tuple[float, int, bytes]:
    """A point as the server gives it (NaN and infinities as text), its float32 in bytes so that NaN equals NaN."""
    return wall, step, struct.pack("<f", float(value))
