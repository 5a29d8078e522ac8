"""The schemes whose entries hang together: orthogonal, delta-orthogonal, identity, sparse, Hadamard, spectral.

A block is what maps its own inputs to its own outputs: a projection of a fused weight, a group of a convolution. Each
is a matrix [out, in * field] of its own, but for `orthogonal`, which takes the tensor as a whole, as torch does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from initlab.gains import Gain, gain_of
from initlab.laws import Constant, Law, Normal, Weight
from initlab.specs import INITS


@dataclass(frozen=True)
class Orthogonal:
    """``gain`` times Haar-distributed blocks [rows, columns] with orthonormal rows or columns."""

    gain: float
    rows: int
    columns: int
    mean = 0.0

    @property
    def std(self) -> float:
        return self.gain / math.sqrt(max(self.rows, self.columns))

    @property
    def low(self) -> float:
        return -self.gain

    @property
    def high(self) -> float:
        return self.gain

    @property
    def singular(self) -> float:
        return self.gain

    def cdf(self, x: Tensor) -> Tensor:
        """A coordinate of a uniform point on the sphere in n dimensions: (1 + x) / 2 ~ Beta((n - 1) / 2, (n - 1) / 2).

        Of one dimension the sphere is {-1, 1}.
        """
        from scipy.special import betainc

        half = (max(self.rows, self.columns) - 1) / 2
        inside = ((1 + x / self.gain) / 2).clamp(0, 1)
        return torch.from_numpy(betainc(half, half, inside.numpy())) if half else (1 + inside.floor()) / 2

    def draw(self, weight: Weight) -> Tensor:
        """The Q of the QR decomposition of a Gaussian, R's diagonal made positive (Mezzadri 2007, sec. 5)."""
        blocks = weight.normal().reshape(-1, self.rows, self.columns)
        return torch.cat([self._block(gaussian) for gaussian in blocks]).reshape(weight.shape)

    def _block(self, gaussian: Tensor) -> Tensor:
        wide = self.rows < self.columns
        q, r = torch.linalg.qr(gaussian.T if wide else gaussian)
        q = q * torch.where(r.diagonal() < 0, -1.0, 1.0)
        return self.gain * (q.T if wide else q)


@dataclass(frozen=True)
class CentreTap:
    """A kernel of ``field`` taps, all zero but the centre one (k // 2 along each side), which follows ``tap``."""

    tap: Law
    field: int

    @property
    def mean(self) -> float:
        return self.tap.mean / self.field

    @property
    def std(self) -> float:
        square = (self.tap.std**2 + self.tap.mean**2) / self.field
        return math.sqrt(square - self.mean**2)

    @property
    def low(self) -> float:
        return min(0.0, self.tap.low)

    @property
    def high(self) -> float:
        return max(0.0, self.tap.high)

    @property
    def singular(self) -> float | None:
        return self.tap.singular

    def cdf(self, x: Tensor) -> Tensor | None:
        inner = self.tap.cdf(x)
        return None if inner is None else (x >= 0) * (1 - 1 / self.field) + inner / self.field

    def draw(self, weight: Weight) -> Tensor:
        w = torch.zeros(weight.shape, dtype=torch.float64)
        centre = w
        for k in weight.shape[2:]:
            centre = centre.select(2, k // 2)
        centre.copy_(self.tap.draw(replace(weight, shape=weight.shape[:2])))
        return w


@dataclass(frozen=True)
class Sparse:
    """``zeros`` of the ``length`` entries of each column (dim 1) or row (dim 0) are zero, the others N(0, spread^2)."""

    zeros: int
    length: int
    spread: float
    rows: bool
    mean = 0.0
    low = -math.inf
    high = math.inf
    singular = None

    @property
    def std(self) -> float:
        return self.spread * math.sqrt(1 - self.zeros / self.length)

    def cdf(self, x: Tensor) -> Tensor:
        none = self.zeros / self.length
        return none * (x >= 0) + (1 - none) * Normal(0.0, self.spread).cdf(x)

    def draw(self, weight: Weight) -> Tensor:
        """Zero where a second uniform, independent of the values, is among the smallest of its column or row."""
        ranks = weight.uniform("sparse").flatten(1).argsort(int(self.rows)).argsort(int(self.rows))
        values = self.spread * weight.normal()
        return values.where((ranks >= self.zeros).reshape(weight.shape), torch.zeros((), dtype=torch.float64))


@dataclass(frozen=True, eq=False)
class Fixed:
    """No chance at all: W = ``values``; moments and support are those of its entries."""

    values: Tensor
    singular: float | None = None

    @property
    def mean(self) -> float:
        return float(self.values.mean())

    @property
    def std(self) -> float:
        return float(self.values.std(correction=0))

    @property
    def low(self) -> float:
        return float(self.values.min())

    @property
    def high(self) -> float:
        return float(self.values.max())

    def cdf(self, x: Tensor) -> Tensor:
        entries = self.values.flatten().sort().values
        return torch.searchsorted(entries, x.contiguous(), right=True) / entries.numel()

    def draw(self, weight: Weight) -> Tensor:
        return self.values.clone()


def block(weight: Weight) -> tuple[int, int]:
    """[rows, columns] of one block: units, and inputs of a unit."""
    return weight.shape[0] // (weight.parts * weight.groups), math.prod(weight.shape[1:])


def at_centre(weight: Weight, tap: Law) -> Law:
    """A matrix's law as that of a kernel."""
    field = math.prod(weight.shape[2:])
    return tap if len(weight.shape) == 2 else CentreTap(tap, field)


@INITS.register("orthogonal")
def orthogonal(weight: Weight, *, gain: Gain) -> Law:
    """gain Q with Q Haar-distributed, orthonormal rows or columns of [out, in *kernel]. Saxe et al. 2014; orthogonal_.

    A fused weight (q, k and v; gates) is one matrix here, as in torch and in Keras' recurrent kernels, so that its
    parts are not orthogonal each.
    """
    return Orthogonal(gain_of(gain, weight.act, 1.0), weight.shape[0], math.prod(weight.shape[1:]))


@INITS.register("spectral")
def spectral(weight: Weight, *, gain: Gain) -> Law:
    """gain sqrt(out / fan_in) Q: every singular value is what keeps the root mean square of the strongest direction.

    Yang, Simon & Bernstein 2023, cond. 1 (a spectral norm of order sqrt(n_out / n_in)); Large et al. 2024 (modular
    norm). A kernel is flattened to [out, in * field], and out counts units, not their taps.
    """
    rows, columns = block(weight)
    return Orthogonal(gain_of(gain, weight.act, 1.0) * math.sqrt(rows / columns), rows, columns)


@INITS.register("delta_orthogonal")
def delta_orthogonal(weight: Weight, *, gain: Gain) -> Law:
    """The centre tap is gain Q, Q [out, in] with orthonormal columns, all others 0. Xiao et al. 2018, algorithm 2.

    With circular padding the layer keeps every input's norm up to the gain, which needs out >= in. What is no
    convolution is orthogonal.
    """
    rows, _ = block(weight)
    return at_centre(weight, Orthogonal(gain_of(gain, weight.act, 1.0), rows, weight.shape[1]))


@INITS.register("identity")
def identity(weight: Weight, *, gain: Gain) -> Law:
    """gain I, of a kernel at its centre tap; what is not square is cut or padded with zeros. torch's eye_ and dirac_.

    Le, Jaitly & Hinton 2015 for recurrent nets. Each block has its own identity: eye_ gives a fused weight one.
    """
    g = gain_of(gain, weight.act, 1.0)
    rows, _ = block(weight)
    return at_centre(weight, repeated(weight, g * torch.eye(rows, weight.shape[1], dtype=torch.float64), g))


@INITS.register("hadamard")
def hadamard(weight: Weight) -> Law:
    """ZerO: a partial identity where out <= in, else I H I / sqrt(p), H the Hadamard matrix of p = 2^ceil(log2 out).

    Zhao et al. 2022, algorithm 1, with the scale of the authors' code, under which H / sqrt(p) is orthogonal. Where out
    is not a power of two, cutting H leaves columns that are not quite orthogonal. A kernel has it at its centre tap.
    """
    rows, columns = block(weight)[0], weight.shape[1]
    if rows <= columns:
        return at_centre(weight, repeated(weight, torch.eye(rows, columns, dtype=torch.float64), 1.0))
    order = (rows - 1).bit_length()
    h = torch.ones(1, 1, dtype=torch.float64)
    for _ in range(order):  # Sylvester's construction
        h = torch.cat([torch.cat([h, h], 1), torch.cat([h, -h], 1)])
    cut = h[:rows, :columns] / 2 ** (order / 2)
    return at_centre(weight, repeated(weight, cut, 1.0 if rows == 2**order else None))


@INITS.register("sparse")
def sparse(weight: Weight, *, sparsity: float, std: float, per: Literal["input", "unit"]) -> Law:
    """ceil(sparsity n) of the n weights of each input, or of each unit, are 0, the others N(0, std^2).

    torch's sparse_ counts along a column of [out, in], the weights that leave an input; Martens 2010, sec. 5, limits
    those that enter a unit (to 15). A kernel is flattened to [out, in * field].
    """
    rows, columns = weight.shape[0], math.prod(weight.shape[1:])
    length = rows if per == "input" else columns
    zeros = math.ceil(sparsity * length)
    if zeros == length:
        return Constant(0.0)
    return Sparse(zeros, length, std, per == "unit")


def repeated(weight: Weight, matrix: Tensor, singular: float | None) -> Fixed:
    """The same matrix for each block."""
    return Fixed(matrix.repeat(weight.parts * weight.groups, 1), singular)
