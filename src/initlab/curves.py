"""What a stack measured: metrics over steps, [R, T] each, as they gather on the device and as they lie on disk.

    curves = Curves()
    curves.keep("train/loss", step=10, samples=1280, values=losses)        # [R], stays on its device
    block = curves.flush()                                                 # {"train/loss": Series}, new since the last

A flush copies a whole block in one transfer: training never waits for the host within an epoch.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Series:
    """One metric of R runs at T points.

    ``steps`` [T] updates, ``samples`` [T] seen, ``times`` [T] seconds since the epoch, ``values`` [R, T].
    """

    steps: NDArray[np.int64]
    samples: NDArray[np.int64]
    times: NDArray[np.float64]
    values: NDArray[np.float64]

    def blank(self, after: NDArray[np.int64]) -> Series:
        """NaN from the step on at which a run diverged ([R], 0: it did not): its frozen lane says nothing of it."""
        dead = (after[:, None] > 0) & (self.steps[None, :] >= after[:, None])
        return Series(self.steps, self.samples, self.times, np.where(dead, np.nan, self.values))


class Curves:
    """Points as they come, and all that were flushed."""

    def __init__(self) -> None:
        self._pending: dict[str, list[tuple[int, int, Any]]] = {}
        self._blocks: dict[str, list[Series]] = {}

    def keep(self, metric: str, step: int, samples: int, values: Any) -> None:
        """``values`` [R], a tensor that is not touched again."""
        self._pending.setdefault(metric, []).append((step, samples, values))

    def flush(self) -> dict[str, Series]:
        """The points since the last flush, on the host."""
        now = time.time()
        block = {metric: _series(points, now) for metric, points in self._pending.items()}
        for metric, series in block.items():
            self._blocks.setdefault(metric, []).append(series)
        self._pending = {}
        return block

    def whole(self) -> dict[str, Series]:
        """Everything so far, on the host."""
        self.flush()
        return {metric: _joined(blocks) for metric, blocks in self._blocks.items()}


def _series(points: list[tuple[int, int, Any]], now: float) -> Series:
    import torch  # the reader of curves on disk needs none

    values = torch.stack([v for _, _, v in points], dim=1).double().cpu().numpy()
    steps, samples = (np.array(column, dtype=np.int64) for column in list(zip(*points, strict=True))[:2])
    return Series(steps, samples, np.full(len(points), now), values)


def _joined(blocks: Iterable[Series]) -> Series:
    blocks = list(blocks)
    steps, samples, times = (
        np.concatenate([getattr(b, name) for b in blocks]) for name in ("steps", "samples", "times")
    )
    return Series(steps, samples, times, np.concatenate([b.values for b in blocks], axis=1))


def arrays(curves: Mapping[str, Series], keys: list[str]) -> dict[str, NDArray[Any]]:
    """The arrays of a curves file: key [R], and for each metric its values [R, T] and .step, .samples, .time [T]."""
    out: dict[str, NDArray[Any]] = {"schema": np.array(1), "key": np.array(keys)}
    for metric, series in curves.items():
        out |= {metric: series.values, f"{metric}.step": series.steps, f"{metric}.samples": series.samples}
        out[f"{metric}.time"] = series.times
    return out
