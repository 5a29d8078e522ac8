"""A document in the languages it is published in: HTML, Markdown, TeX and csv. Each escapes whatever it is given.

    page(document)                     # index.html: one file that asks for nothing
    markdown(document)                 # report.md, beside tables/ and figures/
    csv_of(table), tex_of(table)       # tables/<name>.csv, .tex

A report repeats names, values and errors that somebody else has chosen, so no text is taken for markup anywhere.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
from importlib.resources import files
from typing import Any

from initlab.reporting.document import (
    Block,
    Code,
    Document,
    Figure,
    Link,
    Listing,
    Paragraph,
    Points,
    Strong,
    Table,
    shown,
)
from initlab.reporting.figures import FAINT, INK, MUTED, PAPER, RECOLOURED, WIDTH

TEMPLATES = files("initlab.reporting") / "templates"
TEX = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "–": "--",
    "…": r"\ldots{}",
}


def page(document: Document) -> str:
    """The report as one HTML file: no script, no request, and a policy that allows neither."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    def load(name: str) -> str:
        return (TEMPLATES / name).read_text(encoding="utf-8")

    def finalize(value: Any) -> Any:
        return shown(value) if type(value) in (str, Code, Strong, Link) else value  # Markup is ours, and stays

    environment = Environment(
        loader=FunctionLoader(load),
        autoescape=True,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests |= {kind.__name__.lower(): _is(kind) for kind in (Paragraph, Points, Table, Figure, Listing)}
    environment.filters["inline"] = _inline
    environment.tests |= {"code": _is(Code), "strong": _is(Strong), "link": _is(Link)}
    css = stylesheet()
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    return environment.get_template("report.html").render(document=document, css=css, digest=digest)


def _inline(svg: str) -> Any:
    """A figure as an element of the page, which knows SVG's names without their addresses. It escaped its own text."""
    from markupsafe import Markup

    return Markup(re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg))


def _is(kind: type) -> Any:
    return lambda value: isinstance(value, kind)


def stylesheet() -> str:
    """The page's style, with the figures' colours for a dark screen."""
    names = {"paper": PAPER, "ink": INK, "muted": MUTED, "faint": FAINT}
    light, dark = ("".join(f"--{name}:{pair[i]};" for name, pair in names.items()) for i in (0, 1))
    drawn = "".join(
        f'svg [{property}="{was}"]{{{property}:{becomes}}}'
        for was, becomes in RECOLOURED
        for property in ("fill", "stroke")
    )
    css = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    wide = f'@media (max-width:40rem){{svg[width="{72 * WIDTH:g}pt"]{{min-width:34rem}}}}'  # its words stay readable
    return f":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}{drawn}}}\n{css}{wide}\n"


def markdown(document: Document) -> str:
    """The report as Markdown (GitHub's), its figures and tables beside it."""
    parts = [f"# {_md(document.question)}", *map(_md_block, document.command), *map(_md_block, document.answer)]
    parts.append(" · ".join(map(_md, document.facts)))
    for section in document.sections:
        parts += [f"## {_md(section.title)}", *map(_md_block, section.blocks)]
    return "\n\n".join(parts) + "\n"


def _md_block(block: Block) -> str:
    match block:
        case Paragraph():
            return _md_words(block)
        case Points():
            return "\n".join(f"- {_md_words(item)}" for item in block.items)
        case Figure():
            return f"![{_md(block.alt)}](figures/{block.name}.svg)\n\n{_md(block.caption)}"
        case Listing():
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", block.text)), default=0))
            title = f"{_md(block.title)}\n\n" if block.title else ""
            return f"{title}{fence}\n{shown(block.text)}\n{fence}"
        case Table():
            rule = ["---:" if i in block.numeric else "---" for i in range(len(block.columns))]
            lines = [map(_md, block.columns), rule, *(map(_md, row) for row in block.rows)]
            return f"{_md(block.caption)}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _md_words(paragraph: Paragraph) -> str:
    return "".join(
        f"**{_md(word)}**"
        if isinstance(word, Strong)
        else _md_code(word)
        if isinstance(word, Code)
        else f"[{_md(word)}](<{word.href}>)"
        if isinstance(word, Link)
        else _md(word)
        for word in paragraph.words
    )


def _md(text: str) -> str:
    """Plain words: what Markdown or the HTML within it would take for its own is escaped."""
    return re.sub(r"([\\`*_\[\]<>|#~&$])", r"\\\1", _one_line(text))


def _md_code(text: str) -> str:
    """Within a code span only a backtick means something; a longer fence holds it."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{_one_line(text)}{space}{fence}"


def tex_of(table: Table) -> str:
    """The table for a paper (booktabs), as the page shows it."""
    columns = "".join("r" if i in table.numeric else "l" for i in range(len(table.columns)))
    head, *rows = [" & ".join(map(_tex, row)) + r" \\" for row in (table.columns, *table.rows)]
    lines = [f"% {_one_line(table.caption)}", f"\\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule"]
    return "\n".join([*lines, *rows, r"\bottomrule", r"\end{tabular}", ""])


def _tex(text: str) -> str:
    # a letter that stands for an invisible one is in no TeX font
    return "".join(TEX.get(c, "?" if 0x2400 <= ord(c) < 0x2440 else c) for c in _one_line(text))


def csv_of(table: Table) -> str:
    """The table in full. A text that a spreadsheet would compute, such as =1+1, gets an apostrophe in front."""
    rows = table.exact or [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(_csv, columns or table.columns))
    writer.writerows([_csv(row.get(column)) for column in columns] for row in rows)
    return out.getvalue()


def _csv(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = _one_line(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", shown(text))
