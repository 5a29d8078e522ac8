"""The activations: their formulas on a grid, their gains, and the one that learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from scipy import special
from torch import nn

import initlab.acts  # noqa: F401  (the functions join the registry)
from conftest import small
from initlab import command
from initlab.datasets import load
from initlab.schemes.apply import draw, unmatched
from initlab.schemes.inits import torch_gain
from initlab.slots import slots
from initlab.specs import ACTS, INITS
from initlab.training.module import StackModule
from initlab.training.nets import build_net
from initlab.training.step import step

# By numpy and scipy, with the defaults of the spec.
FORMULAS: dict[str, Any] = {
    "identity": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "tanh": np.tanh,
    "sigmoid": special.expit,
    "gelu": lambda x: x * special.ndtr(x),
    "silu": lambda x: x * special.expit(x),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0))),
    "prelu": lambda x: np.where(x > 0, x, 0.25 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "softplus": lambda x: np.logaddexp(0, x),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "hardtanh": lambda x: np.clip(x, -1, 1),
    "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "sin": np.sin,
    "erf": special.erf,
    "relu_squared": lambda x: np.maximum(x, 0) ** 2,
}
ROOT = Path(__file__).parents[1]


def built(name: str, **fields: Any) -> nn.Module:
    return ACTS.build(ACTS.typed({"name": name, **fields})).double()


@pytest.mark.parametrize("name", ACTS)
def test_formula(name: str) -> None:
    """To 1e-14 of what is larger, 1 or the value; torch's softplus drops exp(-x) above 20, where it is below 2.1e-9."""
    x = np.concatenate([np.linspace(-30, 30, 2401), [-1e3, -0.0, 1e-8, 1e3]])
    expected, actual = FORMULAS[name](x), built(name)(torch.from_numpy(x)).detach().numpy()
    near = np.full(x.shape, 1e-14 * np.maximum(1, np.abs(expected)))
    near[x > 20] += 2.1e-9 if name in ("softplus", "mish") else 0.0
    assert (np.abs(actual - expected) <= near).all()


@pytest.mark.parametrize(
    ("name", "fields", "at_minus_1"),
    [
        ("leaky_relu", {"negative_slope": 0.3}, -0.3),
        ("prelu", {"slope": 0.5}, -0.5),
        ("prelu", {"slope": -1.0}, 1.0),
        ("elu", {"alpha": 2.0}, 2 * np.expm1(-1)),
        ("gelu", {"approximate": "tanh"}, -0.5 * (1 - np.tanh(np.sqrt(2 / np.pi) * 1.044715))),
    ],
)
def test_fields(name: str, fields: dict[str, Any], at_minus_1: float) -> None:
    value = built(name, **fields)(torch.tensor([-1.0], dtype=torch.float64))
    np.testing.assert_allclose(value.item(), at_minus_1, rtol=1e-14)


@pytest.mark.parametrize("name", [name for name in ACTS if "torch_gain" in ACTS[name].facts])
def test_a_gain_is_claimed_only_where_torch_names_the_function(name: str) -> None:
    """calculate_gain's word is the function's own (linear: the identity), so that gain=torch never means another."""
    assert ACTS[name].facts["torch_gain"] == {"identity": "linear"}.get(name, name)
    assert torch_gain(ACTS[name].facts["torch_gain"], ACTS.typed({"name": name}).get("negative_slope")) > 0


# --- the slope that learns --------------------------------------------------------------------------------------------

PRELU = {"name": "prelu", "slope": 0.4}


def module(**fields: Any) -> StackModule:
    """Two runs with learnable slopes, before their first step."""
    configs = [small(seed, act=PRELU, optimizer={"lr": 0.05, **fields}, trainer={"max_steps": 3}) for seed in (0, 1)]
    made = StackModule(configs, load(configs[0]["dataset"]))
    made.prepare()
    made.on_train_epoch_start()
    return made


def test_each_layer_has_one_slope_that_no_scheme_draws() -> None:
    """It keeps the field's value under every law of the biases, and no rule can name it."""
    config = small(act=PRELU)
    places = slots(build_net(config, load(config["dataset"])))
    kept = {place.name: place for place in places if place.part == "kept"}
    assert {name: place.shape for name, place in kept.items()} == {"act1.weight": (1,), "act2.weight": (1,)}
    for bias in ("zeros", "constant", "uniform"):
        option = INITS.typed({"name": "kaiming", "bias": bias, "rules": [{"param": "*", "name": "ones", "bias": bias}]})
        assert not draw(places, option, config["act"], 0).keys() & kept.keys()
    assert unmatched(places, [{"param": "act*", "name": "zeros"}]) == [0]
    assert (module().state.params["act1.weight"] == 0.4).all()


def test_the_slopes_of_a_stack_are_each_runs_own() -> None:
    made = module()
    made.state, _ = step(made.program, made.state, *made.rows.take(0))
    slopes = torch.cat([made.state.params[f"act{i}.weight"].flatten() for i in (1, 2)])
    assert len(set(slopes.tolist())) == 4 and (slopes != 0.4).all()


def test_weight_decay_acts_on_a_slope_as_torch_lets_it() -> None:
    """One step of SGD with decay d differs from one without by lr d slope."""
    free, decayed = module(), module(weight_decay=0.5)
    for made in (free, decayed):
        made.state, _ = step(made.program, made.state, *made.rows.take(0))
    difference = free.state.params["act1.weight"] - decayed.state.params["act1.weight"]
    np.testing.assert_allclose(difference.numpy(), 0.05 * 0.5 * 0.4, rtol=1e-12)


def test_a_slope_is_in_the_weights_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["act=prelu", "dataset=gaussian", "arch.width=8", "trainer.max_steps=5", "hydra.run.dir=here"]
    assert command.main(ROOT, words) == 0
    (file,) = Path("here/runs").glob("*/weights.safetensors")
    stored = load_file(file)
    assert [name for name in stored if name.startswith("act")] == [f"act{i}.weight" for i in (1, 2, 3, 4)]
    assert stored["act1.weight"].shape == (1,) and stored["act1.weight"] != 0.25
