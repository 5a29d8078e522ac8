"""A sweep that goes on under other code: each run is tied to the commands under which it was trained."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from faults import Killed, made, updates
from initlab.errors import Refused
from initlab.replay import changes, threads
from initlab.reporting.provenance import section
from initlab.storage.commands import numbers, shares
from initlab.storage.folder import read
from initlab.storage.store import Store
from initlab.training import sweep
from initlab.views.status import status, words

OLD: dict[str, Any] = {
    "command": ["python", "train.py"],
    "created": "2026-01-01T00:00:00Z",
    "versions": {"torch": "2.12.0", "numpy": "2.0"},
    "device": {"threads": 2},
    "git": {"commit": "a" * 40, "diff": ""},
}
NEW = OLD | {
    "git": {"commit": "b" * 40, "diff": "diff --git a/x b/x\n"},
    "versions": {"torch": "2.13.0", "numpy": "2.0"},
}
A, B = "commit aaaaaaaaaaaa, torch 2.12.0", "commit bbbbbbbbbbbb with changes (1a059963), torch 2.13.0"
# Three stacks of two runs.
WORDS = ["init=xavier,kaiming", "act=relu,tanh,silu", "trainer.max_steps=10"]


def trained(folder: Path, machine: dict[str, Any], most: int | None = None) -> None:
    """Under this code, on this machine; killed after so many updates."""
    with updates(most), Store.open(made(folder, *WORDS), lambda: machine) as store:
        sweep.run(store)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first stack and five updates of the second one under the old code, twice; the rest under the new."""
    folder = tmp_path_factory.mktemp("commands") / "s"
    for machine, most in ((OLD, 3), (OLD, 15)):
        with pytest.raises(Killed):
            trained(folder, machine, most)
    trained(folder, NEW)
    return folder


def test_each_run_is_of_the_commands_under_which_it_was_trained(mixed: Path) -> None:
    """To go on under the same code is no other command; a stack that goes on under other code is of both."""
    found = read(mixed)
    (earlier,) = found.description["earlier"]
    assert earlier["git"] == OLD["git"] and found.description["git"] == NEW["git"]
    acts = {record["axes"]["act"]: numbers(record, found.description) for record in found.records}
    assert acts == {"relu": [0], "tanh": [0, 1], "silu": [1]}
    assert all(json.loads((mixed / r["folder"] / "result.json").read_text()) == r for r in found.records)


def test_what_was_lost_of_a_checkpoint_is_of_no_command(tmp_path: Path) -> None:
    """Where every checkpoint of the old code is damaged the stack is the new code's alone."""
    with pytest.raises(Killed):
        trained(tmp_path / "s", OLD, 5)
    for file in (tmp_path / "s" / "checkpoints").iterdir():
        file.write_bytes(b"damaged")
    trained(tmp_path / "s", NEW)
    assert {tuple(record["commands"]) for record in read(tmp_path / "s").records} == {(1,)}


def test_status_report_and_replay_say_which_runs(mixed: Path) -> None:
    found = read(mixed)
    split = shares(found.records, found.description)
    assert split == [f"2 of 6 runs under {A}", f"2 under {A} and then {B}", f"2 under {B}"]
    assert "; ".join(split) in words(status(mixed)).splitlines()
    page = repr(section([found]))
    assert "; ".join(split) in page and "torch 2.12.0, numpy" in page and "b" * 40 in page
    assert [threads(found, [r["name"]]) for r in found.records] == [2] * 6
    now = read(mixed)
    now.description.update(OLD | {"device": {"threads": 1}})
    to_a, to_b = "threads 2 -> 1", "torch 2.13.0 -> 2.12.0; threads 2 -> 1; commit bbbbbbbbbbbb -> aaaaaaaaaaaa"
    to_b += "; uncommitted changes"
    names = {act: [r["name"] for r in found.records if r["axes"]["act"] == act] for act in ("relu", "tanh", "silu")}
    assert changes(found, now, names["relu"]) == [to_a] and changes(found, now, names["silu"]) == [to_b]
    assert changes(found, now, names["relu"] + names["silu"]) == [f"for 2 of 4 runs {to_a}", f"for 2 of 4 runs {to_b}"]
    assert changes(found, now, names["tanh"]) == [f"for 2 of 2 runs {to_a} and {to_b}"]


def rewritten(folder: Path, commands: list[int] | None, into: Path) -> Path:
    """A copy of sweep.json and the journal, with these commands in the records."""
    into.mkdir()
    (into / "sweep.json").write_bytes((folder / "sweep.json").read_bytes())
    for line in (folder / "journal").read_text().splitlines():
        commit = json.loads(line.partition(" ")[2])
        for record in commit["runs"]:
            record.pop("commands")
            record |= {"commands": commands} if commands is not None else {}
        content = json.dumps(commit).encode()
        with (into / "journal").open("ab") as file:
            file.write(b"%08x %s\n" % (zlib.crc32(content), content))
    return into


def test_a_folder_that_does_not_note_it_is_read(mixed: Path, tmp_path: Path) -> None:
    """Of several commands nobody knows which it was; of one it was that."""
    old = rewritten(mixed, None, tmp_path / "old")
    assert status(old).exit_code == 0 and {tuple(numbers(r, read(old).description)) for r in read(old).records} == {()}
    assert "a" * 40 in repr(section([read(old)])) and "b" * 40 in repr(section([read(old)]))
    assert threads(read(old)) == 2
    assert changes(read(old), read(mixed), [r["name"] for r in read(old).records]) == [
        "for 6 of 6 runs who knows, as it was not noted"
    ]
    described = json.loads((old / "sweep.json").read_text())
    described.pop("earlier")
    (old / "sweep.json").write_text(json.dumps(described))
    assert {tuple(numbers(r, described)) for r in read(old).records} == {(0,)}


def test_a_number_of_no_command_is_refused(mixed: Path, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"is of a command that sweep\.json does not have"):
        read(rewritten(mixed, [2], tmp_path / "forged"))
    with pytest.raises(Refused, match=r"commands\[0\]=-1: not allowed"):
        read(rewritten(mixed, [-1], tmp_path / "negative"))
