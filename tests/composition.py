"""The law "the plan equals what Hydra composes, or both refuse": configs and override lists to try, and the oracle.

    write_configs(folder)                              # a --config-dir with all that a defaults list can do
    request = draw(Random(0))                          # Request(words=("init=xavier,zeros", "seed=1"), multirun=True)
    Judge(folder).verdict(request)                     # "agreed", "both refused", "exempt", or an AssertionError

The oracle makes the jobs of a sweep as Hydra's own sweeper does, and composes each of them from nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict

from initlab.errors import Refused
from initlab.planning.axes import read
from initlab.planning.compose import Composer
from initlab.planning.product import jobs

CONF = Path(__file__).resolve().parent.parent / "conf"

# --- configs beside conf/ ---------------------------------------------------------------------------------------------

PRESETS = {  # each @package _global_
    "plain": "defaults: [{override /init: orthogonal}, {override /optimizer: adam}]\ninit: {gain: 2.0}",
    "values": "init: {bias: constant, bias_value: 0.5}\ntrainer: {max_steps: 7}\nseed: 3",
    "axes": "hydra: {sweeper: {params: {init: 'xavier,orthogonal', seed: 'range(2)', act: gelu}}}",
    "added_axes": "hydra: {sweeper: {params: {+new: '1,2', init.bias: zeros, arch.sizes: [8, 4]}}}",
    "mode": "hydra: {mode: MULTIRUN, sweeper: {params: {seed: '1,2', arch.depth: 3}}}",
    "links": "order_seed: ${seed}\noptimizer: {lr: '${oc.select:no.such,0.5}'}",
    "node_link": "act: ${init}",
    "linked_axes": "hydra: {sweeper: {params: {seed: '${trainer.max_epochs},5', optimizer.lr: '${seed}'}}}",
    "asking": "defaults: [{/extra: '???'}]",
    "aside": "defaults: [{/init@act: zeros}]",
    "lost_axes": "hydra: {sweeper: {params: {seed: '${no.such}'}}}",
    "maybe": "defaults: [{optional /extra: missing}, {override /arch: mlp}]",
    "both": "defaults: [plain, values, _self_]\nact: {more: 1}",
}
OPTIONS = {
    "init/pointing": "name: pointing\ngain: ${optimizer.lr}\nlabel: ${act.name}\nof: '${oc.select:act.slope,-1}'",
    "init/pulling": "defaults: [xavier, _self_]\nname: pulling\nextra: 1",
    "init/choosing": "defaults: [{/extra@inner: '${optimizer}'}, _self_]\nname: choosing\ngain: 1",
    "init/maybe": "defaults: [{optional /act@inner: '${optimizer}'}, _self_]\nname: maybe\ngain: 2",
    "init/everywhere": "# @package _global_\ninit: {name: everywhere, gain: 7}\ntrainer: {max_steps: 9}",
    "init/short": "name: short",
    "init/blank": "name: ???\ngain: null",
    "init/relu": "name: relu\ngain: 9",
    "init/gelu": "name: gelu\ngain: 8",
    "init/sub/deep": "name: deep\ngain: 1",
    "act/pointing": "name: pointing\nslope: ${init.gain}",
    "act/choosing": "defaults: [{/init@inner: '${init}'}]\nname: choosing",
    "act/moving": "defaults: [{override /dataset@_global_.dataset: gaussian}]\nname: moving",
    "act/staying": "defaults: [{override /dataset@_global_.dataset: digits}]\nname: staying",
    "act/elsewhere": "# @package trainer.act\nname: elsewhere",
    "optimizer/linked": "name: linked\nlr: ${init.gain}\nweight_decay: ${.lr}\nmomentum: 0.5",
    "optimizer/staying": "defaults: [{override /dataset@_global_.dataset: digits}]\nname: staying\nlr: 2",
    "optimizer/moving": "defaults: [{override /dataset@_global_.dataset: teacher}]\nname: moving\nlr: 1",
    "dataset/small": "defaults: [gaussian, _self_]\nname: small\nsamples: 100\nseed: ${seed}",
    "experiment/bare": "defaults: [{/init@inner: zeros}]\nvalue: 1",
    "act/broken": "name: [broken",
    "extra/relu": "of: relu",
    "extra/sgd": "of: sgd",
    "extra/tanh": "# @package _global_\norder_seed: 11",
    "later/node": "# @package _global_\nact: {gain: 3}",  # merges into what +experiment=node_link points at
}


def write_configs(folder: Path) -> Path:
    """The files above, as a folder for --config-dir."""
    presets = {f"experiment/{name}": f"# @package _global_\n{text}" for name, text in PRESETS.items()}
    for path, text in (presets | OPTIONS).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{path}.yaml").write_text(f"{text}\n")
    return folder


# --- override lists ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    """What follows `python train.py`, -m apart."""

    words: tuple[str, ...]
    multirun: bool


CHOICES = {
    "init": [
        *("xavier", "kaiming", "lecun", "orthogonal", "kaiming_uniform", "zeros", "pointing", "pulling", "choosing"),
        *("maybe", "everywhere", "short", "blank", "sub/deep", "relu"),
    ],
    "act": ["relu", "gelu", "tanh", "leaky_relu", "pointing", "choosing", "moving", "staying", "elsewhere"],
    "optimizer": ["sgd", "adam", "adamw", "linked", "moving", "staying"],
    "dataset": ["digits", "gaussian", "teacher", "small"],
    "+experiment": [*PRESETS, "bare", "axes", "values"],
    "+extra": ["relu", "tanh"],
    "+later": ["node"],
    "+init@other": ["xavier", "zeros"],
}
GROUPS = [*["init"] * 5, *["act"] * 4, *["optimizer"] * 2, *["+experiment"] * 3, *list(CHOICES)[3:]]
GLOBS = [
    "init=glob(xavier*)",
    "init=glob([k*,*al],exclude=orth*)",
    "act=glob(*lu)",
    "optimizer=glob(a*)",
    "act=glob(s*)",
]
FIELDS = {
    "seed": ["0", "3", "17", "${trainer.max_epochs}", "str(10)", "18446744073709551615"],
    "init.gain": ["2", "1.5", "default", "null", "'a, b'", '"it\'s"', "${seed}", "${act.name}", "1e-3", "inf", "a b"],
    "init.bias": ["zeros", "uniform", "constant"],
    "optimizer.lr": ["0.1", "1e-3", ".5", "1", "int(2.7)", "${init.gain}", "${oc.select:no.such,0.2}"],
    "arch.depth": ["1", "2", "{a:1}", "???"],
    "arch.sizes": ["[8,4]", "[16]", "null", "[]", "[${arch.depth}]"],
    "trainer.save_weights": ["true", "False"],
    "trainer.max_steps": ["10", "null", "20"],
    "order_seed": ["${seed}", "1", "null"],
    "init.rules": ["[{param:x,name:zeros}]", "[]"],
    "++init.gain": ["4", "5"],
    "+init.scale": ["1", "2", "${init.name}"],
    "+new.key": ["1", "text", "[1,2]", "{a:1,b:{c:2}}"],
    "init": ["{bias:uniform}", "{bias:uniform,bias_value:{x:1}}", "[xavier,zeros]"],
}
COMMON = ["seed", "init.gain", "init.bias", "optimizer.lr", "trainer.max_steps"]
RANGES = ["seed=range(3)", "seed=range(4,0,-2)", "init.gain=range(0,1,0.5)", "+new.key=range(2)", "seed=sort(5,3,4)"]
RARE = [
    *("~init.gain", "~optimizer.momentum", "~act", "~act=relu", "~act=relu,gelu", "~init.bias=zeros", "~seed=0"),
    *(
        "+seed=1",
        "++seed=1",
        "seed=1",
        "seed=2",
        "init.gain=1",
        "init.gain=3",
        "+copy=${init}",
        "+copy.of=${init.name}",
    ),
    *("+copy.key=${act.name},${init.name}", "++act.gain=5", "++act.gain=5,6", "+init={x:{y:1}}", "++init.gain.x=1"),
    *("+init@act.inner=zeros", "+init@act.inner=zeros,xavier", "+init/sub=deep", "init=xavier.yaml,zeros"),
    *("+extra='${act}'", "init='${act}'", "init='${act}',xavier", "act=../act/relu", "+text='a,b'", "+text=a\\,b"),
    *("+text='\\${seed}'", "+text='$\\{seed\\}',b", "+text=$\\{seed\\}", "+empty=", "+yes=yes,true,null", "+x=${x}"),
    *("hydra.run.dir=${init.name}", "hydra.sweep.dir=x", "act.negative_slope=0.1,-1", "optimizer.momentum=0,0.9"),
    *("init.nope=1", "nope=1,2", "init=xaveir", "init=xavier,xaveir", "act=", "=3", "init=null", "init.rules.0=1"),
]
DELIBERATE = [
    *("seed=1,1", "seed=interval(0,1)", "init=glob(nothing*)", "seed=range(0)", "init.gain=1,2", "seed=1,2"),
    *("hydra.verbose=true", "hydra/launcher=basic", "hydra.job.chdir=true", "init=zeros,xavier"),
]


def draw(random: Random) -> Request:
    """A list of one to five overrides, three in four of them a sweep of at most three axes."""
    multirun = random.random() < 0.75
    words: list[str] = []
    for _ in range(random.randint(1, 5)):
        axes = sum(_is_axis(word) for word in words)
        word = _word(random, several=multirun and axes < 3 and random.random() < 0.5)
        same = [other for other in words if _key(other) == _key(word)]
        if not (_is_axis(word) and axes >= 3) and (not same or random.random() < 0.1):
            words.append(word)
    return Request(tuple(words), multirun)


def _word(random: Random, several: bool) -> str:
    if random.random() < 0.12:
        return random.choice(DELIBERATE if random.random() < 0.15 else RARE)
    if several and random.random() < 0.25:
        return random.choice(random.choice((GLOBS, RANGES)))
    if random.random() < 0.5:
        key = random.choice(GROUPS)
        values = CHOICES[key]
    else:
        key = random.choice(COMMON if random.random() < 0.6 else list(FIELDS))
        values = FIELDS[key]
    if not several:
        return f"{key}={random.choice(values)}"
    some = ",".join(random.sample(values, min(len(values), random.choice((2, 2, 2, 3)))))
    return f"{key}={some}" if random.random() < 0.9 else f"{key}=choice({some})"


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+~")


def _is_axis(word: str) -> bool:
    return "," in word or "(" in word


# --- the oracle -------------------------------------------------------------------------------------------------------


class Read(CachingConfigRepository):
    """Hydra's files, each read once."""

    def __deepcopy__(self, _: object) -> Read:
        return self

    def load_config(self, config_path: str) -> Any:
        return copy.deepcopy(super().load_config(config_path))  # a composition may change what it is given


class Judge:
    """Hydra and initlab side by side, over conf/ and perhaps one more folder."""

    def __init__(self, extra: Path | None = None) -> None:
        self.composer = Composer(CONF, extra=extra)  # first, as it sets Hydra's version base
        path = create_config_search_path(str(CONF))
        if extra is not None:
            path.prepend("command-line", f"file://{extra}", SearchPathQuery(provider="schema"))
        self.loader = ConfigLoaderImpl(path)
        self.loader.repository = Read(self.loader.repository)  # type: ignore[assignment]

    def verdict(self, request: Request) -> str:
        """ "agreed", "both refused", or "exempt"; an AssertionError that names both answers otherwise."""
        try:
            theirs: list[Any] | Exception = self.by_hydra(request)
        except Exception as error:  # whatever Hydra stops with, it refuses
            theirs = error
        try:
            ours: list[Any] | Exception = self.by_initlab(request)
        except Refused as error:
            ours = error
        if isinstance(ours, Refused) and isinstance(theirs, Exception):
            return "both refused"
        if isinstance(ours, Refused) and self.is_deliberate(request):
            return "exempt"
        assert not isinstance(ours, Exception) and not isinstance(theirs, Exception), f"{request}\n{theirs!r}\n{ours!r}"
        assert len(ours) == len(theirs), f"{request}\n{len(theirs)} jobs\n{len(ours)} jobs"
        for expected, got in zip(theirs, ours, strict=True):
            assert exactly(got) == exactly(expected), f"{request}\n{expected}\n{got}"
        return "agreed"

    def by_initlab(self, request: Request) -> list[Any]:
        return [job.raw for job in jobs(self.composer, read(self.composer, request.words, request.multirun))]

    def by_hydra(self, request: Request) -> list[Any]:
        """Each job's config, composed alone."""
        return [self.compose(words) for words in self.jobs(request)]

    def is_deliberate(self, request: Request) -> bool:
        """Whether a sweep has what initlab refuses and Hydra does not: an axis or a value given twice, none or no list
        of values, settings of Hydra's own."""
        overrides = self._overrides(request)
        axes = [o for o in overrides if o.is_sweep_override()]
        places = [(o.key_or_group, o.package) for o in overrides]
        return (
            any(o.key_or_group.partition(".")[0].partition("/")[0] == "hydra" for o in overrides)
            or any(places.count((axis.key_or_group, axis.package)) > 1 for axis in axes)
            or any(axis.is_interval_sweep() for axis in axes)
            or any(len(set(axis.sweep_string_iterator())) != _count(axis) or _count(axis) == 0 for axis in axes)
        )

    def jobs(self, request: Request) -> list[list[str]]:
        """The overrides of each job, as Hydra's sweeper splits them."""
        master = self._master(request.words)
        if not request.multirun and master.hydra.mode != RunMode.MULTIRUN:
            return [list(request.words)]
        params = [f"{key}={value}" for key, value in (master.hydra.sweeper.params or {}).items()]
        return BasicSweeper.split_arguments(self._parse([*params, *request.words]), max_batch_size=None)[0]

    def compose(self, words: list[str]) -> Any:
        config = self.loader.load_configuration("config", words, RunMode.RUN)
        with open_dict(config):
            del config["hydra"]
        return OmegaConf.to_container(config, resolve=True)

    def _overrides(self, request: Request) -> list[Override]:
        params = self._master(request.words).hydra.sweeper.params or {}
        own = {override.get_key_element() for override in self._parse(request.words)}
        return self._parse([*(f"{key}={value}" for key, value in params.items() if key not in own), *request.words])

    def _master(self, words: Sequence[str]) -> Any:
        return self.loader.load_configuration("config", list(words), RunMode.MULTIRUN, validate_sweep_overrides=False)

    def _parse(self, words: Iterable[str]) -> list[Override]:
        return OverridesParser.create(config_loader=self.loader).parse_overrides(list(words))


def _count(axis: Override) -> int:
    return len(list(axis.sweep_string_iterator()))


def exactly(value: Any) -> Any:
    """A form in which 1, 1.0, True and "1" differ, nan equals itself, and the order of keys is no matter."""
    if isinstance(value, dict):
        return {repr(key): exactly(child) for key, child in value.items()}
    return [exactly(child) for child in value] if isinstance(value, list) else repr(value)
