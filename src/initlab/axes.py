"""The command's words -> fixed overrides and axes.

    sweep = read(Composer(conf_dir), ["init=xavier,kaiming", "seed=range(5)", "arch.depth=2"], multirun=True)
    [axis.name for axis in sweep.axes]           # ["init", "seed"]
    sweep.count                                  # 10

Axes are written on the command line or, for a preset, under hydra.sweeper.params; the command line wins.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from initlab.compose import Composer
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

    @property
    def count(self) -> int:
        return math.prod(len(axis.elements) for axis in self.axes)

    def overrides_of(self, choices: Mapping[str, Override]) -> list[Override]:
        """The overrides of one job in their order; an axis without a choice is left out."""
        picked = (choices.get(o.get_key_element()) if o.is_sweep_override() else o for o in self.overrides)
        return [o for o in picked if o is not None]


def read(composer: Composer, lines: Iterable[str], multirun: bool) -> Sweep:
    """The sweep that these words declare; a single run is a sweep without axes. Raises Refused."""
    overrides = composer.parse(lines)
    fixed = composer.compose(o for o in overrides if not o.is_sweep_override())
    multirun = multirun or OmegaConf.select(fixed, "hydra.mode") == RunMode.MULTIRUN
    if multirun:
        declared = OmegaConf.select(fixed, "hydra.sweeper.params") or {}
        given = {o.key_or_group for o in overrides}
        overrides = composer.parse(f"{k}={v}" for k, v in declared.items() if k.lstrip("+~") not in given) + overrides
    axes = tuple(_axis(composer, o) for o in overrides if o.is_sweep_override())
    if axes and not multirun:
        given_values = axes[0].override.input_line
        raise Refused(
            f"{given_values}: several values make a sweep: add -m. One value that is a list is written [a,b]."
        )
    for axis in axes:
        _refuse_repeat(axis, overrides)
    sweep = Sweep(tuple(overrides), axes, fixed, multirun)
    _refuse_crowd(sweep)
    if not axes:
        return sweep
    first = composer.compose(sweep.overrides_of({axis.key: axis.elements[0] for axis in axes}))
    return Sweep(tuple(overrides), axes, first, multirun)


def _axis(composer: Composer, override: Override) -> Axis:
    given, group = str(override.input_line), override.key_or_group
    if not override.is_discrete_sweep():
        raise Refused(
            f"{given}: an interval has no list of values, and initlab does not propose any. "
            f"List them: {group}=0.1,0.01 or {group}=range(start,stop,step)."
        )
    try:
        values = list(itertools.islice(override.sweep_string_iterator(), AXIS_LIMIT + 1))
    except HydraException as error:
        raise Refused(f"{given}: {str(error).splitlines()[0]}") from None
    if not values:
        known = f" Known: {', '.join(composer.options(group))}." if composer.is_group(group) else ""
        raise Refused(f"{given}: 0 runs, it matches no value.{known}")
    if len(values) > AXIS_LIMIT:
        raise Refused(f"{given}: more than {AXIS_LIMIT} values.")
    if repeated := next((value for value in values if values.count(value) > 1), None) if len(values) < 1000 else None:
        raise Refused(f"{given}: {repeated} is given twice, and equal runs cannot occur twice.")
    elements = tuple(composer.parse(f"{override.get_key_element()}={value}" for value in values))
    for element in elements:
        composer.check_option(element, given)
    return Axis(override, elements)


def _refuse_repeat(axis: Axis, overrides: Iterable[Override]) -> None:
    same = [
        o.input_line
        for o in overrides
        if (o.key_or_group, o.package) == (axis.override.key_or_group, axis.override.package)
    ]
    if len(same) > 1:
        raise Refused(f"{' and '.join(map(str, same))}: the same axis twice. Give its values once: {axis.key}=a,b,c.")


def _refuse_crowd(sweep: Sweep) -> None:
    limit = OmegaConf.select(sweep.first, "sweep.max_runs")
    if isinstance(limit, int) and sweep.count > limit:
        sizes = " x ".join(f"{axis.name} ({len(axis.elements)})" for axis in sweep.axes)
        raise Refused(f"{sizes} = {sweep.count} runs: more than sweep.max_runs={limit}. Raise it if you mean it.")
