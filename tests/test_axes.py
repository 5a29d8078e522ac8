"""Which combinations of a sweep's axes are run, under what names and roles, and how a sweep's words are refused."""

from __future__ import annotations

import itertools
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from initlab.command import main
from initlab.errors import Refused
from initlab.planning.axes import read
from initlab.planning.compose import Composer
from initlab.planning.design import Design, same
from initlab.planning.plan import Plan, make
from initlab.planning.product import jobs
from initlab.storage.folder import read as read_folder

ROOT = Path(__file__).resolve().parent.parent
COMPOSER = Composer(ROOT / "conf")


def sweep(*words: str, composer: Composer = COMPOSER) -> Plan:
    return make(composer, words, multirun=True)


def refused(*words: str, multirun: bool = True) -> str:
    with pytest.raises(Refused) as refusal:
        make(COMPOSER, words, multirun)
    return str(refusal.value)


# --- exclude and zip against a reference ------------------------------------------------------------------------------

AXES: dict[str, list[Any]] = {
    "init": ["xavier", "kaiming_normal", "lecun"],
    "act": ["relu", "tanh", "gelu"],
    "optimizer.lr": [0.1, 0.01, 1],
    "seed": [0, 1, 2],
}
SPELLINGS: dict[Any, list[str]] = {"kaiming_normal": ["kaiming", "kaiming_normal"], 1: ["1", "1.0"], 0.1: ["0.1", ".1"]}


@st.composite
def designs(draw: st.DrawFn) -> tuple[list[str], list[list[str]], list[dict[str, list[Any]]]]:
    """Some axes in some order, some of them zipped, and combinations to exclude."""
    names = draw(st.lists(st.sampled_from(list(AXES)), min_size=1, max_size=4, unique=True))
    zips = [names[-2:]] if len(names) > 2 and draw(st.booleans()) else []
    entry = st.dictionaries(st.sampled_from(names), st.just(None).map(lambda _: []), min_size=1, max_size=2)
    entries = draw(st.lists(entry, max_size=3))
    filled = [
        {name: draw(st.lists(st.sampled_from(AXES[name]), min_size=1, max_size=2, unique=True)) for name in each}
        for each in entries
    ]
    return names, zips, filled


def reference(names: list[str], zips: list[list[str]], entries: list[dict[str, list[Any]]]) -> list[dict[str, Any]]:
    """Every combination, then without those out of step, then without the excluded ones."""
    every = [dict(zip(names, each, strict=True)) for each in itertools.product(*(AXES[name] for name in names))]
    level = {name: {value: i for i, value in enumerate(values)} for name, values in AXES.items()}
    kept = [c for c in every if all(len({level[name][c[name]] for name in zipped}) == 1 for zipped in zips)]
    return [c for c in kept if not any(all(c[name] in some for name, some in entry.items()) for entry in entries)]


def written(entries: list[dict[str, list[Any]]], pick: Any) -> str:
    """As on the command line, each value in one of its spellings."""
    texts = []
    for entry in entries:
        fields = []
        for name, values in entry.items():
            spelled = [pick(SPELLINGS.get(value, [str(value)])) for value in values]
            fields.append(f"{name}:{spelled[0] if len(spelled) == 1 else '[' + ','.join(spelled) + ']'}")
        texts.append("{" + ",".join(fields) + "}")
    return f"sweep.exclude=[{','.join(texts)}]"


@settings(max_examples=15, deadline=None)
@given(designs(), st.randoms(use_true_random=False))
def test_what_is_run_is_what_a_reference_enumerates(design: Any, random: Any) -> None:
    """And each run's config is that of the same run in a sweep that excludes and zips nothing."""
    names, zips, entries = design
    words = [f"{name}={','.join(map(str, AXES[name]))}" for name in names]
    lists = ",".join(f"[{','.join(zipped)}]" for zipped in zips)
    asked = [*words, written(entries, random.choice), f"sweep.zip=[{lists}]"]
    expected = reference(names, zips, entries)
    try:
        got = list(jobs(COMPOSER, read(COMPOSER, asked, multirun=True)))
    except Refused as refusal:  # an entry out of step with a zip matches nothing, or the entries leave nothing
        out_of_step = any(len(reference(names, zips, [e])) == len(reference(names, zips, [])) for e in entries)
        assert ("matches no run" in str(refusal) and out_of_step) or ("leaves none" in str(refusal) and not expected)
        return
    assert [job.choices for job in got] == expected
    full = everything(frozenset(names))
    for job in got:
        raw = full[frozenset(job.choices.items())]
        assert {k: v for k, v in job.raw.items() if k != "sweep"} == {k: v for k, v in raw.items() if k != "sweep"}


@cache
def everything(names: frozenset[str]) -> dict[frozenset[tuple[str, Any]], dict[str, Any]]:
    """The raw config of each combination of these axes."""
    words = [f"{name}={','.join(map(str, AXES[name]))}" for name in names]
    every = jobs(COMPOSER, read(COMPOSER, words, multirun=True))
    return {frozenset(job.choices.items()): job.raw for job in every}


def test_a_list_that_is_a_value_of_the_axis_is_that_value() -> None:
    plan = sweep("arch.sizes=[8,4],[8],null", "sweep.exclude=[{arch.sizes:[8,4]}]")
    assert [run.choices["arch.sizes"] for run in plan.runs] == [[8], None]
    plan = sweep("arch.sizes=[8,4],[8],null", "sweep.exclude=[{arch.sizes:[[8,4],null]}]")
    assert [run.choices["arch.sizes"] for run in plan.runs] == [[8]]


def test_values_are_one_in_any_spelling_but_not_in_another_type() -> None:
    assert same("init", "kaiming", "kaiming_normal") and same("optimizer.lr", 1, 1.0)
    assert not same("seed", 1, True) and not same("seed", 1, "1") and not same("act", "kaiming", "kaiming_normal")


def test_groups_are_zipped_with_fields_and_an_excluded_option_need_not_fit() -> None:
    plan = sweep("init=xavier,kaiming", "act=tanh,relu", "seed=0,1", "sweep.zip=[[act,init]]")
    assert [tuple(run.choices.values()) for run in plan.runs] == [
        (init, act, seed) for init, act in (("xavier", "tanh"), ("kaiming", "relu")) for seed in (0, 1)
    ]
    assert plan.product == "init & act (2) x seed (2)"
    # zeros has no gain, so the sweep is refused with it, and not without it
    words = ("init=zeros,xavier,lecun", "init.gain=1,2")
    assert "no field of init=zeros 'gain'" in refused(*words)
    plan = sweep(*words, "sweep.exclude=[{init:zeros}]")
    assert plan.product == "init (3) x init.gain (2) = 6, 2 excluded" and len(plan.runs) == 4


def test_the_words_on_axes_are_no_part_of_a_runs_identity() -> None:
    plain = sweep("init=xavier,lecun", "act=relu,tanh")
    less = sweep(
        "init=xavier,lecun", "act=relu,tanh", "sweep.exclude=[{init:lecun,act:tanh}]", "sweep.roles={act:nuisance}"
    )
    assert {run.key for run in less.runs} < {run.key for run in plain.runs} and less.folder != plain.folder
    assert sweep("init=xavier,lecun", "act=relu,tanh", "sweep.roles={act:nuisance}").id == plain.id


# --- limits -----------------------------------------------------------------------------------------------------------


def test_max_runs_counts_what_is_left() -> None:
    words = ("init=xavier,lecun", "seed=range(6)", "sweep.max_runs=8")
    assert "init (2) x seed (6) = 12 runs: more than sweep.max_runs=8" in refused(*words)
    assert len(sweep(*words, "sweep.exclude=[{init:lecun,seed:[0,1,2,3]}]").runs) == 8
    few = refused(*words, "sweep.exclude=[{init:lecun,seed:0}]")
    assert "init (2) x seed (6) = 12 runs, 1 excluded: more than sweep.max_runs=8" in few
    zipped = ("optimizer.lr=0.1,0.2,0.3", "seed=0,1,2", "sweep.zip=[[optimizer.lr,seed]]", "sweep.max_runs=3")
    assert len(sweep(*zipped).runs) == 3


def test_a_billion_combinations_are_counted_and_not_gone_through() -> None:
    words = ("seed=range(10000)", "optimizer.lr=range(0.0001,1,0.0001)", "dataset.seed=range(10)")
    assert "= 999900000 runs: more than" in refused(*words, "sweep.exclude=[{seed:0}]")
    design = Design.of([["a", "b"]], {"a": 10**6, "c": 10**6, "b": 10**6})
    assert design.total == 10**12 and design.words == "a & b (1000000) x c (1000000)"


# --- refusals ---------------------------------------------------------------------------------------------------------

REFUSED: dict[tuple[str, ...], str] = {
    ("sweep.exclude=[{at:relu}]",): "sweep.exclude[0]: no axis 'at'. Known: act, seed. Did you mean act?",
    ("sweep.exclude=[{act:relu},{act:tahn}]",): "sweep.exclude[1].act=tahn: not on the axis act: relu, tanh. "
    "Did you mean tanh?",
    ("sweep.exclude=[{seed:true}]",): "sweep.exclude[0].seed=True: not on the axis seed: 0, 1, 2.",
    ("sweep.exclude=[{seed:[0,9]}]",): "sweep.exclude[0].seed=9: not on the axis",
    ("sweep.exclude=[{seed:[]}]",): "sweep.exclude[0].seed=[]: not on the axis",
    ("sweep.exclude=[{act:[relu,tanh]}]",): "sweep.exclude: leaves none of the 6 runs of act (2) x seed (3).",
    ("sweep.exclude=[act]",): "sweep.exclude takes a list of combinations such as [{init: kaiming",
    ("sweep.exclude=[{}]",): "sweep.exclude takes a list of combinations",
    ("sweep.zip=[[act,seed]]",): "sweep.zip[0]: axes that advance together need as many values each; "
    "act has 2, seed has 3.",
    ("sweep.zip=[[act,sede]]",): "sweep.zip[0]: no axis 'sede'. Known: act, seed. Did you mean seed?",
    ("init=xavier,lecun", "sweep.zip=[[act,init],[init,act]]"): "sweep.zip[1]: init is zipped twice",
    ("sweep.zip=[act,seed]",): "sweep.zip takes a list of lists of at least two axes",
    ("sweep.zip=[[act]]",): "sweep.zip takes a list of lists of at least two axes",
    ("init=xavier,lecun", "sweep.zip=[[act,init]]", "sweep.exclude=[{act:relu,init:lecun}]"): (
        "sweep.exclude[0]={act: relu, init: lecun}: matches no run, as act & init advance together."
    ),
    ("sweep.roles={actt:nuisance}",): "sweep.roles: no axis 'actt'. Known: act, seed. Did you mean act?",
    ("sweep.roles={act:noise}",): "sweep.roles takes null or axes with a role each (scientific, nuisance, repeat)",
    ("sweep.roles={act:nuisanc}",): "such as {arch.depth: nuisance}. Did you mean nuisance?",
    ("sweep.roles={act:[repeat]}",): "sweep.roles takes null or axes with a role each",
}


@pytest.mark.parametrize("words", REFUSED, ids=" ".join)
def test_words_that_do_not_fit_the_axes_are_refused(words: tuple[str, ...]) -> None:
    assert REFUSED[words] in refused("act=relu,tanh", "seed=0,1,2", *words)


@pytest.mark.parametrize("word", ["sweep.exclude=[{act:relu}]", "sweep.zip=[[act,init]]", "sweep.roles={act:nuisance}"])
def test_words_on_axes_need_axes(word: str) -> None:
    assert f"{word}: is about the axes of a sweep, and a single run has none: add -m." in refused(word, multirun=False)
    assert "no axis" in refused(word)
    make(COMPOSER, [word.partition("=")[0] + "=null" if "roles" in word else "sweep.zip=[]"], multirun=False)


# --- presets ----------------------------------------------------------------------------------------------------------

PARAMS = "params: {init: 'xavier,kaiming', act: 'relu,tanh', seed: 'range(2)'"
PRESETS = {
    "section": f"hydra: {{sweeper: {{{PARAMS}}}}}}}\n"
    "sweep: {exclude: [{init: kaiming_normal, act: tanh}], zip: [], roles: {act: nuisance}}",
    "params": f"hydra: {{sweeper: {{{PARAMS}, sweep.exclude: [{{init: kaiming, act: [tanh]}}], "
    "sweep.roles: {act: nuisance}}}}",
    "text": f"hydra: {{sweeper: {{{PARAMS}, sweep.exclude: '[{{init:kaiming,act:tanh}}]', "
    "sweep.roles: '{act:nuisance}'}}}",
}


@pytest.fixture(scope="module")
def presets(tmp_path_factory: pytest.TempPathFactory) -> Composer:
    folder = tmp_path_factory.mktemp("conf")
    (folder / "experiment").mkdir()
    for name, text in PRESETS.items():
        (folder / "experiment" / f"{name}.yaml").write_text(f"# @package _global_\n{text}\n")
    return Composer(ROOT / "conf", extra=folder)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_may_hold_them_and_the_command_wins(presets: Composer, name: str) -> None:
    plan = sweep(f"+experiment={name}", composer=presets)
    assert len(plan.runs) == 6 and plan.product.endswith("= 8, 2 excluded")
    assert {axis.name: axis.role for axis in plan.axes} == {"init": "scientific", "act": "nuisance", "seed": "repeat"}
    assert len(sweep(f"+experiment={name}", "sweep.exclude=[]", "sweep.zip=[[act,seed]]", composer=presets).runs) == 4
    assert len(make(presets, [f"+experiment={name}"], multirun=False).runs) == 1  # its axes are not asked for either


# --- one sweep, one name ----------------------------------------------------------------------------------------------


@settings(max_examples=5, deadline=None)
@given(
    st.permutations(["init=xavier,kaiming", "optimizer.lr=0.5,1", "act=relu,tanh", "seed=0,1", "dataset.val=0.2,0.1"])
)
def test_the_order_of_the_words_is_no_matter(words: list[str]) -> None:
    spelled = ["init=kaiming_normal,xavier_normal" if word.startswith("init") else word for word in words]
    spelled = ["optimizer.lr=1.0,5e-1" if word.startswith("optimizer") else word for word in spelled]
    one, two = sweep(*words), sweep(*spelled)
    assert one.id == two.id and one.folder == two.folder
    assert {run.key: run.name for run in one.runs} == {run.key: run.name for run in two.runs}
    assert [axis.name for axis in one.axes] == ["init", "act", "dataset.val", "optimizer.lr", "seed"]
    assert [list(run.choices) for run in two.runs] == [[axis.name for axis in two.axes]] * 32


def test_a_single_run_is_named_by_what_is_not_the_default() -> None:
    def name(*words: str) -> str:
        (run,) = make(COMPOSER, words, multirun=False).runs
        return run.name

    assert name() == name("init=kaiming_normal", "seed=0", "optimizer.lr=1e-1") == "digits,mlp,relu,kaiming,sgd"
    assert name("seed=1", "arch.depth=2") == name("arch.depth=2", "seed=1") == f"{name()},arch.depth=2,seed=1"
    assert name("seed=3", "order_seed=5", "optimizer.lr=1") == f"{name()},optimizer.lr=1,seed=3,order_seed=5"
    assert name("trainer.save_weights=false", "trainer.max_epochs=2") == f"{name()},trainer.max_epochs=2"


def test_a_law_of_no_spread_is_cautioned_of() -> None:
    assert "init=normal init.std=0 never breaks the symmetry" in sweep("init=normal", "init.std=0,1").notes[0]
    assert sweep("init=normal", "init.std=1,2").notes == ()


# --- the real command -------------------------------------------------------------------------------------------------

ASKED = [
    *("-m", "seed=0,1", "init=xavier,kaiming", "arch.depth=1,2", "trainer.max_epochs=1,2", "arch.width=8"),
    *("sweep.zip=[[arch.depth,trainer.max_epochs]]", "sweep.exclude=[{init:kaiming_normal,arch.depth:2}]"),
    *("sweep.roles={arch.depth:nuisance}", "trainer.accelerator=cpu", "hydra.sweep.dir=here"),
]


def test_the_command_shows_trains_and_keeps_what_was_declared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def command(*words: str, code: int = 0) -> str:
        assert main(ROOT, words) == code
        printed = capsys.readouterr()
        return printed.out + printed.err

    summary = "6 runs: init (2) x arch.depth & trainer.max_epochs (2) x seed (2) = 8, 2 excluded, in 2 groups -> here\n"
    planned = command(*ASKED, "sweep.dry_run=true")
    assert planned.startswith(summary) and "would write here/" in planned and not Path("here").exists()
    assert (
        "init: scientific, xavier, kaiming\narch.depth: nuisance, 1, 2\ntrainer.max_epochs: nuisance, 1, 2\n" in planned
    )
    assert "seed: repeat, 0, 1\n" in planned

    assert command(*ASKED).startswith(summary)
    described = json.loads(Path("here/sweep.json").read_text())
    assert {axis["name"]: axis["role"] for axis in described["axes"]} == {
        "init": "scientific",
        "arch.depth": "nuisance",
        "trainer.max_epochs": "nuisance",
        "seed": "repeat",
    }
    assert described["zips"] == [["arch.depth", "trainer.max_epochs"]]
    records = read_folder(Path("here")).records
    assert len(records) == 6 and all(r["axes"]["arch.depth"] == r["axes"]["trainer.max_epochs"] for r in records)
    assert not [r for r in records if r["axes"]["init"] == "kaiming" and r["axes"]["arch.depth"] == 2]

    assert "all 6 are done already in here. Nothing would be trained." in command(*ASKED, "sweep.dry_run=true")
    before = Path("here/sweep.json").read_text()
    assert "all of them are done already" in command(*ASKED)
    assert Path("here/sweep.json").read_text() == before
    command(*(word for word in ASKED if not word.startswith("sweep.roles")))
    assert json.loads(Path("here/sweep.json").read_text())["axes"][1]["role"] == "scientific"

    other = command(*(word.replace("seed=0,1", "seed=0,7") for word in ASKED), code=2)
    assert "holds another sweep (6 runs; this one: 6; seed=1 only there, seed=7 only here)" in other
    other = command(*ASKED, "optimizer.lr=0.3", code=2)
    assert "(6 runs; this one: 6; optimizer.lr=0.1 there and 0.3 here)" in other
    other = command(*ASKED, "act=relu,tanh", code=2)
    assert "act=relu,tanh only here" in other
    grown = command(*(word for word in ASKED if "exclude" not in word))
    assert grown.startswith("8 runs") and len(read_folder(Path("here")).records) == 8
