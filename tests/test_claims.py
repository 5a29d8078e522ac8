"""Claims: what a yaml may say, what is refused and how, how a verdict is made, and one through the command."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from initlab import command
from initlab.analysis.runs import merged
from initlab.claiming import claims
from initlab.claiming.claimed import table, told_apart
from initlab.claiming.claims import Claim, claim
from initlab.claiming.judging import judge
from initlab.claiming.quantities import quantity
from initlab.claiming.readings import MANY, values
from initlab.errors import Refused
from initlab.reporting.report import write
from initlab.storage.folder import Sweep, read
from initlab.streams import uniforms
from sweeps import FAILED, sweep

ROOT = Path(__file__).parents[1]
SEEDS = range(10)
BASE = {"question": "Is it so?", "source": "folklore", "control": ["init.gain=3"]}


def a_claim(level: float = 0.05, **checks: Mapping[str, Any]) -> Claim:
    return claim(BASE | {"level": level, "checks": checks})


def noise(at: Mapping[str, Any]) -> float:
    """Of a seed, within +-0.05."""
    return float(uniforms((1,), at["seed"], "test", str(at["init"]))[0] - 0.5) / 10


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """Test accuracies of about .9, .6 and .6, the last of them diverging at two seeds."""
    level = {"kaiming": 0.9, "xavier": 0.6, "lecun": 0.6}

    def outcome(at: Mapping[str, Any]) -> float:
        return np.inf if at["init"] == "lecun" and at["seed"] < 2 else level[at["init"]] + noise(at)

    return sweep(tmp_path_factory.mktemp("three"), {"init": list(level), "seed": list(SEEDS)}, outcome)


def verdicts(found: Claim, of: Sweep) -> list[str]:
    return [one.verdict for one in judge(found, [of]).results]


@pytest.mark.parametrize(
    ("text", "path", "word", "target", "bound"),
    [
        ("test/accuracy", "test/accuracy", None, None, None),
        ("steps(val/accuracy, 0.9)", "val/accuracy", "steps", 0.9, None),
        ("probe.layers.-1.q", "probe.layers.-1.q", None, None, None),
        ("growth(probe.layers.5:25.gradient)", "probe.layers.5:25.gradient", "growth", None, None),
        ("val/loss <= 1e-3", "val/loss", None, None, 1e-3),
        ("signal/mean/act4", "signal/mean/act4", None, None, None),
    ],
)
def test_a_quantity_is_a_line(
    text: str, path: str, word: str | None, target: float | None, bound: float | None
) -> None:
    found = quantity(text)
    assert (found.path, found.word, found.target, found.bound) == (path, word, target, bound)


@pytest.mark.parametrize(
    "text",
    [
        "accuracy",
        "best(val/loss)",
        "steps(val/accuracy)",
        "mean(test/accuracy)",
        "mean(signal/mean/act4)",
        "steps(signal/mean/act4, 0.1)",
        "signal/mean",
        "sum(probe.layers.0:3.q)",
        "test/loss > 1",
        "(a)",
    ],
)
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError):
        quantity(text)


CHECK = {"of": "test/accuracy", "above": 0.5}


@pytest.mark.parametrize(
    ("section", "words"),
    [
        (3, "claim=3: not a section. Set its fields: question, source"),
        (BASE, "claim.checks: a claim needs one at least"),
        (BASE | {"checks": {"a": CHECK}, "control": []}, "claim.control=[]: not allowed. claim.control takes a list"),
        ({"question": "?", "source": "s", "checks": {"a": CHECK}}, "claim.control: is missing. It is overrides under"),
        (BASE | {"checks": {"a": CHECK}, "sedds": 3}, "claim.sedds: no field of a claim 'sedds'.*Did you mean seeds?"),
        (BASE | {"checks": {"a": {"of": "test/accuracy"}}}, "claim.checks.a: no criterion. Say above: or below:"),
        (BASE | {"checks": {"a": CHECK | {"of": "acc"}}}, "claim.checks.a.of=acc: not allowed.*such as test/accuracy"),
        (BASE | {"checks": {"a": CHECK | {"of": "grwth(probe.layers.0:3.q)"}}}, "it is 1 or 0. Did you mean growth?"),
        (
            BASE | {"checks": {"a": CHECK | {"above": "\u22120.5"}}},
            "claim.checks.a.above=\u22120.5: not allowed.* or a number. \u2212 is the minus of print .* typed with -",
        ),
        (
            BASE | {"checks": {"a": CHECK | {"of": "probe.layers.0.q >= \u22120.5"}}},
            "and a number it is 1 or 0. \u2212 is the minus of print",
        ),
        (BASE | {"checks": {"a": CHECK | {"kind": "ratio"}}}, "claim.checks.a: kind=ratio needs to, a number"),
        (
            BASE | {"checks": {"a": CHECK | {"to": 2}}},
            "claim.checks.a.to=2.0: belongs to kind=ratio, and this is value",
        ),
        (BASE | {"checks": {"a": CHECK | {"below": 0.4}}}, "above=0.5 and below=0.4 leave nothing between them"),
        (BASE | {"checks": {"a": CHECK | {"kind": "proportion"}}}, "a proportion needs yes or no: add >= or <="),
    ],
)
def test_refusals_say_what_and_where(section: object, words: str) -> None:
    with pytest.raises(Refused, match=re.sub(r"([\[\]()?])", r"\\\1", words)):
        claim(section)


def test_a_claim_is_what_its_json_says() -> None:
    found = a_claim(a=CHECK | {"at": {"init": "xavier"}}, b=CHECK | {"kind": "ratio", "to": 0.1, "below": 7})
    assert claim(json.loads(json.dumps(found.as_json))) == found


@pytest.mark.parametrize(
    ("fields", "trains", "words"),
    [
        ({"at": {"init": "xaver"}}, True, "claim.checks.a: the sweep has no init=xaver; it has xavier, lecun"),
        ({"at": {"inti": "xavier"}}, True, "claim.checks.a: no axis of the sweep 'inti'. Known: init, seed. Did you"),
        ({"of": "probe.risk"}, True, "claim.checks.a: reads the probe, and nothing is probed: set sweep.probe=true"),
        ({"of": "signal/mean/act1"}, True, "claim.checks.a: reads a signal, and none is kept: set trainer.probe_every"),
        ({"kind": "slope", "over": "init"}, True, "claim.checks.a: goes along init, which needs two positive numbers"),
        ({}, False, ""),
    ],
)
def test_a_sweep_that_cannot_answer_is_refused(fields: dict[str, Any], trains: bool, words: str) -> None:
    axes, found = {"init": ["xavier", "lecun"], "seed": [0, 1]}, a_claim(a=CHECK | fields)
    if words:
        with pytest.raises(Refused, match=re.escape(words)):
            claims.check(found, axes, ["seed"], trains, False)
    else:
        claims.check(found, axes, ["seed"], trains, False)


def test_training_needs_ten_seeds_or_a_reason() -> None:
    axes, few = {"init": ["xavier"], "seed": [0]}, BASE | {"seeds": 3, "checks": {"a": CHECK}}
    claims.check(claim(few), axes, ["seed"], trains=False, probed=False)
    claims.check(claim(few | {"parametric": "exact"}), axes, ["seed"], trains=True, probed=False)
    with pytest.raises(Refused, match=r"claim\.seeds=3: a claim about training needs 10 or more"):
        claims.check(claim(few), axes, ["seed"], trains=True, probed=False)
    with pytest.raises(Refused, match="claim: needs the axis seed"):
        claims.check(claim(few), axes, ["init_seed"], trains=False, probed=False)


def test_each_kind_has_three_verdicts(three: Sweep) -> None:
    """Where the truth is known: .9, .6, and .6 but for two seeds of ten that count as 0."""
    kaiming = {"of": "test/accuracy", "at": {"init": "kaiming"}}
    assert verdicts(a_claim(a=kaiming | {"above": 0.8}), three) == ["holds"]
    assert verdicts(a_claim(a=kaiming | {"below": 0.8}), three) == ["does not hold"]
    assert verdicts(a_claim(a=kaiming | {"above": 0.9}), three) == ["inconclusive"]
    assert verdicts(a_claim(a=kaiming | {"above": 0.85, "below": 0.95}), three) == ["holds"]
    against = kaiming | {"kind": "difference", "against": {"init": ["xavier", "lecun"]}}
    assert verdicts(a_claim(a=against | {"above": 0.2}), three) == ["holds", "holds"]
    assert verdicts(a_claim(a=against | {"below": 0.2}), three) == ["does not hold", "does not hold"]
    ratio = {"kind": "ratio", "of": "test/loss", "to": "val/loss", "at": {"init": ["kaiming", "xavier"]}}
    assert verdicts(a_claim(a=ratio | {"above": 1.01, "below": 1.2}), three) == ["holds", "holds"]
    share = {"kind": "proportion", "of": "test/accuracy >= 0.5", "at": {"init": ["kaiming", "lecun"]}}
    assert verdicts(a_claim(a=share | {"above": 0.5}), three) == ["holds", "inconclusive"]  # 10 and 8 of 10
    assert verdicts(a_claim(a=share | {"above": 0.8}), three) == ["inconclusive", "inconclusive"]  # (.8)^10 is .11


def test_what_a_slice_is_told_by() -> None:
    """A factor an item, of the numbers or of what they lack to 1."""
    x = np.array([0.2, 0.6, 0.8])
    assert MANY["growth"](x) == pytest.approx(2) and MANY["approach"](x) == pytest.approx(0.5)
    assert [MANY[word](x) for word in ("least", "greatest", "mean")] == pytest.approx([0.2, 0.8, 1.6 / 3])
    assert math.isnan(MANY["growth"](np.array([0.0, 1.0]))) and math.isnan(MANY["approach"](np.array([1.0, 0.5])))


def test_slopes_ranks_and_areas(tmp_path: Path) -> None:
    """Accuracy falls by .1 a doubling of the depth, so that depth orders it, and tells what is above a half."""

    def outcome(at: Mapping[str, Any]) -> float:
        return 0.9 - 0.1 * np.log2(at["arch.depth"]) + noise(at | {"init": at["arch.depth"]}) / 5

    made = sweep(tmp_path, {"arch.depth": [1, 2, 4, 8, 16, 32], "seed": list(SEEDS)}, outcome)
    accuracy = {"of": "test/accuracy"}
    slope = accuracy | {"kind": "slope", "over": "log2(arch.depth)", "above": -0.11, "below": -0.09}
    rank = accuracy | {"kind": "rank", "by": "arch.depth", "below": -0.9}
    auc = {"kind": "auc", "of": "test/accuracy <= 0.55", "by": "arch.depth", "above": 0.9}
    order = {"kind": "rank", "of": "test/accuracy", "by": "val/loss", "below": -0.9}
    found = judge(a_claim(slope=slope, rank=rank, auc=auc, order=order), [made])
    assert [one.verdict for one in found.results] == ["holds"] * 4
    wrong = judge(a_claim(slope=slope | {"above": -0.08, "below": 0}, rank=rank | {"below": None, "above": 0}), [made])
    assert [one.verdict for one in wrong.results] == ["does not hold"] * 2


def test_the_best_rate_is_each_seeds_own(tmp_path: Path) -> None:
    """It falls by an octave a doubling of the width, but for one seed, and one run that diverged is no best."""

    def outcome(at: Mapping[str, Any]) -> float:
        best = -np.log2(at["arch.width"] / 4) * (0 if at["seed"] == 3 else 1)
        return np.inf if at["optimizer.lr"] == 2 else 0.9 - 0.1 * abs(np.log2(at["optimizer.lr"]) - best)

    axes = {"arch.width": [4, 8, 16], "optimizer.lr": [0.25, 0.5, 1.0, 2.0], "seed": list(SEEDS)}
    made = sweep(tmp_path, axes, outcome)
    slope = {"kind": "slope", "of": "best(optimizer.lr, val/loss)", "over": "log2(arch.width)"}
    wide = {"of": "best(optimizer.lr, val/accuracy)", "at": {"arch.width": 16}}
    found = judge(a_claim(slope=slope | {"below": -0.5}, wide=wide | {"below": -1}), [made])
    assert [one.estimate.value for one in found.results] == pytest.approx([-0.9, -1.8])
    assert [one.verdict for one in found.results] == ["holds", "holds"]


def test_best_goes_along_an_axis_that_is_optimised_over() -> None:
    axes = {"arch.width": [4, 8], "optimizer.lr": [0.1, 1.0], "optimizer.momentum": [0.0, 0.9], "seed": [0, 1]}
    found = a_claim(a={"of": "best(optimizer.lr, val/loss)", "above": 0.5})
    claims.check(found, axes, ["seed"], True, False, nuisance=["optimizer.lr"])
    with pytest.raises(Refused, match=r"no axis that is optimised over .optimizer.lr.. Known: optimizer.momentum"):
        claims.check(found, axes, ["seed"], True, False, nuisance=["optimizer.momentum"])
    zero = a_claim(a={"of": "best(optimizer.momentum, val/loss)", "above": 0.5})
    with pytest.raises(Refused, match=r"best is sought along optimizer\.momentum, which needs two positive numbers"):
        claims.check(zero, axes, ["seed"], True, False, nuisance=["optimizer.momentum"])


def test_all_cells_are_compared_where_none_is_named(three: Sweep) -> None:
    found = judge(a_claim(a={"of": "steps(val/accuracy, 0.4)", "below": 15}), [three])
    assert [one.place for one in found.results] == ["init=kaiming", "init=xavier", "init=lecun"]
    assert [one.estimate.value for one in found.results] == [10, 10, 12]  # two of ten never arrive, and count 20
    assert found.verdict == "inconclusive"


def test_divergence_is_the_worst(three: Sweep) -> None:
    lecun = {"of": "test/accuracy", "at": {"init": "lecun"}}
    found = judge(a_claim(a=lecun | {"below": 0.55}), [three])
    assert found.results[0].estimate.value == pytest.approx(0.8 * 0.6, abs=0.03) and found.results[0].lost == 0


def test_a_lost_run_leaves_no_verdict(tmp_path: Path) -> None:
    made = sweep(tmp_path, {"init": ["xavier"], "seed": list(SEEDS)}, lambda at: FAILED if at["seed"] == 3 else 0.9)
    (one,) = judge(a_claim(a={"of": "test/accuracy", "above": 0.1}), [made]).results
    assert one.verdict == "inconclusive" and one.lost == 1


def test_crossed_seeds_count_once(tmp_path: Path) -> None:
    """Twice six runs of six seeds are n = 6, each seed its mean; a seed with a run that failed is lost."""
    axes = {"init_seed": range(6), "order_seed": [0, 1]}
    made = sweep(tmp_path / "s", axes, lambda at: 0.8 + 0.01 * at["init_seed"] + 0.1 * at["order_seed"])
    check = {"of": "test/accuracy", "above": 0.1}
    (one,) = judge(a_claim(a=check), [made]).results
    assert one.estimate.n == 6 and one.estimate.value == pytest.approx(0.875) and one.test == "t"
    gone = {"init_seed": 2, "order_seed": 1}
    made = sweep(tmp_path / "t", axes, lambda at: FAILED if at == gone else 0.9)
    assert judge(a_claim(a=check), [made]).results[0].lost == 1


def test_a_test_is_named_as_it_is(three: Sweep) -> None:
    """An infinite loss is a number, the worst: it goes by ranks, and the caption says so."""
    checks = {"at": {"init": "lecun"}, "above": 0.1}
    found = judge(a_claim(a=checks | {"of": "test/loss"}, b=checks | {"of": "test/accuracy"}), [three])
    assert [(one.test, one.lost) for one in found.results] == [("Wilcoxon", 0), ("t", 0)]
    assert "p: Wilcoxon and t over the seeds" in table(found, "claim").caption


def test_places_beside_a_figure_are_told_apart() -> None:
    """What all share is left out, and an axis's group; one alone keeps all of its place."""
    places = [f"init.scale={scale}, arch.depth=2" for scale in (1, 32)]
    assert told_apart(places) == ["scale=1", "scale=32"] and told_apart(places[:1]) == ["scale=1, depth=2"]
    assert told_apart(["act=tanh, arch.depth=2 against init.name=a", "act=relu, arch.depth=2 against init.name=a"]) == [
        "act=tanh",
        "act=relu",
    ]
    assert told_apart([""]) == ["all runs"]


def test_few_seeds_give_no_verdict(tmp_path: Path) -> None:
    made = sweep(tmp_path, {"init": ["xavier"], "seed": [0, 1, 2]}, lambda at: 0.9 + noise(at))
    found = judge(a_claim(a={"of": "test/accuracy", "above": 0.1}), [made])
    assert found.verdict == "inconclusive" and found.results[0].p is not None


def test_the_family_and_the_looks_share_the_level(three: Sweep) -> None:
    """One borderline comparison holds alone and not among many; a claim that may look four times is asked for more."""
    edge = {"of": "test/accuracy", "at": {"init": "kaiming"}, "above": 0.881}
    (alone,) = judge(a_claim(a=edge), [three]).results
    assert alone.p is not None and 0.001 < alone.p < 0.05 and alone.verdict == "holds"
    many = judge(a_claim(**{f"c{i}": edge for i in range(60)}), [three])
    assert many.results[0].p == pytest.approx(min(60 * alone.p, 1)) and many.verdict == "inconclusive"
    looking = claim(BASE | {"cap": 80, "level": alone.p * 1.5, "checks": {"a": edge}})
    assert looking.looks == 4 and judge(looking, [three]).verdict == "inconclusive"


# --- through the command ----------------------------------------------------------------------------------------------

OWN = """\
# @package _global_
# Whose output is larger at the start?
defaults:
  - override /dataset: iris
arch: {depth: 2, width: 16}
trainer: {max_steps: 0, save_weights: false, accelerator: cpu}
sweep: {probe: moments}
claim:
  question: Is He's signal twice Xavier's after one square layer?
  source: own
  control: [act=tanh]
  cap: 40
  checks:
    larger:
      kind: ratio
      of: probe.layers.1.q
      to: probe.predicted.layers.1.q
      at: {init: kaiming}
      above: 0.75
      below: 1.25
hydra:
  sweeper:
    params: {init: "xavier,kaiming", seed: "range(10)"}
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A claim of a user's own, in a folder of theirs, run: (that folder, the sweep's)."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "experiment").mkdir()
    (folder / "experiment" / "mine.yaml").write_text(OWN)
    assert command.main(ROOT, words(folder)) == 0
    return folder, folder / "sweep"


def words(folder: Path, *more: str) -> list[str]:
    return ["-m", "--config-dir", str(folder), "+experiment=mine", f"hydra.sweep.dir={folder / 'sweep'}", *more]


def test_a_claim_of_ones_own_needs_no_python(own: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """Its twenty lines are enough; while it is inconclusive it takes more seeds, and the same command finds them."""
    folder, swept = own
    held = read(swept).description
    assert held["claim"]["question"].startswith("Is He's signal") and held["claim_changed"] is False
    assert command.main(ROOT, words(folder)) == 0
    said = capsys.readouterr().out
    count = len(held["seeds"]["seed"])
    assert f"{2 * count} runs" in said and "all of them are done already" in said
    assert re.search(r"verdict: the claim (holds|is inconclusive), over \d+ seeds", said)
    assert count in (20, 40) and ("holds" in said) == (count < 40 or "claim holds" in said)


def test_a_signal_is_read_at_the_last_look(tmp_path: Path) -> None:
    """Of each run its own curve's last point; of a layer that is not there the refusal names the nearest."""
    trained = ["dataset=iris", "act=sigmoid", "arch.depth=2", "arch.width=4", "seed=0,1", "trainer.max_steps=4"]
    swept = f"hydra.sweep.dir={tmp_path / 's'}"
    assert command.main(ROOT, ["-m", *trained, "trainer.probe_every=2", swept]) == 0
    made = read(tmp_path / "s")
    found = merged([made]).rows
    curves = [made.curves(run.record)["signal/mean/act2"] for run in found]
    assert [steps.tolist() for steps, _ in curves] == [[2, 4]] * 2
    assert values(quantity("signal/mean/act2"), found).tolist() == [heights[-1] for _, heights in curves]
    with pytest.raises(Refused, match=r"no curve of .* 'signal/mean/act3'\. Known: .* Did you mean signal/mean/act"):
        values(quantity("signal/mean/act3"), found)


def test_a_report_states_the_verdict(own: tuple[Path, Path]) -> None:
    page = write([own[1]]).read_text()
    assert "Is He&#39;s signal twice Xavier&#39;s" in page and ">The claim</h2>" in page
    assert (own[1] / "report" / "tables" / "claim.csv").read_text().startswith("check,kind,of,place,mean")


def test_a_criterion_that_is_changed_afterwards_is_said_to_be(own: tuple[Path, Path]) -> None:
    folder, swept = own
    assert command.main(ROOT, words(folder, "claim.checks.larger.below=1.3", "claim.cap=10")) == 0
    assert read(swept).description["claim_changed"] is True
    assert "The criterion was changed after the first runs" in write([swept]).read_text()


def test_a_claim_alone_is_refused(own: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    folder, _ = own
    assert command.main(ROOT, ["--config-dir", str(folder), "+experiment=mine"]) == 2
    assert "claim: is about the cells of a sweep, and this is a single run: add -m." in capsys.readouterr().err
