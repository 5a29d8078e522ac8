"""What a field of an option accepts: checks that turn a value into its typed form or refuse it, in words."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from initlab.errors import MINUS, NO_MINUS, Refused, did_you_mean, unknown


class Check(Protocol):
    """What a field accepts: turns a value into its typed form, or raises ValueError. `allowed` says it in words.

    What the error says, as the word that may be meant, ends the refusal.
    """

    @property
    def allowed(self) -> str: ...

    def __call__(self, value: object) -> object: ...


@dataclass(frozen=True)
class Number:
    """A finite float in a range; an integer is taken as one."""

    gt: float = -math.inf
    ge: float = -math.inf
    lt: float = math.inf
    le: float = math.inf

    @property
    def allowed(self) -> str:
        return "a number" + _range(self.gt, self.ge, self.lt, self.le)

    def __call__(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
            raise ValueError
        if not (self.gt < value < self.lt and self.ge <= value <= self.le):
            raise ValueError
        return float(value)


@dataclass(frozen=True)
class Integer:
    """An int in a range; 2.0 is not one."""

    ge: int
    le: float = math.inf

    @property
    def allowed(self) -> str:
        return "an integer" + _range(-math.inf, self.ge, math.inf, self.le)

    def __call__(self, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not self.ge <= value <= self.le:
            raise ValueError
        return value


@dataclass(frozen=True)
class Boolean:
    allowed: str = "true or false"

    def __call__(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise ValueError
        return value


@dataclass(frozen=True)
class Word:
    """Any text; what its words mean, only the function knows."""

    allowed: str = "a word"

    def __call__(self, value: object) -> str:
        if not isinstance(value, str):
            raise ValueError
        return value


@dataclass(frozen=True)
class OneOf:
    """One of some words, or a value that one of the further checks takes; None is written null."""

    words: tuple[str | None, ...]
    others: tuple[Check, ...] = ()

    @property
    def allowed(self) -> str:
        return " or ".join(
            [*("null" if word is None else word for word in self.words), *(c.allowed for c in self.others)]
        )

    def __call__(self, value: object) -> object:
        if (value is None or isinstance(value, str)) and value in self.words:
            return value
        meant = did_you_mean(value, filter(None, self.words)) if isinstance(value, str) else ""
        for check in self.others:
            try:
                return check(value)
            except ValueError as error:
                meant = meant or str(error)
        raise ValueError(meant)


@dataclass(frozen=True)
class ListOf:
    """A list, each item of which passes a check."""

    item: Check
    least: int = 0

    @property
    def allowed(self) -> str:
        return f"a list{f' of at least {self.least}' if self.least else ''}, each {self.item.allowed}"

    def __call__(self, value: object) -> list[object]:
        if not isinstance(value, list) or len(value) < self.least:
            raise ValueError
        return [self.item(item) for item in value]


@dataclass(frozen=True)
class Anything:
    """For the fields of a user's function, whose ranges only that function knows."""

    allowed: str = "a number, a word, true, false, null or a list"

    def __call__(self, value: object) -> object:
        return value


@dataclass(frozen=True)
class Field:
    """One field of an option: its default, what it accepts, and what it means."""

    default: Any
    check: Check
    doc: str = ""

    def typed(self, value: object, where: str) -> Any:
        """The value in its type. Raises Refused that names the place, the value and what is allowed."""
        try:
            return self.check(value)
        except Refused:
            raise
        except ValueError as error:
            given = "null" if value is None else value
            meant = str(error) or (f" {NO_MINUS}." if MINUS in str(value) else "")
            raise Refused(f"{where}={given}: not allowed. {where} takes {self.check.allowed}.{meant}") from None


@dataclass(frozen=True)
class Constraint:
    """What several fields of an option must fulfil together."""

    words: str
    fields: tuple[str, ...]
    holds: Callable[[Mapping[str, Any]], bool]


def typed_fields(fields: Mapping[str, Field], values: Mapping[str, Any], where: str, what: str) -> dict[str, Any]:
    """Every field, from ``values`` in its type or by default. Raises Refused for a key that is no field."""
    for key in values:
        if key not in fields:
            raise unknown(f"{where}.{key}" if where else key, key, fields, f"field of {what}")
    return {
        key: field.typed(values[key], f"{where}.{key}" if where else key) if key in values else field.default
        for key, field in fields.items()
    }


def _range(gt: float, ge: float, lt: float, le: float) -> str:
    bounds = [(gt, "> "), (ge, ">= "), (lt, "< "), (le, "<= ")]
    parts = [f"{sign}{bound}" for bound, sign in bounds if math.isfinite(bound)]
    return " " + " and ".join(parts) if parts else ""
