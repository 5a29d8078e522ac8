"""What an update of a stack costs on this device, by the stack's width: a few updates of each, and nothing is kept.

    timed(Rehearse("1f0c", configs, runs=128, threads=1, share=0.02)).found
    # {"steps": 180, "seconds": [(1, 1.0e-3), (2, 1.3e-3), ...], "why": "wider ones gain nothing"}

Widths double while an update of a run gets cheaper, memory lasts, and the time spent stays below a share of what the
runs would take one by one.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from initlab.config import Config
from initlab.datasets import Data, load
from initlab.errors import Refused
from initlab.executors.items import Outcome, Rehearse
from initlab.executors.widths import GAIN
from initlab.training.device import fits, out_of_memory, wait, watch
from initlab.training.module import Chunk, StackModule
from initlab.training.nets import arithmetic, device_of

WARM, TIMED = 1, 2  # rounds; the quickest of those timed counts, as whatever else a machine does only adds
DOUBT = 0.7  # a gain that leaves more than this of an update may be that of a process grown warm: the first once more
ROUND = {"cpu": 1, "cuda": 10}  # updates: a GPU is behind its host, and shows its pace over several
SPENT = {"cpu": WARM + TIMED, "cuda": 2 * ROUND["cuda"] * (WARM + TIMED)}  # updates of a width; half of them on graphs


def timed(item: Rehearse) -> Outcome:
    """Time the runs of a rehearsal as one stack; ``found``: steps of a run, seconds [[width, of an update]], why there
    is no wider one, and on a GPU what came of graphs, at the last width. Raises OSError, Refused."""
    before = torch.get_num_threads()
    torch.set_num_threads(item.threads)
    try:
        with arithmetic(item.configs[0]):
            return Outcome("done", found=_found(item))
    except (OSError, Refused):
        raise  # that is so for training too
    except Exception as error:
        return Outcome("raised", traceback.format_exc(), out_of_memory(error))
    finally:
        torch.set_num_threads(before)


def _found(item: Rehearse) -> dict[str, Any]:
    data, device = load(item.configs[0]["dataset"]), device_of(item.configs[0])
    seconds: dict[int, float] = {}
    began, allowed, why = 0.0, 0.0, "these are all"
    for width in item.widths or _doubled(len(item.configs)):
        if seconds:
            last = max(seconds)
            expected = SPENT[device.type] * seconds[last] * width / last
            if time.perf_counter() - began + expected > allowed:
                why = f"wider ones would take more than {100 * item.share:.2g} % of the time"
                break
            if not fits(width / last, device):
                why = "wider ones might not fit into memory"
                break
        watch(device)
        try:
            update = _update(item.configs[:width], data, item.graphs)
        except Exception as error:
            if not seconds or not out_of_memory(error):
                raise
            why = f"{width} do not fit into memory"
            break
        seconds[width] = update.seconds
        if len(seconds) == 1:
            allowed = item.share * item.runs * update.steps * update.seconds / width
            began = time.perf_counter()  # what a process does for the first time is no matter of widths
        if item.widths is None and _in_vain(seconds):
            why = "wider ones gain nothing"
            break
    least = min(seconds)
    if min(spent / width for width, spent in seconds.items()) > DOUBT * seconds[least] / least and len(seconds) > 1:
        seconds[least] = min(seconds[least], _update(item.configs[:least], data, item.graphs).seconds)
    graphs = {"graphs": update.graphs} if update.graphs else {}
    return {"steps": update.steps, "seconds": list(seconds.items()), "why": why, **graphs}


def _doubled(runs: int) -> list[int]:
    return [*(2**i for i in range((runs - 1).bit_length())), runs]


def _in_vain(seconds: dict[int, float]) -> bool:
    """Whether the last two widths are no gain over those before: an update of a conv net, say, shares nothing."""
    each = [seconds[width] / width for width in sorted(seconds)]
    return len(each) > 2 and min(each[-2:]) > (1 - GAIN) * min(each[:-2])


class Timed(NamedTuple):
    """``steps`` of a run, ``seconds`` of one of the stack, and on a GPU what came of ``graphs``."""

    steps: int
    seconds: float
    graphs: str | None = None


def _update(configs: Sequence[Config], data: Data, graphs: bool) -> Timed:
    module = StackModule(configs, data, graphs=graphs).to(device_of(configs[0]))
    module.prepare(rehearsal=True)
    module.on_train_epoch_start()
    taken = []
    for _ in range(WARM + TIMED):
        first = module.state.t % module.batches
        updates = min(ROUND[module.device.type], module.batches - first)
        began = time.perf_counter()
        module.training_step(Chunk(0, first, updates), 0)
        wait(module.device)
        taken.append((time.perf_counter() - began) / updates)
    return Timed(module.steps, min(taken[WARM:]), module.choice.why if module.choice else None)
