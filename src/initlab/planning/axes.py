"""The command's words -> fixed overrides and axes.

    sweep = read(Composer(conf_dir), ["init=xavier,kaiming", "seed=range(5)", "arch.depth=2"], multirun=True)
    [axis.name for axis in sweep.axes]           # ["init", "seed"]

Axes are written on the command line or, for a preset, under hydra.sweeper.params; the command line wins.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hydra.core.override_parser.types import Override, RangeSweep
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig

from initlab.errors import Refused
from initlab.fields import typed_fields
from initlab.planning.compose import Composer, select
from initlab.planning.design import Design, plain, roles
from initlab.specs import SWEEP

AXIS_LIMIT = 1_000_000
COMBINATION_LIMIT = 100_000  # gone through to count what an exclusion leaves of too many runs
OF_AXES = ("sweep.exclude", "sweep.zip", "sweep.roles")


@dataclass(frozen=True)
class Axis:
    """A field that takes several values: its override as written, and the overrides that set each value."""

    override: Override
    elements: tuple[Override, ...]

    @property
    def key(self) -> str:
        """As Hydra writes it: init, optimizer.lr, +experiment."""
        return self.override.get_key_element()

    @property
    def name(self) -> str:
        return plain(self.key)


@dataclass(frozen=True)
class Sweep:
    """Overrides in their order, the axes among them, which of their combinations are run, the axes' roles, and one
    job's choices and config, with Hydra's own node."""

    overrides: tuple[Override, ...]
    axes: tuple[Axis, ...]
    design: Design
    roles: Mapping[str, str]
    start: Mapping[str, Override]
    first: DictConfig
    multirun: bool

    def ordered(self) -> Sweep:
        """The same runs in the order that does not depend on the command's."""
        design = self.design.ordered()
        by_name = {axis.name: axis for axis in self.axes}
        return replace(self, design=design, axes=tuple(by_name[name] for name in design.sizes))

    def combinations(self) -> Iterator[dict[str, Override]]:
        """What each job chooses: the key of each axis -> the override that sets its value."""
        for at in self.design.combinations():
            yield {axis.key: axis.elements[at[axis.name]] for axis in self.axes}

    def overrides_of(self, choices: Mapping[str, Override]) -> list[Override]:
        """The overrides of one job in their order; an axis without a choice is left out."""
        picked = (choices.get(o.get_key_element()) if o.is_sweep_override() else o for o in self.overrides)
        return [o for o in picked if o is not None]

    def alternatives(self, override: Override) -> tuple[Override, ...]:
        """What an override stands for in one job or another: itself, or the elements of its axis."""
        return next((axis.elements for axis in self.axes if axis.override is override), (override,))


def read(composer: Composer, lines: Iterable[str], multirun: bool) -> Sweep:
    """The sweep that these words declare; a single run is a sweep without axes. Raises Refused."""
    overrides = given = composer.parse(lines)
    mode = RunMode.MULTIRUN if multirun else RunMode.RUN
    fixed = composer.compose((o for o in overrides if not o.is_sweep_override()), mode)
    multirun = multirun or select(fixed, "hydra.mode") == RunMode.MULTIRUN
    _refuse_repeats(overrides)
    if multirun:
        overrides = _as_swept(composer, fixed, overrides)
        _refuse_repeats(overrides)
    swept = [o for o in overrides if o.is_sweep_override()]
    if not multirun:
        _refuse_sweeps_words(overrides)
        return Sweep(tuple(overrides), (), Design({}), {}, {}, fixed, multirun)
    settings = _settings(composer, fixed, given, overrides)
    values = {o.get_key_element(): _values(composer, o) for o in swept}
    design = Design.of(settings["zip"], {plain(key): len(each) for key, each in values.items()})
    _refuse_crowd(design, settings, COMBINATION_LIMIT if settings["exclude"] else 0)
    axes = tuple(_axis(composer, override, values[override.get_key_element()]) for override in swept)
    design = design.without(settings["exclude"], {axis.name: [e.value() for e in axis.elements] for axis in axes})
    _refuse_crowd(design, settings)
    of_axes = roles(design.sizes, settings["roles"] or {})
    sweep = Sweep(tuple(overrides), axes, design, of_axes, {}, fixed, multirun)
    start = next(sweep.combinations())
    return replace(sweep, start=start, first=composer.compose(sweep.overrides_of(start)))


def _settings(
    composer: Composer, fixed: DictConfig, given: Sequence[Override], overrides: Sequence[Override]
) -> dict[str, Any]:
    """The sweep's own section, typed. Beside its axes a preset may have words on it, which ``fixed`` has not."""
    keys = {o.key_or_group for o in given}
    added = [o for o in overrides if o.key_or_group.startswith("sweep.") and o.key_or_group not in keys]
    if added := [o for o in added if not o.is_sweep_override()]:
        fixed = composer.compose((*(o for o in given if not o.is_sweep_override()), *added), RunMode.MULTIRUN)
    section = select(fixed, "sweep")
    return typed_fields(SWEEP, section if isinstance(section, dict) else {}, "sweep", "sweep")


def _as_swept(composer: Composer, config: DictConfig, overrides: Iterable[Override]) -> list[Override]:
    """What Hydra makes of a sweep's overrides: a preset's axes first, and of those with one key the last.

    A value goes through text once more, as it does in Hydra, where str(1) thereby becomes 1.
    """
    declared = _declared(config)
    last = {o.get_key_element(): o for o in (*composer.parse(declared), *overrides)}
    texts = {
        key: o.input_line if o.is_sweep_override() else f"{key}={o.get_value_element_as_str()}"
        for key, o in last.items()
    }
    return composer.parse(str(text) for text in texts.values())


def _declared(config: DictConfig) -> list[str]:
    """A preset's axes, and its words on them, which YAML may hold as lists and dicts, as overrides."""
    params = select(config, "hydra.sweeper.params") or {}
    return [f"{key}={_written(value) if str(key) in OF_AXES else value}" for key, value in params.items()]


def _written(value: Any) -> str:
    """Lists and dicts in Hydra's grammar, which is not YAML's: {init:kaiming}."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}:{_written(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_written, value)) + "]"
    return "null" if value is None else str(value)


def _values(composer: Composer, override: Override) -> list[str]:
    """The values of an axis as text. Raises Refused if there are none, too many, or equal ones."""
    given, group = str(override.input_line), override.key_or_group
    if not override.is_discrete_sweep():
        raise Refused(
            f"{given}: an interval has no list of values, and initlab does not propose any. "
            f"List them: {group}=0.1,0.01 or {group}=range(start,stop,step)."
        )
    held = override.value()
    try:
        # A shuffled range is a list before it is shuffled, so its length comes first.
        count = len(list(itertools.islice(held.range(), AXIS_LIMIT + 1))) if isinstance(held, RangeSweep) else 0
        values = list(override.sweep_string_iterator()) if count <= AXIS_LIMIT else []
    except (HydraException, ArithmeticError, ValueError) as error:
        raise Refused(f"{given}: {str(error).splitlines()[0]}") from None
    if count > AXIS_LIMIT:
        raise Refused(f"{given}: more than {AXIS_LIMIT} values.")
    if not values:
        known = f" Known: {', '.join(composer.options(group))}." if composer.is_group(group) else ""
        raise Refused(f"{given}: 0 runs, it matches no value.{known}")
    value, times = Counter(values).most_common(1)[0]
    if times > 1:
        raise Refused(f"{given}: {value} is given twice, and equal runs cannot occur twice.")
    return values


def _axis(composer: Composer, override: Override, values: Iterable[str]) -> Axis:
    return Axis(override, tuple(composer.parse(f"{override.get_key_element()}={value}" for value in values)))


def _refuse_repeats(overrides: Sequence[Override]) -> None:
    for axis in (o for o in overrides if o.is_sweep_override()):
        place = (axis.key_or_group, axis.package)
        same = [str(o.input_line) for o in overrides if (o.key_or_group, o.package) == place]
        if len(same) > 1:
            key = axis.get_key_element()
            raise Refused(f"{' and '.join(same)}: the same axis twice. Give its values once: {key}=a,b,c.")


def _refuse_sweeps_words(overrides: Iterable[Override]) -> None:
    """Raises Refused for what only a sweep has; a preset may hold it, as it may hold axes, for use with -m."""
    for override in overrides:
        given = override.input_line
        if override.is_sweep_override():
            raise Refused(f"{given}: several values make a sweep: add -m. One value that is a list is written [a,b].")
        if override.key_or_group in OF_AXES and override.value():
            raise Refused(f"{given}: is about the axes of a sweep, and a single run has none: add -m.")


def _refuse_crowd(design: Design, settings: Mapping[str, Any], countable: int = 0) -> None:
    """Raises Refused for more runs than sweep.max_runs; ``countable`` combinations, from which an exclusion may take,
    are let by."""
    limit = settings["max_runs"]
    if design.total <= max(limit, countable):
        return
    excluded, count = "", design.total
    if design.excluded:
        count = sum(1 for _ in design.combinations())
        excluded = f", {design.total - count} excluded"
    if count > limit:
        count_of = f"{design.words} = {design.total} runs{excluded}"
        raise Refused(f"{count_of}: more than sweep.max_runs={limit}. Raise it if you mean it.")
