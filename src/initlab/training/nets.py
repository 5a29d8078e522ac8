"""A config and data -> the run's net, where it is trained, and in which precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

import initlab.acts
import initlab.archs  # noqa: F401
from initlab.config import Config, base_width
from initlab.datasets import Data
from initlab.errors import Refused
from initlab.specs import ACTS, ARCHS

# Of weights, their updates and data, by precision; and of matrix products and convolutions, where it is another one.
DTYPES = {"float32": torch.float32, "float64": torch.float64, "tf32": torch.float32, "bf16": torch.float32}
PRODUCTS = {"bf16": torch.bfloat16}
AMPERE = (8, 0)  # the first GPUs that round to TF32


def device_of(config: Config) -> torch.device:
    """Where a run is trained: on a GPU where there is one, unless trainer.accelerator says cpu."""
    return torch.device("cuda" if config["trainer"]["accelerator"] != "cpu" and torch.cuda.is_available() else "cpu")


def check_precision(config: Config) -> None:
    """Raises Refused for TF32 where nothing would be rounded to it, and the record would say what is not so."""
    if config["trainer"]["precision"] != "tf32":
        return
    if device_of(config).type == "cpu":
        raise Refused(
            "trainer.precision=tf32: it is how a GPU rounds the factors of products, and this would train on a CPU. "
            "float32 is what that computes."
        )
    if torch.cuda.get_device_capability() < AMPERE:
        raise Refused(f"trainer.precision=tf32: {torch.cuda.get_device_name()} has none. float32 is what it computes.")


@contextmanager
def arithmetic(config: Config) -> Iterator[None]:
    """While a stack trains: torch's switches, which hold for the process, are what its precision says. Raises Refused.

    Without it cuDNN would round float32 convolutions to TF32, and cuBLAS partial sums of bfloat16 products.
    """
    check_precision(config)
    tf32 = config["trainer"]["precision"] == "tf32"
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32, matmul.allow_bf16_reduced_precision_reduction
    try:
        _switch(tf32, tf32, False)
        yield
    finally:
        _switch(*before)


def _switch(products: bool, convolutions: bool, partial_sums: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = products
    torch.backends.cudnn.allow_tf32 = convolutions
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = partial_sums


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
