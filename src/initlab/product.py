"""A sweep -> the raw config of every job, equal to what Hydra composes, at a thousandth of its price.

    for job in jobs(composer, sweep):
        job.choices                      # {"init": "xavier", "seed": 0}
        job.raw                          # {"init": {"name": "xavier", ...}, ...}

Hydra spends tens of milliseconds on each job, twice. But a group's option is merged below its own package, and a plain
value is set after all merging; so options of different groups, and values of different keys, cannot touch each other.
Hydra therefore composes one job for each option, `_Context` puts the pieces together, and wherever an option does more
than fill its own package (presets, `override /init`, interpolated defaults, `+`, `++`, `~` in an axis) Hydra composes
each combination itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from initlab.axes import Axis, Sweep
from initlab.compose import Composer, line
from initlab.errors import Refused

Raw = dict[str, Any]
Choices = dict[str, Override]


@dataclass(frozen=True)
class Job:
    """One composed run: its value on every axis, and its resolved config less Hydra's own node."""

    choices: Mapping[str, Any]
    raw: Raw


def jobs(composer: Composer, sweep: Sweep) -> Iterator[Job]:
    """The jobs in the order of the axes' product. Raises Refused where Hydra would."""
    values = [axis for axis in sweep.axes if _is_plain_value(composer, sweep, axis)]
    groups = [axis for axis in sweep.axes if _is_plain_group(composer, sweep, axis)]
    others = [axis for axis in sweep.axes if axis not in values and axis not in groups]
    contexts: dict[tuple[str, ...], _Context] = {}
    for elements in itertools.product(*(axis.elements for axis in sweep.axes)):
        chosen = dict(zip((axis.key for axis in sweep.axes), elements, strict=True))
        place = tuple(line(chosen[axis.key]) for axis in others)
        if place not in contexts:
            contexts[place] = _Context(composer, sweep, {axis.key: chosen[axis.key] for axis in others}, groups)
        raw = contexts[place].assemble(chosen, values)
        yield Job({axis.name: chosen[axis.key].value() for axis in sweep.axes}, _resolved(raw))


def _is_plain_value(composer: Composer, sweep: Sweep, axis: Axis) -> bool:
    """`key=1,2` of a field that no other override touches, above or below."""
    others = [o.key_or_group for o in sweep.overrides if o is not axis.override and not _sets_group(composer, o)]
    return (
        axis.override.type is OverrideType.CHANGE
        and axis.override.package is None
        and not composer.is_group(axis.override.key_or_group)
        and all(not isinstance(element.value(), list | dict) for element in axis.elements)
        and not any(_nested(axis.override.key_or_group, other) for other in others)
    )


def _is_plain_group(composer: Composer, sweep: Sweep, axis: Axis) -> bool:
    """`group=a,b` where no other override chooses a group above or below."""
    others = [_package(o) for o in sweep.overrides if o is not axis.override and _sets_group(composer, o)]
    return (
        axis.override.type is OverrideType.CHANGE
        and axis.override.package is None
        and composer.is_group(axis.override.key_or_group)
        and all(isinstance(element.value(), str) for element in axis.elements)
        and not any(_nested(_package(axis.override), other) for other in others)
    )


def _sets_group(composer: Composer, override: Override) -> bool:
    return composer.is_group(override.key_or_group) and not isinstance(override.value(), dict)


@dataclass
class _Context:
    """Fixed overrides and the choices that Hydra must see together; plain groups are put in by package."""

    composer: Composer
    sweep: Sweep
    fixed: Choices
    groups: list[Axis]
    composed: dict[tuple[str, ...], Raw] = field(default_factory=dict)

    def assemble(self, chosen: Choices, values: list[Axis]) -> Raw:
        """The unresolved config of one combination."""
        picked = {axis.key: chosen[axis.key] for axis in self.groups}
        if self._separable:
            raw = dict(self._compose(self._first))
            for axis in self.groups:
                part = self._compose(self._first | {axis.key: picked[axis.key]})
                _put(raw, _package(axis.override), _get(part, _package(axis.override)))
        else:
            raw = dict(self._compose(picked))
        for axis in values:
            element = chosen[axis.key]
            if not _set_leaf(raw, element.key_or_group.split("."), element.value()):
                return _plain(self.composer.compose(self.sweep.overrides_of(self.fixed | chosen)))
        return raw

    @cached_property
    def _first(self) -> Choices:
        return {axis.key: axis.elements[0] for axis in self.groups}

    @cached_property
    def _separable(self) -> bool:
        """Whether each plain group's options fill their own package and change nothing else."""
        base = self._defaults(self._first)
        if self.composer.interpolates_defaults(base):
            return False
        for axis in self.groups:
            package = _package(axis.override)
            for element in axis.elements[1:]:
                other = self._defaults(self._first | {axis.key: element})
                if _outside(other, package) != _outside(base, package):
                    return False
                if self.composer.interpolates_defaults(other):
                    return False
        return True

    def _compose(self, picked: Choices) -> Raw:
        place = tuple(line(element) for element in picked.values())
        if place not in self.composed:
            self.composed[place] = _plain(self.composer.compose(self.sweep.overrides_of(self.fixed | picked)))
        return self.composed[place]

    def _defaults(self, picked: Choices) -> list[ResultDefault]:
        return self.composer.defaults(self.sweep.overrides_of(self.fixed | picked))


def _outside(defaults: list[ResultDefault], package: str) -> list[tuple[str | None, str | None, bool]]:
    """The merged files, in order, that may write outside of a package."""
    return [
        (d.config_path, d.package, d.is_self)
        for d in defaults
        if d.package != package and not str(d.package).startswith(f"{package}.")
    ]


def _package(override: Override) -> str:
    return override.key_or_group.replace("/", ".")


def _nested(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")


def _plain(config: DictConfig) -> Raw:
    container = OmegaConf.to_container(config, resolve=False)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items() if key != "hydra"}


def _get(raw: Raw, path: str) -> Any:
    node: Any = raw
    for part in path.split("."):
        node = node[part]
    return node


def _put(raw: Raw, path: str, value: Any) -> None:
    """Set a subtree, copying the dicts on the way: jobs share what they do not change."""
    *parents, last = path.split(".")
    node = raw
    for part in parents:
        node[part] = dict(node[part])
        node = node[part]
    node[last] = value


def _set_leaf(raw: Raw, path: list[str], value: Any) -> bool:
    """Set an existing leaf; False if it is missing, or a list or dict, which Hydra merges in its own way."""
    node: Any = raw
    for part in path[:-1]:
        node = node.get(part)
        if not isinstance(node, dict):
            return False
    if path[-1] not in node or isinstance(node[path[-1]], dict | list):
        return False
    _put(raw, ".".join(path), value)
    return True


def _resolved(raw: Raw) -> Raw:
    """Interpolations replaced by what they point at. Raises Refused if one points nowhere."""
    if not _interpolates(raw):
        return raw
    try:
        resolved = OmegaConf.to_container(OmegaConf.create(deepcopy(raw)), resolve=True)
    except (OmegaConfBaseException, HydraException, ValueError, RecursionError) as error:
        raise Refused(f"an interpolation cannot be resolved: {' '.join(str(error).split())[:400]}") from None
    assert isinstance(resolved, dict)
    return {str(key): value for key, value in resolved.items()}


def _interpolates(node: Any) -> bool:
    if isinstance(node, dict):
        return any(_interpolates(child) for child in node.values())
    if isinstance(node, list):
        return any(_interpolates(child) for child in node)
    return isinstance(node, str) and "${" in node
