"""How many workers a sweep gets, and how many threads each: by its options and what there is.

    layout = arranged(options, stacks, pending=4, held=None)
    layout.workers, layout.threads, layout.gpus

The number of threads decides how some sums are rounded. It is fixed when a sweep begins, and kept in sweep.json, so
that one that goes on is what it would have been; how many workers there are decides no number.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from initlab.errors import Refused
from initlab.planning.runs import Stack

MOST_JOBS = 16  # of a queue, unless sweep.workers says otherwise
NEEDS = {"ray": "ray", "slurm": "submitit"}


@dataclass(frozen=True)
class Layout:
    """``workers`` of ``threads`` each. ``gpus``: how many this machine gives them; 0 where they take the CPU."""

    executor: str
    workers: int
    threads: int
    gpus: int = 0

    @property
    def here(self) -> bool:
        """Whether one worker of this machine trains all, which may be this process: not on a GPU, as an error can leave
        nothing computable there for the rest of a process."""
        return self.executor == "local" and self.workers == 1 and not self.gpus


def arranged(options: Mapping[str, Any], stacks: Sequence[Stack], pending: int, held: int | None) -> Layout:
    """For the stacks of a plan, ``pending`` of which are to be trained, on the ``held`` threads of sweep.json."""
    import torch

    executor, given = options["executor"], options["workers"]
    wanted = None if given == "auto" else int(given)
    if executor == "slurm":
        threads = held or int((options["slurm"] or {}).get("cpus_per_task", 1))
        return Layout(executor, min(wanted or MOST_JOBS, pending), threads)
    if executor == "ray":
        return Layout(executor, min(wanted, pending) if wanted else 0, held or 1)
    if torch.cuda.is_available() and any(stack.config["trainer"]["accelerator"] != "cpu" for stack in stacks):
        gpus = torch.cuda.device_count()
        return Layout(executor, min(wanted or gpus, pending), held or torch.get_num_threads(), gpus)
    most = max(1, min(wanted or cores(), len(stacks)))
    threads = held or max(1, min(cores() // most, torch.get_num_threads()))
    return Layout(executor, min(wanted or max(1, cores() // threads), pending), threads)


def all_threads() -> int:
    """As many as torch would take by itself."""
    import torch

    return torch.get_num_threads()


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check(options: Mapping[str, Any]) -> None:
    """Raises Refused for an executor that is not there."""
    executor = options["executor"]
    if (package := NEEDS.get(executor)) and not find_spec(package):
        raise Refused(f"sweep.executor={executor}: needs {package}: pip install 'initlab[{executor}]'.")
    if executor == "slurm" and not shutil.which("sbatch"):
        raise Refused(
            "sweep.executor=slurm: there is no sbatch on this machine. Start the command where jobs are queued."
        )
