"""Singular values, effective ranks and the curvature: what moments do not tell.

`effective_rank` is exp of the entropy of the normalised singular values (Roy & Vetterli 2007, EUSIPCO): n for n
orthogonal rows of equal length, 1 where all rows point one way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from initlab.measuring.findings import Spread
from initlab.streams import uniforms

EXACT = 64  # outputs, up to which a Jacobian is taken whole
SKETCH = 16  # random directions of the outputs beyond


def _wide(values: Tensor) -> Tensor:
    """In a dtype that linear algebra takes: integers in float64, half precision in float32."""
    if not values.is_floating_point():
        return values.double()
    return values.float() if values.element_size() < 4 else values


def _spread(values: Tensor, exact: bool = True) -> Spread:
    """Of one matrix's singular values [K], or the mean over several's [..., K]."""
    values = values.double()
    if not values.isfinite().all():
        return Spread(math.nan, math.nan, math.nan, exact)
    tiny = values.amax() * torch.finfo(torch.float32).eps
    logs = values.clamp(min=tiny).log() if tiny > 0 else torch.zeros_like(values)
    deviation = float(logs.std(-1, correction=0).mean()) if exact else math.nan
    return Spread(float(values.amax(-1).mean()), float(values.amin(-1).mean()), deviation, exact)


def of_matrix(weight: Tensor) -> Spread:
    """Of a weight [out, in, ...], flattened to [out, in * field]."""
    matrix = _wide(weight.detach()).flatten(1)
    if not matrix.isfinite().all():
        return Spread(math.nan, math.nan, math.nan)
    return _spread(torch.linalg.svdvals(matrix))


def cosines(z: Tensor) -> Tensor:
    """The cosines of the rows' directions, [B, B], of those rows [B, ...] that are not 0; float64."""
    rows = z.detach().flatten(1)
    rows = _wide(rows)
    rows = rows / rows.abs().amax(1, keepdim=True).clamp(min=torch.finfo(rows.dtype).tiny)
    rows = rows[rows.isfinite().all(1) & (rows != 0).any(1)]
    rows = rows / rows.norm(dim=1, keepdim=True)
    return (rows @ rows.T).double()


def mean_cosine(c: Tensor) -> float:
    """Of two different rows; 1 where all but one are 0, which tells nothing apart."""
    count = len(c)
    return float((c.sum() - c.trace()) / (count * (count - 1))) if count > 1 else 1.0


def positions_cosine(z: Tensor) -> float | None:
    """The mean cosine of two positions of one row of z [B, N, D]; None where there are no two. Positions that are 0
    count as like none."""
    if z.dim() != 3 or z.shape[1] < 2:
        return None
    units = nn.functional.normalize(_wide(z.detach()).double(), dim=-1)
    count = z.shape[1]
    return float((units.sum(1).square().sum(-1) - units.square().sum((1, 2))).mean()) / (count * (count - 1))


def effective_rank(c: Tensor) -> float:
    """Of the rows' directions, from their cosines."""
    if not len(c):
        return 0.0
    singular = torch.linalg.eigvalsh(c).clamp(min=0).sqrt()
    p = singular / singular.sum()
    return float(torch.special.entr(p).sum().exp())


def jacobian(out: Tensor, given: Tensor, rows: int) -> Spread:
    """Of d out / d given for each of the first ``rows``, [outputs, inputs], averaged over them.

    One backward pass an output, all rows at once: where rows meet, in batch norms, a row's own share and an even part
    of what it does to the others. Beyond `EXACT` outputs, of `SKETCH` random orthonormal directions: the greatest is
    then the root of the mean square, scaled to all of them.
    """
    flat = out.reshape(len(out), -1)
    outputs = flat.shape[1]
    exact = outputs <= EXACT
    directions = torch.eye(outputs, dtype=out.dtype, device=out.device) if exact else _directions(outputs, out)
    lines = []
    for direction in directions:
        toward = torch.zeros_like(flat)
        toward[:rows] = direction
        (line,) = torch.autograd.grad(flat, given, toward, retain_graph=True)
        lines.append(line[:rows].flatten(1))
    values = torch.stack(lines, 1).double()
    if not values.isfinite().all():
        return Spread(math.nan, math.nan, math.nan, exact)
    return _spread(torch.linalg.svdvals(values) * (1.0 if exact else math.sqrt(outputs / SKETCH)), exact)


def _directions(outputs: int, like: Tensor) -> Tensor:
    u = torch.from_numpy(uniforms((outputs, SKETCH), 0, "probe", "directions"))
    return torch.linalg.qr(torch.special.ndtri(u)).Q.T.to(like)


def curvature(loss: Tensor, parameters: Sequence[Tensor]) -> float | None:
    """u'Hu of the loss along its unit gradient u, by differentiating twice.

    None where an operator has no second derivative, or the gradient is 0 or not finite.
    """
    taken = torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True)
    gradient = [(p, g, g.detach().double()) for p, g in zip(parameters, taken, strict=True) if g is not None]
    norm = math.sqrt(sum(float(value.square().sum()) for _, _, value in gradient))
    if not (0 < norm < math.inf):
        return None
    unit = [(value / norm).to(g) for _, g, value in gradient]
    along = torch.stack([(g * u).sum() for (_, g, _), u in zip(gradient, unit, strict=True)]).sum()
    try:
        product = torch.autograd.grad(along, [p for p, _, _ in gradient], allow_unused=True)
    except RuntimeError:  # an operator without a second derivative
        return None
    return sum(float((h * u).double().sum()) for h, u in zip(product, unit, strict=True) if h is not None)


def twice_differentiable() -> AbstractContextManager[None]:
    """Attention in plain products while this is entered: the fused kernels have no second derivative."""
    return sdpa_kernel(SDPBackend.MATH)
