"""Image sets in their published files, from a folder that the user names; nothing is downloaded.

MNIST and Fashion-MNIST come as IDX files (LeCun et al. 1998, http://yann.lecun.com/exdb/mnist/): a big-endian magic
number 0x0800 + dimensions, the dimensions, then bytes. CIFAR-10's binary version (Krizhevsky 2009) is records of 3073
bytes: the label, then 32 x 32 pixels of red, of green, of blue. The published test images are the test part.
"""

from __future__ import annotations

import gzip
import math
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from initlab.datasets.parts import Rows
from initlab.errors import Refused
from initlab.specs import DATASETS
from initlab.storage.files import check_claim, read, refusing

Bytes = NDArray[np.uint8]
RECORD = 1 + 3 * 32 * 32
BATCHES = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
ARCHIVE = "cifar-10-binary.tar.gz"
FOLDER = "cifar-10-batches-bin"


@DATASETS.register("mnist")
def mnist(*, root: str | None) -> Rows:
    """Handwritten digits: x [N, 1, 28, 28] in [0, 1], ten classes."""
    return _idx_folder("mnist", root)


@DATASETS.register("fashion_mnist")
def fashion_mnist(*, root: str | None) -> Rows:
    """Pieces of clothing, in MNIST's format."""
    return _idx_folder("fashion_mnist", root)


@DATASETS.register("cifar10")
def cifar10(*, root: str | None) -> Rows:
    """Colour photographs: x [N, 3, 32, 32] in [0, 1], ten classes; the binary version, as folder or as tar.gz."""
    given = _given("cifar10", root, f"the folder {FOLDER}, or of {ARCHIVE}")
    reader = _from_archive if given.is_file() else _from_folder
    if (archive := given / ARCHIVE).is_file() and not _batches_in(given):
        given, reader = archive, _from_archive
    batches = reader(given)
    for name, records in batches.items():
        _check_labels(f"{given}: {name}", records[:, 0])
    train = np.concatenate([batches[name] for name in BATCHES[:-1]])
    return Rows("classification", 10, *_images(train), unit=255, test=_images(batches[BATCHES[-1]]))


def _given(name: str, root: str | None, what: str) -> Path:
    url = DATASETS[name].facts["url"]
    if root is None:
        raise Refused(f"dataset={name}: needs dataset.root=PATH of {what}. They are published at {url}")
    given = Path(root).expanduser()
    if not given.exists():
        raise Refused(f"dataset.root={root}: there is no such path. It should be that of {what}, published at {url}")
    return given


# --- IDX --------------------------------------------------------------------------------------------------------------


def _idx_folder(name: str, root: str | None) -> Rows:
    folder = _given(name, root, "a folder with train-images-idx3-ubyte and its three sisters, each plain or .gz")
    parts = []
    for stem in ("train", "t10k"):
        x = idx(_idx_file(name, folder, f"{stem}-images", 3), (28, 28))
        path = _idx_file(name, folder, f"{stem}-labels", 1)
        y = idx(path, ())
        if len(x) != len(y):
            raise Refused(f"{path}: {len(y)} labels, but {stem}-images has {len(x)} images.")
        _check_labels(path, y)
        parts.append((x[:, None], y))
    return Rows("classification", 10, *parts[0], unit=255, test=parts[1])


def _idx_file(name: str, folder: Path, stem: str, dimensions: int) -> Path:
    names = [f"{stem}{sign}idx{dimensions}-ubyte{end}" for end in ("", ".gz") for sign in "-."]
    for candidate in names:
        if (folder / candidate).is_file():
            return folder / candidate
    raise Refused(
        f"{folder / names[0]}: not there, nor {', '.join(names[1:])}. Put the files of dataset={name} there; they are "
        f"published at {DATASETS[name].facts['url']}"
    )


def idx(path: Path, shape: tuple[int, ...]) -> Bytes:
    """The bytes [N, *shape] of an IDX file, plain or gzipped. Raises Refused: what is there, what was expected."""
    dimensions = 1 + len(shape)
    magic = 0x0800 + dimensions
    expected = f"an IDX file of unsigned bytes: magic {magic}, dimensions {' x '.join(['N', *map(str, shape)])}, data"
    opened: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    with refusing(path, expected), opened(path, "rb") as file:
        header = read(file, 4 + 4 * dimensions)
        if len(header) < 4 + 4 * dimensions:
            raise Refused(f"{path}: {len(header)} bytes, less than a header. Expected {expected}.")
        found, rows, *rest = struct.unpack(f">{1 + dimensions}I", header)
        if found != magic:
            zipped = " It is gzipped: name it .gz." if header[:2] == b"\x1f\x8b" else ""
            raise Refused(f"{path}: magic {found}. Expected {expected}.{zipped}")
        if tuple(rest) != shape or rows < 1:
            raise Refused(f"{path}: dimensions {' x '.join(map(str, (rows, *rest)))}. Expected {expected}.")
        size = rows * math.prod(shape)
        check_claim(path, size)
        body = read(file, size + 1)
    if len(body) != size:
        found_bytes = f"more than {size}" if len(body) > size else str(len(body))
        raise Refused(f"{path}: {found_bytes} bytes of data, but its header says {rows} rows: {size} bytes.")
    return np.frombuffer(body, dtype=np.uint8).reshape(rows, *shape)


# --- CIFAR-10 ---------------------------------------------------------------------------------------------------------


def _batches_in(folder: Path) -> Path | None:
    """The folder with the batches: the given one, or the one that the archive unpacks to."""
    places = [place for place in (folder, folder / FOLDER) if any((place / name).exists() for name in BATCHES)]
    return places[0] if places else None


def _from_folder(given: Path) -> dict[str, Bytes]:
    folder = _batches_in(given)
    if folder is None or (missing := [name for name in BATCHES if not (folder / name).is_file()]):
        names = ", ".join(missing if folder else BATCHES)
        pickled = any((place / "data_batch_1").exists() for place in (given, given / "cifar-10-batches-py"))
        hint = " What is there is the Python version: pickles, which initlab does not read." if pickled else ""
        raise Refused(f"{folder or given}: {names} not there.{hint} {_where_to_get()}")
    batches = {}
    for name in BATCHES:
        path = folder / name
        with refusing(path, f"records of {RECORD} bytes"), open(path, "rb") as file:
            batches[name] = _records(path, file, path.stat().st_size)
    return batches


def _from_archive(path: Path) -> dict[str, Bytes]:
    """The batches of the published archive, read in place: nothing is unpacked, links are not followed."""
    batches: dict[str, Bytes] = {}
    with refusing(path, f"the archive {ARCHIVE}"), tarfile.open(path, "r:gz") as archive:
        for member in archive:
            name = Path(member.name).name
            if name in BATCHES and name not in batches and member.isreg() and not member.issparse():
                file = archive.extractfile(member)
                assert file is not None
                batches[name] = _records(f"{path}: {member.name}", file, member.size)
    if missing := [name for name in BATCHES if name not in batches]:
        raise Refused(f"{path}: has no file {', '.join(missing)}. {_where_to_get()}")
    return batches


def _records(where: object, file: Any, size: int) -> Bytes:
    check_claim(where, size)
    if size < RECORD or size % RECORD:
        raise Refused(
            f"{where}: {size} bytes. Expected records of {RECORD} bytes: a label and 3 x 32 x 32 pixels; the published "
            f"file has 10000 of them, {10000 * RECORD} bytes."
        )
    body = read(file, size)
    if len(body) != size:
        raise Refused(f"{where}: {len(body)} bytes could be read, but it should have {size}.")
    return np.frombuffer(body, dtype=np.uint8).reshape(-1, RECORD)


def _images(records: Bytes) -> tuple[Bytes, Bytes]:
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0]


def _where_to_get() -> str:
    return f"dataset.root names the folder of the binary version or {ARCHIVE}: {DATASETS['cifar10'].facts['url']}"


def _check_labels(where: object, y: Bytes) -> None:
    if y.max() > 9:
        raise Refused(f"{where}: a label is {y.max()}, of image {int(y.argmax())}; the classes are 0 to 9.")
