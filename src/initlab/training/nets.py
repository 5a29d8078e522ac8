"""A config and data -> the run's net, where it is trained, and in which precision."""

from __future__ import annotations

import torch

import initlab.acts
import initlab.archs  # noqa: F401
from initlab.config import Config, base_width
from initlab.datasets import Data
from initlab.specs import ACTS, ARCHS

DTYPES = {"float32": torch.float32, "float64": torch.float64}


def device_of(config: Config) -> torch.device:
    """Where a run is trained: on a GPU where there is one, unless trainer.accelerator says cpu."""
    return torch.device("cuda" if config["trainer"]["accelerator"] != "cpu" and torch.cuda.is_available() else "cpu")


def out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def build_net(config: Config, data: Data) -> torch.nn.Module:
    """The run's architecture for this data, in the run's precision: what a module sets itself is not rounded twice.

    What torch draws for it is thrown away, its generator left untouched.
    """
    before = torch.get_default_dtype()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # torch.manual_seed would seed the GPUs too
        torch.set_default_dtype(DTYPES[config["trainer"]["precision"]])
        try:
            features = data.train.x.shape[1:]
            return ARCHS.build(config["arch"], features, data.outputs, lambda: ACTS.build(config["act"]))
        finally:
            torch.set_default_dtype(before)


def base_net(config: Config, data: Data) -> torch.nn.Module | None:
    """The same of base width, if the run's scheme compares with one."""
    width = base_width(config["init"])
    return None if width is None else build_net(config | {"arch": config["arch"] | {"width": width}}, data)
