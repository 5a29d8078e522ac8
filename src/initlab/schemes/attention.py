"""The schemes for transformers: they ask which projection of an attention a weight is.

weight.role                                                    # Role("query", block=0, blocks=8, heads=4)
INITS.build({"name": "tfixup"}, weight)                        # Uniform(-0.31, 0.31)
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from initlab.laws import Law, Normal, Weight
from initlab.roles import Role
from initlab.schemes.inits import scaled
from initlab.specs import INITS


@INITS.register("tfixup")
def tfixup(weight: Weight) -> Law:
    """Xavier, of values, attention outputs and fully connected blocks times 0.67 N^(-1/4), N the number of layers.

    Embeddings are N(0, 1/d) times (9 N)^(-1/4). Huang et al. 2020, sec. 3.2, the encoder's rules; it is meant for nets
    without norms, trained without warm-up.
    """
    role = weight.role
    layers = (role.blocks or 0) / 2 if role is not None else 0  # a layer is two branches
    if role is not None and role.kind == "embedding":
        width = weight.shape[1] if weight.layer == "embedding" else weight.shape[0]
        return Normal(0.0, width**-0.5 * (9 * layers) ** -0.25 if layers else width**-0.5)
    if role is None or role.block is None or role.kind in ("query", "key"):
        return scaled(weight, 1.0, "fan_avg", "uniform")
    return scaled(weight, 0.67 * layers**-0.25, "fan_avg", "uniform")


@INITS.register("mimetic")
def mimetic(weight: Weight, *, alpha_qk: float, beta_qk: float, alpha_vo: float, beta_vo: float) -> Law | Tensor:
    """W_Q W_K' = alpha_qk Z + beta_qk I in each head and W_V W_O = alpha_vo Z - beta_vo I, Z of entries N(0, 1/d).

    Trockman & Kolter 2023, sec. 4, for rows x that are multiplied from the right: torch's weights are the transposes.
    The products are split by their singular values, a head's to its rank d / heads. All else is Xavier uniform. Both
    factors of a product come from one draw, that of their block.
    """
    role = weight.role
    if role is None or role.heads is None or role.kind not in ("query", "key", "value", "attention_output"):
        return scaled(weight, 1.0, "fan_avg", "uniform")
    if role.kind in ("query", "key"):
        heads = [_factors(weight, role, f"query key {h}", alpha_qk, beta_qk, role.heads) for h in range(role.heads)]
        return torch.cat([pair[role.kind == "key"].T for pair in heads])
    left, right = _factors(weight, role, "value output", alpha_vo, -beta_vo, 1)
    return left.T if role.kind == "value" else right


def _factors(weight: Weight, role: Role, stream: str, alpha: float, beta: float, heads: int) -> tuple[Tensor, Tensor]:
    """A and B [d, d / heads] with A B' = alpha Z + beta I, or nearest to it: all projections of a block share them."""
    width = weight.shape[1]
    of_block = replace(weight, name=f"attention of block {role.block}", shape=(width, width))
    product = alpha * of_block.normal(stream) / math.sqrt(width) + beta * torch.eye(width, dtype=torch.float64)
    u, s, vh = torch.linalg.svd(product)
    rank = width // heads
    root = s[:rank].sqrt()
    return u[:, :rank] * root, vh[:rank].T * root
