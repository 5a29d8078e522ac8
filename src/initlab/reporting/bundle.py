"""The files of a report in their folder: an earlier report's are replaced, and nobody else's are touched.

    check(into)                                             # raises Refused where the folder holds anything else
    replace(into, {"tables/cells.csv": b"...", "index.html": b"..."})

Which files are a report's own is said by a list beside them. It is written before the first of them, so that what a
report leaves that was stopped is known as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from initlab.errors import Refused, printable
from initlab.storage import disk, received
from initlab.storage.forms import Inside, conform

LIST, MOST_LIST = "files.txt", 2**20  # bytes
OURS = {LIST, f"{LIST}.tmp"}


def check(into: Path) -> set[str]:
    """The names of an earlier report's files. Raises Refused where the folder holds anything else, or is none."""
    where = printable(str(into))
    if into.is_symlink() or (into.exists() and not into.is_dir()):
        raise Refused(f"{where}: is a {'link' if into.is_symlink() else 'file'}; a report is written to a folder.")
    if not into.exists():
        return set()
    received.check_tree(into)  # what is written and removed lies in the folder
    held = {path.relative_to(into).as_posix() for path in into.rglob("*") if path.is_file()} - OURS
    listed = received.content(into, LIST, MOST_LIST).decode(errors="replace") if (into / LIST).exists() else ""
    if foreign := sorted(held - set(listed.splitlines())):
        raise Refused(
            f"{where}: holds {printable(foreign[0])}, which no report wrote there, and a report replaces a folder's "
            "files. Give with --out a folder that is not there yet, an empty one, or that of an earlier report."
        )
    return held


def replace(into: Path, files: Mapping[str, bytes]) -> None:
    """Write these files, and remove those of an earlier report that are not among them. Raises Refused as `check`."""
    for name in files:  # some of them hold names that a sweep's folder gives
        conform(name, Inside(), "a report's file")
    earlier = check(into)
    disk.folder(into)
    _list(into, earlier | files.keys())
    for name in earlier - files.keys():
        disk.remove(into / name)
        if not any((folder := (into / name).parent).iterdir()):
            disk.remove(folder)
    for name, content in files.items():
        disk.folder((into / name).parent)
        disk.write(into / name, content)
    _list(into, files)


def _list(into: Path, names: Iterable[str]) -> None:
    disk.replace(into / LIST, "".join(f"{name}\n" for name in sorted(names)).encode())
