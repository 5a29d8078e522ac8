"""What a net does with one batch: its modules and functions in the order of their calls, and what took what from which.

    with untouched(model), Recorder(model) as record:
        out = model(x)
    record.nodes[3].of                       # the calls whose outputs the fourth takes; record.node(out) is the last

A module of torch without children, and an elementwise one without children and parameters, is one call; what happens
within it is not looked at. Any other is looked into, down to the functions that it calls. Structure is what was
executed: no source is read, no name is guessed from.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList
from torch.overrides import TorchFunctionMode, _pop_mode_temporarily
from torch.utils.weak import WeakIdKeyDictionary

OPAQUE = (nn.MultiheadAttention, nn.RNNBase, nn.RNNCellBase)  # they have children or parts, and are one call

FILLS = ("zeros", "ones", "full", "empty")  # x.new_zeros(...), zeros_like(x): of x they take the kind alone


@dataclass(frozen=True)
class Node:
    """A call, under the ``name`` of the module, or of the module that calls the function.

    ``of`` the calls that it takes tensors from, of the shapes ``shapes``; ``parameters`` the names of those among its
    arguments, ``numbers`` the numbers, ``squares`` the mean square of each tensor among them that is neither (of what
    it gives, if it takes neither); ``shape`` of what it gives.
    """

    name: str
    what: Any
    of: tuple[int, ...]
    parameters: tuple[str, ...]
    numbers: tuple[float, ...]
    squares: tuple[float, ...]
    shapes: tuple[tuple[int, ...], ...]
    shape: tuple[int, ...]

    @property
    def function(self) -> str:
        """The function's name without underscores, so that x + y, x.add_(y) and torch.add(x, y) are all add."""
        if isinstance(self.what, nn.Module):
            return ""
        name = str(getattr(self.what, "__name__", self.what)).strip("_")
        return {"radd": "add", "iadd": "add", "rmul": "mul", "imul": "mul"}.get(name, name)


class Recorder(TorchFunctionMode):
    """Keeps the calls. ``before(what, call, x)`` and ``after(index, node, out)`` may look at tensors as they pass."""

    def __init__(
        self,
        model: nn.Module,
        before: Callable[[Any, Callable[[Tensor], Any], Tensor], None] = lambda what, call, x: None,
        after: Callable[[int, Node, Tensor], None] = lambda index, node, out: None,
    ) -> None:
        super().__init__()
        self.model, self.before, self.after = model, before, after
        self.nodes: list[Node] = []
        self._made: Any = WeakIdKeyDictionary()  # tensor -> the call that gave it
        self.weights: dict[str, Tensor] = dict(model.named_parameters(remove_duplicate=False))  # by each of their names
        self._parameters = {id(p): name for name, p in model.named_parameters()}
        self._inside = 0  # a call that is one, or a look at it: its own calls are not recorded
        self._where = [""]
        self._computed: list[Tensor] = []  # by parametrizations
        self._handles: list[Any] = []

    def given(self, x: Tensor, name: str = "input") -> None:
        """``x`` counts as the first call's output."""
        self._keep(name, None, (), {}, x)

    def node(self, x: Tensor) -> int | None:
        """The call that gave ``x``."""
        found: int | None = self._made.get(x)
        return found

    def __enter__(self) -> Recorder:
        for name, module in self.model.named_modules():
            one = _is_one(module)
            enter, leave = (self._enter_one, self._leave_one) if one else (self._enter, self._leave)
            before = module.register_forward_pre_hook(_named(enter, name), with_kwargs=True)
            self._handles += [before, module.register_forward_hook(_named(leave, name), with_kwargs=True)]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)  # type: ignore[no-untyped-call]
        for handle in self._handles:
            handle.remove()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._inside:
            return func(*args, **kwargs)
        if args and isinstance(args[0], Tensor) and self.node(args[0]) is not None:
            self.before(func, lambda x: func(x, *args[1:], **kwargs), args[0])
        out = func(*args, **kwargs)
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, Tensor) and not isinstance(tensor, nn.Parameter):
                self._keep(self._where[-1], func, args, kwargs, tensor)
        return out

    def _enter(self, name: str, module: nn.Module, args: Any, kwargs: Any) -> None:
        self._where.append(name)

    def _leave(self, name: str, module: nn.Module, args: Any, kwargs: Any, out: Any) -> None:
        self._where.pop()
        if isinstance(module, ParametrizationList):  # what it makes is the layer's weight, under the weight's own name
            name = name.replace("parametrizations.", "")
            self._made.pop(out, None)
            self.weights[name], self._parameters[id(out)] = out, name
            self._computed.append(out)  # so that its id stays its own

    def _enter_one(self, name: str, module: nn.Module, args: Any, kwargs: Any) -> None:
        if not self._inside and args and isinstance(args[0], Tensor):
            self._inside += 1
            with _pop_mode_temporarily():  # what a look computes need not come by here, to be let pass
                self.before(module, lambda x: module.forward(x, *args[1:], **kwargs), args[0])
            self._inside -= 1
        self._inside += 1

    def _leave_one(self, name: str, module: nn.Module, args: Any, kwargs: Any, out: Any) -> None:
        self._inside -= 1
        first = out[0] if isinstance(out, tuple) else out
        if not self._inside and isinstance(first, Tensor):
            with _pop_mode_temporarily():
                self._keep(name, module, args, kwargs, first)

    def _keep(self, name: str, what: Any, args: Any, kwargs: Mapping[str, Any], out: Tensor) -> None:
        self._inside += 1
        values = [*_flat(args), *_flat(tuple(kwargs.values()))]
        tensors = [v for v in values if isinstance(v, Tensor)]
        parameters = tuple(self._parameters[id(t)] for t in tensors if id(t) in self._parameters)
        filled = str(getattr(what, "__name__", "")).removeprefix("new_").removesuffix("_like") in FILLS
        calls = [] if filled else [t for t in tensors if self.node(t) is not None]
        others = [t for t in tensors if id(t) not in self._parameters and self.node(t) is None]
        others = others if calls or parameters else [out]  # made of nothing that the net was given
        node = Node(
            name,
            what,
            tuple(self.node(t) or 0 for t in calls),
            parameters,
            tuple(float(v) for v in values if isinstance(v, int | float)),
            tuple(float(t.detach().double().square().mean()) if t.numel() else 0.0 for t in others),
            tuple(tuple(t.shape) for t in calls),
            tuple(out.shape),
        )
        self.nodes.append(node)
        self._made[out] = len(self.nodes) - 1
        self.after(len(self.nodes) - 1, node, out)
        self._inside -= 1


def _is_one(module: nn.Module) -> bool:
    if list(module.children()):
        return isinstance(module, OPAQUE)
    of_torch = type(module).__module__.startswith("torch.nn.")
    return of_torch or (not list(module.parameters()) and elementwise(module))


@lru_cache(64)
def elementwise(module: Callable[[Any], Any]) -> bool:
    """Whether it treats a part of a vector as it does in the whole."""
    values = torch.linspace(-3, 3, 16)
    try:
        with torch.no_grad():
            whole, part = module(values.clone()), module(values[::2].clone())
        return whole.shape == values.shape and torch.equal(whole[::2], part)
    except (RuntimeError, ValueError, IndexError, AssertionError, TypeError, AttributeError):
        return False


def _named(hook: Callable[..., None], name: str) -> Callable[..., None]:
    return lambda *args: hook(name, *args)


def _flat(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, tuple | list):
            yield from _flat(value)
        else:
            yield value


def _seed(devices: list[int]) -> None:
    """What a net draws by itself, a dropout's mask, is the same at each look at it."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.default_generator.manual_seed(0)
    for device in devices:
        torch.cuda.default_generators[device].manual_seed(0)


@contextmanager
def untouched(model: nn.Module, train: bool = False) -> Iterator[None]:
    """In training or in evaluation; afterwards modes, buffers and the global generators are as before, whatever raises.
    Within, the generators start from 0.

    Gradients are nobody's here: ask torch.autograd.grad, which leaves ``.grad`` alone.
    """
    modes = [(module, module.training) for module in model.modules()]
    buffers = [
        (module, name, b, None if b is None else b.detach().clone())
        for module in model.modules()
        for name, b in module._buffers.items()
    ]
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002  (a foreign net may draw from them)
    devices = list({p.device.index or 0 for p in model.parameters() if p.device.type == "cuda"})
    try:
        with torch.random.fork_rng(devices):
            _seed(devices)
            model.train(train)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002
        for module, mode in modes:
            module.training = mode
        with torch.no_grad():
            for module, name, buffer, value in buffers:
                module._buffers[name] = buffer
                if buffer is not None and value is not None:
                    buffer.copy_(value)
