"""Time and memory of whole commands as the number of runs grows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scripts.benches.rows import Row, command

COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
WORDS = ["-m", "arch.width=32", "trainer.max_epochs=5", "sweep.fresh=true", "hydra.sweep.dir=growth"]


def rows(folder: Path, repeats: int, figure: Path | None) -> Iterator[Row]:
    seconds: dict[int, list[float]] = {count: [] for count in COUNTS}
    memory: dict[int, float] = {}
    for _ in range(repeats):
        for count in COUNTS:
            took, memory[count] = command([*WORDS, f"seed=range({count})"], folder)
            seconds[count].append(took)
    for count in COUNTS:
        yield Row(f"{count} runs, MLP 4x32, 5 epochs", seconds[count], why=f"{memory[count]:.0f} MB in one process")
    least, most = (min(seconds[count]) for count in (256, 1024))
    yield Row("  a run more, from 256 to 1,024", [1000 * (most - least) / 768], "ms")
    if figure is not None:
        _draw(seconds, memory, figure)


def _draw(seconds: dict[int, list[float]], memory: dict[int, float], figure: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    drawn, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    left.plot(COUNTS, [min(seconds[count]) for count in COUNTS], "o-")
    left.set(xscale="log", yscale="log", xlabel="runs", ylabel="seconds, the whole command", title="Time")
    right.plot(COUNTS, [memory[count] for count in COUNTS], "o-")
    right.set(xscale="log", xlabel="runs", ylabel="MB, the largest process", title="Memory")
    right.set_ylim(0, 1.2 * max(memory.values()))
    for axis in (left, right):
        axis.grid(alpha=0.3)
    drawn.savefig(figure, metadata={"Date": None} if figure.suffix == ".svg" else None)
