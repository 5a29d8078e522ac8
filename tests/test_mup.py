"""muP: the paper's table from a net's widths; nets that train alike at every width; what it lacks, refused in words."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scripts import coordinates
from torch import nn

import initlab
import initlab.archs
from conftest import small
from initlab import initialize
from initlab.config import key
from initlab.errors import Refused
from initlab.laws import Constant, Law, Normal
from initlab.measuring.coordinates import Table
from initlab.schemes.apply import law, rates, weight_of
from initlab.schemes.initial import initial
from initlab.slots import slots
from initlab.specs import ACTS, ARCHS, INITS

RELU = ACTS.typed({"name": "relu"})
MUP = INITS.typed({"name": "mup"})


def net(width: int, name: str = "mlp", features: tuple[int, ...] = (5,), **fields: Any) -> nn.Module:
    return ARCHS.build(ARCHS.typed({"name": name, "width": width, **fields}), features, 3, nn.ReLU).double()


def stds(model: nn.Module, base: nn.Module | None, option: dict[str, Any] = MUP) -> dict[str, float]:
    places = [place for place in slots(model, base=base) if place.part == "weight"]
    return {place.name: law(place, option, weight_of(place, RELU, 0)).std for place in places}


# Yang et al. 2022, table 3, of a net m times as wide: (variance, SGD's rate, Adam's rate).
TABLE = {
    "input": lambda m: (1.0, m, 1.0),
    "hidden": lambda m: (1 / m, 1.0, 1 / m),
    "readout": lambda m: (1 / m**2, 1 / m, 1 / m),
    "bias": lambda m: (1.0, m, 1.0),
}


@pytest.mark.parametrize("m", [0.5, 1, 8])
@pytest.mark.parametrize(
    ("name", "features", "fields"),
    [("mlp", (5,), {}), ("cnn", (2, 8, 8), {}), ("resmlp", (5,), {"norm": "layer"}), ("lstm", (7, 3), {})],
)
def test_variances_and_rates_are_the_papers(m: float, name: str, features: tuple[int, ...], fields: Any) -> None:
    """Whatever the net: convolutions, whose kernels do not count as width, and recurrent cells among them."""
    model, base = (net(width, name, features, **fields) for width in (int(16 * m), 16))
    at_base, found = stds(base, base), stds(model, base)
    places = {place.name: place for place in slots(model)}
    by_optimizer = {o: rates(slots(model, base=base), MUP, o) for o in ("sgd", "adam", "adamw")}
    assert by_optimizer["adam"] == by_optimizer["adamw"]
    for tensor, place in places.items():
        assert place.role is not None or place.part.startswith("norm")
        kind = place.role.kind if place.role else "bias"
        row = TABLE["bias" if place.part != "weight" else {"recurrent": "hidden"}.get(kind, kind)](m)
        if kind == "readout" and place.part == "bias":
            row = (1.0, 1.0, 1.0)
        if tensor in found:
            assert found[tensor] ** 2 == pytest.approx(row[0] * at_base[tensor] ** 2)
        assert by_optimizer["sgd"].get(tensor, 1.0) == pytest.approx(row[1]), tensor
        assert by_optimizer["adam"].get(tensor, 1.0) == pytest.approx(row[2]), tensor


def test_at_base_width_it_is_kaiming() -> None:
    """Bit for bit, with no rate of its own; wider, its input layer still is."""
    kaiming = dict(initialize(net(16), "kaiming", bias="uniform").named_parameters())
    for name, p in initialize(net(16), "mup", bias="uniform", base=net(16)).named_parameters():
        assert torch.equal(p, kaiming[name])
    assert rates(slots(net(16), base=net(16)), MUP, "sgd") == {}


def test_tables_of_vectors_are_inputs() -> None:
    """An embedding's fan_in is its width, but its rows are picked and not summed: N(0, 2 / base width) at any width."""

    def of(width: int) -> nn.Module:
        return nn.Sequential(nn.Embedding(7, width), nn.Linear(width, 4))

    found = stds(of(64), of(16))
    assert found["0.weight"] == pytest.approx(math.sqrt(2 / 16)) and found["1.weight"] == pytest.approx(
        math.sqrt(2) / 16
    )
    assert rates(slots(of(64), base=of(16)), MUP, "sgd") == {"0.weight": 4.0, "1.weight": 0.25}


def test_the_readout_can_start_at_zero() -> None:
    model, option = net(32), INITS.typed({"name": "mup", "readout": "zero"})
    found: dict[str, Law] = {
        p.name: law(p, option, weight_of(p, RELU, 0)) for p in slots(model, base=net(16)) if p.part == "weight"
    }
    assert found["fc5.weight"] == Constant(0.0) and isinstance(found["fc1.weight"], Normal)
    assert rates(slots(model, base=net(16)), option, "adam")["fc5.weight"] == 0.5


def test_a_rule_can_give_it_to_some_layers() -> None:
    """The others have no rates; those of the rule have, with its own base width."""
    option = INITS.typed({"name": "xavier", "rules": [{"param": "fc2.*", "name": "mup", "base_width": 16}]})
    assert rates(slots(net(32), base=net(16)), option, "sgd") == {"fc2.bias": 2.0}
    assert rates(slots(net(32), base=net(16)), option, "adam") == {"fc2.weight": 0.5}


def test_what_it_lacks_is_refused() -> None:
    with pytest.raises(Refused, match="init=mup: compares widths, so it needs base, the same net of base width"):
        initialize(net(16), "mup")
    with pytest.raises(Refused, match=r"base: has no parameter fc5\.weight of 2 dimensions"):
        initialize(net(16), "mup", base=net(16, depth=3))
    with pytest.raises(Refused, match=r"init=mup: compares widths, and arch=mlp has none, or several \(arch\.sizes\)"):
        small(init={"name": "mup"}, arch={"sizes": [16, 8]})
    with pytest.raises(Refused, match=r"init\.base_width=16: no such net\. arch\.heads=3.*heads that divide"):
        arch = {"name": "vit", "width": 12, "heads": 3, "patch": 2}
        small(init={"name": "mup", "base_width": 16}, arch=arch, dataset={"name": "digits"})
    rules = [{"param": "fc1.*", "name": "mup", "base_width": 8}]
    with pytest.raises(Refused, match="base_width: one for a run, and it has 8, 128"):
        small(init={"name": "mup", "rules": rules})


def test_the_base_width_is_part_of_a_runs_key() -> None:
    first, second = (small(init={"name": "mup", "base_width": width}) for width in (8, 16))
    assert key(first, "data") != key(second, "data")


def test_initial_outputs_shrink_with_the_width() -> None:
    """The readout's sum of n terms of variance 1 / n^2: outputs of deviation n^(-1/2), at standard width 1."""
    x = torch.randn(200, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    spread = {}
    for width in (32, 512):
        model, base = net(width), net(32)
        drawn = [initial(model, MUP, RELU, seed, base=base)[0] for seed in range(8)]
        outs = [torch.func.functional_call(model, params, (x,)) for params in drawn]
        spread[width] = torch.stack(outs).square().mean().sqrt().item()
    assert math.log2(spread[32] / spread[512]) / 4 == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("optimizer", ["optimizer=adam optimizer.lr=0.01", "optimizer=sgd optimizer.lr=0.1"])
def test_the_coordinate_check_is_flat_for_mup_alone(optimizer: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As the command tells, in words and by its exit code; under Kaiming some layer's change grows with the width."""
    words = [*optimizer.split(), "arch.depth=2", "dataset=gaussian", "dataset.samples=200", "trainer.accelerator=cpu"]
    some = ["--widths", "32,128,512", "--seeds", "0,1,2", "--steps", "3"]
    assert coordinates.main(["init=mup", "init.readout=zero", *words, *some]) == 0
    header, *layers = capsys.readouterr().out.splitlines()[1:5]
    assert header.split() == ["change", "of", "32", "128", "512", "slope"]
    assert [line.split()[0] for line in layers] == ["fc1", "fc2", "fc3"]
    assert coordinates.main(["init=kaiming", *words, *some]) == 1
    assert "not flat" in capsys.readouterr().out


def test_a_slope_is_the_exponent_of_a_power_law() -> None:
    table = Table("x", (64, 128, 512), {"up": (8.0, 16.0, 64.0), "level": (2.0, 2.0, 2.0), "down": (8.0, 4.0, 1.0)})
    assert table.slopes == pytest.approx({"up": 1.0, "level": 0.0, "down": -1.0})
    assert not table.flat(0.9) and table.flat(1.1)
    assert not Table("x", (1, 2), {"dead": (0.0, 0.0)}).flat(10.0)


def test_one_width_has_no_slope(capsys: pytest.CaptureFixture[str]) -> None:
    assert coordinates.main(["init=mup", "--widths", "32", "--seeds", "0"]) == 2
    assert "a slope takes two widths or more" in capsys.readouterr().err


def test_the_check_computes_as_the_precision_says(capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--widths", "8,16", "--seeds", "0", "trainer.accelerator=cpu", "trainer.precision=tf32"]
    assert coordinates.main(few) == 2
    assert "refused: trainer.precision=tf32: it is how a GPU" in capsys.readouterr().err


def test_a_trace_stops_where_it_is_not_told_the_base_width() -> None:
    x = torch.randn(50, 5, generator=torch.Generator().manual_seed(0))
    found = initlab.trace(net(32).float(), "mup", data=x)
    assert "compares it with a base width" in found.reason
