"""What a piece of code does, as Python's audit hook sees it.

    with watching() as seen:
        read(folder)
    seen.executed, seen.connected, seen.imported, seen.opened       # lists of words

A hook cannot be taken away again, so there is one, which records while somebody watches.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

EXECUTED = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "subprocess.Popen", "pty.spawn")
EXECUTED += ("pickle.find_class", "ctypes.dlopen", "webbrowser.open")
CONNECTED = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.bind", "urllib.Request")


@dataclass
class Seen:
    executed: list[str] = field(default_factory=list)
    connected: list[str] = field(default_factory=list)
    imported: list[str] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)


_seen: Seen | None = None


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _seen is None:
        return
    if event in EXECUTED:
        _seen.executed.append(f"{event} {args!r:.200}")
    elif event in CONNECTED:
        _seen.connected.append(f"{event} {args!r:.200}")
    elif event == "exec":  # a module that is imported, or text that is run
        _seen.imported.append(args[0].co_filename)
    elif event == "open" and not isinstance(args[0], int):
        _seen.opened.append(os.fsdecode(args[0]))


sys.addaudithook(_hook)


@contextmanager
def watching() -> Iterator[Seen]:
    global _seen
    _seen = seen = Seen()
    try:
        yield seen
    finally:
        _seen = None
