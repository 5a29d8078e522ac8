"""What scripts/probe.py does: overrides -> plan -> the runs' nets, probed, shown and kept."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from initlab import plan as planning
from initlab import plugins, portrait
from initlab.compose import Composer


def run(root: Path, words: Sequence[str], multirun: bool) -> Iterator[str]:
    """Probe every run of a command; what there is to say, as it comes. Raises Refused."""
    overrides, modules = plugins.taken_out(words)
    plugins.load(modules)
    plan = planning.make(Composer(root / "conf", "config", None), overrides, multirun)
    from initlab import probes  # torch and Lightning, once the plan stands

    began, verdicts = time.perf_counter(), []
    folder = plan.folder.with_name(f"probe-{plan.folder.name}")
    for run, found, _ in probes.of_plan(plan):
        where = folder / run.name
        figure = probes.keep(found, where, run.name)
        verdicts.append((run.name, found.verdict, found.reason))
        yield f"\n{run.name}: {found.verdict}. {found.reason}\n"
        if not multirun:
            yield portrait.table(found)
        if figure:
            yield figure
    yield f"\n{len(plan.runs)} probed in {time.perf_counter() - began:.1f} s -> {folder}"
