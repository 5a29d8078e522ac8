"""Reading what somebody else may have written: data, never more, and never more of it than can be held.

    content(folder, "journal", most=2**26)       # the bytes of a plain file that lies in the folder
    from_json(text, where), from_yaml(text, where)   # plain data, within limits of depth and number
    arrays(folder, "curves/8c1f0a.npz")          # {name: array}, no pickle
    check_tree(folder)                           # nothing below is a link, a device or a pipe

A name is followed part by part from the folder itself, and no link on the way: what it finds lies in the folder.
Sizes are checked before memory is asked for. Whatever is wrong is a `Refused`; text comes with its control characters
escaped, so that it can be printed.
"""

from __future__ import annotations

import json
import math
import os
import stat
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from initlab.errors import Refused, printable, shortened
from initlab.storage.files import check_member, refusing

DEEPEST = 16  # of lists and mappings within each other
MOST_ITEMS = 2_000_000  # of JSON; a sweep of 10,000 runs has 500,000
MOST_NODES = 10_000  # of YAML: a run's config has a hundred
MOST_YAML = 2**18  # bytes
MOST_DIRECTORY = 2**19  # bytes of a zip file's list of its members
TEXT = "tag:yaml.org,2002:str"
SCALARS = {f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float")}


# --- files ------------------------------------------------------------------------------------------------------------


@contextmanager
def opened(folder: Path, name: str) -> Iterator[IO[bytes]]:
    """A plain file ``name`` (parts joined by /) of ``folder``. Raises Refused for anything else of that name."""
    parts = name.split("/")
    if not all(part not in ("", ".", "..") and part.isprintable() for part in parts):
        raise Refused(f"{_place(folder, name)}: names nothing in the folder.")
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts[:-1]:
            outer, at = at, _entered(at, part, folder, name)
            os.close(outer)
        file = _entered(at, parts[-1], folder, name, last=True)
    finally:
        os.close(at)
    with open(file, "rb") as stream:
        yield stream


def _entered(at: int, part: str, folder: Path, name: str, last: bool = False) -> int:
    """A descriptor of ``part``, a plain file if it is the last one of a name and else a folder."""
    try:
        mode = os.stat(part, dir_fd=at, follow_symlinks=False).st_mode
        if not (stat.S_ISREG(mode) if last else stat.S_ISDIR(mode)):
            raise Refused(f"{_place(folder, name)}: {_kind(mode)}; only plain files and folders are read.")
        return os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | (0 if last else os.O_DIRECTORY), dir_fd=at)
    except FileNotFoundError:
        raise Refused(f"{_place(folder, name)}: there is no such file.") from None


def content(folder: Path, name: str, most: int) -> bytes:
    """The whole of a plain file of ``folder``. Raises Refused if it is none, or of more than ``most`` bytes."""
    with opened(folder, name) as file:
        if (size := os.fstat(file.fileno()).st_size) > most:
            raise Refused(f"{_place(folder, name)}: has {size} bytes; {most} at most are read.")
        return file.read(most)


def check_tree(folder: Path, leave_out: tuple[str, ...] = ()) -> None:
    """Raises Refused for a link, device or pipe anywhere below: whoever writes there would write through it."""
    pending = [str(folder)]
    while pending:
        within = pending.pop()
        with suppress(FileNotFoundError), os.scandir(within) as entries:  # whoever trains there removes some
            for entry in entries:
                if within == str(folder) and entry.name in leave_out:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                elif not entry.is_file(follow_symlinks=False):
                    kind = _kind(entry.stat(follow_symlinks=False).st_mode)
                    raise Refused(
                        f"{printable(entry.path)}: {kind}; a sweep's folder has plain files and folders only."
                    )


def _kind(mode: int) -> str:
    for holds, words in (
        (stat.S_ISLNK, "is a link"),
        (stat.S_ISDIR, "is a folder"),
        (stat.S_ISREG, "is a file"),
        (stat.S_ISFIFO, "is a pipe"),
        (stat.S_ISSOCK, "is a socket"),
    ):
        if holds(mode):
            return words
    return "is a device"


def _place(folder: Path, name: str) -> str:
    return printable(f"{folder}/{name}")


# --- JSON -------------------------------------------------------------------------------------------------------------


def from_json(text: bytes, where: str, verbatim: tuple[str, ...] = ()) -> Any:
    """Plain data. The texts under keys that are ``verbatim`` keep their control characters. Raises Refused."""
    if (items := sum(map(text.count, (b"[", b"{", b",")))) > MOST_ITEMS:
        raise Refused(f"{where}: holds some {items} values; {MOST_ITEMS} at most are read.")
    try:
        tree = json.loads(
            text, object_pairs_hook=_mapping, parse_constant=_no_number, parse_float=_number, parse_int=_integer
        )
    except (ValueError, RecursionError) as error:
        raise Refused(f"{where}: is not the JSON that initlab writes ({printable(str(error))}).") from None
    tree, level = printable(tree) if isinstance(tree, str) else tree, [tree]
    for _ in range(DEEPEST):
        level = [child for node in level for child in _children(node, verbatim)]
        if not level:
            return tree
    raise Refused(f"{where}: is nested more than {DEEPEST} deep.")


def _children(node: Any, verbatim: tuple[str, ...]) -> Iterator[Any]:
    """The lists and mappings in a list or mapping, whose texts are made printable in place."""
    for at, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if isinstance(value, str):
            if not value.isprintable() and at not in verbatim:
                node[at] = printable(value)
        elif isinstance(value, dict | list):
            yield value


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = {printable(key): value for key, value in pairs}
    if len(made) < len(pairs):
        raise ValueError("a key is there twice")
    return made


def _no_number(word: str) -> None:
    raise ValueError(f"{shortened(word)} is no number")


def _integer(word: str) -> int:
    """Of a size that a float can take too, as whatever is computed of it will."""
    _number(word)
    return int(word)


def _number(word: str) -> float:
    if not math.isfinite(number := float(word)):
        raise ValueError(f"{shortened(word)} is no number")
    return number


# --- YAML -------------------------------------------------------------------------------------------------------------


def from_yaml(text: bytes, where: str) -> Any:
    """Plain data: no alias, no tag, no key that is no text or that is there twice. Raises Refused."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    if len(text) > MOST_YAML:
        raise Refused(f"{where}: has {len(text)} bytes; {MOST_YAML} at most are read.")
    try:
        _check_events(yaml.parse(text, Loader=loader))
        return _plain(yaml.compose(text, Loader=loader), yaml.constructor.SafeConstructor())
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(printable(getattr(error, "problem", None) or str(error)).split())
        raise Refused(f"{where}: is not the YAML that initlab writes ({reason}).") from None


def _check_events(events: Iterable[Any]) -> None:
    """Raises ValueError before anything is built."""
    import yaml

    depth = 0
    for count, event in enumerate(events):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ValueError("it has an anchor or an alias")
        if tag := getattr(event, "tag", None):
            raise ValueError(f"it has the tag {shortened(tag)}")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST or count > MOST_NODES:
            raise ValueError(f"it has more than {MOST_NODES} values, or more than {DEEPEST} within each other")


def _plain(node: Any, constructor: Any) -> Any:
    if node is None:
        return None
    if node.id == "sequence":
        return [_plain(item, constructor) for item in node.value]
    if node.id == "mapping":
        made = {key.value: _plain(value, constructor) for key, value in node.value if key.tag == TEXT}
        if len(made) < len(node.value):
            raise ValueError("a key is there twice, or is no text")
        return made
    value = constructor.construct_object(node) if node.tag in SCALARS else node.value
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{shortened(node.value)} is no number")
    return value


# --- arrays -----------------------------------------------------------------------------------------------------------


def arrays(folder: Path, name: str) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file as `numpy.savez` writes it. Raises Refused, also for a wrong checksum."""
    where = _place(folder, name)
    with opened(folder, name) as file, refusing(where, "an .npz file as numpy.savez writes it"):
        _check_directory(file, where)
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                if member.compress_type != zipfile.ZIP_STORED:
                    raise Refused(f"{where}: is compressed, which initlab never does.")
                check_member(f"{where}: {printable(member.filename)}", archive, member)
        file.seek(0)
        with np.load(file, allow_pickle=False) as stored:
            return {array: stored[array] for array in stored.files}


def _check_directory(file: IO[bytes], where: str) -> None:
    """Raises Refused if the zip file's list of members is not at its end, or longer than any that we write."""
    file.seek(max(0, file.seek(0, os.SEEK_END) - 42))
    tail = file.read()  # a locator of the 64-bit form, 20 bytes, if there is one, and the end record of 22
    if len(tail) < 42 or tail[:4] == b"PK\6\7" or tail[20:24] != b"PK\5\6" or tail[-2:] != b"\0\0":
        raise Refused(f"{where}: no .npz file as numpy.savez writes it.")
    if (size := int.from_bytes(tail[32:36], "little")) > MOST_DIRECTORY:
        raise Refused(f"{where}: lists its arrays in {size} bytes; {MOST_DIRECTORY} at most are read.")
