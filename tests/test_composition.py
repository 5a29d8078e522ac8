"""The plan equals what Hydra composes, or both refuse; and Hydra is asked for few jobs of a large sweep."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl

from composition import CONF, Judge, Request, draw, exactly, write_configs
from initlab.errors import Refused
from initlab.planning.axes import read
from initlab.planning.compose import Composer
from initlab.planning.product import jobs
from initlab.specs import ACTS


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    return Judge(write_configs(tmp_path_factory.mktemp("conf")))


def verdicts(judge: Judge, seeds: range) -> Counter[str]:
    """How many lists fared how; a list on which the two disagree fails the test and is named."""
    return Counter(judge.verdict(draw(Random(seed))) for seed in seeds)


@pytest.mark.parametrize("part", range(4))
def test_the_plan_equals_what_hydra_composes_or_both_refuse(judge: Judge, part: int) -> None:
    """A few lists at random, beside those below that have each mechanism; `make battery` tries two thousand."""
    counted = verdicts(judge, range(10 * part, 10 * (part + 1)))
    assert counted["agreed"] >= 5, counted


@pytest.mark.battery
@pytest.mark.parametrize("part", range(40))
def test_the_law_holds_for_two_thousand_lists(judge: Judge, part: int) -> None:
    counted = verdicts(judge, range(1000 + 50 * part, 1000 + 50 * (part + 1)))
    print(dict(counted))
    assert counted["agreed"] >= 25 and counted["exempt"] <= 8, counted


AGREED = [
    # which file an option stands for, and whom it drags along
    ("-m", "init=xavier.yaml,zeros"),
    ("-m", "init=everywhere,xavier", "act=relu,gelu"),
    ("-m", "init=pulling,xavier", "seed=1,2"),
    ("-m", "act=elsewhere,relu", "trainer.max_steps=1,2"),
    ("-m", "optimizer=staying,sgd", "act=relu,moving"),  # the data set moves in one of the four jobs alone
    ("-m", "+experiment=plain,values", "act=relu,gelu", "init.bias=zeros,uniform"),
    ("-m", "+experiment=aside", "act=relu,gelu", "init=xavier,zeros"),
    ("-m", "init=choosing,xavier", "optimizer=sgd"),
    ("-m", "act=choosing,relu", "init=xavier,zeros"),
    ("-m", "init='${act}'", "act=relu,gelu", "seed=1,2"),
    ("-m", "init='${act}',xavier", "act=relu,gelu"),
    ("-m", "+extra='${act}'", "act=relu,tanh", "seed=1,2"),
    ("-m", "+experiment=asking", "+experiment@two=bare", "extra=relu,tanh"),
    # one key, several words: the last word of a sweep counts, at the place of the first
    ("-m", "init={bias:uniform}", "init={bias_value:{x:1}}"),
    ("init={bias:uniform}", "init={bias_value:{x:1}}"),
    ("-m", "seed=1,2", "init.gain=1", "init.gain=2"),
    ("-m", "+experiment=axes", "act=relu,tanh", "init=zeros,ones"),
    ("-m", "+experiment=axes", "seed=7", "init=zeros"),
    ("+experiment=axes",),
    ("+experiment=mode", "act=tanh"),
    ("-m", "+experiment=linked_axes", "optimizer.lr=1"),
    # values and their types: text goes through Hydra's grammar twice in a sweep, once in a single run
    ("seed=str(10)",),
    ("-m", "seed=str(10)"),
    ("-m", "seed=str(10),2"),
    ("-m", "init.gain='a, b',\"it's\",null,1.0,1,true,1e-3,inf"),
    ("-m", "+text='\\${seed}','$\\{seed\\}',a\\,b", "seed=1,2"),
    ("-m", "arch.sizes=[8,4],null,[]", "seed=1,2"),
    ("-m", "arch.depth=???,2", "arch.sizes=null,1"),
    ("-m", "init=blank,xavier", "seed=1,2"),
    # values that point at others or at a whole group, into which more is merged
    ("-m", "seed=1,2", "order_seed=${seed},5", "+copy=${init}"),
    ("-m", "act=pointing,relu", "init=pointing,xavier", "optimizer.lr=0.1,0.2"),
    ("-m", "+experiment=node_link", "+later=node", "init=xavier,kaiming", "seed=1,2"),
    ("-m", "+experiment=node_link", "init.gain=1,2", "++act.gain=5"),
    ("-m", "+experiment=node_link", "++act.gain=5", "init.gain=1,2"),
    ("-m", "+experiment=node_link", "++act.gain=5,6", "init.gain=1,2"),
    # links that are resolved once the pieces are together, and what would look through them before
    ("-m", "+experiment=links", "seed=1,2", "act=relu,tanh", "init=pointing,xavier"),
    ("-m", "dataset=small,digits", "seed=${trainer.max_epochs},2", "order_seed=${seed}", "act=pointing,relu"),
    ("-m", "init=pointing,lecun", "optimizer=linked,sgd", "init.gain=1,${seed}", "seed=1,2"),
    ("-m", "arch.sizes=[${arch.depth}]", "arch.depth=1,2", "act=relu,tanh"),
    ("-m", "+copy=${init}", "init=xavier,kaiming", "init.gain=1,2"),
    ("-m", "+copy=${init.name}", "init=xavier,kaiming", "~seed=0"),
    ("-m", "+text='\\${seed}'", "order_seed=${seed}", "seed=1,2", "init=xavier,zeros"),
    # keys added and removed
    ("-m", "+new.key=1,[1],{a:1}", "init=xavier,zeros", "seed=1,2"),
    ("-m", "++init.gain=1,2", "init=zeros,xavier"),
    ("-m", "~optimizer.momentum", "seed=1,2", "act=relu,gelu"),
    ("-m", "~act", "init=xavier,zeros"),
    ("-m", "+init@other=xavier,zeros", "init=xavier,zeros"),
    ("-m", "++init={gain:1},{gain:2}", "seed=1,2"),
    ("-m", "init.gain=1,2", "init={gain:3},{bias:uniform}"),
    ("-m", "init.gain=1,2", "init={gain:3},xavier"),
]


@pytest.mark.parametrize("words", AGREED, ids=" ".join)
def test_hydra_and_the_plan_agree(judge: Judge, words: tuple[str, ...]) -> None:
    assert judge.verdict(request(words)) == "agreed"


BOTH_REFUSE = [
    ("-m", "init=xavier,xaveir"),
    ("-m", "init=zeros,xavier", "init.gain=1,2"),
    ("-m", "init=short", "init.gain=1"),
    ("-m", "act=relu,gelu", "+copy=${act.name}", "~copy=relu"),
    ("-m", "act=relu,gelu", "~act=relu,gelu"),
    ("-m", "+experiment=asking", "seed=1,2"),
    ("-m", "init='${act}'", "act=relu,selu"),
    ("-m", "seed=${no.such},1"),
    ("-m", "init=null,xavier"),
    ("-m", "init.rules.0=1,2"),
    ("init.rules=[1,2", "seed=1"),
    ("+x=${x}",),
    ("act=broken",),
    ("-m", "act=relu,broken", "seed=1,2"),
    ("-m", "+experiment=lost_axes"),
]


@pytest.mark.parametrize("words", BOTH_REFUSE, ids=" ".join)
def test_hydra_and_the_plan_both_refuse(judge: Judge, words: tuple[str, ...]) -> None:
    assert judge.verdict(request(words)) == "both refused"


EXEMPT = [
    ("-m", "seed=1,2", "seed=3"),
    ("-m", "init.gain=1,2,1"),
    ("-m", "act=glob(nothing*)"),
    ("-m", "seed=range(0)"),
    ("hydra.verbose=true",),
]


@pytest.mark.parametrize("words", EXEMPT, ids=" ".join)
def test_what_hydra_would_do_twice_or_never_is_refused(judge: Judge, words: tuple[str, ...]) -> None:
    assert judge.verdict(request(words)) == "exempt"


def request(words: tuple[str, ...]) -> Request:
    return Request(tuple(word for word in words if word != "-m"), "-m" in words)


def test_hydra_composes_a_dozen_jobs_of_twelve_hundred(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call of Hydra's loader costs fifty milliseconds, so they are counted; the jobs are as right as ever."""
    acts = "identity,relu,leaky_relu,tanh,sigmoid,gelu,silu,selu"
    words = ("init=xavier,kaiming", f"act={acts}", "optimizer.lr=0.1,0.01,0.001", "seed=range(25)")
    calls: Counter[str] = Counter()
    for name in ("load_configuration", "compute_defaults_list"):
        original = getattr(ConfigLoaderImpl, name)

        def counted(*args: object, name: str = name, original: object = original, **options: object) -> object:
            calls[name] += 1
            return original(*args, **options)  # type: ignore[operator]

        monkeypatch.setattr(ConfigLoaderImpl, name, counted)
    composer = Composer(CONF)
    ours = list(jobs(composer, read(composer, words, multirun=True)))
    assert len(ours) == 1200 and sum(calls.values()) <= 24, calls
    judge = Judge()
    theirs = judge.jobs(Request(words, multirun=True))
    for i in Random(0).sample(range(1200), 8):
        assert exactly(ours[i].raw) == exactly(judge.compose(theirs[i]))
        assert ours[i].raw["seed"] == ours[i].choices["seed"]


def test_links_cost_no_composition_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """A preset's order_seed points at the seed, an override at the option: still one composition an option."""
    composer = Composer(CONF)
    calls = []
    original = Composer._load
    monkeypatch.setattr(Composer, "_load", lambda *args, **options: calls.append(1) or original(*args, **options))
    words = ("init=xavier,kaiming", "act=glob(*)", "seed=range(10)", "order_seed=${seed}", "+label=${init.name}")
    ours = list(jobs(composer, read(composer, words, multirun=True)))
    assert len(ours) == 2 * len(ACTS) * 10 and len(calls) <= len(ACTS) + 4
    assert all(job.raw["order_seed"] == job.choices["seed"] for job in ours)
    assert {job.raw["label"] for job in ours if job.choices["init"] == "xavier"} == {"xavier"}


def test_a_single_run_is_composed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    composer = Composer(CONF)
    calls = []
    original = ConfigLoaderImpl.load_configuration
    monkeypatch.setattr(
        ConfigLoaderImpl, "load_configuration", lambda *args, **options: calls.append(1) or original(*args, **options)
    )
    (job,) = jobs(composer, read(composer, ["init=xavier"], multirun=False))
    assert job.raw["init"]["name"] == "xavier" and job.choices == {} and len(calls) == 1


@pytest.mark.filterwarnings(r"ignore:\s*'hydra/launcher/basic' is validated")  # Hydra's, of a file under such a name
@pytest.mark.parametrize(
    ("file", "chosen", "told"),
    [
        ("basic", "basic", "what Hydra acts on"),
        ("evil", "evil", "hydra/launcher"),
        ("evil", "basic", ""),  # lies beside Hydra's own, and nothing chooses it
    ],
)
def test_no_folder_says_how_hydra_launches(tmp_path: Path, file: str, chosen: str, told: str) -> None:
    """Hydra's own node is composed once, with what the folder has in its place; it is refused at each word."""
    preset = "seed: 1" if chosen == "basic" else f"defaults: [{{override /hydra/launcher: {chosen}}}]"
    for path, text in (
        (f"hydra/launcher/{file}", "_target_: evil"),
        ("experiment/x", f"# @package _global_\n{preset}"),
    ):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / f"{path}.yaml").write_text(text)
    composer = Composer(CONF, extra=tmp_path)
    for _ in range(2):
        if told:
            with pytest.raises(Refused, match=told):
                composer.compose(composer.parse(["+experiment=x"]))
        else:
            config = composer.compose(composer.parse(["+experiment=x"]))
            assert config.seed == 1 and config.hydra.launcher._target_.endswith("BasicLauncher")


def test_a_missing_config_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"--config-dir .*nowhere: there is no such folder"):
        Composer(CONF, extra=tmp_path / "nowhere")
