"""The schemes that look at data: fields, defaults, ranges, sources. What they do is in `adapt.py` and `learned.py`."""

from __future__ import annotations

from initlab.fields import Field, Integer, OneOf
from initlab.specs.checks import POSITIVE, UNIT
from initlab.specs.init import GAIN, INITS

INITS.declare(
    "lsuv",
    doc="orthonormal, then layer by layer scaled until a batch's outputs have variance 1",
    source="Mishkin & Matas 2016, arXiv:1511.06422, algorithm 1",
    fields={
        "tolerance": Field(0.1, POSITIVE, "of the variance, from 1"),
        "tries": Field(10, Integer(1), "scalings of a layer, at most"),
    },
    assumes="nothing of the net; a batch that stands for the data",
    libraries="the authors' code, whose later versions also shift the mean; lumin, torchbearer",
)
INITS.declare(
    "data_dependent",
    doc="N(0, 1/fan_in), then each unit's outputs on a batch brought to mean 0 and variance 1 by its weights and bias",
    source="Krahenbuhl et al. 2016, arXiv:1511.06856, algorithm 1; Salimans & Kingma 2016, arXiv:1602.07868, eq. 6",
    assumes="a batch that stands for the data; a layer without biases keeps its means",
    libraries="the authors' code, which goes on to even out the layers' rates of change",
)
INITS.declare(
    "metainit",
    doc="Kaiming, then norms of the weights that make the gradient quotient small: a step changes its gradient little",
    source="Dauphin & Schoenholz 2019, NeurIPS, algorithm 1",
    fields=GAIN
    | {
        "steps": Field(100, Integer(1), "500 in the paper"),
        "lr": Field(0.1, POSITIVE, "of the norms, in signed steps"),
        "momentum": Field(0.9, UNIT),
    },
    assumes="a loss that is twice differentiable almost everywhere; here batches of the data, in the paper noise",
    libraries="init2winit (jax); the paper's appendix",
)
INITS.declare(
    "gradinit",
    doc="Kaiming, then a scale for each tensor that makes the loss small after the optimizer's first step",
    source="Zhu et al. 2021, arXiv:2102.08098, algorithm 1",
    fields=GAIN
    | {
        "steps": Field(100, Integer(1), "390 in the paper's CIFAR runs: an epoch"),
        "lr": Field(0.01, POSITIVE, "of the scales, in steps of Adam"),
        "optimizer": Field("sgd", OneOf(("sgd", "adam")), "whose first step: by eta g, or by eta sign(g)"),
        "eta": Field(0.1, POSITIVE, "learning rate of that step"),
        "gamma": Field(1.0, POSITIVE, "largest norm of the gradient, L2 for sgd, L1 for adam"),
        "least": Field(0.01, POSITIVE, "smallest scale"),
    },
    assumes="that the first step tells of those to come",
    libraries="the authors' code; gradinit on PyPI, which simplifies it",
)
