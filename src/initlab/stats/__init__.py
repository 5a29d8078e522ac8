"""Statistics of few seeds: pure functions of arrays, numpy and scipy alone.

    mean([0.91, 0.93, 0.92], rng)               # Estimate: value, 95 % interval, n, method
    compare(xavier, kaiming, rng)               # paired by seed: difference, p, effect, how often it is greater
    holm([0.01, 0.04, 0.03])                    # adjusted over the family

Letters of the shapes: S seeds (the units that are independent), C cells, B resamples. A value is NaN where there is no
run, and infinite where a run diverged and its metric has no worst value. What resamples takes a generator, of
`streams.generator`, and only its raw words, which no version of numpy changes.
"""

from initlab.stats.comparisons import Comparison, compare, differences, effect, equivalence, holm
from initlab.stats.intervals import Estimate, bca, iqm, mean, proportion, trimmed
from initlab.stats.survival import Survival, first_reached, survival

__all__ = [
    "Comparison",
    "Estimate",
    "Survival",
    "bca",
    "compare",
    "differences",
    "effect",
    "equivalence",
    "first_reached",
    "holm",
    "iqm",
    "mean",
    "proportion",
    "survival",
    "trimmed",
]
