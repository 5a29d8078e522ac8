"""The data sets: what each holds, the split, the standardisation, and the fingerprint that names them."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine

from initlab import datasets
from initlab.datasets import Data, Part, embedded, load, sizes, split, synthetic
from initlab.datasets.synthetic import gaussian, spirals, teacher
from initlab.errors import Refused
from initlab.specs import DATASETS
from initlab.streams import permutation

ALPHA = 1e-6  # of each statistical bound: the chance that true data break it
SPLIT: dict[str, Any] = {"batch_size": 128, "val": 0.15, "test": 0.15, "split_seed": 0, "standardize": "none"}
DIGITS = {"name": "digits"} | SPLIT
GAUSSIAN: dict[str, Any] = {"samples": 1000, "features": 8, "classes": 7, "separation": 1.0, "seed": 0}
TEACHER: dict[str, Any] = {"samples": 1000, "features": 8, "width": 16, "noise": 0.1, "seed": 0}
SPIRALS: dict[str, Any] = {"samples": 1000, "arms": 3, "turns": 1.0, "noise": 0.02, "seed": 0}
DRAWN = {"gaussian": GAUSSIAN, "teacher": TEACHER, "spirals": SPIRALS}
OPTIONS = [DIGITS, *({"name": name} | own | SPLIT for name, own in DRAWN.items())]
GOLDEN_DIGITS = "8888d94b3a3b7e200380ddea41e868a9f1721c2af9bf2cf8b2abef4167796dee"
every_data_set = pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option["name"])


def parts(data: Data) -> dict[str, Part]:
    return {"train": data.train, "val": data.val, "test": data.test}


def with_part(data: Data, name: str, part: Part) -> Data:
    return Data(data.task, data.outputs, **(parts(data) | {name: part}))


def everything(option: dict[str, Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """All rows of an option, unsplit."""
    rows = DATASETS.build(option)
    return (rows.x / np.float32(rows.unit)).astype(np.float32), rows.y.astype(load(option).train.y.dtype)


def row_bytes(x: NDArray[Any], y: NDArray[Any]) -> list[bytes]:
    return [a.tobytes() + b.tobytes() for a, b in zip(x, y, strict=True)]


def fingerprint_by_hand(task: str, outputs: int, arrays: dict[str, NDArray[Any]]) -> str:
    text = [f"{task}\0{outputs}\0".encode()]
    for name, array in arrays.items():
        kind = "<i8" if array.dtype.kind == "i" else "<f4"
        text += [f"{name}\0{kind}\0{array.shape}\0".encode(), array.astype(kind).tobytes(order="C")]
    return hashlib.sha256(b"".join(text)).hexdigest()


# What a data set is


@every_data_set
def test_types_and_shapes(option: dict[str, Any]) -> None:
    data = load(option)
    shape, outputs = {"digits": ((1, 8, 8), 10), "gaussian": ((8,), 7), "teacher": ((8,), 1), "spirals": ((2,), 3)}[
        option["name"]
    ]
    assert (data.task, data.metric) in {("classification", "accuracy"), ("regression", "r2")}
    assert (data.outputs, data.direction) == (outputs, "max")
    counts = sizes(option)
    for part, count in zip(parts(data).values(), counts, strict=True):
        assert part.x.dtype == np.float32
        assert part.x.shape == (count, *shape)
        if data.task == "classification":
            assert part.y.dtype == np.int64
            assert part.y.shape == (count,)
            assert part.y.min() >= 0 and part.y.max() < outputs
        else:
            assert part.y.dtype == np.float32
            assert part.y.shape == (count, outputs)


@every_data_set
def test_arrays_are_shared_and_read_only(option: dict[str, Any]) -> None:
    data = load(option)
    assert load(dict(reversed(option.items())) | {"batch_size": 7}) is data
    assert load(option | {"split_seed": 1}) is not data
    for part in parts(data).values():
        for array in (part.x, part.y):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0


def test_neither_torch_nor_scipy_nor_scikit_learn_is_imported() -> None:
    code = (
        "import sys; from initlab.datasets import load;"
        f"load({DIGITS}); assert not {{'torch', 'scipy', 'sklearn'}} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(Refused, match=r"no dataset 'digit'\. Known: .*digits.* Did you mean digits\?"):
        DATASETS.typed(DIGITS | {"name": "digit"})


def test_a_name_is_registered_once() -> None:
    with pytest.raises(Refused, match="dataset=digits: the name is taken"):
        DATASETS.register("digits")(embedded.digits)


# The split


@every_data_set
@pytest.mark.parametrize("split_seed", [0, 1])
def test_parts_are_disjoint_and_cover_everything(option: dict[str, Any], split_seed: int) -> None:
    """Rows are all different, so equal multisets of (x, y) rows mean that each came to one part, with its own y."""
    data = load(option | {"split_seed": split_seed})
    whole = row_bytes(*everything(option))
    assert len(set(whole)) == len(whole) == sum(sizes(option))
    assert sorted(sum((row_bytes(part.x, part.y) for part in parts(data).values()), [])) == sorted(whole)


@every_data_set
def test_the_split_seed_fixes_the_split(option: dict[str, Any]) -> None:
    first, again, other = load(option), load(option | {"batch_size": 1}), load(option | {"split_seed": 1})
    datasets._kept.clear()
    fresh = load(option)
    assert first is again and fresh is not first
    assert first.fingerprint == fresh.fingerprint != other.fingerprint
    for name, part in parts(first).items():
        np.testing.assert_array_equal(part.x, parts(fresh)[name].x)
        assert set(row_bytes(part.x, part.y)) != set(row_bytes(parts(other)[name].x, parts(other)[name].y))


def test_every_row_is_as_likely_to_be_tested_on() -> None:
    """Over 400 split seeds a row is a test row Binomial(400, 0.3) times: Hoeffding, and a union bound over 100 rows."""
    option = {"name": "gaussian"} | GAUSSIAN | SPLIT | {"samples": 100, "test": 0.3}
    whole = row_bytes(*everything(option))
    times = dict.fromkeys(whole, 0)
    for split_seed in range(400):
        test = load(option | {"split_seed": split_seed}).test
        for row in row_bytes(test.x, test.y):
            times[row] += 1
    assert max(abs(count / 400 - 0.3) for count in times.values()) < math.sqrt(math.log(2 * 100 / ALPHA) / (2 * 400))


def test_golden_sizes() -> None:
    assert [sizes(option) for option in OPTIONS] == [(1257, 270, 270), *[(700, 150, 150)] * 3]


@given(st.integers(1, 5000), st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True))
def test_sizes_add_up_or_are_refused(samples: int, val: float, test: float) -> None:
    option = {"name": "gaussian"} | GAUSSIAN | SPLIT | {"samples": samples, "val": val, "test": test}
    by_hand = (round(samples * val), round(samples * test))
    if min(*by_hand, samples - sum(by_hand)) < 1:
        with pytest.raises(Refused):
            sizes(option)
    else:
        assert sizes(option) == (samples - sum(by_hand), *by_hand)


@pytest.mark.parametrize(
    ("val", "test", "message"),
    [
        (0.9, 0.2, "dataset.val=0.9, dataset.test=0.2: leave no training rows of 1797."),
        (0.501, 0.5, "dataset.val=0.501, dataset.test=0.5: leave no training rows of 1797."),
        (0.0, 0.2, "dataset.val=0.0, dataset.test=0.2: leave no validation rows of 1797."),
        (0.2, 0.0001, "dataset.val=0.2, dataset.test=0.0001: leave no test rows of 1797."),
        (0, 0, "dataset.val=0, dataset.test=0: leave no validation and no test rows of 1797."),
    ],
)
def test_an_empty_part_is_refused_in_words(val: float, test: float, message: str) -> None:
    with pytest.raises(Refused) as refusal:
        load(DIGITS | {"val": val, "test": test})
    assert str(refusal.value).startswith(message)
    assert "must be at least one row" in str(refusal.value)


def test_a_refusal_comes_before_the_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DATASETS, "build", lambda option: pytest.fail("drawn"))
    with pytest.raises(Refused):
        load({"name": "gaussian"} | GAUSSIAN | SPLIT | {"samples": 2})


# Standardisation


@every_data_set
def test_train_is_standardised_and_the_rest_by_trains_statistics(option: dict[str, Any]) -> None:
    plain, scaled = load(option), load(option | {"standardize": "feature"})
    train = plain.train.x.astype(np.float64)
    varies = np.ptp(train, axis=0) > 0
    # Rounding to float32 moves an element by 2^-24 of itself, a mean by at most that of the largest.
    largest = float(np.abs(scaled.train.x).max())
    got = scaled.train.x.astype(np.float64)
    np.testing.assert_allclose(got.mean(axis=0), 0, atol=largest * 2**-24)
    np.testing.assert_allclose(got.var(axis=0)[varies], 1, atol=2 * largest**2 * 2**-24)
    for name, part in parts(scaled).items():
        before = parts(plain)[name]
        expected = before.x - train.mean(axis=0)
        expected[:, varies] /= train.std(axis=0)[varies]
        np.testing.assert_allclose(part.x, expected, rtol=1e-6, atol=1e-9)
        np.testing.assert_array_equal(part.y, before.y)
    assert np.abs(scaled.test.x[:, varies].mean(axis=0)).max() > 1e-3  # not by its own statistics


@pytest.mark.parametrize("rows", [1, 3, 1257, 99_991])
@given(st.floats(width=32, allow_nan=False, min_value=-(2.0**100), max_value=2.0**100))
def test_constant_features_are_only_centred(rows: int, value: float) -> None:
    """A deviation that is a rounding error instead of 0 would be divided by: the mean of n equal numbers is no such."""
    train = np.full((rows, 1), value, dtype=np.float32)
    got_train, got_test = split.standardised([train, np.zeros((1, 1), dtype=np.float32)], (0,))
    assert not got_train.any()
    assert got_test.item() == -value


def test_digits_has_constant_features() -> None:
    data = load(DIGITS | {"standardize": "feature"})
    constant = np.ptp(load(DIGITS).train.x, axis=0) == 0
    assert constant.sum() >= 3  # pixels that nobody wrote on
    assert not data.train.x[:, constant].any()
    assert all(np.isfinite(part.x).all() for part in parts(data).values())


def test_channels_are_standardised_over_rows_and_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two channels of other scales; in small blocks, as in one."""
    x = np.random.default_rng(0).normal([[[5.0]], [[-3.0]]], [[[2.0]], [[0.1]]], (50, 2, 4, 4)).astype(np.float32)
    whole = split.standardised([x[:40], x[40:]], split.AXES["channel"])
    monkeypatch.setattr(split, "BLOCK", 7)
    blocks = split.standardised([x[:40], x[40:]], split.AXES["channel"])
    wide = x.astype(np.float64)
    mean, deviation = wide[:40].mean((0, 2, 3), keepdims=True), wide[:40].std((0, 2, 3), keepdims=True)
    for got in (whole, blocks):
        np.testing.assert_allclose(np.concatenate(got), (wide - mean) / deviation, rtol=1e-6, atol=1e-6)


def test_channel_is_refused_where_there_are_no_images() -> None:
    with pytest.raises(Refused, match=r"standardize=channel: is for images, .* is \[N, 8\]. .* takes none or feature"):
        load({"name": "gaussian"} | GAUSSIAN | SPLIT | {"standardize": "channel"})


# What stays in memory


def test_data_sets_used_last_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    options = [DIGITS | {"split_seed": seed} for seed in (100, 101, 102)]
    bytes_of_one = sum(array.nbytes for _, array in load(DIGITS).arrays())
    monkeypatch.setattr(datasets, "_kept", {})
    monkeypatch.setattr(datasets, "KEPT", 2 * bytes_of_one)
    first, second = load(options[0]), load(options[1])
    assert load(options[0]) is first  # and so the second is the one that goes
    third = load(options[2])
    assert load(options[0]) is first and load(options[2]) is third and load(options[1]) is not second
    monkeypatch.setattr(datasets, "KEPT", 0)
    assert load(options[1]) is load(options[1])


# The fingerprint


def test_golden_fingerprint_of_digits_by_hand() -> None:
    bunch = load_digits()
    x, y = (bunch.images[:, None] / 16).astype(np.float32), bunch.target.astype(np.int64)
    rows = permutation(1797, 0, "split", "rows")
    cut = {"train": rows[:1257], "val": rows[1257:1527], "test": rows[1527:]}
    arrays = {f"{part}.{which}": a[cut[part]] for part in cut for which, a in (("x", x), ("y", y))}
    assert load(DIGITS).fingerprint == fingerprint_by_hand("classification", 10, arrays) == GOLDEN_DIGITS


@every_data_set
def test_fingerprint_changes_with_every_array_and_field(option: dict[str, Any]) -> None:
    data = load(option)
    seen = [data.fingerprint, replace(data, outputs=data.outputs + 1).fingerprint]
    seen.append(replace(data, task="other").fingerprint)  # type: ignore[arg-type]
    seen.append(replace(data, val=data.test, test=data.val).fingerprint)
    for name, part in parts(data).items():
        for field in ("x", "y"):
            array = getattr(part, field)
            flipped = array.copy()
            flipped.view(np.uint8).reshape(-1)[-1] ^= 1
            retyped = array.view(np.int32 if array.dtype == np.float32 else np.float64)
            for changed in (flipped, array[::-1], array.reshape(-1, 1, *array.shape[1:]), retyped):
                seen.append(with_part(data, name, replace(part, **{field: changed})).fingerprint)
    assert len(set(seen)) == len(seen) == 4 + 6 * 4


@every_data_set
def test_fingerprint_does_not_depend_on_the_layout_in_memory(option: dict[str, Any]) -> None:
    data = load(option)
    swapped = data.train.x.astype(data.train.x.dtype.newbyteorder(">"), order="F")
    assert replace(data, train=replace(data.train, x=swapped)).fingerprint == data.fingerprint


# Digits


def test_digits_are_scikit_learns() -> None:
    rows = embedded.digits()
    bunch = load_digits()
    assert (rows.task, rows.outputs, len(rows.x)) == ("classification", 10, DATASETS["digits"].facts["samples"])
    np.testing.assert_array_equal(rows.x, bunch.images[:, None])
    np.testing.assert_array_equal(rows.y, bunch.target)
    assert (load(DIGITS).train.x.min(), load(DIGITS).train.x.max()) == (0, 1)


# The other embedded sets


@pytest.mark.parametrize("reader", [load_iris, load_wine, load_breast_cancer, load_diabetes], ids=lambda r: r.__name__)
def test_embedded_sets_are_scikit_learns(reader: Any) -> None:
    """To float32, in which they are stored: the nearest one to each of scikit-learn's numbers, diabetes' scaled ones
    up to the last bits of scikit-learn's own scaling."""
    name = reader.__name__.removeprefix("load_")
    rows, bunch = DATASETS.build({"name": name}), reader()
    assert len(rows.x) == len(bunch.data) == DATASETS[name].facts["samples"]
    assert rows.task == DATASETS[name].facts["task"] == ("regression" if name == "diabetes" else "classification")
    assert rows.outputs == (1 if name == "diabetes" else len(bunch.target_names))
    np.testing.assert_allclose(rows.x, bunch.data, rtol=2**-23 if name == "diabetes" else 2**-24)
    np.testing.assert_array_equal(rows.y.reshape(-1), bunch.target)


def test_diabetes_targets_are_standardised_by_trains_statistics() -> None:
    option = DATASETS.typed({"name": "diabetes"})
    scaled, plain = load(option), load(option | {"standardize_targets": False})
    y = plain.train.y.astype(np.float64)
    assert y.min() >= 25 and y.max() <= 346
    for name, part in parts(scaled).items():
        before = parts(plain)[name]
        np.testing.assert_allclose(part.y, (before.y - y.mean()) / y.std(), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(part.x, before.x)


# Spirals


def test_spirals_without_noise_are_spirals() -> None:
    x, y = spirals(**SPIRALS | {"noise": 0.0, "turns": 1.5})[2:4]
    radius = np.hypot(*x.astype(np.float64).T) / 2
    assert radius.min() > 0 and radius.max() < 1
    around = np.arctan2(x[:, 1], x[:, 0]) / (2 * np.pi) - 1.5 * radius - y / 3
    far = radius > 0.01  # near the centre float32 says little of the angle
    np.testing.assert_allclose(around[far] - np.round(around[far]), 0, atol=1e-5)
    assert np.ptp(np.bincount(y)) <= 1


def test_spirals_noise_is_that() -> None:
    """Its variance within 5 deviations of sqrt(2 / numbers); twice the noise moves a point twice as far."""
    n = 20_000
    at = {s: spirals(**SPIRALS | {"samples": n, "noise": s}).x.astype(np.float64) for s in (0.0, 0.1, 0.2)}
    shift = (at[0.1] - at[0.0]) / 2
    assert abs(shift.var() / 0.1**2 - 1) < 5 * math.sqrt(2 / (2 * n))
    np.testing.assert_allclose(at[0.2] - at[0.0], 4 * shift, atol=1e-5)


# Gaussian


def test_labels_are_balanced_and_shuffled() -> None:
    for samples in (1, 6, 7, 1000):
        counts = np.bincount(gaussian(**GAUSSIAN | {"samples": samples}).y, minlength=7)
        assert counts.max() - counts.min() <= 1
    y = gaussian(**GAUSSIAN | {"samples": 70_000}).y.reshape(-1, 7)
    # In a block each class is at each place with probability 1/7: 49 frequencies of 10 000 blocks (Hoeffding, union).
    frequencies = np.array([[np.mean(y[:, place] == k) for k in range(7)] for place in range(7)])
    assert np.abs(frequencies - 1 / 7).max() < math.sqrt(math.log(2 * 49 / ALPHA) / (2 * 10_000))


@pytest.mark.parametrize("separation", [0.0, 0.5, 3.0])
def test_class_statistics_follow_theory(separation: float) -> None:
    """5 standard deviations of each statistic: a variance of f degrees of freedom has sqrt(2/f) of itself."""
    n, features, classes = 20_000, 50, 10
    x, y = gaussian(samples=n, features=features, classes=classes, separation=separation, seed=3)[2:4]
    wide = x.astype(np.float64)
    means = np.array([wide[y == k].mean(axis=0) for k in range(classes)])
    residual = wide - means[y]
    freedom = (n - classes) * features
    assert abs(np.sum(residual**2) / freedom - 1) < 5 * math.sqrt(2 / freedom)
    # A class mean is N(0, separation^2 + 1 / rows of the class).
    spread = separation**2 + classes / n
    assert abs(np.mean(means**2) / spread - 1) < 5 * math.sqrt(2 / (classes * features))
    assert abs(np.mean(means)) < 5 * math.sqrt(spread / (classes * features))
    # Features are independent given the class: 50 * 49 / 2 correlations, each of deviation 1/sqrt(n).
    correlations = np.corrcoef(residual.T)[np.triu_indices(features, k=1)]
    assert np.abs(correlations).max() < math.sqrt(2 * math.log(2 * len(correlations) / ALPHA) / (n - classes))


def test_normals_are_normal() -> None:
    """Kolmogorov's distance to the normal law is below the Dvoretzky-Kiefer-Wolfowitz bound (Massart 1990)."""
    n = 100_000
    z = np.sort(synthetic.normals((n,), 0, "test"))
    law = np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in z])
    steps = np.arange(n + 1) / n
    distance = max(np.max(steps[1:] - law), np.max(law - steps[:-1]))
    assert distance < math.sqrt(math.log(2 / ALPHA) / (2 * n))


def test_separation_moves_the_centres_only() -> None:
    near, far = (gaussian(**GAUSSIAN | {"separation": s}) for s in (1.0, 2.0))
    at_zero = gaussian(**GAUSSIAN | {"separation": 0.0})
    np.testing.assert_array_equal(near[3], far[3])
    np.testing.assert_allclose(far[2] - at_zero[2], 2 * (near[2] - at_zero[2]), atol=1e-5)


@pytest.mark.parametrize("fewer", [1, 10, 100, 999])
def test_first_rows_of_a_larger_set_are_the_smaller_set(fewer: int) -> None:
    x, y = gaussian(**GAUSSIAN)[2:4]
    x_fewer, y_fewer = gaussian(**GAUSSIAN | {"samples": fewer})[2:4]
    np.testing.assert_array_equal(x[:fewer], x_fewer)
    np.testing.assert_array_equal(y[:fewer], y_fewer)


@pytest.mark.parametrize("source", [gaussian, teacher, spirals])
def test_a_seed_makes_the_rows(source: Any) -> None:
    own = {gaussian: GAUSSIAN, teacher: TEACHER, spirals: SPIRALS}[source]
    first, again, other = source(**own), source(**own), source(**own | {"seed": 1})
    for which in (2, 3):
        np.testing.assert_array_equal(first[which], again[which])
        assert (first[which] != other[which]).any()


# Teacher


def test_target_without_noise_has_unit_variance() -> None:
    y = teacher(**TEACHER | {"noise": 0.0})[3].astype(np.float64)
    assert abs(y.var() - 1) < 2**-22


def test_teacher_x_is_standard_normal() -> None:
    n, features = 20_000, 10
    x = teacher(**TEACHER | {"samples": n, "features": features})[2].astype(np.float64)
    count = n * features
    assert abs(x.mean()) < 5 / math.sqrt(count)
    assert abs(x.var() - 1) < 5 * math.sqrt(2 / count)


@pytest.mark.parametrize("noise", [0.1, 0.5, 2.0])
def test_noise_is_added_and_bounds_r2(noise: float) -> None:
    """The best prediction is the clean target, whose R2 is 1 / (1 + noise^2) up to the sampling of the noise."""
    n = 20_000
    clean, noisy, unit = (teacher(**TEACHER | {"samples": n, "noise": s})[3].astype(np.float64) for s in (0, noise, 1))
    np.testing.assert_allclose(noisy - clean, noise * (unit - clean), atol=1e-5)
    z = unit - clean
    assert abs(z.mean()) < 5 / math.sqrt(n)
    assert abs(z.var() - 1) < 5 * math.sqrt(2 / n)
    assert abs(np.mean(z * clean)) < 5 / math.sqrt(n)
    # 1 - R2 = s^2 var z / (1 + 2 s cov + s^2 var z): a relative error of each term bounds that of the whole.
    r2 = 1 - np.mean((noisy - clean) ** 2) / noisy.var()
    slack = (2 * noise * 5 + 2 * noise**2 * 5 * math.sqrt(2)) / math.sqrt(n)
    assert abs(r2 - 1 / (1 + noise**2)) < slack


def test_teacher_is_a_tanh_network_no_linear_fit_reaches() -> None:
    """Odd in x, as it has no biases; a least-squares line explains much of it, not all."""
    x, y = teacher(**TEACHER | {"samples": 20_000, "noise": 0.0})[2:4]
    wide = x.astype(np.float64)
    rest = y - wide @ np.linalg.lstsq(wide, y.astype(np.float64), rcond=None)[0]
    assert 0.5 < 1 - np.mean(rest**2) / y.var() < 0.99
    assert abs(np.mean(y)) < 5 / math.sqrt(20_000)


def test_teacher_is_the_network_it_says() -> None:
    x, w1 = synthetic.normals((1000, 8), 0, "teacher x"), synthetic.normals((8, 16), 0, "teacher w1")
    clean = np.tanh(x @ w1 / math.sqrt(8)) @ synthetic.normals((16, 1), 0, "teacher w2") / math.sqrt(16)
    expected = clean / clean.std() + 0.1 * synthetic.normals((1000, 1), 0, "teacher noise")
    np.testing.assert_allclose(teacher(**TEACHER)[3], expected, rtol=1e-6, atol=1e-6)


def test_first_rows_of_a_larger_teacher_set_are_the_smaller_set_up_to_its_scale() -> None:
    x, y = teacher(**TEACHER | {"noise": 0.0})[2:4]
    x_fewer, y_fewer = teacher(**TEACHER | {"noise": 0.0, "samples": 100})[2:4]
    np.testing.assert_array_equal(x[:100], x_fewer)
    np.testing.assert_allclose(y[:100] / y[:100].std(), y_fewer, rtol=1e-5, atol=1e-6)
