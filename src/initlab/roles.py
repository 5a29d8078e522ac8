"""What a layer is to its net: declared by whoever made the net, never guessed from names.

    net.roles = {"stem": Role("input"), "blocks.0.branch.fc2": Role("hidden", block=0, blocks=8, layer=2, layers=2)}

The keys are dotted names of modules or parameters. A net of ours has the attribute `roles`; a net from elsewhere has it
too, or is given them: ``initialize(model, "fixup", roles={...})``. An architecture's spec says which roles its nets
declare (`Offers`), a scheme's which it needs, so that a plan can refuse without torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from initlab.errors import Refused, unknown

KINDS = (
    "input",  # reads the data
    "embedding",  # a table of vectors: tokens, positions, a class token
    "hidden",
    "query",
    "key",
    "value",
    "attention_output",
    "recurrent",  # reads the state of the step before
    "gate",  # the bias of a gate
    "shortcut",  # projects where a residual block changes the shape
    "branch_scale",  # the number that multiplies a residual branch
    "branch_bias",  # a number that is added within a residual branch
    "readout",
)
WEIGHTLESS = ("gate", "branch_scale", "branch_bias")  # the kinds of what is no weight
# What several kinds have in common: words that a scheme can need, and an architecture offer, besides the kinds.
RESIDUAL = "residual"  # some layer lies in a residual block
WORDS = (*KINDS, RESIDUAL)

Offers: TypeAlias = Mapping[str, Mapping[str, Sequence[Any]]]
"""Word -> the fields that must have one of some values for a net to declare it; {}: every net does."""


@dataclass(frozen=True)
class Role:
    """What a layer is: its kind, and its place where it has one.

    ``block`` counts residual blocks from 0, ``blocks`` is their number (the L of Fixup); ``layer`` counts the layers of
    a branch from 1, ``layers`` is their number (Fixup's m). ``gate`` is what a weight or a bias of a recurrent cell
    belongs to: input, forget, output, cell (LSTM), reset, update, new (GRU), state (a plain one); ``cell`` is a name
    that all gates of one cell share. ``heads`` is the number of an attention's heads. Raises Refused for a kind that
    is none, and for a block that is none of ``blocks``.
    """

    kind: str
    block: int | None = None
    blocks: int | None = None
    layer: int | None = None
    layers: int | None = None
    gate: str | None = None
    cell: str | None = None
    heads: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown("role", self.kind, KINDS, "kind of layer")
        if self.block is not None and not 0 <= self.block < (self.blocks or 0):
            raise Refused(
                f"Role({self.kind!r}, block={self.block}, blocks={self.blocks}): not allowed. A block needs blocks, "
                "how many there are, and counts from 0 to one below."
            )

    @property
    def last(self) -> bool:
        """Of its branch: its output is added to the shortcut."""
        return self.layer is not None and self.layer == self.layers


def words(roles: Iterable[Role | None]) -> frozenset[str]:
    """What a net with these roles offers."""
    declared = [role for role in roles if role is not None]
    residual = [RESIDUAL for role in declared if role.block is not None]
    return frozenset([*(role.kind for role in declared), *residual])


def check(where: str, needs: Sequence[str], arch: Mapping[str, Any], known: Mapping[str, Offers | None]) -> None:
    """Raises Refused if nets of the option ``arch`` lack a word of ``needs``; ``known`` is what each arch offers.

    One that says nothing of its roles (a user's own) is not refused here: its net is asked as soon as it is there.
    """
    if not needs or known[arch["name"]] is None:
        return
    able = dict(offering(needs, known))
    fields = able.get(arch["name"])
    if fields is None or any(arch[field] not in values for field, values in fields.items()):
        raise Refused(
            f"{where}: needs a net with the role {' and '.join(needs)}; this one of arch={arch['name']} has not. "
            f"These have: {', '.join(_said(name, fields) for name, fields in able.items())}."
        )


def offering(needs: Sequence[str], known: Mapping[str, Offers | None]) -> Iterator[tuple[str, dict[str, list[Any]]]]:
    """The architectures whose nets can have all of ``needs``, and which fields must have one of some values."""
    for name, offers in known.items():
        if offers is None or any(word not in offers for word in needs):
            continue
        fields: dict[str, list[Any]] = {}
        for word in needs:
            for field, values in offers[word].items():
                fields[field] = [value for value in fields.get(field, values) if value in values]
        yield name, fields


def _said(arch: str, fields: Mapping[str, Sequence[Any]]) -> str:
    words = " and ".join(f"arch.{field}={' or '.join(map(str, values))}" for field, values in fields.items())
    return f"{arch} with {words}" if words else arch
