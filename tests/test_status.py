"""How far a sweep is, as it is read beside the one who trains, from what was stopped, and from a copy."""

from __future__ import annotations

import fcntl
import json
import shutil
from pathlib import Path

import pytest
from scripts import status as script

from faults import Killed, made, opened, train
from initlab.errors import FolderInUse, Refused
from initlab.storage.folder import read
from initlab.storage.store import Store
from initlab.training import updates as updating
from initlab.views.status import status, words


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stacks of two: one done, with a run that diverged, the other stopped after its fourth update."""
    folder, steps, whole = tmp_path_factory.mktemp("status") / "s", [], updating.step

    def step(program, state, x, y, spare):  # type: ignore[no-untyped-def]
        steps.append(state.t)
        if len(steps) == 15:
            raise Killed
        if len(steps) == 3:
            x = x.clone()  # runs of one order have one batch
            x[0] = float("nan")
        return whole(program, state, x, y, spare)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(updating, "step", step)
        with pytest.raises(Killed):
            train(made(folder))
    return folder


def test_a_sweep_that_was_stopped_says_how_far_it_is_and_how_it_goes_on(stopped: Path) -> None:
    found = status(stopped)
    assert found.states == {
        "done": ["init=kaiming,act=relu"],
        "diverged": ["init=xavier,act=relu"],
        "failed": [],
        "running": [],
        "stopped": ["init=xavier,act=tanh", "init=kaiming,act=tanh"],
        "pending": [],
    }
    assert found.exit_code == 1 and found.holder is None
    first, checkpoint, why, last = words(found).splitlines()
    assert first == f"{stopped}: 4 runs: 1 done, 1 diverged, 2 stopped"
    assert checkpoint.startswith("checkpoint at step 4 of 10, ")
    assert why == "init=xavier,act=relu diverged at step 3, first in loss" and last == "to go on: python train.py"


def test_looking_does_not_disturb_who_trains(stopped: Path, tmp_path: Path) -> None:
    shutil.copytree(stopped, tmp_path / "s")
    planned = made(tmp_path / "s")
    with opened(planned):
        before = {path: path.stat().st_mtime_ns for path in (tmp_path / "s").rglob("*")}
        found = status(tmp_path / "s")
        assert found.holder is not None and found.holder.startswith("process ") and found.exit_code == 75
        assert len(found.states["running"]) == 2 and f"trained by {found.holder}" in words(found)
        assert {path: path.stat().st_mtime_ns for path in (tmp_path / "s").rglob("*")} == before
        with pytest.raises(FolderInUse):
            opened(planned)
        shutil.copytree(tmp_path / "s", tmp_path / "copy")
        assert status(tmp_path / "copy").holder is None
    assert status(tmp_path / "s").holder is None


def test_a_lock_that_is_a_link_is_not_followed(stopped: Path, tmp_path: Path) -> None:
    """Also where somebody holds what it points at, and what a holder wrote comes without its control characters."""
    shutil.copytree(stopped, tmp_path / "s")
    (tmp_path / "secret").write_text("mine")
    with open(tmp_path / "secret") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        (tmp_path / "s" / "lock").unlink()
        (tmp_path / "s" / "lock").symlink_to(tmp_path / "secret")
        assert status(tmp_path / "s").holder is None
    (tmp_path / "s" / "lock").unlink()
    (tmp_path / "s" / "lock").write_text("process 1\x1b[2J")
    with open(tmp_path / "s" / "lock") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert status(tmp_path / "s").holder == "process 1\\x1b[2J"


def test_a_sweep_that_was_stopped_before_it_began_is_known_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder is there and its sweep.json is not; a copy without the lock, or with anything more, is no sweep's."""

    def stop() -> dict[str, object]:
        found = status(tmp_path / "s")
        assert found.exit_code == 75
        assert words(found).startswith(f"{tmp_path / 's'}: a sweep that begins just now, by process ")
        raise Killed

    with pytest.raises(Killed):
        Store.open(made(tmp_path / "s"), stop)
    assert status(tmp_path / "s").exit_code == 1
    before, last = words(status(tmp_path / "s")).splitlines()
    assert before.endswith("s: a sweep that was stopped before it began")
    assert last == "to go on: the command that made the folder"
    with pytest.raises(Refused, match=r"s: of a sweep that has not begun\. The command that made it goes on\.$"):
        read(tmp_path / "s")
    for name in ("lock", "runs/mine"):
        shutil.copytree(tmp_path / "s", tmp_path / name.replace("/", "-"))
    (tmp_path / "lock" / "lock").unlink()
    (tmp_path / "runs-mine" / "runs" / "mine").mkdir()
    for name in ("lock", "runs-mine"):
        with pytest.raises(Refused, match="no sweep's folder"):
            status(tmp_path / name)
    with opened(made(tmp_path / "s")):
        assert len(status(tmp_path / "s").states["pending"]) == 4


def test_a_command_of_somebody_else_is_not_shown(stopped: Path, tmp_path: Path) -> None:
    shutil.copytree(stopped, tmp_path / "s")
    described = json.loads((tmp_path / "s" / "sweep.json").read_text())
    (tmp_path / "s" / "sweep.json").write_text(json.dumps(described | {"command": ["rm", "-r", "precious"]}))
    assert words(status(tmp_path / "s")).endswith("\nto go on: the recorded command does not call train.py")


def test_the_script_answers_with_its_exit_code(
    stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(stopped, tmp_path / "s")
    for folder, code in ((tmp_path / "s", 1), (tmp_path, 2)):
        monkeypatch.setattr("sys.argv", ["status.py", str(folder)])
        assert script.main() == code
    assert "no sweep's folder" in capsys.readouterr().err
    train(made(tmp_path / "s"))
    monkeypatch.setattr("sys.argv", ["status.py", str(tmp_path / "s")])
    assert script.main() == 0
    assert f"{tmp_path / 's'}: 4 runs: 3 done, 1 diverged" in capsys.readouterr().out
