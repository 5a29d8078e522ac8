"""A report as TensorBoard shows it: a run a cell, the middle and the band of its seeds, and the figures as images.

    files({"val/loss": bands(found.cells, "val/loss")}, {"heat": png}, ended)      # name -> content

Its CUSTOM SCALARS tab draws each cell as one line with its band, by the layout that is written here; TensorBoard itself
can neither average runs nor band them. A view, made again with the report.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import DATA_CLASS_TENSOR, Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.custom_scalar import layout_pb2, metadata

from initlab.analysis.bands import Band
from initlab.storage import events

Bands = Mapping[str, Mapping[str, Band]]  # metric -> cell -> band


def files(bands: Bands, images: Mapping[str, bytes], ended: float) -> dict[str, bytes]:
    """Each cell's bands, below cells/, and beside the figures the layout and the images (PNG).

    ``ended`` is the wall time of every point, in seconds since the epoch: the same report is the same bytes.
    """
    found: dict[str, bytes] = {}
    for i, cell in enumerate(dict.fromkeys(cell for by_cell in bands.values() for cell in by_cell)):
        safe = re.sub(r"[^A-Za-z0-9._=,+-]+", "-", cell.replace(", ", ","))[:100].strip(".-")
        name = f"cells/{safe or f'cell-{i}'}/{events.FILE_NAME}"
        if name in found:  # two names, alike but for letters that no folder should have
            name = f"cells/{safe}-{i}/{events.FILE_NAME}"
        points = _points({metric: of[cell] for metric, of in bands.items() if cell in of}, ended)
        found[name] = events.whole(points, ended)
    head = Event(wall_time=ended, file_version=events.VERSION)
    body = Event(wall_time=ended, summary=Summary(value=[_layout(bands), *_images(images)]))
    return found | {f"figures/{events.FILE_NAME}": events.framed([head, body])}


def _points(by_metric: Mapping[str, Band], wall: float) -> list[events.Point]:
    """A point a step; where a band is infinite there is none, as TensorBoard cannot draw one."""
    points: dict[int, dict[str, float]] = {}
    for metric, band in by_metric.items():
        shown, tags = band.thinned(), _tags(metric)
        table = np.stack([shown.middle, shown.low, shown.high], axis=1)
        finite = np.isfinite(table).all(axis=1)
        for step, row in zip(shown.steps[finite].tolist(), table[finite].tolist(), strict=True):
            points.setdefault(step, {}).update(zip(tags, row, strict=True))
    return [(step, wall, points[step]) for step in sorted(points)]


def _tags(metric: str) -> tuple[str, str, str]:
    """Those of the middle, the low and the high; the middle shares the runs' chart, the edges have their own."""
    edge = metric.replace("/", "_band/", 1)
    return metric, f"{edge} low", f"{edge} high"


def _layout(metrics: Iterable[str]) -> Summary.Value:
    """A chart a metric, of every cell with its band."""
    charts = []
    for metric in metrics:
        middle, low, high = _tags(metric)
        series = layout_pb2.MarginChartContent.Series(value=middle, lower=low, upper=high)
        charts.append(layout_pb2.Chart(title=metric, margin=layout_pb2.MarginChartContent(series=[series])))
    layout = layout_pb2.Layout(
        category=[layout_pb2.Category(title="cells: median and quartiles of the seeds", chart=charts)]
    )
    described = metadata.create_summary_metadata()
    described.data_class = DATA_CLASS_TENSOR
    content = TensorProto(dtype=DT_STRING, tensor_shape=TensorShapeProto(), string_val=[layout.SerializeToString()])
    return Summary.Value(tag=metadata.CONFIG_SUMMARY_TAG, metadata=described, tensor=content)


def _images(images: Mapping[str, bytes]) -> list[Summary.Value]:
    found = []
    for name, png in images.items():
        width, height = (int.from_bytes(png[i : i + 4], "big") for i in (16, 20))  # of the header chunk
        image = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)
        found.append(Summary.Value(tag=f"report/{name}", image=image))
    return found
