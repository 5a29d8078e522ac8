"""What initlab refuses, and how it says so: what was given, what is allowed, the nearest, and where."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

SHOWN = 60  # characters of a value


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


def nearest(given: object, known: Iterable[str]) -> str | None:
    """The known name closest to the given one, or None if none is close."""
    matches = difflib.get_close_matches(str(given), list(known), n=1, cutoff=0.5)
    return matches[0] if matches else None


def unknown(where: str, given: object, known: Iterable[str], what: str = "option") -> Refused:
    """The refusal of a name that is not there: given, all that is known, the nearest."""
    names = sorted(known)
    guess = nearest(given, names)
    hint = f" Did you mean {guess}?" if guess else ""
    return Refused(f"{where}: no {what} '{given}'. Known: {', '.join(names) or '(none)'}.{hint}")
