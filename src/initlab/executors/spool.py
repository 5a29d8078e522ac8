"""Two processes that share nothing but a folder: frames as small files, and a beat that says who is still there.

    worker = Spool(folder / "0")            # a `worker.Link`
    coordinator = Mailbox(folder / "0")

A file is written beside its place and renamed, so that whoever finds it finds it whole; its name is its number. A side
that has not beaten for `SILENT` seconds, by the reader's own clock, has gone: no clocks are compared.
"""

from __future__ import annotations

import struct
import threading
import time
from contextlib import suppress
from pathlib import Path

from initlab.executors.pipes import STOP, Gone
from initlab.storage import disk
from initlab.training import interrupts

POLL, LOOK, BEAT, SILENT = 0.2, 1.0, 5.0, 120.0  # seconds
MOST = 2**24  # bytes that are gathered into one file
AT_ONCE = (b'["ended"', b'["save"', b'["refused"', b'["broken"')  # frames that nobody should wait for


class Mailbox:
    """The coordinator's side of a worker's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._sent = folder, 0
        for part in ("in", "out"):
            disk.folder(folder / part)
        self.heard = Heard(folder / "beat")

    def send(self, frame: bytes) -> None:
        if frame == STOP:
            _place(self.folder / "stop", b"")
        else:
            self._sent += 1
            _place(self.folder / "in" / f"{self._sent:08}", frame)

    @property
    def waiting(self) -> bool:
        """Whether something has come."""
        return bool(_files(self.folder / "out"))

    def receive(self) -> list[bytes]:
        """The frames that have come, which are then gone from the disk."""
        frames = []
        for file in _files(self.folder / "out"):
            content = file.read_bytes()
            disk.remove(file)
            start = 0
            while start < len(content):
                (length,) = struct.unpack_from("<Q", content, start)
                frames.append(content[start + 8 : start + 8 + length])
                start += 8 + length
        return frames


class Spool:
    """The worker's side: a `worker.Link`. ``above`` holds the coordinator's beat."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._coordinator = folder, Heard(folder.parent / "beat")
        self._gathered: list[bytes] = []
        self._written = 0
        self._flushed = self._looked = time.monotonic()
        self._stop = False
        beat(folder / "beat")

    def send(self, frame: bytes) -> None:
        self._gathered += [struct.pack("<Q", len(frame)), frame]
        now = time.monotonic()
        large = sum(map(len, self._gathered)) > MOST
        if large or now - self._flushed >= LOOK or frame.startswith(AT_ONCE):
            self._written += 1
            try:
                _place(self.folder / "out" / f"{self._written:08}", b"".join(self._gathered))
            except FileNotFoundError:  # a coordinator that leaves removes it
                raise Gone from None
            self._gathered, self._flushed = [], now

    def receive(self) -> bytes | None:
        while not (files := _files(self.folder / "in")):
            if self._told() or interrupts.signalled():
                return None
            time.sleep(POLL)
        frame = files[0].read_bytes()
        disk.remove(files[0])
        return frame

    def asked(self) -> bool:
        if (now := time.monotonic()) - self._looked >= LOOK:
            self._looked = now
            self._told()
        return self._stop

    def _told(self) -> bool:
        self._stop |= (self.folder / "stop").exists() or not self.folder.exists() or self._coordinator.silent()
        return self._stop


class Heard:
    """Whether somebody else's beat goes on."""

    def __init__(self, path: Path) -> None:
        self.path, self._last, self._at = path, b"", time.monotonic()

    def silent(self) -> bool:
        try:
            last = self.path.read_bytes()
        except OSError:
            last = self._last
        if last != self._last:
            self._last, self._at = last, time.monotonic()
        return time.monotonic() - self._at > SILENT

    @property
    def begun(self) -> bool:
        return bool(self._last)


def beat(path: Path) -> threading.Event:
    """Write a growing number there until the event is set, or the folder has gone."""
    ended = threading.Event()

    def run() -> None:
        number = 0
        with suppress(FileNotFoundError):
            while not ended.is_set():
                number += 1
                _place(path, b"%d" % number)
                ended.wait(BEAT)

    threading.Thread(target=run, daemon=True).start()
    return ended


def _place(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}")
    disk.write(beside, content)
    disk.rename(beside, path)


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if not file.name.startswith(".")) if folder.exists() else []
