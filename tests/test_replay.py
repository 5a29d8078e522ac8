"""A sweep trained again from its record alone: identical; and where something was changed, the first difference."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from initlab.command import main
from initlab.executors import layout
from initlab.storage import received, record
from initlab.storage.folder import read
from initlab.training import updates as updating

ROOT = Path(__file__).resolve().parent.parent
WORDS = ["-m", "init=xavier,kaiming", "seed=0,1", "dataset=npz", "optimizer=adam", "optimizer.lr=0.01"]
WORDS += ["dataset.batch_size=16", "arch.depth=1", "arch.width=8", "trainer.max_steps=5", "trainer.log_every_n_steps=2"]


def script() -> Any:
    spec = importlib.util.spec_from_file_location("replay_script", ROOT / "scripts" / "replay.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of four runs on a file of the user's."""
    folder = tmp_path_factory.mktemp("replay")
    draws = np.random.default_rng(0)
    np.savez(folder / "mine.npz", x=draws.normal(size=(80, 4)), y=draws.integers(0, 3, 80))
    code = main(ROOT, [*WORDS, f"dataset.path={folder}/mine.npz", f"hydra.sweep.dir={folder}/s"])
    assert code == 0
    return folder


@pytest.fixture
def again(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Replays a copy, as it lies in another place; its files are left as they were."""
    copy = tmp_path / "received"
    shutil.copytree(trained / "s", copy)
    shutil.copy(trained / "mine.npz", tmp_path / "mine.npz")
    monkeypatch.setattr("initlab.training.interrupts.catch", lambda: None)

    def run(place: str = "", *words: str) -> tuple[int, str]:
        before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
        argv = ["replay.py", str(copy / place), *(words or (f"dataset.path={tmp_path}/mine.npz",))]
        monkeypatch.setattr(sys, "argv", argv)
        code = script().main()
        assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == before
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return run


def test_a_sweep_is_replayed_bit_for_bit(again: Callable[..., tuple[int, str]]) -> None:
    code, said = again()
    assert code == 0 and said.count(": identical\n") == 4 and "4 runs: 4 identical" in said and "changed" not in said


def test_a_run_is_replayed_in_its_stack(again: Callable[..., tuple[int, str]]) -> None:
    code, said = again("runs/init=kaiming,seed=1")
    assert code == 0 and "init=kaiming,seed=1: identical\n1 run: 1 identical" in said


def edited(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_another_seed_is_seen_in_the_initial_weights(again: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    edited(tmp_path / "received/runs/init=xavier,seed=1/config.yaml", "init_seed: 1", "init_seed: 7")
    code, said = again()
    assert code == 3 and "init=xavier,seed=1: different: initial weights: " in said and "its config" in said
    assert said.count(": identical\n") == 3


def test_another_rate_is_seen_at_the_first_step_after_it(again: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    edited(tmp_path / "received/runs/init=xavier,seed=0/config.yaml", "lr: 0.01", "lr: 0.02")
    code, said = again()
    assert code == 3 and "init=xavier,seed=0: different: train/loss at step 2: " in said


def test_threads_are_as_many_as_then_where_there_are_cores(
    again: Callable[..., tuple[int, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the default of this process is, which OMP_NUM_THREADS sets."""
    path, whole, used = tmp_path / "received" / "sweep.json", updating.step, []

    def step(*state: Any) -> Any:
        used.append(torch.get_num_threads())
        return whole(*state)

    monkeypatch.setattr(updating, "step", step)
    monkeypatch.setattr(layout, "cores", lambda: 2)
    before = torch.get_num_threads()
    for then, now in ((2, 2), (3, 2)):
        described = json.loads(path.read_text())
        described["device"]["threads"] = then
        path.write_text(json.dumps(described))
        code, said = again("runs/init=xavier,seed=0")
        assert code == 0 and set(used) == {now} and torch.get_num_threads() == before
        assert (f"threads {then} -> {now}" in said) == (then != now)


def test_another_value_of_a_curve_is_named(again: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    sweep = read(tmp_path / "received")
    (old,) = (r for r in sweep.records if r["name"] == "init=kaiming,seed=0")
    arrays = received.arrays(sweep.folder, old["curves"])
    row = arrays["key"].tolist().index(old["key"])
    honest = float(arrays["val/loss"][row, -1])
    for change, code, outcome in ((1e-6, 0, "within tolerance"), (1e-2, 3, "different")):
        arrays["val/loss"][row, -1] = honest + change
        np.savez(tmp_path / "received" / old["curves"], **arrays)  # type: ignore[arg-type]
        answer, said = again()
        assert (
            answer == code and f"init=kaiming,seed=0: {outcome}: val/loss at step 5: {honest + change!r} then" in said
        )


def test_other_data_are_known_by_their_fingerprint(again: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    with np.load(tmp_path / "mine.npz") as arrays:
        np.savez(tmp_path / "other.npz", x=arrays["x"] + 1e-3, y=arrays["y"])
    code, said = again("", f"dataset.path={tmp_path}/other.npz")
    assert code == 3 and said.count(": different: data: ") == 4


def test_what_changed_is_told(again: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    path = tmp_path / "received" / "sweep.json"
    described = json.loads(path.read_text())
    described["versions"]["torch"] = "1.0"
    described["git"] = {"commit": "0" * 40, "diff": "other"}
    path.write_text(json.dumps(described))
    code, said = again("runs/init=xavier,seed=0")
    assert code == 0 and "changed: torch 1.0 -> " in said and "commit 000000000000 -> " in said
    assert "uncommitted changes" in said


def test_a_replay_that_would_read_or_write_elsewhere_is_refused(
    again: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    code, said = again("", f"--out={tmp_path}/received/mine")
    assert code == 2 and "lies in the folder that is replayed" in said
    code, said = again("", f"--out={tmp_path}/out")
    assert code == 2 and "Say where yours are: dataset.path=PATH" in said and not (tmp_path / "out").exists()
    code, said = again("", "dataset.url=x")
    assert code == 2 and "no word of a replay 'dataset.url'. Known: dataset.data_home, dataset.path" in said


def test_a_plug_in_is_imported_only_if_the_user_names_it(again: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    (tmp_path / "received" / "evil.py").write_text("raise SystemExit('sprung')")
    path = tmp_path / "received" / "sweep.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"plugins": {"evil": "0" * 16}}))
    edited(tmp_path / "received/runs/init=xavier,seed=0/config.yaml", "name: xavier", "name: evil")
    code, said = again()
    assert (
        code == 2
        and "no init 'evil_normal'" in said
        and "if you trust it, add plugins=evil" in said
        and "sprung" not in said
    )


def test_a_diff_is_what_git_applies(tmp_path: Path) -> None:
    """Text of any bytes and line ends, a binary file, a file that git does not know, one that is gone."""

    def git(*words: str, at: Path = tmp_path / "a") -> None:
        subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@x", "-C", str(at), *words], check=True)

    source = tmp_path / "a" / "src"
    source.mkdir(parents=True)
    for name in ("text.py", "lines.py", "gone.py", "picture.bin"):
        (source / name).write_bytes(b"one\r\n\xff\n" + bytes(range(256)) * (name == "picture.bin"))
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "x")
    git("clone", "-q", ".", str(tmp_path / "b"))
    (source / "text.py").write_bytes(b"one\r\n\xfe two\n")
    (source / "lines.py").write_bytes(b"one\n\xff\nno end")
    (source / "picture.bin").write_bytes(bytes(range(255, -1, -1)))
    (source / "gone.py").unlink()
    (source / "new.py").write_text("new\n")
    (tmp_path / "a" / "notes.txt").write_text("no code\n")
    index = (tmp_path / "a" / ".git" / "index").read_bytes()
    told = json.loads(json.dumps(record.code(tmp_path / "a")))
    assert (tmp_path / "a" / ".git" / "index").read_bytes() == index
    (tmp_path / "patch").write_bytes(told["diff"].encode(errors="surrogateescape"))
    git("apply", str(tmp_path / "patch"), at=tmp_path / "b")
    ours, theirs = ({p.name: p.read_bytes() for p in (tmp_path / x / "src").iterdir()} for x in "ab")
    assert ours == theirs and len(told["commit"]) == 40 and "notes" not in told["diff"]
    assert record.code(tmp_path) == {"commit": None, "diff": None}
