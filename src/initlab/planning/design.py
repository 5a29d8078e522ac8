"""Which combinations of the axes' values are run: all, less those excluded; zipped axes advance together.

    design = Design.of({"exclude": [{"init": "kaiming", "act": "tanh"}], "zip": []}, {"init": [...], "act": [...]})
    design.words                    # "init (4) x act (3)"
    design.total                    # 12, before anything is excluded
    list(design.combinations())     # [{"init": 0, "act": 0}, ...]: positions of the values

Values are known by their positions, so that a billion combinations can be counted without one being made.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from initlab.errors import Refused, did_you_mean, unknown
from initlab.specs import GROUPS, SEEDS

Values = Mapping[str, Sequence[Any]]
Box = Mapping[str, frozenset[int]]  # axis -> positions of its values

# The order in which axes are named and nested, whatever the command's: what is compared first, repeats last.
SECTIONS = ("init", "act", "arch", "dataset", "optimizer", "trainer")


@dataclass(frozen=True)
class Design:
    """``sizes`` are the axes with their numbers of values, ``zips`` those that advance together."""

    sizes: Mapping[str, int]
    zips: tuple[tuple[str, ...], ...] = ()
    excluded: tuple[Box, ...] = ()

    @classmethod
    def of(cls, names_zipped: Iterable[Iterable[str]], sizes: Mapping[str, int]) -> Design:
        """The combinations before any is excluded. Raises Refused for zips that do not fit the axes."""
        zips = tuple(tuple(map(plain, names)) for names in names_zipped)
        seen: set[str] = set()
        for i, names in enumerate(zips):
            where = f"sweep.zip[{i}]"
            for name in names:
                if name not in sizes:
                    raise unknown(where, name, sizes, "axis")
                if name in seen:
                    raise Refused(f"{where}: {name} is zipped twice; an axis advances with one list of others.")
                seen.add(name)
            if len({sizes[name] for name in names}) > 1:
                lengths = ", ".join(f"{name} has {sizes[name]}" for name in names)
                raise Refused(f"{where}: axes that advance together need as many values each; {lengths}.")
        return cls(sizes, zips)

    def without(self, entries: Sequence[Mapping[str, Any]], values: Values) -> Design:
        """Less the combinations that match an entry. Raises Refused for entries that do not fit, or if none is left."""
        boxes = tuple(_box(entry, f"sweep.exclude[{i}]", values) for i, entry in enumerate(entries))
        for i, box in enumerate(boxes):
            if not all(self._meet(box)):
                zipped = next(" & ".join(names) for names in self.zips if not self._positions(names, box))
                raise Refused(f"sweep.exclude[{i}]={_said(entries[i])}: matches no run, as {zipped} advance together.")
        design = replace(self, excluded=boxes)
        if boxes and next(design.combinations(), None) is None:
            raise Refused(f"sweep.exclude: leaves none of the {self.total} runs of {self.words}.")
        return design

    def ordered(self) -> Design:
        """The same combinations with the axes in their canonical order."""
        return replace(self, sizes={name: self.sizes[name] for name in sorted(self.sizes, key=place)})

    @property
    def factors(self) -> list[tuple[str, ...]]:
        """What is crossed: zipped axes are one factor, at the place of the first of them."""
        zipped = {name: tuple(sorted(names, key=list(self.sizes).index)) for names in self.zips for name in names}
        return list(dict.fromkeys(zipped.get(name, (name,)) for name in self.sizes))

    @property
    def total(self) -> int:
        return math.prod(self.sizes[factor[0]] for factor in self.factors)

    @property
    def words(self) -> str:
        return " x ".join(f"{' & '.join(factor)} ({self.sizes[factor[0]]})" for factor in self.factors)

    def combinations(self) -> Iterator[dict[str, int]]:
        """Each combination, the last axis fastest: axis -> position of its value."""
        factors = self.factors
        for positions in itertools.product(*(range(self.sizes[factor[0]]) for factor in factors)):
            at = {name: i for factor, i in zip(factors, positions, strict=True) for name in factor}
            if not any(all(at[name] in some for name, some in box.items()) for box in self.excluded):
                yield {name: at[name] for name in self.sizes}

    def _meet(self, box: Box) -> Iterator[bool]:
        return (bool(self._positions(names, box)) for names in self.zips)

    def _positions(self, names: Iterable[str], box: Box) -> frozenset[int]:
        """Where zipped axes all have a value of the box."""
        every = frozenset(range(max(self.sizes.values())))
        return every.intersection(*(box[name] for name in names if name in box))


def _box(entry: Mapping[str, Any], where: str, values: Values) -> Box:
    box = {}
    for given, wanted in entry.items():
        name = plain(given)
        if name not in values:
            raise unknown(where, given, values, "axis")
        box[name] = _matching(f"{where}.{name}", name, wanted, values[name])
    return box


def _matching(where: str, name: str, wanted: Any, values: Sequence[Any]) -> frozenset[int]:
    """The positions of the wanted value, or of any of a list of them; a list that is itself a value is that value."""
    whole = frozenset(i for i, value in enumerate(values) if same(name, value, wanted))
    several = [wanted] if whole or not isinstance(wanted, list) else wanted
    found: set[int] = set()
    for one in several:
        at = [i for i, value in enumerate(values) if same(name, value, one)]
        if not at:
            raise _no_value(where, name, one, values)
        found.update(at)
    if not found:
        raise _no_value(where, name, wanted, values)
    return frozenset(found)


def _no_value(where: str, name: str, given: Any, values: Sequence[Any]) -> Refused:
    known = [str(value) for value in values]
    shown = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
    return Refused(f"{where}={given}: not on the axis {name}: {shown}.{did_you_mean(given, known)}")


def same(name: str, one: Any, other: Any) -> bool:
    """Whether two values of an axis are one: two names of an option are, and 1 and 1.0, but not 1 and true."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(canonical(name, one) == canonical(name, other))


def canonical(name: str, value: Any) -> Any:
    """An option by the short one of its names; what is no option of a group is itself."""
    if name not in GROUPS or not isinstance(value, str):
        return value
    return next((alias for alias, full in GROUPS[name].aliases.items() if full == value), value)


def plain(name: str) -> str:
    """An axis as it is called everywhere: without the + or ~ that the command has."""
    return name.lstrip("+~")


def place(name: str) -> tuple[int, str]:
    """The place of an axis in the canonical order: presets and the like, sections as above, seeds; then by name."""
    section = name.partition(".")[0].partition("@")[0]
    if name in SEEDS:
        return len(SECTIONS), name
    return (SECTIONS.index(section) if section in SECTIONS else -1), name


def roles(names: Iterable[str], declared: Mapping[str, str]) -> dict[str, str]:
    """The role of each axis, as declared or by its name. Raises Refused for a role of what is no axis."""
    deduced = {name: _role(name) for name in names}
    for name in declared:
        if plain(name) not in deduced:
            raise unknown("sweep.roles", name, deduced, "axis")
    return deduced | {plain(name): role for name, role in declared.items()}


def _role(name: str) -> str:
    if name.endswith("seed"):
        return "repeat"
    return "nuisance" if name.startswith(("optimizer.", "trainer.")) else "scientific"


def _said(entry: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name, value in entry.items()) + "}"
