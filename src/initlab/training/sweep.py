"""A plan -> results on disk: each stack trained as one program, committed when it is whole.

    with Store.open(plan, describe) as store:
        outcome = run(store)            # {"done": 4}

Where a stack raises and it cannot be told for which run, one half of its runs is tried with the lanes of the other
masked, and so on, until the run that raises is alone: it is failed, and the others are exactly what they are without
it, as the width stays. Only where memory runs out a stack is split, and sweep.json says so from then on.
"""

from __future__ import annotations

import logging
import traceback
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from initlab.planning.plan import Run, Stack
from initlab.storage.store import Store, write_table
from initlab.training import interrupts
from initlab.training.train import Training, fail
from initlab.views import hparams
from initlab.views.progress import Progress, watch


def run(store: Store) -> Counter[str]:
    """Train what is not done yet; how many runs of the plan ended how (done, diverged, failed).

    Raises Interrupted once a signal is answered, OSError where the disk fails.
    """
    _quiet()
    with interrupts.held(), watch(store.plan, store.done) as progress:
        for stack in store.plan.stacks:
            if pending := store.pending(stack):
                _attempt(stack, pending, store, progress)
                write_table(store.folder)
                hparams.write(store.folder)
    return Counter(store.done[run.key]["status"] for run in store.plan.runs)


@dataclass(frozen=True)
class _Raised:
    """As text: the exception itself would keep the stack's tensors alive."""

    trace: str
    memory: bool  # it ran out


def _attempt(stack: Stack, runs: Sequence[Run], store: Store, progress: Progress) -> None:
    """Train some runs of a stack, the lanes of the others masked."""
    progress.begin(runs)
    raised = _raised(stack, runs, store, progress)
    if raised is None:
        return
    if raised.memory and len(stack.runs) > 1:
        progress.say(f"  a stack of {len(stack.runs)} does not fit into memory; trying its halves")
        for half in store.split(stack):
            if pending := store.pending(half):
                _attempt(half, pending, store, progress)
        return
    left = store.pending(stack, runs)  # a run whose weights could not be drawn has failed already
    if len(left) == 1:
        fail(left[0], raised.trace, store, progress)
        return
    progress.say(f"  a stack of {len(left)} raised; trying its halves")
    middle = len(left) // 2
    for some in (left[:middle], left[middle:]):
        _attempt(stack, some, store, progress)


def _raised(stack: Stack, runs: Sequence[Run], store: Store, progress: Progress) -> _Raised | None:
    try:
        Training(stack, runs, store, progress).run()
    except OSError:
        raise  # the disk's trouble is the command's, not the run's
    except SystemExit as left:
        return _Raised(f"SystemExit: a run's code called sys.exit({left.code})", memory=False)
    except Exception as error:
        memory = isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)
        return _Raised(traceback.format_exc(), memory)
    return None


def _quiet() -> None:
    """Lightning's advice is about training one large model; here it would be said once a stack."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
