"""Overrides -> plan: every run typed, checked, named and keyed, the stacks and the folder, before anything is trained.

    plan = make(Composer(conf), ["init=xavier,kaiming", "act=relu,tanh"], multirun=True)
    plan.runs[0].name                # "init=xavier,act=relu"
    plan.stacks                      # runs of equal shapes and activation, trained as one program
    plan.folder                      # outputs/init-act-1f0c33aa

Nothing here imports torch, and nothing is written.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from initlab.claiming import claims
from initlab.claiming.claims import Claim
from initlab.config import UNKEYED, Config, digest, key, typed
from initlab.datasets import Data, fingerprint, load
from initlab.errors import Refused
from initlab.fields import Field
from initlab.planning.axes import Sweep, read
from initlab.planning.compose import Composer, select
from initlab.planning.design import canonical, same
from initlab.planning.product import jobs
from initlab.planning.runs import Run, Stack, cut, even
from initlab.specs import ARCHS, GROUPS, INITS, PER_RUN, SEEDS, TRAINER

# What the runs of one stack may differ in, besides PER_RUN of the optimizer; all else they share.
UNSHARED = ("init", "seed", "init_seed", "order_seed", "sweep")
NAME_LENGTH = 120
UNTRAINED = (
    16  # the width of stacks that are drawn and measured alone: a few share what theory expects, two workers both
)


@dataclass(frozen=True)
class Axis:
    """A swept field, the values it takes, and its role: scientific (compared), nuisance (optimised over) or repeat."""

    name: str
    values: tuple[Any, ...]
    role: str


@dataclass(frozen=True)
class Plan:
    axes: tuple[Axis, ...]
    runs: tuple[Run, ...]
    stacks: tuple[Stack, ...]
    folder: Path
    notes: tuple[str, ...]
    product: str = ""  # what was crossed and left out, in words
    zips: tuple[tuple[str, ...], ...] = ()
    claim: Claim | None = None

    @property
    def id(self) -> str:
        """Which runs these are and what they are called: the same sweep in other words finds the same plan."""
        return plan_id((run.key, run.name) for run in self.runs)

    @property
    def options(self) -> Mapping[str, Any]:
        """The sweep's own options, the same for every run."""
        return self.runs[0].config["sweep"]


def make(composer: Composer, words: Sequence[str], multirun: bool) -> Plan:
    """The plan of a command's overrides. Raises Refused."""
    sweep = read(composer, words, multirun).ordered()
    for axis in sweep.axes:
        if axis.name.split(".")[0] == "sweep":
            raise Refused(f"{axis.name}: says how the sweep is run, so it takes one value, not {len(axis.elements)}.")
    axes = tuple(_axis(axis.name, (e.value() for e in axis.elements), sweep.roles[axis.name]) for axis in sweep.axes)
    made = list(_runs(composer, sweep))
    runs, notes = _distinct(made)
    folder = _folder(sweep, axes, runs)
    left_out = sweep.design.total - len(made)
    product = sweep.design.words + (f" = {sweep.design.total}, {left_out} excluded" if left_out else "")
    claim = _claim(sweep, axes, runs)
    return Plan(axes, runs, stacked(runs), folder, (*notes, *_cautions(runs)), product, sweep.design.zips, claim)


def _axis(name: str, given: Iterable[Any], role: str) -> Axis:
    values: list[Any] = []
    for value in given:
        if not any(same(name, value, other) for other in values):
            values.append(canonical(name, value))
    return Axis(name, tuple(values), role)


def _claim(sweep: Sweep, axes: Sequence[Axis], runs: Sequence[Run]) -> Claim | None:
    """What the sweep is to decide. Raises Refused where it cannot."""
    if (section := select(sweep.first, "claim")) is None:
        return None
    if not sweep.multirun:
        raise Refused("claim: is about the cells of a sweep, and this is a single run: add -m.")
    claim = claims.claim(section)
    trains = any(run.config["trainer"]["max_epochs"] != 0 for run in runs)
    repeats, nuisance = ([axis.name for axis in axes if axis.role == role] for role in ("repeat", "nuisance"))
    probed, signalled = (runs[0].config[of][name] for of, name in (("sweep", "probe"), ("trainer", "probe_every")))
    claims.check(claim, {axis.name: axis.values for axis in axes}, repeats, trains, probed, signalled, nuisance)
    return claim


def _runs(composer: Composer, sweep: Sweep) -> Iterable[tuple[Run, Mapping[str, Any]]]:
    """Each run, and its choices as the command spells them."""
    for job in jobs(composer, sweep):
        try:
            config = typed(job.raw)
            _check_shape(config)
        except Refused as refusal:
            where = f" (in the run {_label(job.choices)})" if job.choices else ""
            raise Refused(f"{refusal}{where}") from None
        data = fingerprint(config["dataset"])
        choices = {name: canonical(name, value) for name, value in job.choices.items()}
        name = _label({name: _plain(value) for name, value in choices.items()}) or _described(config)
        yield Run(safe(name), key(config, data), choices, config, data), job.choices


def _check_shape(config: Config) -> None:
    """Raises Refused for data that the architecture does not take, with those that do by default."""
    data, given = load(config["dataset"]), f"dataset={config['dataset']['name']}"
    if (why := _misfit(config["arch"], data, given)) is not None:
        ours = [name for name, spec in ARCHS.items() if "plugin" not in spec.facts]
        able = [name for name in ours if _misfit(ARCHS.typed({"name": name}), data, given) is None]
        raise Refused(f"{why} By default these take it: {', '.join(able)}.")


def _misfit(arch: Mapping[str, Any], data: Data, given: str) -> str | None:
    """Why a net of this option does not take the data, if it does not."""
    facts, y = ARCHS[arch["name"]].facts, data.train.y
    try:
        if (fits := facts.get("fits")) is not None:
            fits(arch, data.train.x.shape[1:], given)
    except Refused as refusal:
        return str(refusal)
    if data.task == "classification" and y.ndim > 1 and not facts.keys() & {"positions", "plugin"}:
        return f"arch={arch['name']}: answers once a row; {given} has a class at each of {y.shape[1]} positions."
    return None


def _distinct(runs: Iterable[tuple[Run, Mapping[str, Any]]]) -> tuple[tuple[Run, ...], list[str]]:
    """Runs of different keys and different names; equal ones (two names of a scheme, say) are trained once."""
    kept: dict[str, Run] = {}
    spelled: dict[str, Mapping[str, Any]] = {}
    names: dict[str, str] = {}
    merged: Counter[str] = Counter()
    for run, given in runs:
        if (twin := spelled.get(run.key)) is not None:
            differing = {name: value for name, value in given.items() if _value(value) != _value(twin[name])}
            merged[f"{_label(differing)} is {_label({name: twin[name] for name in differing})}"] += 1
            continue
        if names.setdefault(run.name.lower(), run.key) != run.key:  # some disks take a and A for one
            run = replace(run, name=f"{run.name}-{run.key[:8]}")
        kept[run.key], spelled[run.key] = run, given
    return tuple(kept.values()), [
        f"{words}: {n} {'run' if n == 1 else 'runs'}, trained once and listed under the latter."
        for words, n in merged.items()
    ]


def _cautions(runs: Iterable[Run]) -> Iterable[str]:
    """Of schemes that give all units of a layer one weight; a rule may well keep one layer at zero, the readout say."""
    found = set()
    for init in (run.config["init"] for run in runs):
        symmetric = INITS[init["name"]].facts.get("symmetric")
        if symmetric is True:
            found.add(f"init={init['name']}")
        elif init["name"] == "normal" and init["std"] == 0:
            found.add("init=normal init.std=0")
    for scheme in sorted(found):
        yield f"warning: {scheme} never breaks the symmetry between the units of a layer, so they stay equal."


def stacked(runs: Sequence[Run]) -> tuple[Stack, ...]:
    """Runs that share what a stack shares, in as few and as even stacks as sweep.stack_width allows, or in one open.

    What trains nothing has no update to be measured, and is cut at `UNTRAINED`.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(digest(_shared(run.config)), []).append(run)
    width: Any = runs[0].config["sweep"]["stack_width"] if runs else "auto"
    return tuple(part for group in groups.values() for part in _parts(group, width))


def _parts(group: Sequence[Run], width: Any) -> Iterable[Stack]:
    if width != "auto":
        return cut(group, even(len(group), width))
    if group[0].config["trainer"]["max_epochs"] == 0:
        return cut(group, even(len(group), UNTRAINED))
    return [Stack(tuple(group), open=True)]


def _shared(config: Config) -> Config:
    shared = {name: value for name, value in config.items() if name not in UNSHARED}
    shared["optimizer"] = {k: v for k, v in config["optimizer"].items() if k not in PER_RUN}
    return shared


def _folder(sweep: Sweep, axes: Sequence[Axis], runs: Sequence[Run]) -> Path:
    mine, other = ("sweep", "run") if sweep.multirun else ("run", "sweep")
    if any(o.key_or_group == f"hydra.{other}.dir" for o in sweep.overrides):
        kind = "a sweep's folder" if sweep.multirun else "a single run's folder"
        raise Refused(f"hydra.{other}.dir: {kind} is hydra.{mine}.dir.")
    given = select(sweep.first, f"hydra.{mine}.dir")
    if not given or not str(given).isprintable():
        raise Refused(f"hydra.{mine}.dir={given!a}: names no folder. Give one, or auto.")
    if given != "auto":
        return Path(str(given))
    readable = "-".join(axis.name.split(".")[-1] for axis in axes) or runs[0].name.replace(",", "-")
    return Path("outputs") / f"{safe(readable)[:60]}-{plan_id((run.key, run.name) for run in runs)[:8]}"


def plan_id(runs: Iterable[tuple[str, str]]) -> str:
    """Of the runs' keys and names."""
    return digest(sorted([key, name] for key, name in runs))


def _described(config: Config) -> str:
    """The name of a run without axes: its options, and each field that has another value than by default."""
    words = [canonical(group, config[group]["name"]) for group in GROUPS]
    for group, registry in GROUPS.items():
        words += _changed(f"{group}.", registry[config[group]["name"]].fields, config[group])
    words += _changed("trainer.", {f: TRAINER[f] for f in TRAINER if f not in UNKEYED["trainer"]}, config["trainer"])
    seeds = {name: value for name, value in config.items() if name in SEEDS}
    for stream in ("init_seed", "order_seed"):
        seeds[stream] = None if seeds[stream] == seeds["seed"] else seeds[stream]
    return ",".join([*words, *_changed("", SEEDS, seeds)])


def _changed(where: str, fields: Mapping[str, Field], values: Mapping[str, Any]) -> list[str]:
    return [f"{where}{name}={_value(_plain(values[name]))}" for name in fields if values[name] != fields[name].default]


def _label(choices: Mapping[str, Any]) -> str:
    return ",".join(f"{name}={_value(value)}" for name, value in choices.items())


def _value(value: Any) -> str:
    if isinstance(value, list):
        return "+".join(map(_value, value))
    return "null" if value is None else str(value)


def _plain(value: Any) -> Any:
    """One spelling of a number: 1.0 is 1."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def safe(name: str) -> str:
    """A name that is one folder, everywhere: letters, digits, and . _ = , + - ; a long one ends in its hash."""
    safe = re.sub(r"[^A-Za-z0-9._=,+-]+", "-", name).lstrip(".-") or "run"
    return safe if len(safe) <= NAME_LENGTH else f"{safe[: NAME_LENGTH - 9]}-{digest(name)[:8]}"
