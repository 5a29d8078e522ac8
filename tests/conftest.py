"""Shared by all tests: small typed configs, and Lightning's advice on large models kept quiet."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import settings

from initlab.config import Config, typed

settings.register_profile("busy", deadline=None)  # a slow machine is no failure
settings.load_profile("busy")

SMALL: dict[str, dict[str, Any]] = {
    "dataset": {"name": "gaussian", "samples": 400, "features": 6, "classes": 3, "batch_size": 32},
    "arch": {"name": "mlp", "depth": 2, "width": 16},
    "act": {"name": "tanh"},
    "init": {"name": "xavier"},
    "optimizer": {"name": "sgd"},
    "trainer": {"max_steps": 100, "precision": "float64", "log_every_n_steps": 1, "accelerator": "cpu"},
}


def small(seed: int = 0, **sections: Mapping[str, Any]) -> Config:
    """A small typed config; a section's fields replace or extend those above, a new name replaces the section."""
    raw: dict[str, Any] = {name: dict(fields) for name, fields in SMALL.items()}
    for name, fields in sections.items():
        renamed = "name" in fields and fields["name"] != raw[name].get("name")
        raw[name] = dict(fields) if renamed else raw[name] | dict(fields)
    return typed(raw | {"seed": seed})


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    """As the tests run side by side. A sweep keeps its threads, so a module's first fixture has to have one as well."""
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _as_in_a_command() -> None:
    """Lightning's advice kept quiet as `sweep.run` does."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
