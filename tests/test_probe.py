"""The probe: what it measures is what is there, what it touches it leaves, and its verdicts name the layer at fault."""

from __future__ import annotations

import hashlib
import json
import math
import random
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import initlab
from initlab import command, theory
from initlab.claiming import readings
from initlab.errors import Refused
from initlab.measuring import probe_command
from initlab.measuring.advice import advise
from initlab.measuring.findings import as_json
from initlab.measuring.portrait import draw, scalars, table
from initlab.measuring.probing import probe
from initlab.measuring.spectra import cosines, curvature, effective_rank, jacobian, positions_cosine
from initlab.specs import ARCHS
from initlab.storage import events

ROWS, CLASSES = 32, 5


def rows(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def classes(count: int = ROWS) -> Tensor:
    return torch.arange(count) % CLASSES


def mlp(depth: int, width: int = 32, act: type[nn.Module] = nn.ReLU, inputs: int = 16) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i in range(depth):
        layers += [nn.Linear(inputs if i == 0 else width, width), act()]
    return nn.Sequential(*layers, nn.Linear(width, CLASSES))


class BasicBlock(nn.Module):
    """As the well-known libraries write it: functions within, the sum in place."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.Sequential(BasicBlock(8), BasicBlock(8))
        self.dropout = nn.Dropout(0.1)
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        return self.fc(self.dropout(F.adaptive_avg_pool2d(self.blocks(x), 1).flatten(1)))


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 16)
        layer = nn.TransformerEncoderLayer(16, 4, 32, activation="gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(tokens)).mean(1))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTM(4, 8, batch_first=True), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cell(x)[0][:, -1])


class Raises(nn.Module):
    """Draws, changes a buffer, and breaks in the second layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(16, 8), nn.BatchNorm1d(8)

    def forward(self, x: Tensor) -> Tensor:
        random.random(), np.random.rand()
        return self.norm(F.dropout(self.first(x))) @ torch.ones(3)


def tokens() -> Tensor:
    return torch.randint(0, 11, (ROWS, 6), generator=torch.Generator().manual_seed(0))


NETS: list[tuple[Any, Any]] = [
    (lambda: mlp(3), lambda: rows(ROWS, 16)),
    (ResNet, lambda: rows(ROWS, 3, 8, 8)),
    (Transformer, tokens),
    (Recurrent, lambda: rows(ROWS, 5, 4)),
]


def state(model: nn.Module) -> str:
    """A hash of all that a probe could leave changed: tensors, gradients, modes, hooks, and the global generators."""
    digest = hashlib.sha256()
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        grad = None if tensor.grad is None else tensor.grad.numpy().tobytes()
        told = (name, id(tensor), tensor.requires_grad, tensor.detach().numpy().tobytes(), grad)
        digest.update(repr(told).encode())
    for name, module in model.named_modules():
        hooks = {key: len(value) for key, value in vars(module).items() if key.endswith("hooks")}
        digest.update(repr((name, module.training, sorted(hooks.items()))).encode())
    generators = torch.get_rng_state().numpy().tobytes(), np.random.get_state()[1].tobytes(), random.getstate()
    digest.update(repr(generators).encode())
    return digest.hexdigest()


@pytest.mark.parametrize(("make", "data"), NETS)
def test_a_net_is_left_as_it_was(make: Any, data: Any) -> None:
    model, x = make(), data()
    F.cross_entropy(model(x), classes()).backward()  # there are gradients to lose
    model.eval()
    next(model.children()).train()
    for batch in (x, (x, classes())):
        before, kept = state(model), x.clone()
        found = probe(model, batch)
        assert state(model) == before
        assert torch.equal(x, kept) and not x.requires_grad
        assert found.layers and math.isfinite(found.layers[-1].q)


def test_also_when_it_raises() -> None:
    model = Raises()
    before = state(model)
    with pytest.raises(RuntimeError):
        probe(model, rows(ROWS, 16))
    assert state(model) == before


def test_two_probes_are_equal() -> None:
    model, x = ResNet(), rows(ROWS, 3, 8, 8)
    assert as_json(probe(model, (x, classes()))) == as_json(probe(model, (x, classes())))


def test_a_foreign_dropout_draws_the_same_at_each_look() -> None:
    torch.manual_seed(1)
    model, x = mlp(2), rows(ROWS, 16)
    model.insert(2, nn.Dropout(0.5))
    first = as_json(probe(model, (x, classes())))
    torch.rand(1)
    assert as_json(probe(model, (x, classes()))) == first


def test_moments_and_gradients_are_autograds() -> None:
    model, x, y = mlp(2, act=nn.Tanh).double(), rows(ROWS, 16).double(), classes()
    found = probe(model, (x, y))
    z1 = model[0](x)
    z2 = model[2](model[1](z1))
    z3 = model[4](model[3](z2))
    loss = F.cross_entropy(z3, y)
    gradients = torch.autograd.grad(loss, [z1, z2, z3])
    unit = float(gradients[-1].square().mean())
    assert [layer.name for layer in found.layers] == ["0", "2", "4"]
    assert found.loss == pytest.approx(loss.item())
    for layer, z, g in zip(found.layers, (z1, z2, z3), gradients, strict=True):
        assert layer.q == pytest.approx(z.square().mean().item())
        assert layer.gradient == pytest.approx(float(g.square().mean()) / unit)
        cosine = F.cosine_similarity(z[:, None], z[None], dim=2)
        assert layer.correlation == pytest.approx((cosine.sum().item() - ROWS) / ROWS / (ROWS - 1))
    after = torch.tanh(z1)
    assert found.layers[0].mean == pytest.approx(after.mean().item())
    assert found.layers[0].variance == pytest.approx(after.var(correction=0).item())
    assert found.layers[0].saturated == pytest.approx(float((1 - after.square() < 0.1).double().mean()))
    values = torch.linalg.svdvals(model[0].weight)
    assert found.layers[0].singular and found.layers[0].singular.greatest == pytest.approx(values[0].item())
    assert found.layers[-1].dead is None  # nothing follows the readout


def test_dead_is_without_gradient() -> None:
    model, x = mlp(1), rows(ROWS, 16)
    with torch.no_grad():
        model[0].bias[:8] = -100.0
    (layer, _) = probe(model, x).layers
    z = model[0](x)
    assert layer.dead == layer.saturated == pytest.approx((z <= 0).double().mean().item())
    assert layer.silent == 8 / 32


def test_the_jacobian_and_the_curvature_are_exact_where_small() -> None:
    model, x, y = mlp(2, 6, nn.Tanh, inputs=4).double(), rows(8, 4).double(), classes(8)
    found = probe(model, (x, y))
    whole = [torch.linalg.svdvals(torch.autograd.functional.jacobian(model, row[None])[0, :, 0]) for row in x]
    assert found.jacobian and found.jacobian.exact
    assert found.jacobian.greatest == pytest.approx(float(torch.stack(whole).amax(1).mean()))
    assert found.jacobian.least == pytest.approx(float(torch.stack(whole).amin(1).mean()))
    parameters = list(model.parameters())
    sizes = [p.numel() for p in parameters]

    def loss(flat: Tensor) -> Tensor:
        parts = [part.view_as(p) for part, p in zip(flat.split(sizes), parameters, strict=True)]
        named = dict(zip(dict(model.named_parameters()), parts, strict=True))
        return F.cross_entropy(torch.func.functional_call(model, named, (x,)), y)

    flat = torch.cat([p.detach().flatten() for p in parameters])
    u = F.normalize(torch.autograd.functional.jacobian(loss, flat), dim=0)
    assert found.curvature == pytest.approx(float(u @ torch.autograd.functional.hessian(loss, flat) @ u))


def test_a_large_jacobian_is_sketched() -> None:
    """Of an orthogonal map of 200 outputs every singular value is 2, and so is the sketch's mean square."""
    q = torch.linalg.qr(rows(200, 200)).Q.double()
    x = rows(3, 200).double().requires_grad_()
    spread = jacobian(2 * x @ q, x, 3)
    assert not spread.exact and spread.greatest == pytest.approx(2 * math.sqrt(200 / 16))


def test_no_curvature_without_a_gradient() -> None:
    w = torch.ones(3, requires_grad=True)
    assert curvature((0 * w).sum(), [w]) is None


def test_effective_rank() -> None:
    assert effective_rank(cosines(torch.eye(7))) == pytest.approx(7)
    assert effective_rank(cosines(torch.ones(7, 3))) == pytest.approx(1)
    assert effective_rank(cosines(torch.zeros(7, 3))) == 0
    assert effective_rank(cosines(1e-30 * torch.eye(7))) == pytest.approx(7)  # directions, not lengths


@pytest.mark.parametrize("deviation", [0.0, 0.5, 2.0])
def test_the_loss_of_knowing_nothing(deviation: float) -> None:
    """ln C exactly, then within 4 standard errors of 200,000 draws; for small logits ln C + s^2 (1 - 1/C) / 2."""
    z = deviation * np.random.default_rng(0).normal(size=(200_000, 10))
    losses = np.log(np.exp(z).sum(1)) - z[:, 0]
    error = max(losses.std() / math.sqrt(len(z)), 1e-12)
    assert abs(theory.chance_loss(10, deviation**2) - losses.mean()) < 4 * error
    assert theory.chance_loss(10, 1e-4) == pytest.approx(math.log(10) + 1e-4 * 0.45, abs=1e-8)


@pytest.mark.parametrize("act", ["tanh", "relu", "gelu"])
def test_how_far_two_inputs_are_apart(act: str) -> None:
    for c in (-0.5, 0.0, 0.9):
        f = theory.activation(act)
        pair = theory.expect_pair(f.f, f.f, 1.3, c, (f.kinks, f.kinks))
        exact = theory.second_moment(act, 1.3) - pair
        assert theory.apart(act, 1.3, 1.3 * (1 - c)) == pytest.approx(exact, rel=3e-3)


def test_a_foreign_net_is_followed_by_what_it_does() -> None:
    found = probe(ResNet(), (rows(ROWS, 3, 8, 8), classes()))
    convs = [f"blocks.{i}.conv{j}" for i in (0, 1) for j in (1, 2)]
    assert [layer.name for layer in found.layers] == ["stem", *convs, "fc"]
    assert all(layer.dead is not None and layer.gradient for layer in found.layers[:-1])
    names = [layer.name for layer in probe(Transformer(), (tokens(), classes())).layers]
    assert names[0] == "embed" and "encoder.layers.1.linear2" in names and names[-1] == "head"
    names = [layer.name for layer in probe(Recurrent(), (rows(ROWS, 5, 4), classes())).layers]
    assert names == ["cell.weight_ih_l0", "head"]


def test_what_is_no_net_is_refused() -> None:
    with pytest.raises(Refused, match="the net has no layer with a weight"):
        probe(nn.Sequential(nn.ReLU()), rows(4, 3))
    with pytest.raises(Refused, match="the net gives str, and no tensor in it"):
        probe(_Says(), rows(4, 3))


class Tied(nn.Module):
    """An embedding that is also the readout, as in GPT-2."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.fc, self.readout = nn.Embedding(CLASSES, 16), nn.Linear(16, 16), nn.Linear(16, CLASSES)
        self.readout.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(torch.relu(self.fc(self.embed(x)))).mean(1)


def test_a_tied_weight_is_measured_at_each_of_its_layers() -> None:
    found = probe(Tied(), (torch.randint(0, CLASSES, (ROWS, 6)), classes()))
    assert [layer.name for layer in found.layers] == ["embed", "fc", "readout"]
    assert found.layers[0].singular == found.layers[2].singular
    net = mlp(3, 16)
    net[4].weight = net[2].weight
    expected = initlab.trace(net, "kaiming", data=rows(ROWS, 16))
    assert [layer.name for layer in expected.layers] == ["0", "2", "4", "6"] and expected.stopped is None


def test_frozen_parametrized_and_half_precision_nets_are_measured() -> None:
    x, y = rows(ROWS, 16), classes()
    frozen = probe(mlp(2).requires_grad_(False), (x, y))
    assert frozen.curvature is None and frozen.layers[0].gradient and frozen.jacobian
    still = probe(Tied().requires_grad_(False), (torch.randint(0, CLASSES, (ROWS, 6)), y))
    assert still.jacobian is None and still.layers[0].gradient is None and "no gradient is measured" in still.reason
    normed = mlp(2)
    nn.utils.parametrizations.spectral_norm(normed[2], n_power_iterations=50)
    found = probe(normed, (x, y), init="kaiming")
    assert [layer.name for layer in found.layers] == ["0", "2", "4"]
    assert found.layers[1].singular and found.layers[1].singular.greatest == pytest.approx(1.0, abs=0.02)
    assert found.predicted is None and found.unpredicted and "is parametrized" in found.unpredicted
    half, whole = mlp(2).bfloat16(), mlp(2)
    whole.load_state_dict(half.state_dict())
    found, like = probe(half, (x.bfloat16(), y)), probe(whole, (x.bfloat16().float(), y))
    assert found.layers[0].singular == like.layers[0].singular
    assert found.layers[1].rank == pytest.approx(like.layers[1].rank, rel=0.02)


def test_targets_that_do_not_fit_the_outputs_are_refused() -> None:
    x, y = rows(ROWS, 16), classes()
    one = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 1))
    flat = nn.Sequential(one, nn.Flatten(0))
    assert probe(flat, (x, x[:, 0])).loss == pytest.approx((flat(x) - x[:, 0]).square().mean().item())
    with pytest.raises(Refused, match=r"targets \[32\] for outputs \[32, 1\].*not broadcast"):
        probe(one, (x, x[:, 0]))
    for scheme in ("metainit", "gradinit"):
        with pytest.raises(Refused, match=r"targets \[32\] for outputs \[32, 1\].*not broadcast"):
            initlab.initialize(one, scheme, data=x, targets=x[:, 0], steps=1)
    with pytest.raises(Refused, match=r"targets \[32\] for outputs \[32\]. Classes are"):
        probe(flat, (x, y))
    with pytest.raises(Refused, match=r"targets \[4, 6, 6\] for outputs \[4, 5, 6, 6\]. Classes are"):
        probe(nn.Conv2d(3, CLASSES, 1), (rows(4, 3, 6, 6), torch.zeros(4, 6, 6, dtype=torch.int64)))
    with pytest.raises(Refused, match="classes 3 to 7, and outputs for 0 to 4"):
        probe(mlp(1), (x, y + 3))


def test_below_a_readout_of_zero_there_is_no_gradient_yet() -> None:
    net = mlp(2)
    nn.init.zeros_(net[4].weight), nn.init.zeros_(net[4].bias)
    found = probe(net, (rows(ROWS, 16), classes()))
    assert found.verdict == "trains" and found.reason.startswith("no gradient reaches below 4 yet, a readout of zero;")


class _Says(nn.Module):
    def forward(self, x: Tensor) -> str:
        return "no"


def test_verdicts() -> None:
    x = rows(ROWS, 16), classes()

    def verdict(depth: int, init: str, act: str = "relu", **fields: Any) -> Any:
        model = mlp(depth, act=nn.ReLU if act == "relu" else nn.Tanh)
        initlab.initialize(model, init, act=act, **fields)
        return probe(model, x, init=init, act=act, **fields)

    good = verdict(4, "kaiming")
    assert good.verdict == "trains" and good.trouble is None and good.risk < 1 and good.chance > 0.9
    lost = verdict(40, "xavier")
    assert lost.verdict == "vanishes" and lost.trouble == lost.troubled[0] == "0" and lost.chance < 1e-3
    assert "Each layer multiplies it by about 0.4" in lost.reason or "by about 0.5" in lost.reason
    assert verdict(30, "kaiming", gain=3.0).verdict == "explodes"
    far = verdict(30, "kaiming", gain=1e3)
    assert far.verdict == "explodes" and far.trouble is not None and f"not finite at {far.trouble}" in far.reason
    merged = verdict(12, "kaiming", "relu", gain=1.0, bias="normal", bias_value=1.0)
    assert (
        merged.verdict == "stalls" and merged.trouble == merged.troubled[0] and "effective rank of 1." in merged.reason
    )
    silent = verdict(3, "kaiming", bias="constant", bias_value=-100.0)
    assert silent.verdict == "vanishes" and "no unit of 0 passes a gradient" in silent.reason


@pytest.mark.parametrize(("std", "verdict"), [(1e-6, "vanishes"), (1e6, "explodes")])
def test_one_bad_layer_is_named(std: float, verdict: str, tmp_path: Path) -> None:
    """In words, in the table, in the figure, and nowhere else."""
    model = nn.Sequential(OrderedDict((f"m{i}", module) for i, module in enumerate(mlp(9))))
    rules = [{"param": "m10.*", "name": "normal", "std": std}]
    initlab.initialize(model, "kaiming", rules=rules)
    found = probe(model, (rows(ROWS, 16), classes()), init="kaiming", rules=rules)
    assert (found.verdict, found.trouble, found.troubled) == (verdict, "m10", ("m10",))
    assert "m10 alone makes 2^" in found.reason
    assert [line.split()[1] for line in table(found).splitlines() if line.startswith(">")] == ["m10", "m10"]
    draw(found, "a net", tmp_path / "probe")
    svg = (tmp_path / "probe.svg").read_text()
    assert svg.count(">m10</text>") == 6 + 3  # a mark in each panel, and its name below three
    assert found.reason.split(":")[0] in svg
    assert (tmp_path / "probe.png").read_bytes()[:4] == b"\x89PNG"


def test_a_probe_is_json_whatever_it_holds() -> None:
    model = mlp(3)
    initlab.initialize(model, "normal", std=1e30)
    told = as_json(probe(model, (rows(ROWS, 16), classes()), init="normal", std=1e30))
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["schema"] == 1 and told["verdict"] == "explodes" and told["layers"][1]["q"] is None


def test_scalars_over_layers() -> None:
    model = mlp(2)
    initlab.initialize(model, "kaiming")
    found = probe(model, (rows(ROWS, 16), classes()), init="kaiming")
    told = scalars(found)
    assert len(told["measured"]) == len(told["predicted"]) == 3
    assert told["measured"][0]["signal/q"] == found.layers[0].q
    assert found.predicted and told["predicted"][0]["signal/gradient"] == found.predicted.layers[0].gradient


ROOT = Path(__file__).resolve().parent.parent


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a single run a table, a figure, the data and the scalars; what it probes is what would be trained."""
    monkeypatch.chdir(tmp_path)
    words = ["arch.depth=30", "init=xavier", "act=relu", "arch.width=64"]
    said = "\n".join(probe_command.run(ROOT, words, multirun=False))
    (folder,) = (tmp_path / "outputs").glob("probe-*/*")
    told = json.loads((folder / "probe.json").read_text())
    assert told["verdict"] == "vanishes" and told["trouble"] == "fc1" and len(told["layers"]) == 31
    assert "vanishes. gradient variance at fc1 2^-" in said and "\n> fc1 " in said and "1 probed in" in said
    assert "recommended: init=orthogonal init.gain=forward (risk 0." in said
    assert "the gain 1.414 = 1 / sqrt(E relu(z)^2)" in said
    assert told["advice"]["best"]["verdict"] == "trains" and told["advice"]["best"]["risk"] < 1 < told["risk"]
    assert "also probed: init=kaiming init.gain=forward 1." in said and "theory says vanishes" in said
    assert {f.name for f in folder.iterdir()} == {"probe.json", "probe.svg", "probe.png", "measured", "predicted"}
    scalars = events.read(folder / "measured" / events.FILE_NAME)
    assert [step for step, _ in scalars["signal/q"]] == list(range(1, 32))
    assert scalars["signal/gradient"][0][1] == pytest.approx(told["layers"][0]["gradient"])


def test_a_grid_and_words_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    said = "\n".join(probe_command.run(ROOT, ["init=xavier,kaiming", "arch.depth=2,3"], multirun=True))
    assert said.count(": trains.") == 4 and "4 probed in" in said
    assert "It is drawn with matplotlib: pip install 'initlab[report]'" in said
    assert len(list((tmp_path / "outputs").glob("probe-*/*/probe.json"))) == 4
    with pytest.raises(Refused, match="init=xaveir"):
        list(probe_command.run(ROOT, ["init=xaveir"], multirun=False))


def test_what_is_recommended_is_what_the_probe_finds_best() -> None:
    """tanh: its critical gain, beside which the forward one explodes; residual blocks: a scheme that knows of them."""
    x, y = rows(ROWS, 16), classes()
    deep = advise(mlp(90, act=nn.Tanh), (x, y), act="tanh")
    assert "gain=critical" in deep.best.words and "tanh's edge of chaos: chi = 1" in deep.best.reason
    assert any(one.verdict == "explodes" for one in deep.others)
    assert all(deep.best.risk <= one.risk + 0.05 for one in deep.others)
    option = ARCHS.typed({"name": "resmlp", "depth": 30, "width": 32, "residual": "scale"})
    net = ARCHS.build(option, (16,), CLASSES, nn.ReLU)
    found = advise(net, (x, y))
    risks = {one.words: one.risk for one in (found.best, *found.others)}
    assert {"init=depth_scaled", "init=skipinit"} <= risks.keys() and "init=auto" not in risks
    assert risks["init=depth_scaled"] < 1 < risks["init=kaiming init.gain=forward"] and found.best.risk < 1
    assert risks["init=skipinit"] < 1 and risks["init=fixup"] < 1  # branches that end in 0 are no dead end


def test_a_sweep_keeps_its_probes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside each run's outcome, equal to a probe of the run alone, and without a trace in its numbers."""
    monkeypatch.chdir(tmp_path)
    words = ["-m", "init=xavier,kaiming", "arch.depth=2", "arch.width=8", "trainer.max_steps=3"]
    for folder, probed in (("with", "true"), ("without", "false")):
        assert command.main(ROOT, [*words, f"sweep.probe={probed}", f"hydra.sweep.dir={folder}"]) == 0
    for name in ("init=xavier", "init=kaiming"):
        runs = [tmp_path / folder / "runs" / name for folder in ("with", "without")]
        results = [json.loads((run / "result.json").read_text()) for run in runs]
        assert results[0]["final"] == results[1]["final"] and results[0]["key"] == results[1]["key"]
        assert [(run / "probe.json").exists() for run in runs] == [True, False]
    list(probe_command.run(ROOT, [*words[2:], "init=kaiming", "hydra.run.dir=alone"], multirun=False))
    (alone,) = tmp_path.glob("probe-alone/*/probe.json")
    told = json.loads(alone.read_text())
    del told["advice"]
    assert told == json.loads((tmp_path / "with/runs/init=kaiming/probe.json").read_text())


def test_positions_that_are_alike() -> None:
    """The mean over rows and pairs, one by one; a net without positions has none, a transformer's sums have one."""
    z = rows(6, 5, 7)
    pairs = [F.cosine_similarity(z[:, i], z[:, j], dim=-1).mean() for i in range(5) for j in range(5) if i != j]
    assert positions_cosine(z) == pytest.approx(float(torch.stack(pairs).mean()), abs=1e-6)
    assert positions_cosine(z[:, :1].expand(6, 5, 7)) == pytest.approx(1)
    assert positions_cosine(z[:, 0]) is None and positions_cosine(z[:, :1]) is None
    option = ARCHS.typed({"name": "transformer", "depth": 1, "width": 16})
    found = probe(ARCHS.build(option, (5, 7), 3, nn.ReLU), z).layers
    assert all(layer.alike is not None and -1 <= layer.alike <= 1 for layer in found)
    assert all(layer.alike is None for layer in probe(mlp(2), rows(8, 16)).layers)


def test_a_probe_fails_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither where theory has no formula nor where the probe raises: the reason is kept, and the run is trained."""
    monkeypatch.chdir(tmp_path)
    words = ["arch.depth=2", "arch.width=8", "trainer.max_steps=2", "sweep.probe=moments", "act=relu"]

    def no_formula(*args: Any, **fields: Any) -> Any:
        raise Refused("theory has no formula")

    monkeypatch.setattr("initlab.measuring.probing.trace", no_formula)
    assert command.main(ROOT, [*words, "hydra.run.dir=one"]) == 0
    (kept,) = tmp_path.glob("one/**/probe.json")
    told = json.loads(kept.read_text())
    assert told["predicted"] is None and told["unpredicted"] == "theory has no formula" and told["layers"]

    def raises(*args: Any, **fields: Any) -> Any:
        raise RuntimeError("no")

    monkeypatch.setattr("initlab.measuring.probes.measure", raises)
    assert command.main(ROOT, [*words, "hydra.run.dir=two"]) == 0
    (kept,) = tmp_path.glob("two/**/probe.json")
    told = json.loads(kept.read_text())
    assert told["layers"] == [] and told["verdict"] == "unknown" and told["reason"] == "not probed: RuntimeError: no"
    assert readings._at(told, ["layers", "-1", "q"], "probe.layers.-1.q") is None  # a claim has no number to read
    assert readings._at(told, ["risk"], "probe.risk") is None


def test_a_probe_that_comes_too_late_is_said_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["dataset=iris", "arch.depth=1", "trainer.max_steps=1", f"hydra.run.dir={tmp_path}/s"]
    for more, told in (
        ([], False),
        (["sweep.probe=moments"], True),
        (["sweep.probe=moments", "sweep.fresh=true"], False),
    ):
        assert command.main(ROOT, [*words, *more]) == 0
        said = capsys.readouterr().out
        assert ("sweep.probe: not probed, as a probe is of a net before its training: 1 of them." in said) == told
