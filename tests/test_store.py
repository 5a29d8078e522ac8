"""A sweep's folder under bad luck: torn and damaged journals, crashes between writes, folders that are not ours."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from initlab.errors import FolderInUse, Refused
from initlab.planning import plan
from initlab.planning.compose import Composer
from initlab.planning.plan import Plan
from initlab.storage import journal, store
from initlab.storage.folder import read
from initlab.storage.store import Store
from initlab.training.curves import Series, packed

ROOT = Path(__file__).resolve().parent.parent
DESCRIBED = {"command": ["python", "train.py"], "created": "2026-01-31T12:00:00Z"}


def made(folder: Path, *words: str) -> Plan:
    return plan.make(Composer(ROOT / "conf"), ["init=xavier,kaiming", f"hydra.sweep.dir={folder}", *words], True)


def record(key: str, status: str = "done") -> journal.Record:
    return {"key": key, "status": status}


def complete(opened: Store, status: str = "done") -> None:
    """Commit a result for every run of the plan, as training would."""
    (stack,) = opened.plan.stacks
    records = []
    for run in stack.runs:
        opened.begin(run)
        records.append(
            {
                "key": run.key,
                "name": run.name,
                "folder": f"runs/{run.name}",
                "status": status,
                "axes": dict(run.choices),
            }
            | {"final": {"val/loss": 1.5}, "best": {}, "steps": 2, "seconds": 0.1, "curves": f"curves/{stack.id}.npz"}
        )
    points = np.array([1, 2])
    curves = {"val/loss": Series(points, points * 8, points * 1.0, np.array([[3, 2], [2, 1.5]]))}
    opened.commit(records, stack.id, packed(curves, [run.key for run in stack.runs]))


def test_every_cut_of_a_journal_loses_the_last_commit_at_most(tmp_path: Path) -> None:
    """Cut at every byte of the last line: the commits before it stand, and the next one can be read."""
    path = tmp_path / "journal"
    journal.append(path, [record("a"), record("b")])
    first = path.stat().st_size
    journal.append(path, [record("c")])
    whole = path.read_bytes()
    for end in range(first, len(whole)):
        path.write_bytes(whole[:end])
        assert journal.read(path).keys() == {"a", "b"}
        journal.mend(path)
        journal.append(path, [record("d")])
        assert journal.read(path).keys() == {"a", "b", "d"}


def test_every_flipped_byte_of_a_journal_is_noticed(tmp_path: Path) -> None:
    """In the last line it costs that commit, before it the journal is refused; never is a changed number believed."""
    path = tmp_path / "journal"
    journal.append(path, [record("a")])
    first = path.stat().st_size
    journal.append(path, [record("b")])
    whole = path.read_bytes()
    for i in range(len(whole)):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :])
        if i == first - 1:  # without the newline between them both are one torn line, and trained again
            assert journal.read(path) == {}
        elif i < first:
            with pytest.raises(Refused, match="line 1 is damaged"):
                journal.read(path)
        else:
            assert journal.read(path).keys() == {"a"}
            journal.mend(path)
            journal.append(path, [record("c")])
            assert journal.read(path).keys() == {"a", "c"}


def test_a_commit_is_read_back_with_its_curves(tmp_path: Path) -> None:
    with Store.open(made(tmp_path / "s"), DESCRIBED.copy) as opened:
        complete(opened)
    found = read(tmp_path / "s")
    assert [r["name"] for r in found.records] == ["init=xavier", "init=kaiming"]
    steps, values = found.curves(found.records[1])["val/loss"]
    assert steps.tolist() == [1, 2] and values.tolist() == [2.0, 1.5]
    assert store.finished(made(tmp_path / "s"))


def test_failed_runs_are_left_to_be_trained_only_when_asked(tmp_path: Path) -> None:
    with Store.open(made(tmp_path / "s"), DESCRIBED.copy) as opened:
        complete(opened, "failed")
    assert store.finished(made(tmp_path / "s"))
    assert not store.finished(made(tmp_path / "s", "sweep.retry=failed"))


def test_the_table_comes_back_after_a_crash_before_it(tmp_path: Path) -> None:
    with Store.open(made(tmp_path / "s"), DESCRIBED.copy) as opened:
        complete(opened)
    store.write_table(tmp_path / "s")
    content = (tmp_path / "s" / "results.csv").read_text()
    assert content.splitlines()[0] == "key,folder,status,init,final val/loss,steps,seconds"
    stamp = (tmp_path / "s" / "results.csv").stat().st_mtime_ns
    store.write_table(tmp_path / "s")
    assert (tmp_path / "s" / "results.csv").stat().st_mtime_ns == stamp


def test_curves_that_were_never_committed_are_removed(tmp_path: Path) -> None:
    with Store.open(made(tmp_path / "s"), DESCRIBED.copy) as opened:
        complete(opened)
        (tmp_path / "s" / "curves" / "orphan.npz").write_bytes(b"")
    with Store.open(made(tmp_path / "s"), DESCRIBED.copy):
        (kept,) = (tmp_path / "s" / "curves").iterdir()
        assert kept.name != "orphan.npz"


def test_a_crash_before_the_description_leaves_a_folder_that_can_be_entered(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    (folder / "curves").mkdir(parents=True)
    (folder / "lock").write_text("")
    (folder / "sweep.json.tmp").write_text("{")
    with Store.open(made(folder), DESCRIBED.copy) as opened:
        assert opened.done == {}


def test_fresh_removes_what_is_ours_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    with Store.open(made(folder), DESCRIBED.copy) as opened:
        complete(opened)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "precious").write_text("")
    (folder / "report").symlink_to(tmp_path / "elsewhere")
    (folder / "notes.txt").write_text("")
    with Store.open(made(folder, "sweep.fresh=true"), DESCRIBED.copy) as opened:
        assert opened.done == {} and not list((folder / "runs").iterdir())
    assert (folder / "notes.txt").exists() and (tmp_path / "elsewhere" / "precious").exists()
    assert not (folder / "report").is_symlink()


@pytest.mark.parametrize("name", ["runs", "report", "curves"])
def test_a_folder_that_only_looks_like_ours_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "s" / name / "mine").mkdir(parents=True)
    with pytest.raises(Refused, match="is no sweep's folder"):
        Store.open(made(tmp_path / "s", "sweep.fresh=true"), DESCRIBED.copy)
    assert (tmp_path / "s" / name / "mine").exists()


@pytest.mark.parametrize("content", ["{}", "[]", "{", '{"plan": 1}'])
def test_a_foreign_description_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(Refused, match="is not a sweep's description"):
        store.check(made(tmp_path))


def test_another_plan_is_refused_and_one_writer_holds_a_folder(tmp_path: Path) -> None:
    with Store.open(made(tmp_path / "s"), DESCRIBED.copy):
        with pytest.raises(FolderInUse, match="in use by process"):
            Store.open(made(tmp_path / "s"), DESCRIBED.copy)
        with pytest.raises(
            Refused, match=r"holds another sweep \(2 runs; this one: 2; the same axes, other settings\)"
        ):
            store.check(made(tmp_path / "s", "arch.width=8"))
    Store.open(made(tmp_path / "s"), DESCRIBED.copy).__exit__(None, None, None)


def test_the_description_names_every_run_with_its_data(tmp_path: Path) -> None:
    grid = made(tmp_path / "s", "dataset=gaussian", "dataset.seed=0,1")
    with Store.open(grid, lambda: DESCRIBED | {"command": ["x"]}):
        pass
    described = json.loads((tmp_path / "s" / "sweep.json").read_text())
    assert described["command"] == ["x"] and len({run["data"] for run in described["runs"]}) == 2
    assert sum(stack["width"] for stack in described["stacks"]) == 4
