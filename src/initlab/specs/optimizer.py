"""The optimizers: fields, defaults, ranges, sources. Their updates are in `optimizers.py`.

The fact ``adaptive`` says whether a step's size is apart from the gradient's, as Adam's is.
"""

from __future__ import annotations

from initlab.fields import Boolean, Constraint, Field, Number, OneOf
from initlab.registry import Registry
from initlab.specs.checks import POSITIVE, UNIT

# What the runs of one stack may have each for itself.
PER_RUN = ("lr", "weight_decay", "momentum", "clip")

OPTIMIZERS = Registry(
    "optimizer",
    shared={
        "lr": Field(1e-3, POSITIVE, "learning rate"),
        "weight_decay": Field(0.0, Number(ge=0)),
        "schedule": Field("constant", OneOf(("constant", "cosine")), "cosine: lr (1 + cos(pi t / T)) / 2 after t of T"),
        "warmup": Field(
            0.0, UNIT, "fraction of the steps over which lr rises linearly to its value; the schedule has the rest"
        ),
        "clip": Field(None, OneOf((None,), (POSITIVE,)), "largest norm of a run's whole gradient; null: any"),
    },
    apart=PER_RUN,
)
MOMENTS = {
    "beta1": Field(0.9, UNIT),
    "beta2": Field(0.999, UNIT),
    "eps": Field(1e-8, Number(gt=0)),
}
OPTIMIZERS.declare(
    "sgd",
    doc="torch.optim.SGD",
    adaptive=False,
    fields={
        "lr": Field(0.1, POSITIVE, "learning rate"),
        "momentum": Field(0.0, UNIT),
        "nesterov": Field(False, Boolean()),
    },
    constraint=Constraint(
        "momentum > 0 for nesterov", ("momentum", "nesterov"), lambda f: f["momentum"] > 0 or not f["nesterov"]
    ),
)
OPTIMIZERS.declare(
    "adam", doc="torch.optim.Adam", source="Kingma & Ba 2015, arXiv:1412.6980", fields=MOMENTS, adaptive=True
)
OPTIMIZERS.declare(
    "adamw",
    doc="torch.optim.AdamW: decay apart from the gradient",
    source="Loshchilov & Hutter 2019, arXiv:1711.05101",
    adaptive=True,
    fields=MOMENTS | {"weight_decay": Field(0.01, Number(ge=0))},
)
