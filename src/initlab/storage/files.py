"""Reading files that a user names: every failure is a refusal, and no size is believed before it is checked."""

from __future__ import annotations

import math
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from numpy.lib import format as npy

from initlab.errors import Refused, printable

LARGEST = 2**32  # bytes of one array
PIECE = 2**20
# what reading a broken file raises
BROKEN = (
    *(OSError, EOFError, ValueError, RuntimeError, MemoryError, ArithmeticError),
    *(zlib.error, tarfile.TarError, zipfile.BadZipFile),
)


class Readable(Protocol):
    def read(self, size: int, /) -> Any: ...


def read(file: Readable, count: int) -> bytearray:
    """At most ``count`` bytes, piece by piece: memory follows what is there, not what a header claims."""
    got = bytearray()
    while len(got) < count and (piece := file.read(min(count - len(got), PIECE))):
        got += piece
    return got


def check_claim(where: object, claimed: int) -> None:
    """Raises Refused for an array larger than any that initlab takes."""
    if claimed > LARGEST:
        raise Refused(f"{where}: claims {claimed} bytes of data; initlab takes {LARGEST} at most.")


def check_member(where: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Raises Refused for an array of Python objects, and for one whose claimed size is not that of its file."""
    try:
        with archive.open(member) as file:
            version = npy.read_magic(file)
            reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = reader(file)
            begin = file.tell()
    except (ValueError, RecursionError, MemoryError) as error:
        raise Refused(f"{where}: not an array as numpy writes them ({printable(str(error)[:200])}).") from None
    if dtype.hasobject:
        raise Refused(f"{where}: holds Python objects, which are pickled; initlab reads no pickle. Save numbers.")
    claimed = math.prod(shape) * dtype.itemsize
    check_claim(where, claimed)
    if not dtype.itemsize or begin + claimed != member.file_size:
        raise Refused(f"{where}: says {list(shape)} of {dtype}, {claimed} bytes, but has {member.file_size - begin}.")


@contextmanager
def refusing(path: object, expected: str) -> Iterator[None]:
    """Turn what reading a broken or forbidden file raises into a refusal."""
    try:
        yield
    except Refused:
        raise
    except BROKEN as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise Refused(f"{path}: cannot be read ({reason}). Expected {expected}.") from None
