"""The data sets: fields, defaults, ranges, sources. Their rows are made in `datasets/`.

Facts: ``task``, where the data do not decide it; ``samples``, where rows are known unread; ``url`` of published files.
"""

from __future__ import annotations

from initlab.fields import Boolean, Constraint, Field, Integer, Number, OneOf
from initlab.registry import Registry
from initlab.specs.checks import SEED, UNIT, Text

SCALING = OneOf(("none", "feature", "channel"))
DATASETS = Registry(
    "dataset",
    shared={
        "batch_size": Field(128, Integer(1), "rows of a minibatch; the last incomplete one of an epoch is dropped"),
        "val": Field(0.15, UNIT, "fraction held out to choose by"),
        "test": Field(0.15, UNIT, "fraction held out to report on"),
        "split_seed": Field(0, SEED, "fixes the three parts"),
        "standardize": Field("none", SCALING, "zero mean, unit variance per feature or image channel, fitted on train"),
    },
    apart=("limit", "standardize_targets"),
)
PUBLISHED = {"test": Field(None, OneOf((None,)), "the published test rows")}
PATH = OneOf((None,), (Text("a path"),))
BY_FEATURE = {"standardize": Field("feature", SCALING)}
TARGETS = {"standardize_targets": Field(True, Boolean(), "of regression: zero mean, unit variance, fitted on train")}
LIMIT = {"limit": Field(None, OneOf((None,), (Integer(1),)), "so many first rows, to train on and hold out from")}
OWN_PARTS = {  # a file may have them
    part: Field(None, OneOf((None,), (UNIT,)), f"fraction; null: the file's own {part} rows, or else 0.15")
    for part in ("val", "test")
}
TASK = {"task": Field(None, OneOf((None, "classification", "regression")), "null: regression if y is of floats")}
SKLEARN = "as scikit-learn ships it"

DATASETS.declare(
    "digits",
    doc="1797 grey images of 8 x 8 in [0, 1], ten classes",
    source=f"Alpaydin & Kaynak 1998, UCI; {SKLEARN}",
    task="classification",
    samples=1797,
)
DATASETS.declare(
    "iris",
    doc="150 flowers, 4 features, three species",
    source=f"Fisher 1936; {SKLEARN}",
    fields=BY_FEATURE | {"batch_size": Field(16, Integer(1))},
    task="classification",
    samples=150,
)
DATASETS.declare(
    "wine",
    doc="178 wines, 13 features on mixed scales, three cultivators",
    source=f"Forina et al. 1988, UCI; {SKLEARN}",
    fields=BY_FEATURE | {"batch_size": Field(16, Integer(1))},
    task="classification",
    samples=178,
)
DATASETS.declare(
    "breast_cancer",
    doc="569 tumours, 30 features on mixed scales, malignant (0) or benign (1)",
    source=f"Street, Wolberg & Mangasarian 1993, UCI; {SKLEARN}",
    fields=BY_FEATURE | {"batch_size": Field(32, Integer(1))},
    task="classification",
    samples=569,
)
DATASETS.declare(
    "diabetes",
    doc="442 patients, 10 features of length 1, the disease a year later; regression",
    source=f"Efron et al. 2004; {SKLEARN}",
    fields=TARGETS | {"batch_size": Field(256, Integer(1))},
    task="regression",
    samples=442,
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
    "spirals",
    doc="entwined spiral arms in the plane, a class each, plus noise",
    task="classification",
    fields={
        "samples": Field(2000, Integer(1, 10_000_000)),
        "arms": Field(2, Integer(2)),
        "turns": Field(1.0, Number(ge=0), "of an arm around the centre"),
        "noise": Field(0.02, Number(ge=0), "standard deviation, in units of the arms' length from the centre"),
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
SYMBOLS = Field(8, Integer(2), "symbols to choose from")
DATASETS.declare(
    "copy",
    doc="sequences: symbols, a delay, a marker; then the symbols are to be repeated, each a target",
    source="Hochreiter & Schmidhuber 1997; Arjovsky, Shah & Bengio 2016, arXiv:1511.06464, sec. 5.1",
    task="classification",
    fields={
        "samples": Field(4000, Integer(1, 10_000_000)),
        "symbols": SYMBOLS,
        "span": Field(5, Integer(1), "symbols to remember"),
        "delay": Field(20, Integer(1), "steps from the last symbol to the marker"),
        "seed": Field(0, SEED),
    },
)
DATASETS.declare(
    "recall",
    doc="sequences: pairs of a key and a value, then a key again; its value is the class",
    source="Graves et al. 2014, arXiv:1410.5401, sec. 4.3; Ba et al. 2016, arXiv:1610.06258, sec. 4.1",
    task="classification",
    fields={
        "samples": Field(4000, Integer(1, 10_000_000)),
        "pairs": Field(4, Integer(1)),
        "keys": Field(8, Integer(1), "different keys, at least as many as pairs"),
        "values": Field(8, Integer(2), "different values, the classes"),
        "seed": Field(0, SEED),
    },
    constraint=Constraint("at least as many keys as pairs", ("keys", "pairs"), lambda f: f["keys"] >= f["pairs"]),
)
DATASETS.declare(
    "adding",
    doc="sequences of numbers of U(0, 1), two of them marked, whose sum is the target; its variance is 1/6",
    source="Hochreiter & Schmidhuber 1997; Arjovsky, Shah & Bengio 2016, arXiv:1511.06464, sec. 5.2",
    task="regression",
    fields={
        "samples": Field(4000, Integer(2, 10_000_000)),
        "length": Field(50, Integer(2)),
        "seed": Field(0, SEED),
    },
)
DATASETS.declare(
    "latch",
    doc="sequences: the first symbol is the class, all others distract",
    source="Bengio, Simard & Frasconi 1994, sec. 2",
    task="classification",
    fields={
        "samples": Field(4000, Integer(1, 10_000_000)),
        "symbols": SYMBOLS,
        "length": Field(40, Integer(1)),
        "distractors": Field(
            "tokens", OneOf(("tokens",), (Number(ge=0),)), "tokens: other symbols; or the deviation of Gaussian noise"
        ),
        "seed": Field(0, SEED),
    },
)
DATASETS.declare(
    "npz",
    doc="your own arrays: path=FILE.npz with x and y, or x_train, y_train, x_test, y_test",
    fields={"path": Field(None, PATH, "of the file")} | TASK | OWN_PARTS | BY_FEATURE | TARGETS | LIMIT,
)
for name, doc, source, url in (
    (
        "mnist",
        "70000 grey images of handwritten digits, 28 x 28 in [0, 1], ten classes",
        "LeCun, Bottou, Bengio & Haffner 1998",
        "http://yann.lecun.com/exdb/mnist/ and https://ossci-datasets.s3.amazonaws.com/mnist/",
    ),
    (
        "fashion_mnist",
        "70000 grey images of clothing, 28 x 28 in [0, 1], ten classes",
        "Xiao, Rasul & Vollgraf 2017",
        "https://github.com/zalandoresearch/fashion-mnist",
    ),
    (
        "cifar10",
        "60000 colour photographs, 3 x 32 x 32 in [0, 1], ten classes",
        "Krizhevsky 2009",
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    ),
):
    root = Field(None, PATH, "the folder with the published files")
    DATASETS.declare(
        name, doc=doc, source=source, fields={"root": root} | PUBLISHED | LIMIT, task="classification", url=url
    )
DATASETS.declare(
    "openml",
    doc="a table of openml.org by name, through scikit-learn and its cache",
    source="Vanschoren et al. 2014",
    fields={
        "data": Field(None, OneOf((None,), (Text("a name"),)), "OpenML's name of it"),
        "version": Field(1, Integer(1)),
        "target": Field(None, OneOf((None,), (Text("a column"),)), "null: the one that OpenML declares"),
        "data_home": Field(None, PATH, "of the cache; null: scikit-learn's own"),
    }
    | TASK
    | BY_FEATURE
    | TARGETS
    | LIMIT,
)
