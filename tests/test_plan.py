"""A plan: which runs, under which keys and names, in which stacks and folder."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from initlab import plan as planning
from initlab.compose import Composer
from initlab.plan import Plan

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer(ROOT / "conf")


def plan(composer: Composer, *words: str) -> Plan:
    return planning.make(composer, words, multirun=True)


def keys(made: Plan) -> list[str]:
    return [run.key for run in made.runs]


def test_the_main_job(composer: Composer) -> None:
    made = plan(composer, "init=xavier,kaiming", "act=relu,tanh")
    assert [run.name for run in made.runs] == [
        f"init={i},act={a}" for i in ("xavier", "kaiming") for a in ("relu", "tanh")
    ]
    assert [[run.choices["act"] for run in stack.runs] for stack in made.stacks] == [["relu"] * 2, ["tanh"] * 2]
    assert re.fullmatch(r"outputs/act-init-[0-9a-f]{8}", str(made.folder))
    assert len(set(keys(made))) == 4


def test_order_of_axes_and_values_is_no_part_of_what_a_sweep_is(composer: Composer) -> None:
    one = plan(composer, "init=xavier,kaiming", "seed=range(3)")
    other = plan(composer, "seed=2,1,0", "init=kaiming,xavier")
    assert one.id == other.id and one.folder == other.folder
    assert {run.key for run in one.runs} == {run.key for run in other.runs}


def test_growing_a_sweep_keeps_the_keys_of_what_it_had(composer: Composer) -> None:
    assert set(keys(plan(composer, "seed=0,1"))) < set(keys(plan(composer, "seed=0,1,2", "init=kaiming,zeros")))


def test_no_hidden_layers_have_no_width(composer: Composer) -> None:
    assert len(plan(composer, "arch.depth=0", "arch.width=8,16").runs) == 1
    assert len(plan(composer, "arch.sizes=[],[8],[8,16]").runs) == 3


def test_two_names_of_a_scheme_are_one_run(composer: Composer) -> None:
    made = plan(composer, "init=xavier,xavier_normal", "seed=0,1")
    assert [run.name for run in made.runs] == ["init=xavier,seed=0", "init=xavier,seed=1"]
    assert made.notes == ("init=xavier_normal is init=xavier: 2 runs, trained once and listed under the latter.",)


def test_schemes_that_keep_the_symmetry_are_warned_about(composer: Composer) -> None:
    notes = plan(composer, "init=zeros,ones,constant,kaiming").notes
    assert [note.split()[1] for note in notes] == ["init=constant", "init=ones", "init=zeros"]


@pytest.mark.parametrize(
    "word",
    [
        "optimizer.lr=0.2",
        "optimizer.momentum=0.9",
        "trainer.precision=float64",
        "trainer.max_epochs=3",
        "trainer.max_steps=3",
        "dataset.split_seed=1",
        "dataset.batch_size=64",
        "dataset.standardize=true",
        "seed=1",
        "init_seed=1",
        "order_seed=1",
        "init.mode=fan_out",
        "init.bias=uniform",
        "arch.width=64",
        "act=tanh",
        "init.rules=[{layer: linear, name: zeros}]",
    ],
)
def test_what_decides_the_numbers_decides_the_key(composer: Composer, word: str) -> None:
    assert keys(plan(composer, word)) != keys(plan(composer))


@pytest.mark.parametrize(
    "word",
    [
        "trainer.accelerator=cpu",
        "trainer.log_every_n_steps=1",
        "trainer.save_weights=false",
        "sweep.stack_width=2",
        "hydra.sweep.dir=elsewhere",
        "init_seed=0",
        "init=kaiming_normal",
        "arch.sizes=[128,128,128,128]",
    ],
)
def test_what_does_not_decide_them_leaves_the_key(composer: Composer, word: str) -> None:
    assert keys(plan(composer, word)) == keys(plan(composer))


def test_the_data_are_part_of_the_key(composer: Composer, monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys(plan(composer))
    monkeypatch.setattr(planning, "load", lambda option: SimpleNamespace(fingerprint="0" * 64))
    assert keys(plan(composer)) != before


def test_stacks_share_what_they_must_and_are_even(composer: Composer) -> None:
    made = plan(composer, "seed=range(35)", "act=relu,tanh", "optimizer.lr=0.1,0.01", "sweep.stack_width=64")
    assert sorted(len(stack.runs) for stack in made.stacks) == [35, 35, 35, 35]
    assert all(len({run.config["act"]["name"] for run in stack.runs}) == 1 for stack in made.stacks)
    assert {run.config["optimizer"]["lr"] for run in made.stacks[0].runs} == {0.1, 0.01}
    assert sorted(run.key for stack in made.stacks for run in stack.runs) == sorted(keys(made))


@pytest.mark.parametrize(
    "word", ["arch.width=8,16", "optimizer=sgd,adam", "dataset.seed=0,1", "trainer.max_epochs=1,2"]
)
def test_runs_of_other_shapes_data_or_length_are_other_stacks(composer: Composer, word: str) -> None:
    assert len(plan(composer, "dataset=gaussian", word).stacks) == 2


@settings(max_examples=50)
@given(st.lists(st.floats(1e-30, 1e30), min_size=1, max_size=4, unique=True))
def test_names_are_safe_and_unique(values: list[float]) -> None:
    made = plan(
        Composer(ROOT / "conf"), f"optimizer.lr={','.join(map(repr, values))}" if len(values) > 1 else "seed=0,1"
    )
    names = [run.name for run in made.runs]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_=,+][A-Za-z0-9._=,+-]{0,119}", name) for name in names)


@given(st.text(max_size=300))
def test_any_text_makes_a_safe_name(text: str) -> None:
    safe = planning._safe(text)
    assert re.fullmatch(r"[A-Za-z0-9_=,+][A-Za-z0-9._=,+-]{0,119}", safe)
