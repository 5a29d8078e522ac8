"""A claim: a statement about the cells of a sweep, with the criterion by which it holds declared before any run.

    found = claim({"question": ..., "checks": {"he_trains": {"kind": "proportion", "of": "test/accuracy >= 0.9", ...}}})
    check(found, plan)             # raises Refused where the sweep cannot answer it

An experiment's yaml has it as the section ``claim``. It decides no run's numbers, so it is no part of a key. Nothing
here imports torch; `judging` decides whether a claim holds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from initlab.claiming.quantities import OfARun, Quantity, quantity
from initlab.errors import Refused, unknown
from initlab.fields import Field, Integer, ListOf, Number, OneOf, Word, typed_fields
from initlab.planning.design import same
from initlab.specs.checks import Text

# Each kind with the fields that it needs besides `of`; a field of another kind is refused.
KINDS: Mapping[str, tuple[str, ...]] = {
    "value": (),
    "ratio": ("to",),
    "difference": ("against",),
    "proportion": (),
    "slope": ("over",),
    "rank": ("by",),
    "auc": ("by",),
}
VERDICTS = ("holds", "does not hold", "inconclusive")
SEEDS = 10  # the fewest for what training decides


@dataclass(frozen=True)
class Values:
    """Axes, each with a value or a list of them."""

    allowed: str = "axes with a value, or a list of values, each, such as {init: xavier, arch.depth: [10, 30]}"

    def __call__(self, value: object) -> dict[str, list[Any]]:
        if not isinstance(value, Mapping):
            raise ValueError
        return {str(name): one if isinstance(one, list) else [one] for name, one in value.items()}


NUMBER = OneOf((None,), (Number(),))
TEXT = Text("a line of text")
FIELDS = {
    "question": Field("", TEXT, "what is asked"),
    "source": Field("", TEXT, "who said so, where; and whether that was read again"),
    "expected": Field("", TEXT, "what theory, or the source, lets one expect"),
    "cost": Field("", TEXT, "of the sweep"),
    "found": Field(None, OneOf((None, *VERDICTS)), "the verdict when the file was written"),
    "seeds": Field(SEEDS, Integer(2), "fewer give no verdict"),
    "cap": Field(None, OneOf((None,), (Integer(2),)), "while inconclusive, seeds are doubled up to here; null: never"),
    "parametric": Field(None, OneOf((None,), (TEXT,)), f"why fewer than {SEEDS} seeds carry a claim about training"),
    "level": Field(0.05, Number(gt=0, le=0.5), "of all checks and looks together"),
    "control": Field([], ListOf(Word(), 1), "overrides under which the claim must not hold"),
    "checks": Field({}, Word(), "what must hold, all of it"),
}
CHECK = {
    "says": Field("", TEXT, "the check in words"),
    "kind": Field("value", OneOf(tuple(KINDS)), "what is made of the quantity"),
    "of": Field(None, OfARun(), "the quantity of each run"),
    "at": Field({}, Values(), "the cells; each is a comparison of its own"),
    "to": Field(None, OneOf((), (Number(), OfARun())), "ratio: what it is divided by"),
    "against": Field(None, Values(), "difference: the values in which the other cell differs"),
    "over": Field(None, Word(), "slope: the axis; log2(axis) on a logarithmic scale"),
    "by": Field(None, OneOf((), (OfARun(), Word())), "rank, auc: what orders the cells, a quantity or an axis"),
    "above": Field(None, NUMBER, "the criterion: greater than this"),
    "below": Field(None, NUMBER, "the criterion: less than this; with both the two are equivalent to the margin"),
}


@dataclass(frozen=True)
class Check:
    """One criterion: the mean over the seeds of what ``kind`` makes of ``of`` lies between ``above`` and ``below``."""

    name: str
    says: str
    kind: str
    of: str
    at: Mapping[str, list[Any]]
    to: float | str | None
    against: Mapping[str, list[Any]] | None
    over: str | None
    by: str | None
    above: float | None
    below: float | None

    @property
    def bounds(self) -> tuple[float, float]:
        return -math.inf if self.above is None else self.above, math.inf if self.below is None else self.below

    @property
    def criterion(self) -> str:
        """In symbols: > 0.7, or −0.1 to 0.1."""
        low, high = (None if bound is None else f"{bound:g}".replace("-", "−") for bound in (self.above, self.below))
        return f"{low} to {high}" if low and high else f"> {low}" if low else f"< {high}"

    @property
    def quantities(self) -> Iterator[Quantity]:
        for text in (self.of, self.to, self.by):
            if isinstance(text, str) and (text is not self.by or _is_quantity(text)):
                yield quantity(text)

    @property
    def axis(self) -> str | None:
        """The axis that it goes along."""
        given = self.over if self.over is not None else self.by
        return None if given is None or _is_quantity(given) else given.removeprefix("log2(").removesuffix(")")


@dataclass(frozen=True)
class Claim:
    question: str
    source: str
    expected: str
    cost: str
    found: str | None
    seeds: int
    cap: int | None
    parametric: str | None
    level: float
    control: Sequence[str]
    checks: tuple[Check, ...]

    @property
    def looks(self) -> int:
        """How often the verdict may be asked for, as the seeds double from `seeds` to `cap`: the level is shared."""
        return 1 + math.ceil(math.log2(max(self.cap or 0, self.seeds) / self.seeds))

    @property
    def as_json(self) -> dict[str, Any]:
        """What `claim` takes."""
        checks = {check.name: _given(asdict(check), without="name") for check in self.checks}
        return _given(asdict(self), without="checks") | {"control": list(self.control), "checks": checks}


def claim(raw: object) -> Claim:
    """The typed claim of a config's section. Raises Refused: what was given, what is allowed, where."""
    if not isinstance(raw, Mapping):
        raise Refused(f"claim={raw}: not a section. Set its fields: {', '.join(FIELDS)}.")
    checks = raw.get("checks")
    if not isinstance(checks, Mapping) or not checks:
        raise Refused("claim.checks: a claim needs one at least, a name with its fields: kind, of, at, above or below.")
    fields = typed_fields(FIELDS, {k: v for k, v in raw.items() if k != "checks"}, "claim", "a claim")
    for name in ("question", "source", "control"):
        if not fields[name]:
            raise Refused(f"claim.{name}: is missing. It is {FIELDS[name].doc}.")
    return Claim(**fields | {"checks": tuple(_check(str(name), each) for name, each in checks.items())})


def _check(name: str, raw: object) -> Check:
    where = f"claim.checks.{name}"
    if not isinstance(raw, Mapping):
        raise Refused(f"{where}={raw}: not a check. Set its fields: {', '.join(CHECK)}.")
    fields = typed_fields(CHECK, raw, where, "a check")
    needed = KINDS[fields["kind"]]
    for field in ("of", *needed):
        if fields[field] is None:
            raise Refused(f"{where}: kind={fields['kind']} needs {field}, {CHECK[field].check.allowed}.")
    for kind, others in KINDS.items():
        for field in others:
            if fields[field] is not None and field not in needed:
                raise Refused(f"{where}.{field}={fields[field]}: belongs to kind={kind}, and this is {fields['kind']}.")
    low, high = fields["above"], fields["below"]
    if low is None and high is None:
        raise Refused(f"{where}: no criterion. Say above: or below:, or both, a number.")
    if low is not None and high is not None and low >= high:
        raise Refused(f"{where}: above={low:g} and below={high:g} leave nothing between them.")
    if fields["kind"] in ("proportion", "auc") and not quantity(fields["of"]).sign:
        raise Refused(f"{where}.of={fields['of']}: a {fields['kind']} needs yes or no: add >= or <= and a number.")
    return Check(name, fields["says"] or name.replace("_", " "), **{k: v for k, v in fields.items() if k != "says"})


def check(
    found: Claim,
    axes: Mapping[str, Sequence[Any]],
    repeats: Sequence[str],
    trains: bool,
    probed: bool,
    signalled: bool = False,
    nuisance: Sequence[str] = (),
) -> None:
    """Raises Refused where the sweep cannot answer the claim.

    ``axes`` are its values, ``repeats`` the seeds' axes, ``nuisance`` those that are optimised over; ``signalled``
    whether signals are kept while it trains.
    """
    if list(repeats) != ["seed"]:
        raise Refused(f"claim: needs the axis seed, and no other seeds beside it; the sweep's are {list(repeats)}.")
    if trains and found.seeds < SEEDS and found.parametric is None:
        raise Refused(
            f"claim.seeds={found.seeds}: a claim about training needs {SEEDS} or more; a criterion that fewer carry "
            "says in claim.parametric why."
        )
    for one in found.checks:
        where = f"claim.checks.{one.name}"
        for name, values in [*one.at.items(), *(one.against or {}).items(), *([(one.axis, [])] if one.axis else [])]:
            if name not in axes:
                raise unknown(where, name, axes, "axis of the sweep")
            for value in values:
                if not any(same(name, value, other) for other in axes[name]):
                    raise Refused(f"{where}: the sweep has no {name}={value}; it has {_some(axes[name])}.")
        if one.axis and (len(axes[one.axis]) < 2 or not all(_positive(value) for value in axes[one.axis])):
            raise Refused(f"{where}: goes along {one.axis}, which needs two positive numbers or more.")
        for axis in (q.axis for q in one.quantities if q.axis):
            if axis not in nuisance:
                raise unknown(where, axis, nuisance, "axis that is optimised over")
            if len(axes[axis]) < 2 or not all(_positive(value) for value in axes[axis]):
                raise Refused(f"{where}: best is sought along {axis}, which needs two positive numbers or more.")
        if not probed and any(q.probed for q in one.quantities):
            raise Refused(f"{where}: reads the probe, and nothing is probed: set sweep.probe=true.")
        if not signalled and any(q.signalled for q in one.quantities):
            raise Refused(f"{where}: reads a signal, and none is kept: set trainer.probe_every, in steps.")


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _given(fields: Mapping[str, Any], without: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != without and value not in (None, "")}


def _some(values: Iterable[Any]) -> str:
    return ", ".join(map(str, values))


def _is_quantity(text: str) -> bool:
    try:
        quantity(text)
    except ValueError:
        return False
    return True
