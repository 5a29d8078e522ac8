"""The sweep as TensorBoard's hyper-parameter table: a row a run, a column an axis, its status, and its metrics.

    write(folder)         # after each stack, and once more at the end: writes what is not there yet

A view of the journal, which can be removed and is made again. Beside its event file each finished run has one with the
session (its values on the axes and how it ended) and the definition of the columns, the same in every run: TensorBoard
takes the first that it finds, and a file of its own would show as one more run.

TensorBoard's table shows the last point of a scalar. So the final metrics are the curves' own, and what no curve has is
written here as a single point at the run's last step: ``val_best/<metric>``, and for a run that diverged, whose curves
end before that, the test metric of its last finite weights. A run that failed has a row without metrics.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from google.protobuf.struct_pb2 import ListValue, Value
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import DATA_CLASS_TENSOR, Summary, SummaryMetadata
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo

from initlab.storage import disk, events
from initlab.storage.folder import Sweep, read
from initlab.storage.journal import Record

FILE_NAME = f"{events.FILE_NAME}.hparams"
STATUSES = ("done", "diverged", "failed")
EXACT = 2**53  # TensorBoard's numbers are float64, which hold every whole number up to this one

BOOL, NUMBER, TEXT = (int(t) for t in (api_pb2.DATA_TYPE_BOOL, api_pb2.DATA_TYPE_FLOAT64, api_pb2.DATA_TYPE_STRING))
Column = tuple[str, int]  # an axis and its type


def write(folder: Path) -> None:
    """Write the sessions of the runs that have a result and no file that says so under the present columns."""
    sweep = read(folder)
    columns = [(axis["name"], _type(axis["values"])) for axis in sweep.description["axes"]]
    created = datetime.fromisoformat(sweep.description["created"]).timestamp()
    version = Event(wall_time=created, file_version=events.VERSION)
    head = events.framed([version, _event(0, created, [_columns(sweep, columns)])])
    for record in sweep.records:
        path = folder / record["folder"] / FILE_NAME
        if path.exists() and path.read_bytes().startswith(head):
            continue
        disk.folder(path.parent)
        beside = path.with_name("hparams.tmp")  # TensorBoard reads whatever has "tfevents" in its name
        disk.write(beside, head + events.framed([_session(record, columns)]))
        disk.rename(beside, path)


def _columns(sweep: Sweep, columns: Sequence[Column]) -> Summary.Value:
    """The definition of the columns."""
    measured = list(dict.fromkeys(r["metric"] for r in sweep.records if "metric" in r))
    metrics = [(m, f"final {m}") for m in (*measured, "val/loss", *(_test(m) for m in measured))]
    metrics += [(_best(m), f"best {m}") for m in measured]
    values = {axis["name"]: axis["values"] for axis in sweep.description["axes"]} | {"status": STATUSES}
    experiment = api_pb2.Experiment(
        hparam_infos=[_info(name, kind, values[name]) for name, kind in [*columns, ("status", TEXT)]],
        metric_infos=[api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag), display_name=name) for tag, name in metrics],
    )
    return _tagged(metadata.EXPERIMENT_TAG, HParamsPluginData(experiment=experiment))


def _session(record: Record, columns: Sequence[Column]) -> Event:
    """A run's values, how and when it ended, and the points that its curves lack."""
    start = SessionStartInfo(group_name=record["name"])
    for name, kind in columns:
        start.hparams[name].CopyFrom(_value(_cell(record["axes"][name], kind)))
    start.hparams["status"].CopyFrom(_value(record["status"]))
    ended = record.get("ended", 0.0)
    code = api_pb2.STATUS_FAILURE if record["status"] == "failed" else api_pb2.STATUS_SUCCESS
    end = SessionEndInfo(status=code, end_time_secs=ended)
    scalars = [Summary.Value(tag=tag, simple_value=value) for tag, value in _points(record).items()]
    tagged = [
        _tagged(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=start)),
        _tagged(metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=end)),
    ]
    return _event(max(1, record["steps"]), ended, [*tagged, *scalars])


def _points(record: Record) -> dict[str, float]:
    """What the table shows and no curve ends with, where it is finite: the server cannot sort a column with a NaN."""
    if "metric" not in record:
        return {}
    metric = record["metric"]
    points = {_best(metric): record["best"][metric]}
    if "diverged" in record:
        points[_test(metric)] = record["diverged"].get("last", {}).get(_test(metric))
    return {tag: value for tag, value in points.items() if value is not None}


def _best(metric: str) -> str:
    return metric.replace("val/", "val_best/")  # so that its chart, of single points, comes after the curves


def _test(metric: str) -> str:
    return metric.replace("val/", "test/")


def _type(values: Iterable[Any]) -> int:
    """Truth values, numbers, or else text, to which one odd value, null say, turns its axis."""
    values = list(values)
    if all(isinstance(value, bool) for value in values):
        return BOOL
    numbers = all(isinstance(v, float) or (type(v) is int and abs(v) <= EXACT) for v in values)
    return NUMBER if numbers else TEXT


def _info(name: str, kind: int, values: Sequence[Any]) -> api_pb2.HParamInfo:
    """A column, with its domain: numbers from the least to the greatest, anything else by listing it."""
    many = len(values) > 1
    if kind == NUMBER:
        interval = api_pb2.Interval(min_value=min(values), max_value=max(values))
        return api_pb2.HParamInfo(name=name, type=kind, domain_interval=interval, differs=many)
    cells = dict.fromkeys(_cell(value, kind) for value in values)
    return api_pb2.HParamInfo(name=name, type=kind, domain_discrete=ListValue(values=map(_value, cells)), differs=many)


def _cell(value: Any, kind: int) -> Any:
    return value if isinstance(value, str) or kind != TEXT else json.dumps(value)


def _value(cell: str | float | bool) -> Value:
    if isinstance(cell, bool):
        return Value(bool_value=cell)
    return Value(string_value=cell) if isinstance(cell, str) else Value(number_value=cell)


def _tagged(tag: str, content: HParamsPluginData) -> Summary.Value:
    """A summary of the hparams plug-in, which says everything in its metadata."""
    plugin = SummaryMetadata.PluginData(plugin_name=metadata.PLUGIN_NAME, content=content.SerializeToString())
    described = SummaryMetadata(plugin_data=plugin, data_class=DATA_CLASS_TENSOR)
    return Summary.Value(tag=tag, metadata=described, tensor=metadata.NULL_TENSOR)


def _event(step: int, wall: float, values: Iterable[Summary.Value]) -> Event:
    return Event(step=step, wall_time=wall, summary=Summary(value=values))
