"""What a recorded call is to a signal: a layer, an activation, a norm, or something that passes values on.

Told by the class of a module, the name of a torch function and the parameters that were among the arguments; an
activation that torch does not know by whether it treats a part of its input as it does in the whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import activation as activations
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd

from initlab.measuring.recording import OPAQUE, Node, elementwise
from initlab.slots import NORMS

LAYERS = (nn.Linear, _ConvNd, nn.Embedding, nn.Bilinear, *OPAQUE)
PRODUCTS = {"linear", "matmul", "rmatmul", "mm", "bmm", "addmm", "baddbmm", "einsum", "embedding", "bilinear"}
PRODUCTS |= {f"conv{transposed}{n}d" for n in (1, 2, 3) for transposed in ("", "_transpose")}
VIEWS = {"view", "reshape", "flatten", "unflatten", "permute", "transpose", "swapaxes", "movedim", "contiguous", "get"}
VIEWS |= {"getitem", "squeeze", "unsqueeze", "expand", "chunk", "split", "unbind", "select", "narrow", "clone", "to"}
VIEWS |= {"float", "double", "t", "type_as", "expand_as", "view_as", "roll", "cat", "stack"}  # the last two, of one
SHARES = (nn.Softmax, nn.LogSoftmax, nn.Softmin, nn.Softmax2d, nn.MultiheadAttention, nn.GLU)
CURVES = {"relu", "relu6", "leaky_relu", "prelu", "elu", "selu", "celu", "gelu", "silu", "mish", "tanh", "sigmoid"}
CURVES |= {"softplus", "softsign", "hardtanh", "hardswish", "hardsigmoid", "logsigmoid", "sin", "erf"}


def weight(node: Node, nodes: Sequence[Node]) -> str | None:
    """The name of the parameter that a layer multiplies by; None where a call is no layer."""
    if isinstance(node.what, LAYERS):
        leaf = next((leaf for leaf, p in node.what.named_parameters() if p.dim() > 1), None)
        return None if leaf is None else f"{node.name}.{leaf}" if node.name else leaf
    if node.function not in PRODUCTS:
        return None
    return next((name for name in (*node.parameters, *(viewed(nodes[i], nodes) for i in node.of)) if name), None)


def viewed(node: Node, nodes: Sequence[Node]) -> str | None:
    """The parameter that a chain of views, such as weight.T, is of; the first, where several were put together."""
    if node.parameters and not node.of and node.function in VIEWS:
        return node.parameters[0]
    if node.function not in VIEWS:
        return None
    return viewed(nodes[node.of[0]], nodes) if len(node.of) == 1 else None


def is_activation(what: Any) -> bool:
    if not isinstance(what, nn.Module):
        return str(getattr(what, "__name__", "")).strip("_") in CURVES
    if isinstance(what, (nn.Identity, _DropoutNd, *NORMS, *LAYERS)):
        return False
    if type(what).__module__ == activations.__name__:
        return not isinstance(what, SHARES)
    return not type(what).__module__.startswith("torch.nn.") and elementwise(what)


@dataclass(frozen=True)
class Heads:
    """Attention as it was written out: the calls that gave queries, keys and values, those in between, over how many
    positions, and by what q'k was multiplied, in units of 1 / sqrt(d)."""

    query: int
    key: int
    value: int
    between: frozenset[int]
    positions: int
    temperature: float


def heads(node: Node, nodes: Sequence[Node]) -> Heads | None:
    """softmax(q k' / c) v, or torch's scaled_dot_product_attention; None where a call ends no such thing."""
    if node.function == "scaled_dot_product_attention" and len(node.of) == 3 and not node.numbers:
        return Heads(*node.of, frozenset(), node.shapes[1][-2], 1.0)
    if node.function not in ("matmul", "bmm") or len(node.of) != 2:
        return None
    within, at, factor = {node.of[0]}, node.of[0], 1.0
    shares = nodes[at]
    if not (shares.function == "softmax" or isinstance(shares.what, nn.Softmax)):
        return None
    while True:
        at = nodes[at].of[0]
        within.add(at)
        call = nodes[at]
        if call.function in ("matmul", "bmm") and len(call.of) == 2:
            temperature = abs(factor) * math.sqrt(call.shapes[0][-1])
            return Heads(*call.of, node.of[1], frozenset(within), shares.shape[-1], temperature)
        if call.function not in VIEWS | {"mul", "div"} or len(call.of) != 1:
            return None
        if call.function in ("mul", "div") and len(call.numbers) == 1:
            factor *= call.numbers[0] if call.function == "mul" else 1 / call.numbers[0]


def passes_on(node: Node) -> bool:
    """Views, norms, dropout, scales and sums: what comes before an activation without being one."""
    if isinstance(node.what, nn.Module):
        return isinstance(node.what, (nn.Identity, nn.Flatten, nn.Unflatten, _DropoutNd, *NORMS))
    return node.function in VIEWS | {"add", "mul", "sub", "div", "layer_norm", "batch_norm", "group_norm", "dropout"}


def slope(call: Callable[[Tensor], Any], x: Tensor) -> Tensor:
    """The derivative of an elementwise call, at each place."""
    z = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        out = call(z * 1.0)  # a call in place would change a leaf
    return torch.autograd.grad(out.sum(), z)[0]
