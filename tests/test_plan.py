"""What a plan promises of its runs: their names, keys, stacks and folder."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from hydra.core.override_parser.types import Quote, QuotedString
from hypothesis import example, given, settings
from hypothesis import strategies as st

from initlab.config import Config
from initlab.planning import plan as planning
from initlab.planning.compose import Composer
from initlab.planning.plan import NAME_LENGTH, Plan, make
from initlab.specs import PER_RUN

COMPOSER = Composer(Path(__file__).resolve().parent.parent / "conf")

SAFE = r"[A-Za-z0-9_=,+][A-Za-z0-9._=,+-]*"


def sweep(*words: str) -> Plan:
    return make(COMPOSER, words, multirun=True)


def key(*words: str) -> str:
    (run,) = make(COMPOSER, words, multirun=False).runs
    return run.key


# --- the folder -------------------------------------------------------------------------------------------------------


def test_the_same_command_gives_the_same_plan() -> None:
    words = ("init=xavier,kaiming", "act=relu,tanh", "seed=range(3)")
    one, two = sweep(*words), sweep(*words)
    assert one == two and len(one.runs) == 12
    assert one.folder.parent == Path("outputs") and one.folder.name.startswith("init-act-seed-")


def test_the_order_of_values_is_no_matter_and_that_of_axes_is_one_of_names() -> None:
    one = sweep("init=xavier,kaiming", "act=relu,tanh", "optimizer.lr=0.1,0.01")
    two = sweep("init=kaiming,xavier", "act=tanh,relu", "optimizer.lr=0.01,0.1")
    assert one.folder == two.folder and one.id == two.id
    other = sweep("optimizer.lr=0.01,0.1", "act=tanh,relu", "init=kaiming,xavier")
    assert {run.key for run in one.runs} == {run.key for run in two.runs} == {run.key for run in other.runs}


def test_other_runs_get_another_folder() -> None:
    folders = {
        sweep("init=xavier,kaiming", f"act={act}", f"seed={seed}").folder for act in ("relu", "tanh") for seed in (0, 1)
    }
    assert len(folders) == 4 and all(folder.name.startswith("init-") for folder in folders)


def test_a_single_run_is_named_after_its_options() -> None:
    plan = make(COMPOSER, ["act=tanh"], multirun=False)
    assert [run.name for run in plan.runs] == ["digits,mlp,tanh,kaiming,sgd"]
    assert plan.folder.name.startswith("digits-mlp-tanh-kaiming-sgd-") and plan.axes == ()


def test_a_folder_can_be_given() -> None:
    assert make(COMPOSER, ["hydra.run.dir=a/${init.name}"], multirun=False).folder == Path("a/kaiming")
    assert sweep("seed=0,1", "hydra.sweep.dir=/there").folder == Path("/there")


def test_the_main_job() -> None:
    plan = sweep("init=xavier,kaiming", "act=relu,tanh")
    assert [run.name for run in plan.runs] == [
        f"init={i},act={a}" for i in ("xavier", "kaiming") for a in ("relu", "tanh")
    ]
    assert [[run.choices["act"] for run in stack.runs] for stack in plan.stacks] == [["relu"] * 2, ["tanh"] * 2]
    assert re.fullmatch(r"outputs/init-act-[0-9a-f]{8}", str(plan.folder))


# --- runs -------------------------------------------------------------------------------------------------------------


def test_two_names_of_a_scheme_are_one_run() -> None:
    plan = sweep("init=xavier,xavier_normal", "seed=0,1")
    assert [run.name for run in plan.runs] == ["init=xavier,seed=0", "init=xavier,seed=1"]
    assert plan.notes == ("init=xavier_normal is init=xavier: 2 runs, trained once and listed under the latter.",)
    assert sweep("init.gain=1,1.0").notes[0].startswith("init.gain=1.0 is init.gain=1: 1 run, trained once")


def test_nets_without_hidden_layers_are_one_net() -> None:
    assert len(sweep("arch.depth=0", "arch.width=8,16").runs) == 1
    assert len(sweep("arch.sizes=[],[8],[8,16]").runs) == 3


def test_a_scheme_that_keeps_its_units_equal_is_cautioned_of() -> None:
    notes = sweep("init=zeros,ones,constant,kaiming", "seed=0,1").notes
    assert [note.split()[:2] for note in notes] == [["warning:", f"init={s}"] for s in ("constant", "ones", "zeros")]


def test_schemes_meet_the_same_seeds() -> None:
    """Runs are paired: what differs between two schemes at one seed is the scheme."""
    plan = sweep("init=xavier,kaiming", "seed=0,1,2")
    met = {
        init: [(run.config["init_seed"], run.config["order_seed"]) for run in plan.runs if run.choices["init"] == init]
        for init in ("xavier", "kaiming")
    }
    assert met["xavier"] == met["kaiming"] == [(0, 0), (1, 1), (2, 2)]


def test_one_seed_can_vary_alone() -> None:
    plan = sweep("init_seed=0,1,2", "seed=7")
    assert [(run.config["init_seed"], run.config["order_seed"]) for run in plan.runs] == [(0, 7), (1, 7), (2, 7)]
    assert key("seed=5") == key("init_seed=5", "order_seed=5") != key("init_seed=5")


def test_the_roles_of_axes() -> None:
    plan = sweep(
        "init=xavier,kaiming",
        "optimizer.lr=0.1,0.2",
        "seed=0,1",
        "trainer.max_epochs=1,2",
        "dataset.seed=0,1",
        "dataset=gaussian",
    )
    assert {axis.name: axis.role for axis in plan.axes} == {
        "init": "scientific",
        "optimizer.lr": "nuisance",
        "seed": "repeat",
        "trainer.max_epochs": "nuisance",
        "dataset.seed": "repeat",
    }


@settings(max_examples=10, deadline=None)
@given(st.lists(st.text(max_size=150).filter(lambda text: "${" not in text), min_size=2, max_size=6, unique=True))
@example(["a b", "a-b", "A-b", "a" * 150, "a" * 149 + "b"])
def test_names_are_folders_and_unique(patterns: list[str]) -> None:
    """A value may be any text, here the globs of a rule: the runs' names stay apart, and are names on any disk."""
    values = ",".join(f"[{{param:{QuotedString(text, Quote.single).with_quotes()},name:zeros}}]" for text in patterns)
    names = [run.name for run in sweep(f"init.rules={values}").runs]
    assert len(set(map(str.lower, names))) == len(patterns)
    for name in names:
        assert re.fullmatch(SAFE, name) and len(name) <= NAME_LENGTH + 9


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_text_makes_a_safe_name(text: str) -> None:
    safe = planning.safe(text)
    assert re.fullmatch(SAFE, safe) and len(safe) <= NAME_LENGTH


@settings(max_examples=10, deadline=None)
@given(st.lists(st.floats(min_value=0, exclude_min=True, allow_infinity=False), min_size=2, max_size=20, unique=True))
def test_each_float_is_a_run_of_its_own(rates: list[float]) -> None:
    plan = sweep(f"optimizer.lr={','.join(map(repr, rates))}")
    assert [run.config["optimizer"]["lr"] for run in plan.runs] == rates
    assert len({run.name for run in plan.runs}) == len({run.key for run in plan.runs}) == len(rates)


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "word",
    [
        *("trainer.accelerator=cpu", "trainer.log_every_n_steps=3", "trainer.save_weights=false"),
        *("sweep.stack_width=1", "sweep.max_runs=7", "sweep.dry_run=true", "sweep.fresh=true"),
        *("hydra.run.dir=elsewhere", "init=kaiming_normal", "optimizer.lr=1e-1", "init_seed=0"),
        "arch.sizes=[128,128,128,128]",
    ],
)
def test_a_key_ignores_where_a_run_is_trained_and_what_is_written(word: str) -> None:
    assert key(word) == key()


DECIDING = [
    *("optimizer.lr=0.2", "optimizer.weight_decay=0.1", "optimizer.schedule=cosine", "optimizer=adam", "act=tanh"),
    *("trainer.precision=float64", "trainer.max_epochs=3", "trainer.max_steps=3", "seed=1", "init_seed=1"),
    *("order_seed=1", "dataset.batch_size=64", "dataset.split_seed=1", "dataset.val=0.2"),
    "dataset.standardize=feature",
    *("dataset=gaussian", "dataset=gaussian dataset.seed=1", "arch.depth=3", "arch.norm=batch", "init.gain=2"),
    *("init=xavier", "init.bias=uniform", "init.rules=[{layer:linear,name:zeros}]", ""),
]


def test_a_key_tells_apart_whatever_decides_the_numbers() -> None:
    assert len({key(*words.split()) for words in DECIDING}) == len(DECIDING)


def test_the_data_are_part_of_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key()
    monkeypatch.setattr(planning, "fingerprint", lambda option: 64 * "0")
    assert key() != before


def test_a_sweep_that_grows_keeps_the_keys_that_it_had() -> None:
    small, large = (
        {run.key for run in sweep(*words).runs} for words in (["seed=0,1"], ["seed=0,1,2", "act=relu,tanh"])
    )
    assert small < large


# --- stacks -----------------------------------------------------------------------------------------------------------


def shared(config: Config) -> Config:
    """What one program has one of: all but the weights' law, the seeds, and what the optimizer has for each run."""
    optimizer = {name: value for name, value in config["optimizer"].items() if name not in PER_RUN}
    return {name: config[name] for name in ("dataset", "arch", "act", "trainer")} | {"optimizer": optimizer}


def test_a_stack_holds_runs_of_one_shape_and_activation() -> None:
    plan = sweep(
        *("init=xavier,kaiming,orthogonal", "act=relu,tanh", "arch.depth=1,2", "optimizer.lr=0.1,0.2", "seed=range(3)"),
        *("optimizer=sgd,adam", "sweep.stack_width=7"),
    )
    for stack in plan.stacks:
        assert 1 <= len(stack.runs) <= 7
        assert all(shared(run.config) == shared(stack.config) for run in stack.runs)
    runs = list(itertools.chain.from_iterable(stack.runs for stack in plan.stacks))
    assert sorted(run.key for run in runs) == sorted(run.key for run in plan.runs) and len(runs) == 144
    # 8 kinds of 18 runs in 3 stacks of 6 each: as few as hold them, as even as can be
    assert [len(stack.runs) for stack in plan.stacks] == [6] * 24
    assert len({stack.id for stack in plan.stacks}) == 24


@pytest.mark.parametrize("axis", ["arch.width=8,16", "dataset.seed=0,1", "trainer.max_epochs=1,2"])
def test_runs_of_other_shapes_data_or_length_are_other_stacks(axis: str) -> None:
    assert len(sweep("dataset=gaussian", axis).stacks) == 2


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 40), st.integers(1, 12))
@example(40, 12)
@example(7, 1)
def test_stacks_are_few_and_even(count: int, width: int) -> None:
    plan = sweep(f"seed=range({count})", f"sweep.stack_width={width}")
    sizes = [len(stack.runs) for stack in plan.stacks]
    assert sum(sizes) == count and len(sizes) == -(-count // width) and max(sizes) - min(sizes) <= 1


def test_what_trains_nothing_is_cut_unmeasured() -> None:
    """There is no update to be timed; what trains is open until that is done, and a width that is given holds."""
    words = ("seed=range(40)", "arch.width=8")
    assert [len(s.runs) for s in sweep(*words, "trainer.max_steps=0").stacks] == [13, 13, 14]
    assert not any(s.open for s in sweep(*words, "trainer.max_steps=0").stacks)
    assert [s.open for s in sweep(*words, "trainer.max_steps=1").stacks] == [True]
    assert [len(s.runs) for s in sweep(*words, "trainer.max_steps=0", "sweep.stack_width=20").stacks] == [20, 20]


def test_a_stack_is_known_by_its_runs() -> None:
    one, two = sweep("seed=0,1"), sweep("seed=0,1", "trainer.save_weights=false")
    assert [s.id for s in one.stacks] == [s.id for s in two.stacks] != [s.id for s in sweep("seed=0,2").stacks]
