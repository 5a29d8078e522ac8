"""A sweep -> the raw config of every job, equal to what Hydra composes, at a hundredth of its price.

    for job in jobs(composer, sweep):
        job.choices                      # {"init": "xavier", "seed": 0}
        job.raw                          # {"init": {"name": "xavier", ...}, ...}

Hydra spends tens of milliseconds on each job. But a group's plain option fills its own package, and a plain value is
set after all merging; so options of different groups, and values of different keys, cannot touch each other. Hydra
composes one job for each option, `_Pieces` puts them together and resolves the interpolations, and wherever there is
more to it (options with a defaults list or a header, what is set below an interpolation, `+`, `++`, `~` in an axis)
Hydra composes each combination itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf

from initlab.planning.axes import Axis, Sweep
from initlab.planning.compose import Composer, container, resolved
from initlab.planning.links import Said, in_file, in_override, linked, separable

Raw = dict[str, Any]
Choices = dict[str, Override]


@dataclass(frozen=True)
class Job:
    """One composed run: its value on every axis, and its resolved config less Hydra's own node."""

    choices: Mapping[str, Any]
    raw: Raw


def jobs(composer: Composer, sweep: Sweep) -> Iterator[Job]:
    """The jobs in the order of the axes' product; they share what they do not differ in. Raises Refused."""
    values = [axis for axis in sweep.axes if _is_plain_value(composer, sweep, axis)]
    groups = [axis for axis in sweep.axes if _is_plain_group(composer, sweep, axis)]
    others = [axis for axis in sweep.axes if axis not in values and axis not in groups]
    pieces: dict[tuple[str | None, ...], _Pieces] = {}
    for chosen in sweep.combinations():
        place = tuple(chosen[axis.key].input_line for axis in others)
        if place not in pieces:
            pieces[place] = _Pieces(composer, sweep, chosen, groups, values)
        choices = {axis.name: chosen[axis.key].value() for axis in sweep.axes}
        yield Job(choices, pieces[place].assemble(chosen))


def _is_plain_value(composer: Composer, sweep: Sweep, axis: Axis) -> bool:
    """`key=1,2` of a field that no other override touches, above or below."""
    key = axis.override.key_or_group
    others = [
        o.key_or_group
        for o in sweep.overrides
        if o is not axis.override and not all(composer.sets_group(e) for e in sweep.alternatives(o))
    ]
    return (
        axis.override.type is OverrideType.CHANGE
        and axis.override.package is None
        and not composer.is_group(key)
        and all(not isinstance(element.value(), list | dict) for element in axis.elements)
        and not any(f"{key}.".startswith(f"{other}.") or other.startswith(f"{key}.") for other in others)
    )


def _is_plain_group(composer: Composer, sweep: Sweep, axis: Axis) -> bool:
    """`group=a,b` of a group below no other, that no other override chooses from."""
    key = axis.override.key_or_group
    return (
        axis.override.type is OverrideType.CHANGE
        and axis.override.package is None
        and composer.is_group(key)
        and "/" not in key
        and all(isinstance(element.value(), str) for element in axis.elements)
        and not any(o.key_or_group == key and composer.sets_group(o) for o in sweep.overrides if o is not axis.override)
    )


@dataclass
class _Pieces:
    """What Hydra composes beside one combination, a job for each option of the plain groups."""

    composer: Composer
    sweep: Sweep
    base: Choices
    groups: list[Axis]
    values: list[Axis]
    composed: dict[tuple[str | None, ...], Raw] = field(default_factory=dict)

    def assemble(self, chosen: Choices) -> Raw:
        """The raw config of one combination."""
        if not self._fit:
            return container(self._compose(chosen))
        raw = dict(self._piece({}))
        for axis in self.groups:
            raw[axis.name] = self._piece({axis.key: chosen[axis.key]})[axis.name]
        for axis in self.values:
            if not _set_leaf(raw, axis.name.split("."), chosen[axis.key].value()):
                return container(self._compose(chosen))
        return resolved(raw) if self._linked else raw

    @cached_property
    def _fit(self) -> bool:
        """Whether each option fills its own package and no more, and nothing looks through an interpolation."""
        elements = [element for axis in (*self.groups, *self.values) for element in axis.elements]
        if not elements:  # a single run, say: Hydra has composed it already
            return False
        said = self._said
        return (
            said is not None
            and separable(said, self._overrides)
            and all(
                [d.package for d in self._defaults if d.override_key == axis.name] == [axis.name]
                and all(_fills_its_package(self.composer, axis.name, str(element.value())) for element in axis.elements)
                for axis in self.groups
            )
        )

    @cached_property
    def _linked(self) -> bool:
        return any(linked(each.value) for each in self._said or ())

    @cached_property
    def _overrides(self) -> list[Override]:
        """Of this combination, and those that choose other elements of its axes; none of Hydra's own node."""
        elements = [element for axis in (*self.groups, *self.values) for element in axis.elements]
        return [o for o in (*self.sweep.overrides_of(self.base), *elements) if not o.is_hydra_override()]

    @cached_property
    def _defaults(self) -> list[ResultDefault]:
        return self.composer.defaults(self.sweep.overrides_of(self.base))

    @cached_property
    def _said(self) -> list[Said] | None:
        """All that files and overrides say; None if an interpolation chooses a file."""
        choosing = [override for override in self._overrides if self.composer.sets_group(override)]
        files = [(d.config_path, d.package) for d in self._defaults if not f"{d.package}.".startswith("hydra.")]
        files += [(f"{o.key_or_group}/{o.value()}", o.key_or_group) for a in self.groups for o in a.elements]
        said: list[Said] = []
        for path, package in files:
            file = self.composer.file(path) if path is not None else None
            if file is None:
                continue
            if linked(file.defaults_list):
                return None
            content = OmegaConf.to_container(file.config)
            if isinstance(content, dict) and not package:
                content.pop("hydra", None)  # it points at other values, of course
            said += in_file(package, content)
        if any(linked(override.value()) for override in choosing):
            return None
        for override in self._overrides:
            if override not in choosing:
                said += in_override(override)
        return said

    def _piece(self, picked: Choices) -> Raw:
        """Hydra's config for the combination with other choices, interpolations left as they are."""
        choices = self.base | picked
        place = tuple(element.input_line for element in choices.values())
        if place not in self.composed:
            self.composed[place] = container(self._compose(choices), resolve=not self._linked)
        return self.composed[place]

    def _compose(self, choices: Choices) -> DictConfig:
        if all(choices[key] is element for key, element in self.sweep.start.items()):
            return self.sweep.first
        return self.composer.compose(self.sweep.overrides_of(choices))


def _fills_its_package(composer: Composer, group: str, option: str) -> bool:
    file = composer.file(f"{group}/{option}")
    return file is not None and not file.defaults_list and file.header["package"] is None


def _set_leaf(raw: Raw, path: list[str], value: Any) -> bool:
    """Set a leaf, copying the dicts on the way; False if the way leads elsewhere, as into a list."""
    *parents, last = path
    node = raw
    for part in parents:
        if not isinstance(node.get(part), dict):
            return False
        node[part] = dict(node[part])
        node = node[part]
    node[last] = value
    return True
