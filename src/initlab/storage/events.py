"""The TensorBoard view of a run: one event file of scalars, appended to while the run trains.

    append(folder / FILE_NAME, [(10, time.time(), {"train/loss": 1.25, "val/loss": 1.5}), (20, time.time(), {...})])
    read(folder / FILE_NAME)    # {"train/loss": [(10, 1.25), (20, ...)], "val/loss": [(10, 1.5), ...]}

The file is opened, written and closed within a call: no thread, and hundreds of runs hold no descriptors. The tags
of a step share one event, and values are the classic ``simple_value`` (a third smaller than a tensor with plugin
metadata; TensorBoard shows both alike). TensorBoard keeps float32, so a value comes back as the nearest float32, and
one beyond its range as an infinity. The view is lossy: the full numbers belong in the run's own records.
"""

from __future__ import annotations

import io
import math
import struct
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
from tensorboard.summary.writer.record_writer import RecordWriter

from initlab.storage import disk
from initlab.training.curves import Series

FILE_NAME = "events.out.tfevents.initlab"  # TensorBoard looks for "tfevents"; fixed, so that a run has one file
VERSION = "brain.Event:2"

Point = tuple[int, float, Mapping[str, float]]  # step, wall time (seconds since the epoch), tag -> value


def of_run(curves: Mapping[str, Series], run: int, diverged_at: int = 0) -> list[Point]:
    """One point a step: all that a run measured there but NaN; none from the step at which it diverged (0: never)."""
    found: dict[int, tuple[float, dict[str, float]]] = {}
    for metric, series in curves.items():
        for i, step in enumerate(series.steps.tolist()):
            value = float(series.values[run, i])
            if (not diverged_at or step < diverged_at) and not math.isnan(value):
                found.setdefault(step, (float(series.times[i]), {}))[1][metric] = value
    return [(step, *found[step]) for step in sorted(found)]


def append(path: Path, points: Iterable[Point], anew: bool = False) -> None:
    """Append the points to the event file; ``anew``, or if it is missing or empty, it starts with them.

    Steps have to increase, also from call to call: TensorBoard's server takes a step back for a restart and drops the
    points from there on. Within a call this is checked, before anything is written (ValueError). What follows a torn
    record is lost or shown as garbage, so a file whose last write may have been cut short is written anew.
    """
    points = list(points)
    put(path, body(points), points[0][1] if points else time.time(), anew)


def body(points: Iterable[Point]) -> bytes:
    """The points as they lie in a file, behind its head. Raises ValueError where their steps do not increase."""
    points = list(points)
    for (before, _, _), (step, _, _) in pairwise(points):
        if step <= before:
            raise ValueError(f"step {step} after step {before}; steps have to increase")
    return framed(_event(*point) for point in points)


def put(path: Path, body: bytes, started: float, anew: bool = False) -> None:
    """`append` of a body; ``started`` is the wall time of the file's head, where it gets one."""
    if not anew and path.exists() and path.stat().st_size:
        disk.append(path, body)
    else:
        disk.write(path, _head(started) + body)


def whole(points: Iterable[Point], started: float) -> bytes:
    """A file of these points; ``started`` is the wall time of its head."""
    return _head(started) + body(points)


def _head(started: float) -> bytes:
    return framed([Event(wall_time=started, file_version=VERSION)])


def read(path: Path) -> dict[str, list[tuple[int, float]]]:
    """The file's scalars, tag -> [(step, value)] in file order; a record torn at the end is left out.

    Raises ValueError at a wrong checksum: that is damage within the file, not a write cut short.
    """
    scalars: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
    for data in _payloads(path):
        event = Event.FromString(data)
        for value in event.summary.value:
            if value.HasField("simple_value"):
                scalars[value.tag].append((event.step, value.simple_value))
    return dict(scalars)


def _event(step: int, wall: float, values: Mapping[str, float]) -> Event:
    scalars = [Summary.Value(tag=tag, simple_value=float(value)) for tag, value in values.items()]
    return Event(step=step, wall_time=wall, summary=Summary(value=scalars))


def framed(events: Iterable[Event]) -> bytes:
    """The events as TFRecords: length (uint64), its CRC (uint32), the event, its CRC (uint32); little-endian."""
    buffer = io.BytesIO()
    writer = RecordWriter(buffer)
    for event in events:
        writer.write(event.SerializeToString())
    return buffer.getvalue()


def _payloads(path: Path) -> Iterator[bytes]:
    """The serialised event of every whole record of the file."""
    content = path.read_bytes()
    start = 0
    while start + 12 <= len(content):
        head = content[start : start + 8]
        (length,) = struct.unpack("<Q", head)
        _check(path, start, head, content[start + 8 : start + 12])
        end = start + 12 + length
        if end + 4 > len(content):
            return
        data = content[start + 12 : end]
        _check(path, start, data, content[end : end + 4])
        yield data
        start = end + 4


def _check(path: Path, start: int, data: bytes, crc: bytes) -> None:
    if masked_crc32c(data) != int.from_bytes(crc, "little"):
        raise ValueError(f"{path}: wrong checksum in the record at byte {start}")
