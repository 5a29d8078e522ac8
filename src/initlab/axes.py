"""The command's words -> fixed overrides and axes.

    sweep = read(Composer(conf_dir), ["init=xavier,kaiming", "seed=range(5)", "arch.depth=2"], multirun=True)
    [axis.name for axis in sweep.axes]           # ["init", "seed"]

Axes are written on the command line or, for a preset, under hydra.sweeper.params; the command line wins.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hydra.core.override_parser.types import Override, RangeSweep
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from initlab.compose import Composer, select
from initlab.errors import Refused

AXIS_LIMIT = 1_000_000


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
        return self.key.lstrip("+~")


@dataclass(frozen=True)
class Sweep:
    """Overrides in their order, the axes among them, and the config of the first job with Hydra's own node."""

    overrides: tuple[Override, ...]
    axes: tuple[Axis, ...]
    first: DictConfig
    multirun: bool

    def overrides_of(self, choices: Mapping[str, Override]) -> list[Override]:
        """The overrides of one job in their order; an axis without a choice is left out."""
        picked = (choices.get(o.get_key_element()) if o.is_sweep_override() else o for o in self.overrides)
        return [o for o in picked if o is not None]

    def alternatives(self, override: Override) -> tuple[Override, ...]:
        """What an override stands for in one job or another: itself, or the elements of its axis."""
        return next((axis.elements for axis in self.axes if axis.override is override), (override,))


def read(composer: Composer, lines: Iterable[str], multirun: bool) -> Sweep:
    """The sweep that these words declare; a single run is a sweep without axes. Raises Refused."""
    overrides = composer.parse(lines)
    mode = RunMode.MULTIRUN if multirun else RunMode.RUN
    fixed = composer.compose((o for o in overrides if not o.is_sweep_override()), mode)
    multirun = multirun or select(fixed, "hydra.mode") == RunMode.MULTIRUN
    _refuse_repeats(overrides)
    if multirun:
        overrides = _as_swept(composer, fixed, overrides)
        _refuse_repeats(overrides)
    swept = [o for o in overrides if o.is_sweep_override()]
    if swept and not multirun:
        given = swept[0].input_line
        raise Refused(f"{given}: several values make a sweep: add -m. One value that is a list is written [a,b].")
    values = [_values(composer, override) for override in swept]
    if swept:
        _refuse_crowd(fixed, swept, values)
    axes = tuple(_axis(composer, override, each) for override, each in zip(swept, values, strict=True))
    sweep = Sweep(tuple(overrides), axes, fixed, multirun)
    first = composer.compose(sweep.overrides_of({axis.key: axis.elements[0] for axis in axes})) if multirun else fixed
    return Sweep(tuple(overrides), axes, first, multirun)


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
    params = select(config, "hydra.sweeper.params") or {}
    try:
        return [f"{key}={value}" for key, value in params.items()]
    except OmegaConfBaseException as error:
        raise Refused(f"hydra.sweeper.params: {' '.join(str(error).split())[:200]}") from None


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


def _refuse_crowd(config: DictConfig, swept: Sequence[Override], values: Sequence[Sequence[str]]) -> None:
    limit = select(config, "sweep.max_runs")
    count = math.prod(map(len, values))
    if isinstance(limit, int) and count > limit:
        sizes = " x ".join(
            f"{o.get_key_element().lstrip('+~')} ({len(each)})" for o, each in zip(swept, values, strict=True)
        )
        raise Refused(f"{sizes} = {count} runs: more than sweep.max_runs={limit}. Raise it if you mean it.")
