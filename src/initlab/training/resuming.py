"""A stack goes on from the last checkpoint that it can have left; of what is passed over, and kept, the user is told.

go_on(module, store.checkpoints(part), progress.say)      # seconds that it has trained, or None: it starts anew
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from initlab.errors import Refused
from initlab.specs import OPTIMIZERS
from initlab.training.checkpoint import Layout, unpacked
from initlab.training.module import StackModule
from initlab.training.nets import build_net
from initlab.training.step import start


def go_on(module: StackModule, contents: Iterable[bytes], say: Callable[[str], None]) -> float | None:
    """Set the module to where the first of these checkpoints stands that is one of its own."""
    for content in contents:
        try:
            found = unpacked(content, layout(module))
        except Refused as refusal:
            say(f"  a checkpoint is passed over: {refusal}")
            continue
        asked = module.intervals
        module.go_on(found)
        if kept := [
            f"trainer.{name}={n}, not {asked[name]}" for name, n in found.intervals.items() if n != asked[name]
        ]:
            say(f"  a stack that was begun keeps {' and '.join(kept)}; sweep.fresh=true starts anew")
        return found.seconds
    return None


def layout(module: StackModule) -> Layout:
    """What a module's checkpoints look like."""
    runs, shared = len(module.configs), module.configs[0]
    net = build_net(shared, module.data).to("meta", module.dtype_)  # no value is needed, and no memory
    params, buffers = (
        {name: x.detach().expand(runs, *x.shape) for name, x in some}
        for some in (net.named_parameters(), net.named_buffers())
    )
    state = start(params, buffers, OPTIMIZERS.build(shared["optimizer"]).slots(module.hyper()))
    measured = [f"val/{metric}" for metric in ("loss", module.data.metric)]
    return Layout(state, module.live, module.steps, module.batches, module.batch_size, measured)
