"""What an update of a stack costs on this device, by the stack's width: a few updates of each, and nothing is kept.

    timed(Rehearse("1f0c", configs, runs=128, threads=1, share=0.03)).found
    # {"steps": 180, "seconds": [(1, 1.0e-3), (2, 1.3e-3), ...], "why": "wider ones gain nothing"}

Widths double while an update of a run gets cheaper, memory lasts, and the time spent stays below a share of what the
runs would take one by one.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from initlab.config import Config
from initlab.datasets import Data, load
from initlab.errors import Refused
from initlab.executors.items import Outcome, Rehearse
from initlab.executors.widths import GAIN
from initlab.training.memory import fits, out_of_memory, watch
from initlab.training.module import Chunk, StackModule
from initlab.training.nets import arithmetic, device_of

WARM, TIMED = 1, 2  # updates; the quickest of those timed counts, as whatever else a machine does only adds


def timed(item: Rehearse) -> Outcome:
    """Time the runs of a rehearsal as one stack; ``found``: steps of a run, seconds [[width, of an update]], and why
    there is no wider one. Raises OSError, Refused."""
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
    steps, began, allowed, why = 0, 0.0, 0.0, "these are all"
    for width in item.widths or _doubled(len(item.configs)):
        if seconds:
            last = max(seconds)
            expected = (WARM + TIMED) * seconds[last] * width / last
            if time.perf_counter() - began + expected > allowed:
                why = f"wider ones would take more than {100 * item.share:.2g} % of the time"
                break
            if not fits(width / last, device):
                why = "wider ones might not fit into memory"
                break
        watch(device)
        try:
            steps, seconds[width] = _update(item.configs[:width], data)
        except Exception as error:
            if not seconds or not out_of_memory(error):
                raise
            why = f"{width} do not fit into memory"
            break
        if len(seconds) == 1:
            allowed = item.share * item.runs * steps * seconds[width] / width
            began = time.perf_counter()  # what a process does for the first time is no matter of widths
        if item.widths is None and _in_vain(seconds):
            why = "wider ones gain nothing"
            break
    return {"steps": steps, "seconds": list(seconds.items()), "why": why}


def _doubled(runs: int) -> list[int]:
    return [*(2**i for i in range((runs - 1).bit_length())), runs]


def _in_vain(seconds: dict[int, float]) -> bool:
    """Whether the last two widths are no gain over those before: an update of a conv net, say, shares nothing."""
    each = [seconds[width] / width for width in sorted(seconds)]
    return len(each) > 2 and min(each[-2:]) > (1 - GAIN) * min(each[:-2])


def _update(configs: Sequence[Config], data: Data) -> tuple[int, float]:
    """Steps of a run, and seconds of one of the stack. The learning rate is 0, so that no run dies of it."""
    module = StackModule(configs, data).to(device_of(configs[0]))
    module.prepare(rehearsal=True)
    still = module.program.hyper._replace(lr=torch.zeros_like(module.program.hyper.lr))
    module.program = replace(module.program, hyper=still)
    module.on_train_epoch_start()
    taken = []
    for i in range(WARM + TIMED):
        began = time.perf_counter()
        module.training_step(Chunk(0, i % module.batches, 1), 0)
        if module.device.type == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - began)
    return module.steps, min(taken[WARM:])
