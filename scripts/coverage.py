"""How often the intervals hold what they should, by simulation: the tables of docs/statistics.md.

python scripts/coverage.py              # prints them, in some minutes
python scripts/coverage.py --write      # renews the page
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from scipy import special  # noqa: E402
from scripts.pages import table, update  # noqa: E402

from initlab import streams  # noqa: E402
from initlab.command import answered  # noqa: E402
from initlab.stats import bca, effect, equivalence, holm, proportion, survival, trimmed  # noqa: E402
from initlab.stats.comparisons import p_values  # noqa: E402
from initlab.stats.intervals import LEVEL, Floats, expanded  # noqa: E402

PAGE = ROOT / "docs" / "statistics.md"
TRIALS = 2000
SEEDS = (3, 5, 10, 20, 50)
MARGIN = 1.0


class Law(NamedTuple):
    """What a run's result is drawn from: its quantile function and its mean."""

    quantile: Callable[[Floats], Floats]
    mean: float


LAWS = {
    "normal": Law(special.ndtri, 0.0),
    "log-normal": Law(lambda u: np.exp(special.ndtri(u)), np.exp(0.5)),
    "one in ten diverges": Law(lambda u: np.where(u < 0.1, 0.0, 0.9 + 0.02 * special.ndtri((u - 0.1) / 0.9)), 0.81),
}


def uniforms(*shape: int, name: str) -> Floats:
    return streams.uniforms(shape, 0, "coverage", name)


def of_the_mean(method: str, law: str, n: int, trials: int = TRIALS) -> float:
    """How often the interval of the mean holds it, by t, BCa or expanded BCa, whatever n is."""
    quantile, true = LAWS[law]
    draws = quantile(np.clip(uniforms(trials, n, name=f"{law} {n}"), 1e-12, 1 - 1e-12))
    if method == "t":
        half = special.stdtrit(n - 1, (1 + LEVEL) / 2) * draws.std(axis=1, ddof=1) / np.sqrt(n)
        return float(np.mean(np.abs(draws.mean(axis=1) - true) <= half))
    rng = streams.generator(0, "coverage", f"{law} {n}")
    level = LEVEL if method == "BCa" else expanded(n)
    ends = [bca(row, np.mean, rng, level) if np.ptp(row) > 0 else (row[0], row[0]) for row in draws]
    return float(np.mean([low <= true <= high for low, high in ends]))


def of_the_iqm(n: int, trials: int = TRIALS) -> float:
    rng = streams.generator(0, "coverage", f"iqm {n}")
    ends = [bca(row, trimmed, rng, expanded(n)) for row in special.ndtri(uniforms(trials, n, name=f"iqm {n}"))]
    return float(np.mean([low <= 0 <= high for low, high in ends]))


def of_the_effect(n: int, size: float, trials: int = TRIALS) -> float:
    draws = special.ndtri(uniforms(trials, n, name=f"effect {n}")) + size
    found = [effect(row) for row in draws]
    return float(np.mean([e.low is not None and e.high is not None and e.low <= size <= e.high for e in found]))


def of_a_share(n: int, share: float, trials: int = TRIALS) -> float:
    wins = (uniforms(trials, n, name=f"share {n}") < share).sum(axis=1)
    found = [proportion(float(w), n) for w in wins]
    return float(np.mean([(e.low or 0.0) <= share <= (e.high or 0.0) for e in found]))


def of_the_median(n: int, trials: int = TRIALS) -> float:
    """Of exponential times, a quarter of which are censored."""
    rng = streams.generator(0, "coverage", "median")
    times = -np.log(uniforms(trials, n, name=f"median {n}"))
    found = [survival(row, -np.log(0.25), rng).median for row in times]
    return float(np.mean([(e.low or 0.0) <= np.log(2) <= (e.high or 0.0) for e in found]))


def by_seeds_or_runs(units: str, seeds: int = 5, cells: int = 6, shared: float = 0.5, trials: int = TRIALS) -> float:
    """Of a mean over cells that share their seeds, half of a run's variance being its seed's."""
    draws = special.ndtri(uniforms(trials, seeds, cells + 1, name="shared"))
    values = np.sqrt(shared) * draws[:, :, :1] + np.sqrt(1 - shared) * draws[:, :, 1:]
    samples = values.mean(axis=2) if units == "seeds" else values.reshape(trials, -1)
    n = samples.shape[1]
    half = special.stdtrit(n - 1, (1 + LEVEL) / 2) * samples.std(axis=1, ddof=1) / np.sqrt(n)
    return float(np.mean(np.abs(samples.mean(axis=1)) <= half))


def after_a_choice(rates: int, seeds: int = 5, trials: int = TRIALS) -> tuple[float, float]:
    """Of the test metric where the best of equally good rates is chosen: by validation, or by the test metric itself.

    A run has a quality of its own and noise of the same size in each metric.
    """
    draws = special.ndtri(uniforms(trials, rates, seeds, 3, name=f"choice {rates}"))
    validation, test = draws[..., 0] + draws[..., 1], draws[..., 0] + draws[..., 2]
    held = []
    for judge in (validation, test):
        chosen = np.take_along_axis(test, judge.mean(axis=2).argmax(axis=1)[:, None, None], axis=1)[:, 0]
        half = special.stdtrit(seeds - 1, (1 + LEVEL) / 2) * chosen.std(axis=1, ddof=1) / np.sqrt(seeds)
        held.append(float(np.mean(np.abs(chosen.mean(axis=1)) <= half)))
    return held[0], held[1]


def any_false_finding(corrected: bool, cells: int = 6, seeds: int = 5, trials: int = TRIALS) -> float:
    """How often some pair of equally good cells has p < .05."""
    upper = np.triu_indices(cells, 1)
    draws = special.ndtri(uniforms(trials, cells, seeds, name="family"))
    own = [p_values(values)[upper] for values in draws]
    return float(np.mean([(holm(p) if corrected else p).min() < 1 - LEVEL for p in own]))


def called_the_same(n: int, difference: float, trials: int = TRIALS) -> float:
    """How often TOST calls a difference of this many margins no difference; the spread is half a margin."""
    draws = MARGIN / 2 * special.ndtri(uniforms(trials, n, name=f"same {n}")) + difference * MARGIN
    return float(np.mean([(p := equivalence(row, MARGIN)) is not None and p < 1 - LEVEL for row in draws]))


def parts() -> dict[str, str]:
    """The tables of the page."""
    return {
        "mean": table(["of the mean of", "by", *(f"n = {n}" for n in SEEDS)], _means()),
        "others": table(["what", "should be", "is"], _others()),
    }


def _means() -> Iterator[list[str]]:
    for law in LAWS:
        for method in ("t", "BCa", "BCa, expanded"):
            yield [law, method, *(f"{of_the_mean(method, law, n):.3f}" for n in SEEDS)]


def _others() -> Iterator[list[str]]:
    rows: list[tuple[str, str, float]] = [
        ("interval of the IQM, expanded BCa, 20 seeds", ".95", of_the_iqm(20)),
        ("interval of Hedges' g, 5 seeds, true g 1", ".95", of_the_effect(5, 1.0)),
        ("interval of a share, Wilson, 5 seeds, true share .8", ".95", of_a_share(5, 0.8)),
        ("interval of the median of censored times, 10 seeds", ">= .95", of_the_median(10)),
        ("mean over 6 cells, 5 seeds: n = 5 seeds", ".95", by_seeds_or_runs("seeds")),
        ("the same: n = 30 runs", ".95", by_seeds_or_runs("runs")),
        ("test metric of the best of 3 rates, chosen on validation", ".95", after_a_choice(3)[0]),
        ("the same, chosen on test", ".95", after_a_choice(3)[1]),
        ("test metric of the best of 10 rates, chosen on validation", ".95", after_a_choice(10)[0]),
        ("the same, chosen on test", ".95", after_a_choice(10)[1]),
        ("any false finding among 15 pairs, Holm", "<= .05", any_false_finding(True)),
        ("the same without a correction", "<= .05", any_false_finding(False)),
        ("TOST calls a difference of one margin the same, 5 seeds", "<= .05", called_the_same(5, 1.0)),
        ("TOST calls no difference the same, 5 seeds", "", called_the_same(5, 0.0)),
        ("TOST calls no difference the same, 10 seeds", "", called_the_same(10, 0.0)),
    ]
    return ([what, should, f"{value:.3f}"] for what, should, value in rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="renew docs/statistics.md")
    write, made = parser.parse_args().write, parts()
    if write:
        update(PAGE, made)
    else:
        print("\n\n".join(made.values()))
    return 0


if __name__ == "__main__":
    sys.exit(answered(main, sys.argv[1:]))
