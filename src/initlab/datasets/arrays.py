"""The user's own arrays: an .npz file, and the checks of arrays that nobody has published as a data set.

numpy.savez("mine.npz", x=x, y=y)          # python train.py dataset=npz dataset.path=mine.npz
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from initlab.datasets.parts import Rows, Task
from initlab.errors import Refused
from initlab.specs import DATASETS
from initlab.storage.files import check_member, refusing

Pair = tuple[NDArray[Any], NDArray[Any]]
EXPECTED = "an .npz file (numpy.savez) of x and y (or x_train and y_train), and perhaps x_val, y_val, x_test, y_test"


@DATASETS.register("npz")
def npz(*, path: str | None, task: Task | None) -> Rows:
    """x [N, *features] and y ([N] of labels, or [N] or [N, outputs] of targets) of a file; no pickle is read."""
    if path is None:
        raise Refused(f"dataset=npz: needs dataset.path=FILE, {EXPECTED}.")
    file = Path(path).expanduser()
    if not file.is_file():
        raise Refused(f"dataset.path={path}: there is no such file. Expected {EXPECTED}.")
    with refusing(file, EXPECTED):
        names = _names(file)
        with np.load(file, allow_pickle=False) as stored:
            pairs = {part: (stored[x], stored[y]) for part, (x, y) in names.items()}
    return supervised(f"dataset.path={path}", pairs, task)


def _names(file: Path) -> dict[str, tuple[str, str]]:
    """Part -> names of its x and y, once every array that will be read was found to be as large as it says."""
    with zipfile.ZipFile(file) as archive:
        there = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        plain = [name for name in ("x", "x_train") if name in there]
        if len(plain) != 1:
            raise Refused(f"{file}: has {' and '.join(plain) or 'no x'} among {', '.join(there)}. Expected {EXPECTED}.")
        ends = {"train": plain[0][1:], "val": "_val", "test": "_test"}
        pairs = {part: (f"x{end}", f"y{end}") for part, end in ends.items() if {f"x{end}", f"y{end}"} & there.keys()}
        for name in (name for pair in pairs.values() for name in pair):
            if name not in there:
                raise Refused(f"{file}: has no {name}. Expected {EXPECTED}.")
            check_member(f"{file}: {name}", archive, there[name])
    return pairs


# --- checks -----------------------------------------------------------------------------------------------------------


def supervised(where: str, pairs: Mapping[str, Pair], task: Task | None) -> Rows:
    """Checked rows of ``pairs`` (train, perhaps val and test). The task, if None, is deduced from the type of y.

    Labels, integers or words, become their places 0..C-1 in sorted order over all parts; targets become float32.
    """
    xs = {part: _checked_x(f"{where}: x of {part}", x, len(y)) for part, (x, y) in pairs.items()}
    shapes = {part: x.shape[1:] for part, x in xs.items()}
    if len(set(shapes.values())) > 1:
        raise Refused(f"{where}: rows of x have shapes {', '.join(f'{list(s)} ({p})' for p, s in shapes.items())}.")
    ys = {part: y for part, (_, y) in pairs.items()}
    decided: Task = task or ("classification" if all(y.dtype.kind in "biuUS" for y in ys.values()) else "regression")
    if decided == "classification":
        ys, outputs = _labels(where, ys, deduced=task is None)
    else:
        ys, outputs = _targets(where, ys)
    parts = {part: (xs[part], ys[part]) for part in pairs}
    return Rows(decided, outputs, *parts["train"], val=parts.get("val"), test=parts.get("test"))


def _checked_x(where: str, x: NDArray[Any], rows: int) -> NDArray[Any]:
    if x.dtype.kind not in "biuf":
        raise Refused(f"{where}: is of type {x.dtype}; initlab takes real numbers.")
    if x.ndim < 2 or 0 in x.shape:
        raise Refused(
            f"{where}: has shape {list(x.shape)}; initlab takes [N, features] or [N, C, H, W], none of them 0."
        )
    if len(x) != rows:
        raise Refused(f"{where}: has {len(x)} rows, but y has {rows}.")
    return _finite(where, x)


def _finite(where: str, values: NDArray[Any]) -> NDArray[Any]:
    """As float32, which a run computes in, if it is a float; integers stay what they are until they are split."""
    if values.dtype.kind != "f":
        return values
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    bad = ~np.isfinite(narrow).reshape(len(narrow), -1).all(1)
    if bad.any():
        raise Refused(f"{where}: {bad.sum()} rows hold nan or infinity (in float32), the first is row {bad.argmax()}.")
    return narrow


def _labels(where: str, ys: Mapping[str, NDArray[Any]], deduced: bool) -> tuple[dict[str, NDArray[Any]], int]:
    flat = {part: y.reshape(-1) if y.shape[1:] == (1,) else y for part, y in ys.items()}
    for part, y in flat.items():
        if y.ndim != 1:
            raise Refused(f"{where}: y of {part} has shape {list(y.shape)}; labels are [N].")
        if y.dtype.kind not in "biuUS" and not (y.dtype.kind == "f" and (y == np.round(y)).all()):
            raise Refused(f"{where}: y of {part} is of type {y.dtype}; labels are integers or words.")
    classes, places = np.unique(np.concatenate(list(flat.values())), return_inverse=True)
    if len(classes) < 2:
        raise Refused(f"{where}: y has {len(classes)} class; classification needs two at least.")
    if deduced and 2 * len(classes) > len(places):
        raise Refused(
            f"{where}: y has {len(classes)} different values in {len(places)} rows. If they are labels, say "
            "dataset.task=classification; if they are targets, dataset.task=regression."
        )
    ends = np.cumsum([len(y) for y in flat.values()])[:-1]
    return dict(zip(flat, np.split(places, ends), strict=True)), len(classes)


def _targets(where: str, ys: Mapping[str, NDArray[Any]]) -> tuple[dict[str, NDArray[Any]], int]:
    columns = {part: y[:, None] if y.ndim == 1 else y for part, y in ys.items()}
    for part, y in columns.items():
        if y.dtype.kind not in "biuf" or y.ndim != 2 or y.shape[1] < 1 or y.shape[1] != columns["train"].shape[1]:
            raise Refused(
                f"{where}: y of {part} is {list(y.shape)} of {y.dtype}; targets are real numbers, [N] or [N, outputs], "
                "the same outputs in each part."
            )
    return {part: _finite(f"{where}: y of {part}", y) for part, y in columns.items()}, columns["train"].shape[1]
