"""Everything that can be named in a config, without torch: fields, defaults, ranges, sources.

One table a config group. The functions join in `inits.py`, `acts.py`, `archs.py`, `datasets.py` and `optimizers.py`;
`conf/<group>/<name>.yaml` repeats fields and defaults for the reader, and a test holds the three equal.
"""

from __future__ import annotations

from initlab.registry import Boolean, Constraint, Field, Integer, ListOf, Number, OneOf, Registry
from initlab.rules import Rules

SEED = Integer(0, 2**64 - 1)
POSITIVE = Number(gt=0)
UNIT = Number(ge=0, lt=1)

# --- init -------------------------------------------------------------------------------------------------------------

INITS = Registry(
    "init",
    shared={
        "bias": Field("zeros", OneOf(("zeros", "constant", "uniform")), "law of the biases"),
        "bias_value": Field(
            "default",
            OneOf(("default",), (Number(),)),
            "the constant (default 0.1), or the bound of the uniform law (default 1/sqrt(fan_in))",
        ),
    },
)
INITS.shared["rules"] = Field(
    [], Rules(INITS), "other schemes for some parameters; the first rule that matches decides"
)


def _ordered(a: float | str, b: float | str) -> bool:
    if a == b == "default":
        return True
    return (0.0 if a == "default" else float(a)) < (0.0 if b == "default" else float(b))


# torch.nn.init.calculate_gain knows these; an activation's spec names its own entry.
NONLINEARITIES = ("linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu")
PUBLISHED = Field(
    "default",
    OneOf(("default", "torch"), (POSITIVE,)),
    "default: as published; torch: calculate_gain of the run's activation; or a number",
)
GAIN = {"gain": PUBLISHED}
KAIMING = GAIN | {
    "mode": Field("fan_in", OneOf(("fan_in", "fan_out")), "fan_in keeps the forward, fan_out the backward variance"),
    "nonlinearity": Field(
        "relu", OneOf(NONLINEARITIES), "whose gain is the default one, whatever the run's activation"
    ),
    "negative_slope": Field(0.0, Number(), "of leaky_relu, in sqrt(2 / (1 + slope^2))"),
}
GLOROT = "Glorot & Bengio 2010, AISTATS, eq. 12 (variance) and 16 (uniform)"
HE = "He et al. 2015, arXiv:1502.01852, eq. 10 (fan_in) and 14 (fan_out)"

INITS.declare("zeros", doc="W = 0", symmetric=True)
INITS.declare("ones", doc="W = 1", symmetric=True)
INITS.declare("constant", doc="W = value", symmetric=True, fields={"value": Field(0.63, Number())})
INITS.declare(
    "uniform",
    doc="W ~ U(a, b); by default U(-1/sqrt(fan_in), 1/sqrt(fan_in))",
    fields={
        "a": Field("default", OneOf(("default",), (Number(),)), "lower end; default -1/sqrt(fan_in)"),
        "b": Field("default", OneOf(("default",), (Number(),)), "upper end; default 1/sqrt(fan_in)"),
    },
    constraint=Constraint("a < b (a default end counts as 0)", ("a", "b"), lambda f: _ordered(f["a"], f["b"])),
)
INITS.declare(
    "normal",
    doc="W ~ N(mean, std^2)",
    fields={"mean": Field(0.0, Number()), "std": Field(1.0, Number(ge=0))},
)
INITS.declare(
    "trunc_normal",
    doc="W ~ N(mean, std^2) cut to [a, b] (ends as values, not in units of std)",
    source="torch.nn.init.trunc_normal_",
    fields={
        "mean": Field(0.0, Number()),
        "std": Field(1.0, POSITIVE),
        "a": Field(-2.0, Number()),
        "b": Field(2.0, Number()),
    },
    constraint=Constraint(
        "a < b, and an interval not beyond 37 std from the mean, where nothing is left to draw",
        ("a", "b", "mean", "std"),
        lambda f: f["a"] < f["b"] and f["a"] - f["mean"] < 37 * f["std"] and f["mean"] - f["b"] < 37 * f["std"],
    ),
)
INITS.declare("xavier_uniform", doc="U(-r, r), r = gain sqrt(6 / (fan_in + fan_out))", source=GLOROT, fields=GAIN)
INITS.declare("xavier_normal", alias="xavier", doc="N(0, gain^2 2 / (fan_in + fan_out))", source=GLOROT, fields=GAIN)
INITS.declare("kaiming_uniform", doc="U(-r, r), r = gain sqrt(3 / fan)", source=HE, fields=KAIMING)
INITS.declare("kaiming_normal", alias="kaiming", doc="N(0, gain^2 / fan)", source=HE, fields=KAIMING)
INITS.declare(
    "lecun",
    doc="variance gain^2 / fan_in",
    source="LeCun et al. 1998, Efficient BackProp, sec. 4.6; Klambauer et al. 2017, arXiv:1706.02515",
    fields=GAIN | {"distribution": Field("normal", OneOf(("normal", "uniform", "truncated")), "law of that variance")},
)
INITS.declare(
    "orthogonal",
    doc="W W' = gain^2 I or W' W = gain^2 I, Haar-distributed; a kernel is flattened to [out, in k k]",
    source="Saxe et al. 2014, arXiv:1312.6120",
    fields=GAIN,
)
INITS.declare(
    "torch_default",
    doc="what PyTorch does to Linear and conv: W, b ~ U(-1/sqrt(fan_in), 1/sqrt(fan_in)); embeddings N(0, 1)",
    source="torch.nn.Linear.reset_parameters: kaiming_uniform_(a=sqrt(5))",
    fields={"bias": Field("uniform", OneOf(("zeros", "constant", "uniform")), "law of the biases")},
)

# --- act --------------------------------------------------------------------------------------------------------------

ACTS = Registry("act")
ACTS.declare("identity", doc="x", torch_gain="linear")
ACTS.declare("relu", doc="max(x, 0)", torch_gain="relu")
ACTS.declare(
    "leaky_relu", doc="max(x, slope x)", torch_gain="leaky_relu", fields={"negative_slope": Field(0.01, Number())}
)
ACTS.declare("tanh", doc="tanh x", torch_gain="tanh")
ACTS.declare("sigmoid", doc="1 / (1 + exp(-x))", torch_gain="sigmoid")
ACTS.declare(
    "gelu",
    doc="x Phi(x)",
    source="Hendrycks & Gimpel 2016, arXiv:1606.08415",
    fields={"approximate": Field("none", OneOf(("none", "tanh")), "the tanh form is an approximation")},
)
ACTS.declare("silu", doc="x sigmoid(x)", source="Elfwing et al. 2018, arXiv:1702.03118")
ACTS.declare("selu", doc="1.0507 elu(x, 1.6733)", source="Klambauer et al. 2017, arXiv:1706.02515", torch_gain="selu")

# --- arch -------------------------------------------------------------------------------------------------------------

ARCHS = Registry("arch")
ARCHS.declare(
    "mlp",
    doc="fully connected: depth hidden layers of equal width, or of the given sizes",
    fields={
        "depth": Field(4, Integer(0), "hidden layers"),
        "width": Field(128, Integer(1), "units of a hidden layer"),
        "sizes": Field(
            None, OneOf((None,), (ListOf(Integer(1)),)), "explicit hidden sizes, in place of depth and width"
        ),
        "norm": Field("none", OneOf(("none", "batch", "layer")), "normalisation between a layer and its activation"),
    },
)

# --- dataset ----------------------------------------------------------------------------------------------------------

DATASETS = Registry(
    "dataset",
    shared={
        "batch_size": Field(128, Integer(1), "rows of a minibatch; the last incomplete one of an epoch is dropped"),
        "val": Field(0.15, UNIT, "fraction held out to choose by"),
        "test": Field(0.15, UNIT, "fraction held out to report on"),
        "split_seed": Field(0, SEED, "fixes the three parts"),
        "standardize": Field(False, Boolean(), "zero mean and unit variance per feature, fitted on train"),
    },
)
DATASETS.declare(
    "digits",
    doc="1797 grey images of 8 x 8 in [0, 1], ten classes",
    source="Alpaydin & Kaynak 1998, UCI; as scikit-learn ships it",
    task="classification",
    samples=1797,
)
DATASETS.declare(
    "gaussian",
    doc="a mixture of Gaussians: centres ~ N(0, separation^2 I), rows ~ N(centre, I)",
    task="classification",
    fields={
        "samples": Field(2000, Integer(1, 10_000_000)),
        "features": Field(20, Integer(1)),
        "classes": Field(10, Integer(2)),
        "separation": Field(1.0, Number(ge=0), "standard deviation of the centres, in units of the rows'"),
        "seed": Field(0, SEED),
    },
)
DATASETS.declare(
    "teacher",
    doc="y = a random tanh network of one hidden layer, of unit variance, plus noise",
    task="regression",
    fields={
        "samples": Field(2000, Integer(2, 10_000_000)),
        "features": Field(20, Integer(1)),
        "width": Field(32, Integer(1), "hidden units of the teacher"),
        "noise": Field(0.1, Number(ge=0), "standard deviation"),
        "seed": Field(0, SEED),
    },
)

# --- optimizer --------------------------------------------------------------------------------------------------------

# What the runs of one stack may have each for itself.
PER_RUN = ("lr", "weight_decay", "momentum")

OPTIMIZERS = Registry(
    "optimizer",
    shared={
        "lr": Field(1e-3, POSITIVE, "learning rate"),
        "weight_decay": Field(0.0, Number(ge=0)),
        "schedule": Field("constant", OneOf(("constant", "cosine")), "cosine: lr (1 + cos(pi t / T)) / 2 after t of T"),
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
    fields={
        "lr": Field(0.1, POSITIVE, "learning rate"),
        "momentum": Field(0.0, UNIT),
        "nesterov": Field(False, Boolean()),
    },
    constraint=Constraint(
        "momentum > 0 for nesterov", ("momentum", "nesterov"), lambda f: f["momentum"] > 0 or not f["nesterov"]
    ),
)
OPTIMIZERS.declare("adam", doc="torch.optim.Adam", source="Kingma & Ba 2015, arXiv:1412.6980", fields=MOMENTS)
OPTIMIZERS.declare(
    "adamw",
    doc="torch.optim.AdamW: decay apart from the gradient",
    source="Loshchilov & Hutter 2019, arXiv:1711.05101",
    fields=MOMENTS | {"weight_decay": Field(0.01, Number(ge=0))},
)

GROUPS = {registry.group: registry for registry in (DATASETS, ARCHS, ACTS, INITS, OPTIMIZERS)}

# --- the rest of a config ---------------------------------------------------------------------------------------------

SEEDS = {
    "seed": Field(0, SEED, "of everything a run draws, unless the two below say otherwise"),
    "init_seed": Field(None, OneOf((None,), (SEED,)), "of the initial weights; null: seed"),
    "order_seed": Field(None, OneOf((None,), (SEED,)), "of the minibatches; null: seed"),
}
TRAINER = {
    "max_epochs": Field(20, OneOf((None,), (Integer(1),)), "epochs; does not count where max_steps is given"),
    "max_steps": Field(None, OneOf((None,), (Integer(1),)), "optimizer updates"),
    "accelerator": Field("auto", OneOf(("auto", "cpu", "gpu")), "auto: a GPU where there is one"),
    "precision": Field("float32", OneOf(("float32", "float64")), "of weights, data and arithmetic"),
    "log_every_n_steps": Field(10, Integer(1), "train/loss is kept at steps 1, n, 2n, ..."),
    "save_weights": Field(True, Boolean(), "final weights as safetensors"),
}
SWEEP = {
    "dry_run": Field(False, Boolean(), "show the plan, train nothing"),
    "fresh": Field(False, Boolean(), "start anew in a folder that holds results"),
    "retry": Field(None, OneOf((None, "failed")), "failed: train the runs that failed again"),
    "max_runs": Field(10_000, Integer(1), "more are refused"),
    "stack_width": Field(64, Integer(1), "runs trained as one program, at most"),
}
