"""`scripts/bench.py gpu`: what an update cannot do without, counted by hand; and all of it at a tiny size, on a CPU."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from scripts import bench
from scripts.benches import gpu
from scripts.benches.floor import FLOPS, Work, operations, work
from scripts.benches.rows import Row


def test_the_floor_is_what_one_counts_by_hand() -> None:
    """A net 3 -> 4 -> 2 on 5 rows, with momentum, in float32.

    Weights 12 + 8 and biases 4 + 2: 26 parameters, and 26 more in a slot. Outputs 5 x 4 and 5 x 2: 30. The batch 5 x 3:
    15, and 5 targets of 8 bytes. So 97 numbers of 4 bytes and 40 bytes, 428, read and written: 856.
    The first layer's products: x W' and dy' x, 2 x 5 x 3 x 4 = 120 each. The second's: 2 x 5 x 4 x 2 = 80, three times.
    """
    assert operations([3, 4, 2], 5) == 2 * 120 + 3 * 80
    assert work([3, 4, 2], 5, slots=1) == Work(856, 480)
    assert work([3, 4, 2], 5) == Work(856 - 2 * 4 * 26, 480)
    assert work([3, 4, 2], 5, number=8) == Work(2 * (71 * 8 + 40), 480)
    assert Work(856, 480).floor(bandwidth=8.56, rate=4.8) == 100
    assert Work(856, 480).floor(bandwidth=856.0, rate=4.8) == 100
    assert Work(856, 480).floor(bandwidth=8.56, rate=480.0) == 100
    assert pytest.approx(42.9, abs=0.05) == FLOPS / 1e6  # what docs/performance.md says of MLP 4x128


YARDSTICK = """
import sys
count = int(next(word for word in sys.argv if word.startswith("seed=")).split("(")[1].rstrip(")"))
for run in range(count):
    print("RUN", run, 100.0 if run == 0 else 2.0, 0.5)  # the first one starts the device
"""


def test_all_rows_come_at_a_tiny_size(tmp_path: Path) -> None:
    (tmp_path / "yardstick.py").write_text(YARDSTICK)
    size = gpu.Size(depth=1, width=8, batch=128, runs=4, epochs=1, counts=(1, 2), copied=2**20)
    rows = list(gpu.rows(tmp_path, 2, tmp_path / "yardstick.py", 3, "cpu", size))
    assert all(isinstance(row, Row) and all(value > 0 for value in row.values) for row in rows)
    found = {row.what.strip(): row for row in rows if isinstance(row, Row)}
    assert found["the yardstick's, 4 times the median of 3"].values == [8.0, 8.0]
    whole = found["4 runs of MLP 1x8, digits, 1 epochs, a stack"].values
    later = found["from its first update on"].values
    assert all(a < b for a, b in zip(later, whole, strict=True))
    assert [row.what for row in rows if "update of" in row.what] == [
        "an update of 1 runs of MLP 1x8",
        "an update of 4 runs of MLP 1x8",
        "an update of 4 runs, graphs if they pay",
        "an update of 4 runs, no graphs",
        "an update of 1 runs of MLP 1x8",
        "an update of 2 runs of MLP 1x8",
        "an update of a stack of relu and one of tanh, 2 runs each",
    ]
    assert "kB and" in str(next(row for row in rows if "over the floor" in row.what))


def test_without_a_gpu_one_line_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["bench.py", "gpu"])
    assert bench.main() == 0
    *_, last = capsys.readouterr().out.splitlines()
    assert last == "gpu: torch finds no CUDA on this machine, so nothing is measured"
