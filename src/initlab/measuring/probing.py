"""What a net does to signal and gradient before it is trained, measured on one batch; the net is left as it was.

    found = probe(model, (x, y), init="xavier", act="relu")
    print(found.verdict, found.reason)
    for layer in found.layers: print(layer.name, layer.q, layer.gradient, layer.correlation, layer.rank)

Any module will do: layers are the calls that use a weight, as they were executed (see `recording`). The pass is a
training step's: batch norms take their batch's moments, dropout drops. With ``init``, what theory expects stands
beside it (`tracing`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from initlab import theory
from initlab.errors import Refused
from initlab.measuring.findings import Layer, Probe, Spread
from initlab.measuring.kinds import is_activation, passes_on, slope, weight
from initlab.measuring.recording import Node, Recorder, untouched
from initlab.measuring.spectra import (
    cosines,
    curvature,
    effective_rank,
    jacobian,
    mean_cosine,
    of_matrix,
    positions_cosine,
    twice_differentiable,
)
from initlab.measuring.tracing import trace
from initlab.measuring.verdicts import judge
from initlab.specs import ACTS, INITS
from initlab.streams import uniforms
from initlab.training.step import loss as loss_of
from initlab.training.step import task_of

ROWS = 128  # of a batch, at most
JACOBIAN_ROWS = 8
SATURATED = 0.1  # of the greatest slope near 0

Expected = tuple[theory.Trace | None, str | None]  # what theory expects, or why it says nothing of a net


def probe(
    model: nn.Module,
    batch: Tensor | tuple[Tensor, Tensor],
    *,
    init: str | None = None,
    act: str | Mapping[str, Any] = "relu",
    full: bool = True,
    **fields: Any,
) -> Probe:
    """Measure a net on a batch, and say whether it will train.

    ``batch``: x [N, ...], rows of what the net takes, or (x, y) with classes [N] or targets [N, outputs]; the first
    `ROWS` rows are used. Without y there is no loss, and gradients start from random directions. ``init``, ``act`` and
    ``fields`` name the scheme that the weights were drawn by, for theory. ``full=False`` leaves out singular values,
    Jacobian and curvature, which take most of the time. Raises Refused where the net has no layer or gives no tensor.
    """
    x, y = batch if isinstance(batch, tuple) else (batch, None)
    told = (None, None) if init is None else expected(model, init, act, x[:ROWS], fields)
    return measure(model, x, y, told, full)


def measure(model: nn.Module, x: Tensor, y: Tensor | None, told: Expected, full: bool) -> Probe:
    """The same beside what theory is known to expect, None and None where it was not asked."""
    x, y = x[:ROWS].detach().clone(), None if y is None else y[:ROWS]
    if y is not None and not y.is_floating_point():
        y = y.long()
    if x.is_floating_point():
        x.requires_grad_()
    watch = _Watch(model)
    with untouched(model, train=True), torch.enable_grad(), twice_differentiable():
        with Recorder(model, watch.before, watch.after) as record:
            record.given(x)
            out = _tensor(model(x))
        if not watch.layers:
            raise Refused("probe: the net has no layer with a weight.")
        loss = None if y is None else loss_of(task_of(out, y, "probe"), out[None], y[None])[0]
        watch.listen(x, out, loss)
        whole = _whole(watch, x, out, loss) if full else {}
    layers = tuple(watch.measured(record.weights, full))
    likeness, logits = cosines(x), out.detach().double().reshape(-1, out.shape[-1] if out.dim() > 1 else 1)
    found = Probe(
        layers,
        rows=len(x),
        outputs=logits.shape[-1],
        square=float(x.detach().double().square().mean()),
        correlation=mean_cosine(likeness),
        rank=effective_rank(likeness),
        loss=None if loss is None else float(loss.detach()),
        loss_expected=_expected(y, logits),
        predicted=told[0],
        unpredicted=told[1],
        **whole,
    )
    return replace(found, **judge(found)._asdict())


def expected(
    model: nn.Module, init: str, act: str | Mapping[str, Any], x: Tensor, fields: Mapping[str, Any]
) -> Expected:
    """What theory expects of a net on rows x, whatever its weights are. Raises Refused for words that mean nothing."""
    INITS.typed({"name": init, **fields})
    ACTS.typed({"name": act} if isinstance(act, str) else act)
    try:
        return trace(model, init, act=act, data=x.detach(), **fields), None
    except Refused as refused:
        return None, str(refused)


class _Watch:
    """Looks at tensors as they pass the recorder: one draft of a `Layer` for each call of a weight."""

    def __init__(self, model: nn.Module) -> None:
        self.trained = [p for p in model.parameters() if p.requires_grad]
        self.nodes: list[Node] = []
        self.layers: list[dict[str, Any]] = []
        self.weights: list[str] = []
        self.first: Tensor | None = None
        self._owner: dict[int, int] = {}  # call -> the layer whose output it is made of
        self._slopes: dict[str, float] = {}
        self._listening = False

    def before(self, what: Any, call: Callable[[Tensor], Any], x: Tensor) -> None:
        self._slopes = _slopes(call, x.detach()) if is_activation(what) and x.is_floating_point() else {}

    def after(self, index: int, node: Node, out: Tensor) -> None:
        self.nodes.append(node)
        if not out.is_floating_point():
            return
        if (name := weight(node, self.nodes)) is not None:
            self._begin(index, node, name, out)
            return
        owners = [self._owner[i] for i in node.of if i in self._owner]
        if not owners:
            return
        if is_activation(node.what):
            self.layers[max(owners)] |= self._slopes | _moments(out)
        elif passes_on(node):
            self._owner[index] = max(owners)  # of a sum the later one, the end of the branch
            if len(owners) > 1:
                self.layers[max(owners)] |= _likeness(out)

    def _begin(self, index: int, node: Node, name: str, out: Tensor) -> None:
        if self.first is None:
            self.first = out
        number = len(self.layers)
        self.layers.append({"q": float(out.detach().double().square().mean())} | _likeness(out) | _moments(out))
        self.weights.append(name)
        self._owner[index] = number
        if out.requires_grad:
            out.register_hook(lambda gradient: self._heard(number, gradient))  # type: ignore[no-untyped-call]

    def _heard(self, number: int, gradient: Tensor) -> None:
        if self._listening:
            self.layers[number]["gradient"] = float(gradient.detach().double().square().mean())

    def listen(self, x: Tensor, out: Tensor, loss: Tensor | None) -> None:
        """One backward pass, from the loss or from a random direction a row; gradients in units of the output's. None
        where nothing that the output is made of takes a gradient."""
        if not out.requires_grad:
            return
        u = torch.from_numpy(uniforms(tuple(out.shape), 0, "probe", "gradient"))
        toward = (
            torch.special.ndtri(u).to(out) if loss is None else torch.autograd.grad(loss, out, retain_graph=True)[0]
        )
        self._listening = True
        given = [x] if x.requires_grad else []
        torch.autograd.grad(out, [*self.trained, *given], toward, retain_graph=True, allow_unused=True)
        self._listening = False
        unit = float(toward.double().square().mean())
        for draft in self.layers:
            if "gradient" in draft:
                draft["gradient"] = draft["gradient"] / unit if unit else math.nan

    def measured(self, weights: Mapping[str, Tensor], full: bool) -> Iterator[Layer]:
        """The layers, each under its module's name; of one that is called again, with the number of the call."""
        calls = Counter(self.weights)
        seen: Counter[str] = Counter()
        spreads: dict[str, Spread] = {}
        for name, draft in zip(self.weights, self.layers, strict=True):
            seen[name] += 1
            if full and name not in spreads:
                spreads[name] = of_matrix(weights[name])
            call = seen[name] if calls[name] > 1 else None
            of = name.removesuffix(".weight") + (f"@{call}" if call else "")
            yield Layer(of, tuple(weights[name].shape), **draft, singular=spreads.get(name), call=call)


def _likeness(out: Tensor) -> dict[str, float | None]:
    c = cosines(out)
    return {"correlation": mean_cosine(c), "rank": effective_rank(c), "alike": positions_cosine(out)}


def _moments(out: Tensor) -> dict[str, float]:
    values = out.detach().double()
    return {"mean": float(values.mean()), "variance": float(values.var(correction=0))}


def _slopes(call: Callable[[Tensor], Any], x: Tensor) -> dict[str, float]:
    """Shares of dead and saturated slopes, and of units that are dead for every row; a unit is a channel of an image,
    else the last dimension."""
    at_place = slope(call, x)
    near = torch.cat([torch.full_like(x[:1], at) for at in (-1.0, 0.0, 1.0)])
    steepest = float(slope(call, near).abs().max())
    dead = at_place == 0
    units = dead.movedim(1 if x.dim() == 4 else -1, 0).flatten(1).all(1)
    return {
        "dead": float(dead.double().mean()),
        "saturated": float((at_place.abs() < SATURATED * steepest).double().mean()),
        "silent": float(units.double().mean()),
    }


def _tensor(out: Any) -> Tensor:
    """A net's output; of several the first tensor."""
    values = out.values() if isinstance(out, Mapping) else out if isinstance(out, tuple | list) else (out,)
    first = next((v for v in values if isinstance(v, Tensor)), None)
    if first is None:
        raise Refused(f"probe: the net gives {type(out).__name__}, and no tensor in it.")
    return first


def _expected(y: Tensor | None, logits: Tensor) -> float | None:
    """The loss of outputs [N, C] of this variance that know nothing of y."""
    if y is None:
        return None
    if y.is_floating_point():
        return float(logits.square().mean() + y.double().square().mean())
    return theory.chance_loss(logits.shape[-1], float(logits.var(-1).mean()))


def _whole(watch: _Watch, x: Tensor, out: Tensor, loss: Tensor | None) -> dict[str, Any]:
    given = x if x.requires_grad else watch.first
    assert given is not None
    spread = jacobian(out, given, min(JACOBIAN_ROWS, len(x))) if given.requires_grad else None
    if loss is None or not loss.requires_grad or not watch.trained:
        return {"jacobian": spread}
    return {"jacobian": spread, "curvature": curvature(loss, watch.trained)}
