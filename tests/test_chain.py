"""A chain's outputs and gradients against those of each run alone by autograd."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from initlab.specs import ACTS
from initlab.training.chain import Chain, Dense, Flat, InPlace, Part, lane
from initlab.training.tape import Gradients, taped


class Twice(nn.Module):
    """No chain: what enters comes by again."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.fc(self.fc(x).tanh())


class Over(nn.Module):
    """It writes over what it receives; and the gradients of its parameters are parts of one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.whole, self.upper, self.lower = (nn.Parameter(torch.randn(n, 6)) for n in (6, 2, 4))

    def forward(self, x: Tensor) -> Tensor:
        return x.relu_() @ (self.whole + torch.cat([self.upper, self.lower])).mT


def _twice_normed() -> nn.Module:
    norm = nn.BatchNorm1d(6, affine=False)
    return nn.Sequential(nn.Linear(6, 6), norm, nn.Linear(6, 6), norm, nn.Linear(6, 3))


def _tied() -> nn.Module:
    shared = nn.Linear(6, 6)
    return nn.Sequential(shared, nn.ReLU(), shared)


def _hooked() -> nn.Module:
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    net[0].register_forward_hook(lambda module, args, y: 2 * y)
    return net


def _frozen() -> nn.Module:
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    net[0].weight.requires_grad_(False)
    return net


def _dense(act: nn.Module, bias: bool = True) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 5, bias), act, nn.Linear(5, 5), act, nn.Linear(5, 3))


NETS = {
    **{f"act={act}": (lambda act=act: _dense(ACTS.build(ACTS.typed({"name": act})))) for act in ACTS},
    "no bias": lambda: _dense(nn.Tanh(), bias=False),
    "act first and last": lambda: nn.Sequential(nn.ReLU(), nn.Linear(6, 5), nn.Sigmoid(), nn.ReLU()),
    "two acts": lambda: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Tanh(), nn.Linear(5, 3)),
    "layer norm": lambda: nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5), nn.ReLU(), nn.Linear(5, 3)),
    "batch norm": lambda: nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3)),
    "nested": lambda: nn.Sequential(nn.Linear(6, 6), Twice(), nn.Linear(6, 3)),
    "no chain": Twice,
    "in place": lambda: nn.Sequential(nn.Linear(6, 5), nn.SiLU(inplace=True), nn.Linear(5, 3)),
    "in place, normed": lambda: nn.Sequential(nn.Linear(6, 5), nn.ReLU(inplace=True), nn.LayerNorm(5)),
    "writes over": lambda: nn.Sequential(nn.Linear(6, 6), Over(), nn.Linear(6, 3)),
    "writes over data": Over,
    "no parameters first": lambda: nn.Sequential(nn.LayerNorm(6, elementwise_affine=False), nn.Linear(6, 3)),
    "norm twice": _twice_normed,
    "tied": _tied,
    "hooked": _hooked,
    "convs": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(24, 3)
    ),
}


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("runs", [1, 3])
@pytest.mark.parametrize("name", NETS)
def test_a_chain_is_each_run_alone(name: str, runs: int, shared: bool) -> None:
    torch.manual_seed(0)
    net = NETS[name]().double()
    own = dict(net.named_parameters())
    params = {name: torch.stack([p.detach() + 0.1 * r for r in range(runs)]) for name, p in own.items()}
    buffers = {name: torch.stack([b.clone() for _ in range(runs)]) for name, b in net.named_buffers()}
    x = torch.randn(1, 7, 6).double().expand(runs, 7, 6) if shared else torch.randn(runs, 7, 6).double()
    before = {name: p.clone() for name, p in (params | buffers).items()} | {"x": x.clone()}
    chain = Chain.of(net)
    out, after, back = chain.forward(params, buffers, x)
    slope = torch.randn_like(out)
    kept = slope.clone()  # the way back may write over it
    written = Gradients({name: torch.full_like(p, torch.nan) for name, p in params.items()})
    back(slope, written)
    grads = written.of
    assert len({g.untyped_storage().data_ptr() for g in grads.values()}) == len(grads)  # each is written over
    for r in range(runs):
        leaves = {name: p.clone().requires_grad_() for name, p in lane(params, r).items()}
        held = {name: b.clone() for name, b in lane(buffers, r).items()}
        alone = functional_call(net, (leaves, held), (x[r].clone(),))
        torch.testing.assert_close(out[r], alone, rtol=1e-12, atol=1e-12)
        wanted = torch.autograd.grad(alone, list(leaves.values()), kept[r])
        for (name, gradient), expected in zip(grads.items(), wanted, strict=True):
            torch.testing.assert_close(gradient[r], expected, rtol=1e-12, atol=1e-12, msg=name)
        for name, b in held.items():
            torch.testing.assert_close(after[name][r], b)
    for name, p in (params | buffers | {"x": x}).items():
        assert torch.equal(p, before[name]), f"{name} was written to"
    evaluated, _, _ = chain.forward(params, buffers, x, trained=False)
    torch.testing.assert_close(evaluated, out, rtol=1e-12, atol=1e-12)


def test_dense_layers_are_links_of_their_own_where_nothing_can_tell() -> None:
    def kinds(net: nn.Module) -> list[type]:
        return [type(link) for link in Chain.of(net).links]

    assert kinds(_dense(nn.ReLU())) == [Flat, Dense, InPlace, Dense, InPlace, Dense]
    assert kinds(_dense(nn.GELU())) == [Flat, Dense, Part, Dense, Part, Dense]
    assert kinds(NETS["two acts"]()) == [Dense, Part, Dense]
    assert kinds(NETS["act first and last"]()) == [Part, Dense, Part]  # the outputs are somebody else's
    assert kinds(NETS["convs"]()) == [Part, Flat, Dense]
    assert kinds(_hooked()) == [Part, Dense]
    assert kinds(_frozen()) == [Part, InPlace, Dense]
    assert kinds(_tied()) == kinds(Twice()) == [Part]
    assert [type(link) for link in Chain.of(_dense(nn.ReLU()), stackable=False).links] == [Part]


def test_zeros_are_made_only_where_there_is_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    made, zeros = [], torch.zeros_like
    monkeypatch.setattr(torch, "zeros_like", lambda of: made.append(of.shape) or zeros(of))
    params, x = {"w": torch.ones(2, 3), "idle": torch.ones(5)}, torch.ones(4, 2)
    _, _, tape = taped(lambda p, b, x: (x @ p["w"], {}), params, {}, x)
    dx, slopes, none = tape(torch.ones(4, 3), True)
    assert none == {"idle"} and torch.equal(dx, torch.full_like(x, 3)) and slopes["w"].tolist() == [[4.0] * 3] * 2
    assert made == [(5,)] and not slopes["idle"].any()
