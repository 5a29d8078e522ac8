"""What initlab refuses, and how it says so: what was given, what is allowed, the nearest, and where."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

SHOWN = 60  # characters of a value
MINUS = "\u2212"  # of print, as reports have it
NO_MINUS = f"{MINUS} is the minus of print (U+2212), as a report has it; a number is typed with -, the hyphen"


class Refused(ValueError):
    """A request that is answered before anything is trained or written (exit code 2)."""


class FolderInUse(RuntimeError):
    """Another process trains in this folder (exit code 75)."""


def printable(text: str) -> str:
    """The text with whatever would steer a terminal, hide or turn what it shows, escaped: ESC is \\x1b."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def shortened(value: object) -> str:
    """A value of any length, as a message shows it."""
    text = "null" if value is None else str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def did_you_mean(given: object, known: Iterable[str]) -> str:
    """ " Did you mean NAME?", as it ends a refusal; empty where no known name is close to, or has, what is given."""
    text, names = str(given), list(known)
    matches = difflib.get_close_matches(text, names, n=1) or [name for name in names if len(text) > 2 and text in name]
    return f" Did you mean {matches[0]}?" if matches else ""


def unknown(where: str, given: object, known: Iterable[str], what: str = "option") -> Refused:
    """The refusal of a name that is not there: given, all that is known, the nearest."""
    names = sorted(known)
    return Refused(f"{where}: no {what} '{given}'. Known: {', '.join(names) or '(none)'}.{did_you_mean(given, names)}")
