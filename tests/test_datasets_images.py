"""Image sets from files in their published format, small: read as they are, and refused in words where they are not."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from initlab import datasets
from initlab.datasets import load, sizes
from initlab.datasets.images import ARCHIVE, BATCHES, FOLDER, RECORD, idx
from initlab.errors import Refused
from initlab.specs import DATASETS
from initlab.storage import files

ROWS = {"train": 40, "t10k": 7}
Write = Callable[[Path, bytes], Any]


def drawn(rows: int, *shape: int, high: int = 256) -> NDArray[np.uint8]:
    return np.random.default_rng(rows).integers(0, high, (rows, *shape), dtype=np.uint8)


def idx_bytes(array: NDArray[np.uint8], claimed: tuple[int, ...] | None = None) -> bytes:
    shape = claimed or array.shape
    return struct.pack(f">{1 + len(shape)}I", 0x0800 + len(shape), *shape) + array.tobytes()


def plain(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def zipped(path: Path, content: bytes) -> None:
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(content))


def idx_folder(folder: Path, write: Write = plain, sign: str = "-") -> Path:
    for stem, rows in ROWS.items():
        write(folder / f"{stem}-images{sign}idx3-ubyte", idx_bytes(drawn(rows, 28, 28)))
        write(folder / f"{stem}-labels{sign}idx1-ubyte", idx_bytes(drawn(rows, high=10)))
    return folder


def option(name: str, root: object, **fields: Any) -> dict[str, Any]:
    return DATASETS.typed({"name": name, "root": str(root)} | fields)


def batch(name: str, rows: int = 8) -> NDArray[np.uint8]:
    """Records of a batch: labels, then pixels; other numbers in each."""
    records = np.random.default_rng(BATCHES.index(name)).integers(0, 256, (rows, RECORD), dtype=np.uint8)
    records[:, 0] %= 10
    return records


def cifar_folder(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for name in BATCHES:
        (folder / name).write_bytes(batch(name).tobytes())
    return folder


def cifar_archive(path: Path, change: Callable[[tarfile.TarInfo], None] = lambda _: None) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name in ("readme.html", *BATCHES):
            content = b"hello" if name not in BATCHES else batch(name).tobytes()
            info = tarfile.TarInfo(f"{FOLDER}/{name}")
            info.size = len(content)
            change(info)
            archive.addfile(info, io.BytesIO(content) if info.isreg() else None)
    return path


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(Refused) as refused:
        call()
    return str(refused.value)


def expected_rows(x: NDArray[np.uint8], y: NDArray[np.uint8]) -> list[bytes]:
    scaled = (x.astype(np.float64) / 255).astype(np.float32)
    return sorted(a.tobytes() + b.tobytes() for a, b in zip(scaled, y.astype(np.int64), strict=True))


# MNIST and Fashion-MNIST


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
@pytest.mark.parametrize("sign", ["-", "."])
@pytest.mark.parametrize("write", [plain, zipped])
def test_idx_files_are_read_as_published(tmp_path: Path, name: str, sign: str, write: Write) -> None:
    """Train rows are split in train and val; the published test rows are the test part, in their order."""
    data = load(option(name, idx_folder(tmp_path, write, sign), batch_size=4))
    assert (data.task, data.outputs, len(data.val.x)) == ("classification", 10, 6)
    for part in (data.train, data.val, data.test):
        assert part.x.dtype == np.float32 and part.x.shape[1:] == (1, 28, 28) and part.y.dtype == np.int64
    np.testing.assert_allclose(data.test.x, drawn(7, 1, 28, 28) / 255, rtol=2**-23)
    np.testing.assert_array_equal(data.test.y, drawn(7, high=10))
    got = [a.tobytes() + b.tobytes() for part in (data.train, data.val) for a, b in zip(part.x, part.y, strict=True)]
    assert sorted(got) == expected_rows(drawn(40, 1, 28, 28), drawn(40, high=10))


def test_where_and_how_files_lie_does_not_change_the_data(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    first = load(option("mnist", idx_folder(tmp_path / "a")))
    second = load(option("mnist", idx_folder(tmp_path / "b", zipped, ".")))
    assert first is not second and first.fingerprint == second.fingerprint


def test_limit_takes_the_first_rows_of_train(tmp_path: Path) -> None:
    some = option("mnist", idx_folder(tmp_path), limit=20)
    data = load(some)
    assert sizes(some) == (17, 3, 7) == (len(data.train.x), len(data.val.x), len(data.test.x))
    got = [a.tobytes() + b.tobytes() for part in (data.train, data.val) for a, b in zip(part.x, part.y, strict=True)]
    assert sorted(got) == expected_rows(drawn(40, 1, 28, 28)[:20], drawn(40, high=10)[:20])


def test_files_that_change_while_a_command_runs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = option("mnist", idx_folder(tmp_path))
    load(some)
    monkeypatch.setattr(datasets, "_kept", {})
    load(some)
    monkeypatch.setattr(datasets, "_kept", {})
    plain(tmp_path / "train-labels-idx1-ubyte", idx_bytes(drawn(40, high=10)[::-1]))
    assert "dataset=mnist: its files have changed" in refusal(lambda: load(some))


IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
WHOLE = idx_bytes(drawn(40, 28, 28))
BROKEN: dict[str, tuple[str, bytes, list[str]]] = {
    "empty": (IMAGES, b"", ["0 bytes, less than a header", "magic 2051, dimensions N x 28 x 28"]),
    "a piece of header": (IMAGES, WHOLE[:9], ["9 bytes, less than a header"]),
    "another magic": (IMAGES, b"\0\0\x0d\x03" + WHOLE[4:], ["magic 3331. Expected", "magic 2051"]),
    "labels for images": (IMAGES, idx_bytes(drawn(40, high=10)), ["magic 2049. Expected", "magic 2051"]),
    "images for labels": (LABELS, WHOLE, ["magic 2051. Expected", "magic 2049, dimensions N, data"]),
    "gzipped without .gz": (IMAGES, gzip.compress(WHOLE), ["It is gzipped: name it .gz."]),
    "other pixels": (IMAGES, idx_bytes(drawn(40, 27, 28)), ["dimensions 40 x 27 x 28. Expected", "N x 28 x 28"]),
    "no rows": (IMAGES, idx_bytes(drawn(0, 28, 28)), ["dimensions 0 x 28 x 28"]),
    "truncated": (IMAGES, WHOLE[:-5], ["31355 bytes of data", "40 rows: 31360 bytes"]),
    "too long": (IMAGES, WHOLE + b"x", ["more than 31360 bytes of data", "40 rows: 31360 bytes"]),
    "a huge claim": (IMAGES, idx_bytes(drawn(4, 28, 28), (2**32 - 1, 28, 28)), ["claims 3367254359280 bytes"]),
    "a large claim": (IMAGES, idx_bytes(drawn(4, 28, 28), (5_000_000, 28, 28)), ["3136 bytes of data"]),
    "fewer labels": (LABELS, idx_bytes(drawn(39, high=10)), ["39 labels, but train-images has 40 images"]),
    "an eleventh class": (LABELS, idx_bytes(np.full(40, 10, np.uint8)), ["a label is 10, of image 0"]),
}


@pytest.mark.parametrize(("name", "content", "words"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_idx_file_is_refused_in_words(tmp_path: Path, name: str, content: bytes, words: list[str]) -> None:
    plain(idx_folder(tmp_path) / name, content)
    said = refusal(lambda: load(option("mnist", tmp_path)))
    assert all(word in said for word in [str(tmp_path / name), *words]), said


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b[:40] + b"\xff" * 8 + b[48:], lambda b: b"no gzip"]
)
def test_a_broken_gzip_file_is_refused(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "x-idx3-ubyte.gz"
    path.write_bytes(damage(gzip.compress(WHOLE)))
    said = refusal(lambda: idx(path, (28, 28)))
    assert f"{path}: cannot be read (" in said and "magic 2051" in said


def test_memory_follows_what_is_there_not_what_is_claimed() -> None:
    """Nobody is asked for more at once than a piece, whatever is wanted, and no more is read than that."""
    asked: list[int] = []

    class Endless:
        def read(self, size: int) -> bytes:
            asked.append(size)
            return b"x" * size if len(asked) < 4 else b""

    assert len(files.read(Endless(), 2**50)) == 3 * files.PIECE and max(asked) == files.PIECE
    assert len(files.read(io.BytesIO(bytes(100)), 10)) == 10


def test_what_is_missing_is_named_with_its_place(tmp_path: Path) -> None:
    said = refusal(lambda: load(option("fashion_mnist", tmp_path / "nowhere")))
    assert "dataset.root=" in said and "there is no such path" in said and "zalandoresearch/fashion-mnist" in said
    idx_folder(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    said = refusal(lambda: load(option("mnist", tmp_path)))
    assert (
        f"{tmp_path / 't10k-labels-idx1-ubyte'}: not there, nor t10k-labels.idx1-ubyte, t10k-labels-idx1-ubyte.gz"
        in said
    )
    assert "published at http://yann.lecun.com" in said


# CIFAR-10


def as_folder(place: Path) -> Path:
    return cifar_folder(place / "x")


def as_inner_folder(place: Path) -> Path:
    cifar_folder(place / FOLDER)
    return place


def as_archive(place: Path) -> Path:
    return cifar_archive(place / "any.tar.gz")


def as_folder_of_archive(place: Path) -> Path:
    return cifar_archive(place / ARCHIVE).parent


@pytest.mark.parametrize("make", [as_folder, as_inner_folder, as_archive, as_folder_of_archive])
def test_cifar_is_read_as_published(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    data = load(option("cifar10", make(tmp_path), batch_size=4))
    assert (data.task, data.outputs) == ("classification", 10)
    assert [part.x.shape for part in (data.train, data.val, data.test)] == [(n, 3, 32, 32) for n in (34, 6, 8)]
    test = batch("test_batch.bin")
    np.testing.assert_array_equal(data.test.y, test[:, 0])
    # The fourth pixel of the second row in green, of the third image.
    assert data.test.x[2, 1, 1, 3] == np.float32(test[2, 1 + 1024 + 32 + 3] / 255)
    records = np.concatenate([batch(name) for name in BATCHES[:-1]])
    got = [a.tobytes() + b.tobytes() for part in (data.train, data.val) for a, b in zip(part.x, part.y, strict=True)]
    assert sorted(got) == expected_rows(records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0])


def test_a_missing_batch_is_named(tmp_path: Path) -> None:
    (cifar_folder(tmp_path) / "data_batch_3.bin").unlink()
    said = refusal(lambda: load(option("cifar10", tmp_path)))
    assert f"{tmp_path}: data_batch_3.bin not there." in said and "https://www.cs.toronto.edu/~kriz/" in said


def test_the_python_version_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    said = refusal(lambda: load(option("cifar10", tmp_path)))
    assert "the Python version: pickles, which initlab does not read" in said and "cifar-10-binary.tar.gz" in said


@pytest.mark.parametrize("content", [b"", bytes(RECORD - 1), bytes(2 * RECORD + 1)])
def test_a_batch_of_broken_records_is_refused(tmp_path: Path, content: bytes) -> None:
    (cifar_folder(tmp_path) / "test_batch.bin").write_bytes(content)
    said = refusal(lambda: load(option("cifar10", tmp_path)))
    assert f"{tmp_path / 'test_batch.bin'}: {len(content)} bytes. Expected records of 3073 bytes" in said


def test_a_label_beyond_the_classes_is_refused(tmp_path: Path) -> None:
    (cifar_folder(tmp_path) / "data_batch_2.bin").write_bytes(bytes(RECORD) + b"\x0a" + bytes(RECORD - 1))
    assert "data_batch_2.bin: a label is 10, of image 1" in refusal(lambda: load(option("cifar10", tmp_path)))


def test_links_in_the_archive_are_not_followed(tmp_path: Path) -> None:
    """Not even to a file that is a batch."""
    outside = tmp_path / "outside"
    outside.write_bytes(batch("test_batch.bin").tobytes())

    def link(info: tarfile.TarInfo) -> None:
        if info.name.endswith("test_batch.bin"):
            info.type, info.linkname, info.size = tarfile.SYMTYPE, str(outside), 0

    path = cifar_archive(tmp_path / "a.tar.gz", link)
    assert f"{path}: has no file test_batch.bin" in refusal(lambda: load(option("cifar10", path)))


def test_a_truncated_archive_is_refused(tmp_path: Path) -> None:
    path = cifar_archive(tmp_path / "a.tar.gz")
    path.write_bytes(path.read_bytes()[:-1000])
    assert f"{path}: " in refusal(lambda: load(option("cifar10", path)))
    path.write_bytes(b"not an archive")
    assert f"{path}: cannot be read (" in refusal(lambda: load(option("cifar10", path)))


def test_an_archive_that_claims_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    info = tarfile.TarInfo(f"{FOLDER}/data_batch_1.bin")
    info.size = 2**40
    path.write_bytes(gzip.compress(info.tobuf()))
    assert "claims 1099511627776 bytes of data" in refusal(lambda: load(option("cifar10", path)))
