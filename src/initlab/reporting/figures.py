"""A figure as it is published: its palette; an SVG that a strict page takes inline, a PDF for a paper, a PNG.

    with style():
        figure = plots.heat(...)
        written = published(figure, "heat", "Accuracy by init and act")      # .svg, .pdf, .png, the same every time

matplotlib's SVG carries styles, ids, dates and six decimals. Here styles become attributes, which a content security
policy without inline styles lets pass; ids carry the figure's name, so that two figures live on one page; text stays
text. A page recolours for a dark screen by the colours below, which appear nowhere but as themselves.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from initlab.reporting.document import shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Each has a contrast of 3 and more on its ground (text 4.5 and more); a test holds them to it.
PAPER = ("#ffffff", "#15171a")  # light, dark
INK = ("#1d1f22", "#e4e4e1")
MUTED = ("#5c6066", "#a5a9ae")
FAINT = ("#d8dade", "#3a3e44")  # grid lines
# After Okabe and Ito (2008), darkened to show on white: blue, vermilion, green, purple, ochre, black, violet, brown.
SERIES = (
    ("#0072b2", "#56b4e9"),
    ("#c04f00", "#ff8c42"),
    ("#008765", "#2fc79b"),
    ("#b3528c", "#e79ac9"),
    ("#8c6a00", "#e6b93d"),
    ("#474b50", "#c3c6ca"),
    ("#6450a8", "#ab9cf0"),
    ("#7f4a22", "#c99a72"),
)
REST = ("#8b8f95", "#777c83")  # what is drawn but not named
RECOLOURED = (PAPER, INK, MUTED, FAINT, REST, *SERIES)

WIDTH = 7.2  # inches: two columns of a paper
LABEL = 8.0  # points, of names in a figure
LETTER, LINE = 0.068, 0.145  # inches: a letter's width and a line's height at that size
SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
NO_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")  # letters that matplotlib passes and XML has no way to write
LINK = re.compile(r"#([a-zA-Z_][\w.-]*)(?=\)|$)")
FONT = "DejaVu Sans"  # comes with matplotlib, so that a figure is laid out alike everywhere


@dataclass(frozen=True)
class Published:
    """A figure's files. ``svg`` is an element with a title, as a page takes it inline."""

    svg: str
    pdf: bytes
    png: bytes  # for TensorBoard


@contextmanager
def style() -> Iterator[None]:
    """matplotlib's own defaults, whatever the user's are, with ours over them."""
    from matplotlib import style as styles

    ours = {
        "font.size": 8.5,
        "font.family": FONT,
        "text.parse_math": False,
        "text.color": INK[0],
        "axes.edgecolor": MUTED[0],
        "axes.labelcolor": INK[0],
        "axes.linewidth": 0.7,
        "axes.titlesize": 9,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": FAINT[0],
        "grid.linewidth": 0.5,
        "xtick.color": MUTED[0],
        "ytick.color": MUTED[0],
        "xtick.major.size": 3,
        "ytick.major.size": 0,
        "xtick.minor.size": 0,
        "ytick.minor.size": 0,
        "hatch.linewidth": 0.6,
        "svg.fonttype": "none",
        "svg.hashsalt": "initlab",
        "pdf.fonttype": 42,  # TrueType: journals refuse matplotlib's own Type 3
    }
    with styles.context(["default", ours]):
        yield


def published(figure: Figure, name: str, title: str, printed: bool = True) -> Published:
    """The figure's SVG, and PDF and PNG where it is to be printed; equal bytes for equal figures."""
    svg, pdf, png = io.BytesIO(), io.BytesIO(), io.BytesIO()
    undated = {"Date": None, "Creator": None, "Format": None, "Type": None}
    unsigned = {"CreationDate": None, "Creator": None, "Producer": None}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a letter that the font lacks: a box in the PDF
        figure.savefig(svg, format="svg", metadata=undated, transparent=True)
        if printed:
            figure.savefig(pdf, format="pdf", metadata=unsigned)
            figure.savefig(png, format="png", dpi=130, metadata={"Software": None})
    return Published(_strict(svg.getvalue(), name, title), pdf.getvalue(), png.getvalue())


def _strict(svg: bytes, name: str, title: str) -> str:
    """The SVG without styles and unused ids, with two decimals, the figure's name on every id, and a title."""
    root = ElementTree.fromstring(NO_XML.sub(lambda letter: shown(letter[0]), svg.decode()))
    for parent in list(root.iter()):
        for child in [c for c in parent if c.tag in (f"{{{SVG}}}style", f"{{{SVG}}}metadata")]:
            parent.remove(child)
    values = (value for element in root.iter() for value in element.attrib.values())
    linked = {link for value in values for link in LINK.findall(value)}
    for element in root.iter():
        attributes = element.attrib | _presentation(element.attrib.pop("style", ""))
        attributes.pop("style", None)
        if attributes.get("id") not in linked:
            attributes.pop("id", None)
        element.attrib = {key: _written(key, value, name) for key, value in attributes.items()}
        element.text = element.text and shown(element.text)
    root.attrib |= {"role": "img", "aria-labelledby": f"{name}-title"}
    root.attrib |= {"stroke-linejoin": "round", "stroke-linecap": "butt"}  # what the style element said
    heading = ElementTree.Element(f"{{{SVG}}}title", {"id": f"{name}-title"})
    heading.text = shown(title)
    root.insert(0, heading)
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", XLINK)
    return ElementTree.tostring(root, encoding="unicode")


def _presentation(style: str) -> dict[str, str]:
    """A style as attributes; of the fonts that matplotlib would do with, the page names its own."""
    pairs = (part.partition(":") for part in style.split(";") if part.strip())
    given = {key.strip(): value.strip() for key, _, value in pairs}
    return given | ({"font-family": f"{FONT}, sans-serif"} if "font-family" in given else {})


def _written(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if key == "d":
        digits = 2 if len(value) < 500 else 1  # points: a marker is small, a curve is not
        return re.sub(r"-?\d+\.\d+", lambda n: f"{float(n[0]):.{digits}f}".rstrip("0").rstrip("."), value).replace(
            "\n", " "
        )
    return LINK.sub(rf"#{name}-\1", value) if key.endswith("href") or "url(" in value else value
