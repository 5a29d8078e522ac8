"""A small net of every architecture, and small data that it takes: for the tests that loop over the registry."""

from __future__ import annotations

from typing import Any

from torch import nn

from initlab.datasets import Data, load
from initlab.errors import Refused
from initlab.specs import ARCHS, DATASETS, INITS
from plain import images

SMALL = {"depth": 2, "width": 8, "layers": 2, "heads": 2, "patch": 2}
IMAGE = (2, 4, 6)


def small_arch(name: str, **fields: Any) -> dict[str, Any]:
    """The option, small where it has the fields."""
    small = {field: value for field, value in SMALL.items() if field in ARCHS[name].fields}
    return ARCHS.typed({"name": name, **small, **fields})


def arch_for(scheme: str) -> dict[str, Any]:
    """The first net that declares the roles which a scheme needs."""
    needs = INITS[scheme].facts.get("needs", ())
    for name, spec in ARCHS.items():
        if all(word in spec.facts["roles"] for word in needs):
            asked = [spec.facts["roles"][word] for word in needs]
            return small_arch(name, **{field: values[0] for fields in asked for field, values in fields.items()})
    raise AssertionError(f"no net for {scheme}")


def base_for(scheme: str, option: dict[str, Any]) -> dict[str, nn.Module]:
    """For `initialize`: the net of base width, if a scheme asks for it; here of the same."""
    return {"base": small_net(option)} if INITS[scheme].facts.get("base") else {}


def data_for(option: dict[str, Any]) -> Data:
    """The first that fits: vectors, images, sequences with several targets a row."""
    vectors = {"name": "gaussian", "samples": 400, "features": 6, "classes": 3}
    sequences = {"name": "copy", "samples": 400, "symbols": 3, "span": 2, "delay": 2}
    for data in (load(DATASETS.typed(vectors)), images(shape=IMAGE), load(DATASETS.typed(sequences))):
        try:
            ARCHS[option["name"]].facts.get("fits", lambda *_: None)(option, data.train.x.shape[1:], "data")
        except Refused:
            continue
        return data
    raise AssertionError(f"no data for {option}")


def small_net(option: dict[str, Any]) -> nn.Module:
    data = data_for(option)
    return ARCHS.build(option, data.train.x.shape[1:], data.outputs, nn.Tanh)
