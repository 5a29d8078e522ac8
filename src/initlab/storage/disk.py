"""Every change that is made to a sweep's folder: whole files, appended ones, and what makes them durable.

    replace(path, content)               # atomic and durable: a reader, or a crash, sees the old file or the new one
    append(path, content, durable=True)  # on the disk when it returns
    write(path, content); sync_all(...)  # many files are written first and synced together

An error says which file. A write or a sync that fails is not tried again: what the disk holds then is not known, and
the next start reads it (Rebello et al., "Can applications recover from fsync failures?", 2020).
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from initlab.errors import FolderInUse


def replace(path: Path, content: bytes) -> None:
    beside = path.with_name(f"{path.name}.tmp")
    _put(beside, content, os.O_TRUNC, durable=True)
    rename(beside, path)
    sync(path.parent)


def rename(path: Path, to: Path) -> None:
    with _named(to):
        path.replace(to)


def write(path: Path, content: bytes) -> None:
    """In place, and on the disk at some later time."""
    _put(path, content, os.O_TRUNC, durable=False)


def append(path: Path, content: bytes, durable: bool = False) -> None:
    new = durable and not path.exists()
    _put(path, content, os.O_APPEND, durable)
    if new:
        sync(path.parent)


def truncate(path: Path, size: int) -> None:
    with _named(path):
        os.truncate(path, size)
    sync(path)


def sync(path: Path) -> None:
    """A file's content, or a folder's entries."""
    with _named(path):
        opened = os.open(path, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def sync_all(paths: Iterable[Path]) -> None:
    """Many at once: what several threads wait for the file system writes together, in a twentieth of the time."""
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(sync, paths))


def folder(path: Path) -> None:
    """Make a folder, and those above it, where there is none."""
    with _named(path):
        path.mkdir(parents=True, exist_ok=True)


def remove(path: Path) -> None:
    """Remove a file, a folder, or a link, never what a link points at."""
    with _named(path):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.is_symlink() or path.exists():
            path.unlink()


def free(path: Path) -> int | None:
    """Free bytes for us where the path lies or would lie; None where that cannot be asked."""
    for place in (path, *path.parents):
        if place.exists():
            try:
                return shutil.disk_usage(place).free
            except OSError:
                return None
    return None


def _put(path: Path, content: bytes, flags: int, durable: bool) -> None:
    with _named(path):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o666)
        try:
            left = memoryview(content)
            while left:
                left = left[os.write(opened, left) :]
            if durable:
                os.fsync(opened)
        finally:
            os.close(opened)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """The errors of write and fsync do not say of which file."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def locked(path: Path) -> int:
    """Hold the folder until the descriptor is closed or the process dies: the kernel frees it, whatever happens.

    Raises FolderInUse.
    """
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock, 200).decode(errors="replace").strip()
        os.close(lock)
        raise FolderInUse(f"{path.parent}: in use by {holder or 'another process'}.") from None
    return lock
