"""What scripts/probe.py does: overrides -> plan -> the runs' nets, probed, shown and kept."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from initlab import plugins
from initlab.measuring import portrait
from initlab.measuring.findings import Probe
from initlab.planning import plan as planning
from initlab.planning.compose import Composer


def run(root: Path, words: Sequence[str], multirun: bool) -> Iterator[str]:
    """Probe every run of a command; what there is to say, as it comes. Raises Refused."""
    overrides, modules = plugins.taken_out(words)
    plugins.load(modules)
    plan = planning.make(Composer(root / "conf", "config", None), overrides, multirun)
    from initlab.measuring import probes  # torch and Lightning, once the plan stands

    began = time.perf_counter()
    folder = plan.folder.with_name(f"probe-{plan.folder.name}")
    for run, found, advice in probes.of_plan(plan):
        no_figure = probes.keep(found, advice, folder / run.name, run.name)
        yield f"{run.name}: {found.verdict}. {found.reason}"
        if not multirun:
            yield f"\n{portrait.table(found)}\n"
            yield from _on_the_whole(found)
        best = advice.best
        better = f"risk {best.risk:.2f} in place of {found.risk:.2f}, where 1 and more does not train"
        yield f"{'recommended: ' if not multirun else '  '}{best.words} ({better}): {best.reason}."
        if not multirun:
            yield "also probed: " + ", ".join(f"{one.words} {one.risk:.2f}" for one in advice.others)
        if no_figure:
            yield no_figure
    yield f"\n{len(plan.runs)} probed in {time.perf_counter() - began:.1f} s -> {folder}"


def _on_the_whole(found: Probe) -> Iterator[str]:
    """What is told of the net and of no layer."""
    yield f"chance to train {found.chance:.2f}; measured on {found.rows} rows"
    if found.loss is not None:
        yield f"loss {found.loss:.4g}; {found.loss_expected:.4g} for outputs of this variance that know nothing yet"
    if found.jacobian:
        least = f", least {found.jacobian.least:.3g}" if found.jacobian.exact else ""
        yield f"input-output Jacobian: greatest singular value {found.jacobian.greatest:.3g}{least}"
    if found.curvature is not None:
        bound = f": steps go down below a rate of {2 / found.curvature:.2g}" if found.curvature > 0 else ""
        yield f"curvature along the gradient {found.curvature:.3g}{bound}"
    if found.predicted:
        stopped = f" Theory stops: {found.predicted.stopped}." if found.predicted.stopped else ""
        yield f"theory says {found.predicted.verdict}: {found.predicted.reason}{stopped}"
