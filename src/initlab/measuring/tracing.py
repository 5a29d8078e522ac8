"""Theory's expectations for a net of torch: what it does with one row, as the ops that `theory.trace` takes.

found = trace(model, "kaiming", act="relu", data=x)
print(found.verdict, found.reason)
for layer in found.layers: print(layer.name, layer.q, layer.mean, layer.gradient, layer.dead, layer.scatter)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd

import initlab.acts  # noqa: F401
from initlab import theory
from initlab.errors import Refused
from initlab.laws import Law, Normal
from initlab.measuring.kinds import CURVES, LAYERS, VIEWS, heads, viewed, weight
from initlab.measuring.recording import Node, Recorder, untouched
from initlab.measuring.spectra import cosines, mean_cosine
from initlab.schemes.adapt import Adapted
from initlab.schemes.apply import decided, law, scheme_of, signals, weight_of
from initlab.slots import slots
from initlab.specs import ACTS, INITS

MODULES: dict[type[nn.Module], tuple[str, tuple[str, ...]]] = {  # those that are one of ours, and its fields
    nn.ReLU: ("relu", ()),
    nn.LeakyReLU: ("leaky_relu", ("negative_slope",)),
    nn.Tanh: ("tanh", ()),
    nn.Sigmoid: ("sigmoid", ()),
    nn.GELU: ("gelu", ("approximate",)),
    nn.SiLU: ("silu", ()),
    nn.SELU: ("selu", ()),
    nn.ELU: ("elu", ("alpha",)),
    nn.Mish: ("mish", ()),
    nn.Softsign: ("softsign", ()),
    nn.Hardswish: ("hardswish", ()),
}
CORRELATED = 128  # rows of data, at most, whose likeness is taken


def trace(
    model: nn.Module, init: str, *, data: Tensor, act: str | Mapping[str, Any] = "relu", **fields: Any
) -> theory.Trace:
    """What wide-net theory expects of ``model`` under a scheme: moments of each layer, a verdict and its reason.

    ``data`` [N, ...] are rows of what the net takes: their mean square, and their mean cosine, are where the signal
    starts. ``act`` is the net's activation, ``fields`` are the scheme's. Structure is what the net does with a row:
    chains, sums, norms, scales, dropout, unrolled recurrences of linear and convolutional layers. Where theory stops,
    the trace has the layers up to there, and says why.
    """
    option = INITS.typed({"name": init, **fields})
    activation = ACTS.typed({"name": act} if isinstance(act, str) else act)
    ops = list(_ops(model, data, activation, _Laws(model, option, activation, data)))
    cosine = mean_cosine(cosines(data[:CORRELATED]))
    return theory.trace(ops, float(data.double().square().mean()), cosine, _between(model, data), _spread(data))


def _spread(data: Tensor) -> float:
    """The standard deviation of x x' / n over pairs of rows [N, n], each less the rows' mean; 0 where they are no rows.

    A unit's variance over a batch is w' C w, which differs from unit to unit the more, the fewer directions C has.
    """
    if data.dim() != 2 or not data.is_floating_point() or len(data) < 3:
        return 0.0
    rows = data[:CORRELATED].double()
    rows = rows - rows.mean(0)
    products = rows @ rows.mT / rows.shape[1]
    others = products.square().sum() - products.diagonal().square().sum()
    return math.sqrt(float(others) / (len(rows) * (len(rows) - 1)))


def _between(model: nn.Module, data: Tensor) -> float:
    """Half the mean squared difference of a row at two positions: of a sequence's, or of the patches that the net's
    first layer cuts an image into; NaN where there are none."""
    if data.dim() == 3:
        positions = data
    else:
        first = next((m for m in model.modules() if isinstance(m, LAYERS)), None)
        if data.dim() != 4 or not isinstance(first, nn.Conv2d) or first.kernel_size != first.stride:
            return math.nan
        positions = nn.functional.unfold(data.float(), first.kernel_size, stride=first.stride).mT
    return float(positions.double().var(1).mean()) if positions.shape[1] > 1 else math.nan


def _ops(model: nn.Module, data: Tensor, act: Mapping[str, Any], laws: _Laws) -> Iterator[theory.Op]:
    """The calls between the first row and the output, each after what it takes."""
    nodes, last = _recorded(model, data)
    used = _ancestors(nodes, last)
    found = {i: attention for i in used if (attention := heads(nodes[i], nodes)) is not None}
    used -= {0}.union(*(attention.between for attention in found.values()))
    kind = type(ACTS.build(act))
    place = {0: -1}  # call -> the op that stands for its output
    count = 0
    for i in sorted(used):
        node, attention = nodes[i], found.get(i)
        op: theory.Op | None
        if attention:
            source: int | None = place[attention.value]
            queries, keys = place[attention.query], place[attention.key]
            op = theory.Attend(queries, keys, attention.positions, attention.temperature)
        else:
            taken = _signals(node, nodes)
            source = place[taken[0]] if taken else None
            op = _op(node, nodes, place, act if isinstance(node.what, kind) else None, laws)
        if op is not None:
            if source is not None and source != count - 1:
                yield theory.From(source)
                count += 1
            yield op
            count += 1
        place[i] = source if op is None and source is not None else count - 1
    if place[last] != count - 1:
        yield theory.From(place[last])


def _recorded(model: nn.Module, data: Tensor) -> tuple[list[Node], int]:
    first = next(model.parameters())
    rows = data.detach()[:2].to(first.device)
    rows = rows.to(first.dtype) if rows.is_floating_point() else rows.clone()
    with untouched(model), torch.no_grad(), Recorder(model) as record:
        record.given(rows)
        out = model(rows)
    last = record.node(out) if isinstance(out, Tensor) else None
    if last is None:
        raise Refused("trace: the net gives something else than one tensor made of its input.")
    return record.nodes, last


def _ancestors(nodes: Sequence[Node], last: int) -> set[int]:
    found, pending = set(), [last]
    while pending:
        if (i := pending.pop()) not in found:
            found.add(i)
            pending += _signals(nodes[i], nodes)
    return found


def _token(node: Node, nodes: Sequence[Node]) -> str | None:
    """The parameter that a call puts before the positions of a signal; None where it does no such thing."""
    return viewed(nodes[node.of[0]], nodes) if node.function == "cat" and len(node.of) == 2 else None


def _signals(node: Node, nodes: Sequence[Node]) -> tuple[int, ...]:
    """The calls whose signals a call takes: a class token is none, but a parameter beside them."""
    return node.of[1:] if _token(node, nodes) else node.of


def _op(
    node: Node, nodes: Sequence[Node], place: Mapping[int, int], act: Mapping[str, Any] | None, laws: _Laws
) -> theory.Op | None:
    """What a call is to theory; None where it passes values on."""
    if (name := weight(node, nodes)) is not None:
        return laws.dense(node, name)
    if not node.of:
        return theory.Constant(node.squares[0] if node.squares else 0.0)
    if act is not None:
        return theory.Act(act)
    if isinstance(node.what, nn.Module):
        return _module(node)
    if node.function in VIEWS and len(node.of) == 1:
        return None
    if (token := _token(node, nodes)) is not None:
        return theory.Token(laws.square(token), node.shapes[1][-2])
    if node.function in CURVES and not node.numbers and node.function in ACTS:
        return theory.Act(ACTS.typed({"name": node.function}))
    if node.function in ("add", "sub", "rsub", "mul", "div"):
        return _arithmetic(node, place, laws)
    return theory.Beyond(f"{node.name or 'the net'}: theory has no law for {node.function}")


def _module(node: Node) -> theory.Op | None:
    module = node.what
    if isinstance(module, nn.Identity | nn.Flatten | nn.Unflatten):
        return None
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
        return theory.Norm(batch=True)
    if isinstance(module, nn.LayerNorm | nn.GroupNorm):
        return theory.Norm()
    if isinstance(module, _DropoutNd):
        return theory.Drop(module.p)
    if type(module) in MODULES:
        name, fields = MODULES[type(module)]
        return theory.Act(ACTS.typed({"name": name, **{field: getattr(module, field) for field in fields}}))
    return theory.Beyond(f"{node.name}: theory has no law for {type(module).__name__}")


def _arithmetic(node: Node, place: Mapping[int, int], laws: _Laws) -> theory.Op:
    """A sum with another signal, or with what is the same for all rows; a product with the latter."""
    if len(node.of) == 2 and node.function in ("add", "sub") and not node.numbers:
        return theory.Add(place[node.of[1]])
    constants = [*(number**2 for number in node.numbers), *node.squares, *map(laws.square, node.parameters)]
    places = any(laws.values[name].dim() > 1 for name in node.parameters)  # each position has its own
    if len(node.of) != 1 or len(constants) != 1:
        return theory.Beyond(f"{node.name or 'the net'}: theory has no law for this {node.function} of signals")
    (square,) = constants
    if node.function in ("add", "sub", "rsub"):
        return theory.Shift(square, square if places else 0.0)
    return theory.Scale(math.sqrt(square if node.function == "mul" else 1 / square))


class _Laws:
    """The moments of a net's parameters under a scheme, whatever their values are now."""

    def __init__(self, model: nn.Module, option: Mapping[str, Any], act: Mapping[str, Any], data: Tensor) -> None:
        self.places = {place.name: place for place in slots(model)}
        self.values = dict(model.named_parameters(remove_duplicate=False))
        first = {id(p): name for name, p in model.named_parameters()}
        self.first = {name: first[id(p)] for name, p in self.values.items()}  # of a tied weight, the place's name
        self.option, self.act = option, act
        self.received = signals(model, option, act, data)

    def law(self, name: str) -> Law:
        place = self.places[name]
        return law(place, self.option, weight_of(place, self.act, 0, self.received.get(name)))

    def square(self, name: str) -> float:
        if name not in self.places or not decided(self.places[name], self.option):
            return float(self.values[name].detach().double().square().mean())
        of = self.law(name)
        return of.mean**2 + of.std**2

    def dense(self, node: Node, name: str) -> theory.Op:
        layer, of = name.removesuffix(".weight"), name.rpartition(".")[0]
        name = self.first.get(name, name)
        place = self.places.get(name)
        if place is None or place.layer not in ("linear", "conv", "other"):
            what = type(node.what).__name__ if isinstance(node.what, nn.Module) else node.function
            return theory.Beyond(f"{layer}: theory has no law for {what}")
        weights = self.law(name)
        if isinstance(weights, Adapted):
            return theory.Beyond(f"{name}: its scheme adapts it to data, and theory knows the draw before")
        if (scheme := INITS[scheme_of(place, self.option)["name"]]).facts.get("base"):
            return theory.Beyond(f"{name}: init={scheme.name} compares it with a base width, which theory is not told")
        if weights.mean != 0:
            return theory.Beyond(f"{name}: theory follows weights of mean 0, and theirs is {weights.mean:.4g}")
        biases = [b for b in self.places.values() if b.weight == name and b.part == "bias"]
        bias = next((b for b in biases if b.name.rpartition(".")[0] == of), None)  # tied weights may have one each
        return theory.Dense(
            layer,
            place.fan_in,
            place.fan_out,
            weights.std**2,
            0.0 if bias is None else self.square(bias.name),
            gaussian=isinstance(weights, Normal),
            rows=place.shape[0],
            singular=weights.singular,
            mixes=isinstance(node.what, _ConvNd) and node.what.kernel_size != node.what.stride,
        )
