"""What a stack measured: metrics over steps, [R, T] each, as they gather on the device and as they lie on disk.

    curves = Curves()
    curves.keep("train/loss", step=10, samples=1280, values=losses)        # [R], stays on its device
    curves.between(0, 10)                                                  # {"train/loss": Series} of steps 1 ... 10

What is asked for comes to the host in one transfer a metric: training never waits for it within an epoch.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Mapping, Sequence
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

    def between(self, after: int, until: int) -> Series:
        """The points of the steps after ... until."""
        kept = (self.steps > after) & (self.steps <= until)
        return Series(self.steps[kept], self.samples[kept], self.times[kept], self.values[:, kept])

    def of(self, runs: Sequence[int]) -> Series:
        """The same of some of the runs, in the order given."""
        return Series(self.steps, self.samples, self.times, self.values[list(runs)])


class Curves:
    """Points as they come, after ``past``."""

    def __init__(self, past: Mapping[str, Series] | None = None) -> None:
        self._pending: dict[str, list[tuple[int, int, Any]]] = {}
        self._blocks: dict[str, list[Series]] = {metric: [series] for metric, series in (past or {}).items()}

    def keep(self, metric: str, step: int, samples: int, values: Any) -> None:
        """``values`` [R], a tensor that is not touched again."""
        self._pending.setdefault(metric, []).append((step, samples, values))

    def whole(self) -> dict[str, Series]:
        """Everything so far, on the host."""
        self._gather()
        return {metric: _joined(blocks) for metric, blocks in self._blocks.items()}

    def between(self, after: int, until: int) -> dict[str, Series]:
        """The points of the steps after ... until, on the host."""
        self._gather()
        late = {metric: [b for b in blocks if b.steps[-1] > after] for metric, blocks in self._blocks.items()}
        return {metric: _joined(blocks).between(after, until) for metric, blocks in late.items() if blocks}

    def _gather(self) -> None:
        now = time.time()
        for metric, points in self._pending.items():
            self._blocks.setdefault(metric, []).append(_series(points, now))
        self._pending = {}


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


def packed(curves: Mapping[str, Series], keys: list[str]) -> bytes:
    """The content of a curves file."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays(curves, keys))  # type: ignore[arg-type]
    return buffer.getvalue()
