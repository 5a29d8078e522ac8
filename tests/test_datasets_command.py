"""Golden paths through the real command, and each embedded set at its defaults."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import forked
from initlab.config import key, typed
from initlab.datasets import fingerprint, load
from initlab.planning.compose import Composer
from initlab.planning.plan import make
from initlab.storage.folder import read
from initlab.training.module import StackModule
from initlab.training.train import fit
from test_datasets_images import idx_folder, zipped

ROOT = Path(__file__).parents[1]
SHORT = ["trainer.max_steps=2", "trainer.accelerator=cpu", "arch.width=8", "arch.depth=1", "hydra.run.dir=out"]


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return forked.command(words, folder)


def test_own_arrays_train(tmp_path: Path) -> None:
    """Named relative to where the command is given; only that name reaches the disk."""
    random = np.random.default_rng(0)
    np.savez(tmp_path / "mine.npz", x=random.normal(size=(60, 5)), y=random.normal(50, 9, 60))
    done = command(tmp_path, "dataset=npz", "dataset.path=mine.npz", "dataset.batch_size=16", *SHORT)
    assert done.returncode == 0, done.stderr
    (record,) = read(tmp_path / "out").records
    assert record["status"] == "done" and record["steps"] == 2 and record["metric"] == "val/r2"
    for path in (tmp_path / "out").rglob("*.*"):
        if path.suffix in (".json", ".yaml", ".csv"):
            assert str(tmp_path) not in path.read_text()
    assert json.loads((tmp_path / "out" / "sweep.json").read_text())["runs"]


def test_image_files_train(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    idx_folder(tmp_path / "files", zipped)
    done = command(tmp_path, "dataset=mnist", "dataset.root=files", "dataset.batch_size=8", *SHORT)
    assert done.returncode == 0, done.stderr
    (record,) = read(tmp_path / "out").records
    assert record["status"] == "done" and np.isfinite(record["final"]["test/accuracy"])


def test_a_missing_file_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    done = command(tmp_path, "dataset=cifar10", "dataset.root=files", *SHORT)
    assert done.returncode == 2 and done.stderr.startswith("refused: dataset.root=files: there is no such path.")
    assert not list(tmp_path.iterdir())


def test_where_data_lie_does_not_decide_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same files in two places are one run; other files are another run, in the same place under another name."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    arrays = {"x": random.normal(size=(60, 5)), "y": np.arange(60) % 3}
    for name in ("a.npz", "b.npz"):
        np.savez(name, **arrays)
    np.savez("c.npz", **arrays | {"y": arrays["y"][::-1]})
    words = ["dataset=npz", "dataset.batch_size=16", "dataset.path=a.npz,b.npz,c.npz"]
    plan = make(Composer(ROOT / "conf"), words, multirun=True)
    assert [run.choices["dataset.path"] for run in plan.runs] == ["a.npz", "c.npz"]
    assert plan.notes == ("dataset.path=b.npz is dataset.path=a.npz: 1 run, trained once and listed under the latter.",)
    config = plan.runs[0].config
    moved = config | {"dataset": config["dataset"] | {"path": "elsewhere", "standardize": "none"}}
    assert key(moved, plan.runs[0].fingerprint) != plan.runs[0].key  # how it is used does


EMBEDDED = {"digits": 0.9, "iris": 0.8, "wine": 0.85, "breast_cancer": 0.9, "diabetes": 0.2, "spirals": 0.9}


@pytest.mark.parametrize("name", EMBEDDED)
def test_each_set_trains_at_the_defaults(name: str) -> None:
    """Three seeds, none of which diverges, and each is well above what it starts from: accuracy, or R2 of diabetes."""
    raw: dict[str, Any] = {"dataset": {"name": name}, "arch": {"name": "mlp"}, "act": {"name": "relu"}}
    raw |= {"init": {"name": "kaiming"}, "optimizer": {"name": "sgd"}, "trainer": {"accelerator": "cpu"}}
    configs = [typed(raw | {"seed": seed}) for seed in range(3)]
    module = StackModule(configs, load(configs[0]["dataset"]))
    fit(module)
    assert not module.state.diverged_at.any()
    metric = module.curves.whole()[f"val/{module.data.metric}"].values
    assert (metric[:, -1] > EMBEDDED[name]).all() and (metric[:, -1] > metric[:, 0]).all()
    assert fingerprint(configs[0]["dataset"]) == module.data.fingerprint
