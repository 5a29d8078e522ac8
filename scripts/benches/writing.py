"""How much of the training of 64 runs of MLP 4x128, in one process, goes to the sweep's folder."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from scripts.benches.rows import ROOT, Row, timed

WORDS = ["seed=range(64)", "sweep.workers=1", "sweep.stack_width=16"]
CALLS = ("begin", "write", "show", "save", "commit")  # of a Writer
PARTS = {"commits (curves, results, sync)": ("commit",), "all that is written": (*CALLS, "views")}


def rows(folder: Path, repeats: int) -> Iterator[Row]:
    found = [_shares(folder / str(i)) for i in range(repeats)]
    for what, calls in PARTS.items():
        shares = [100 * sum(spent[call] for call in calls) / whole for spent, whole in found]
        yield Row(f"{what}: share of the training of 64 runs", shares, "%")


def _shares(folder: Path) -> tuple[dict[str, float], float]:
    """Seconds by call, and those of the whole training."""
    from initlab.planning import plan
    from initlab.planning.compose import Composer
    from initlab.storage.record import describe
    from initlab.storage.store import Store
    from initlab.training import sweep
    from initlab.training.writer import Writer

    spent = dict.fromkeys((*CALLS, "views"), 0.0)

    def clocked(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def clock(*args: Any, **words: Any) -> None:
            began = time.perf_counter()
            call(*args, **words)
            spent[name] += time.perf_counter() - began

        return clock

    planned = plan.make(Composer(ROOT / "conf"), [*WORDS, f"hydra.sweep.dir={folder}"], multirun=True)
    with contextlib.ExitStack() as patched:
        for name in CALLS:
            patched.enter_context(patch.object(Writer, name, clocked(name, getattr(Writer, name))))
        patched.enter_context(patch.object(sweep._Sweep, "_views", clocked("views", sweep._Sweep._views)))
        patched.enter_context(contextlib.redirect_stdout(io.StringIO()))
        with Store.open(planned, lambda: describe(ROOT, [])) as store:
            whole = timed(lambda: sweep.run(store))
    return spent, whole
