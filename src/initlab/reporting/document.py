"""What a report is made of, free of any format: sections of paragraphs, tables, figures and listings.

    Section("table", "The cells", [Paragraph("Best is ", Strong("init=xavier"), "."), Table(...), Figure(...)])

Text is plain text wherever it comes from; `typeset` alone knows how a page, Markdown or TeX has to write it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass


class Code(str):
    """Words of a machine, such as init=xavier."""


class Strong(str):
    """What an eye that skims should meet."""


class Link(str):
    """Words that lead elsewhere on a page or to another page of ours, in a paragraph or a table's cell, such as
    Link("its report", "he2015_depth/report/index.html")."""

    href: str

    def __new__(cls, words: str, href: str) -> Link:
        made = super().__new__(cls, words)
        made.href = href
        return made


@dataclass(frozen=True, init=False)
class Paragraph:
    """A paragraph's words: plain, `Code`, `Strong` or `Link`."""

    words: tuple[str, ...]

    def __init__(self, *words: str) -> None:
        object.__setattr__(self, "words", words)

    def __str__(self) -> str:
        return "".join(self.words)


@dataclass(frozen=True)
class Points:
    """A list of paragraphs."""

    items: Sequence[Paragraph]


@dataclass(frozen=True)
class Table:
    """Rows as they are read. ``numeric`` are the columns set to the right; the first ``heads`` of a row name it.

    ``exact`` are the rows in full for tables/<name>.csv, where the page rounds or shows only the first.
    """

    name: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: frozenset[int] = frozenset()
    heads: int = 1
    exact: Sequence[dict[str, object]] = ()


@dataclass(frozen=True)
class Figure:
    """A figure of figures/, with the words below it and what it shows to whoever cannot see it."""

    name: str
    caption: str
    alt: str
    svg: str
    pdf: bytes
    png: bytes


@dataclass(frozen=True)
class Listing:
    """Lines as they are, such as a command; a ``folded`` one opens at a click."""

    text: str
    title: str = ""
    folded: bool = False


Block = Paragraph | Points | Table | Figure | Listing


@dataclass(frozen=True)
class Section:
    """``id`` is the section's anchor."""

    id: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Document:
    """``question`` heads it, ``answer`` follows, ``facts`` are the few words in between."""

    question: str
    command: Sequence[Listing]
    answer: Sequence[Paragraph]
    facts: Sequence[str]
    sections: Sequence[Section]
    kind: str = "initlab report"

    def tables(self) -> list[Table]:
        return [block for section in self.sections for block in section.blocks if isinstance(block, Table)]

    def figures(self) -> list[Figure]:
        return [block for section in self.sections for block in section.blocks if isinstance(block, Figure)]


def shown(text: str) -> str:
    """The text with what is invisible, and could hide or turn the rest, made visible: NUL is ␀, U+202E is <U+202E>."""
    return "".join(map(_shown, text))


def _shown(letter: str) -> str:
    if letter in "\n\t" or unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return letter
    return chr(0x2400 + ord(letter)) if ord(letter) < 0x20 else f"<U+{ord(letter):04X}>"
