"""Folders from strangers: each is answered in words, and nothing that it holds is run, followed or believed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest

import initlab.executors.worker  # noqa: F401  # torch is loaded before anything is watched
from hostile import CANARY, HOSTILE, ROOT, SPRUNG, WORDS, WRONG, describe, journal, sound
from initlab.analysis.cells import cells
from initlab.analysis.contrasts import families
from initlab.analysis.speed import speed
from initlab.command import main
from initlab.errors import Refused
from initlab.planning import plan
from initlab.planning.compose import Composer
from initlab.planning.plan import Plan
from initlab.replay import planned
from initlab.reporting import evidence, provenance, sections
from initlab.reporting.before import before
from initlab.reporting.report import write
from initlab.storage.folder import read
from initlab.storage.record import code
from initlab.views.status import status, words
from watched import watching

TRUSTED = (
    sys.prefix,
    sys.base_prefix,
    str(ROOT),
    "<frozen",
    "<string>",
    "<__array_function__",
    "<template>",
)  # the last: our own


def everything(folder: Path) -> str:
    """Reads all that a folder says."""
    sweep = read(folder)
    for record in sweep.records:
        sweep.config(record)
        if record["status"] == "done":
            sweep.curves(record)
    return json.dumps([sweep.description, sweep.records])


def resumed(folder: Path) -> str:
    return str(main(ROOT, ["-m", *WORDS, f"hydra.sweep.dir={folder}"]))


def another(folder: Path) -> str:
    """A sweep of other settings, which is told how the folder differs from it."""
    return str(main(ROOT, ["-m", *WORDS, OTHER, f"hydra.sweep.dir={folder}"]))


def told(folder: Path) -> str:
    return words(status(folder))


def replayed(folder: Path) -> str:
    """What a replay would train."""
    return repr(planned(read(folder), folder.parent / "out"))


def reported(folder: Path) -> str:
    with TemporaryDirectory() as scratch:
        index = write([folder], Path(scratch))
        page = index.read_text()
        assert "<script>alert" not in page
        return page.replace("\n", " ").replace("\t", " ")


def compared(folder: Path) -> str:
    """What a report computes, without its figures."""
    sweep = read(folder)
    found = cells([sweep])
    parts = [provenance.failures([sweep]), provenance.section([sweep]), sections.table(found, speed(found))]
    parts += [before(found)]
    return repr((evidence.answer(found, families(found)), parts))


OTHER = "optimizer.lr=0.5"
COMMANDS: dict[str, Callable[[Path], str]] = {"resume": resumed, "another": another}
READERS = {"read": everything, "status": told, "replay": replayed, "compare": compared} | COMMANDS


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sound(tmp_path_factory.mktemp("sound") / "s")


@pytest.fixture(scope="module", autouse=True)
def planned_once() -> Iterator[None]:
    """Each plan is made once, and then moved to the folder that a command names: planning is not what is watched.

    Nor is how a command asks git for the commit of its own code.
    """
    make, kept, commit = plan.make, {}, code(ROOT)

    def remembered(composer: Composer, words: Sequence[str], multirun: bool) -> Plan:
        *rest, where = words
        if tuple(rest) not in kept:
            kept[tuple(rest)] = make(composer, rest, multirun)
        return replace(kept[tuple(rest)], folder=Path(where.partition("=")[2]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "make", remembered)
        patch.setattr("initlab.storage.record.code", lambda root: commit)
        yield


@pytest.fixture
def received(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of a sound folder, in which the command is run; beside it lies what nobody may touch."""
    folder = tmp_path / "s"
    shutil.copytree(base, folder)
    (tmp_path / "precious").write_text("mine")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TOKEN", CANARY)
    monkeypatch.setenv("CANARY", CANARY)
    yield folder
    assert not SPRUNG.exists()
    assert (tmp_path / "precious").read_text() == "mine" and len(list(tmp_path.iterdir())) == 2


def within(path: str, folder: Path) -> bool:
    return not Path(path).is_absolute() or path.startswith((str(folder), *TRUSTED, "/dev/null", "/proc/locks"))


def answered(reader: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What a reader says of a folder, printable and without a secret."""
    try:
        answer = (READERS | {"report": reported})[reader](folder)
    except Refused as refusal:
        answer = str(refusal)
        assert answer.isprintable() and len(answer) < 2000
    printed = capsys.readouterr()
    said = printed.out + printed.err
    assert answer in ("0", "2", "3") or reader not in COMMANDS
    assert all(line.isprintable() for line in said.splitlines())
    assert CANARY not in answer + said and "root:" not in answer + said
    return answer


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("reader", READERS)
def test_nothing_received_is_executed(
    reader: str, name: str, received: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_hostile(reader, name, received, capsys)


@pytest.mark.torture
@pytest.mark.parametrize("name", HOSTILE)
def test_a_report_of_a_hostile_folder(name: str, received: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_hostile("report", name, received, capsys)


EVERY_FOLDER = """
import shutil, sys
from pathlib import Path
from hostile import HOSTILE, sound
from initlab.errors import Refused
from initlab.storage.folder import read
import initlab.executors.worker  # noqa: F401  # torch is loaded before anything is watched
from initlab.replay import planned
from initlab.views.status import status, words
base = sound(Path("base"))
for i, harm in enumerate(HOSTILE.values()):
    folder = Path(f"folder{i}")
    shutil.copytree(base, folder)
    harm(folder)
    for reader in (read, lambda f: words(status(f)), lambda f: planned(read(f), Path("out"))):
        try:
            reader(folder)
        except Refused as refusal:
            print(refusal)
"""


@pytest.mark.torture
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_the_kernel_sees_no_program_and_no_connection(tmp_path: Path) -> None:
    """All folders, read, asked for their state and planned again by one process under strace."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}/src:{ROOT}/tests", "TOKEN": CANARY, "OMP_NUM_THREADS": "1"}
    calls = tmp_path / "calls"
    traced = ["strace", "-f", "-o", str(calls), "-e", "trace=execve,execveat,connect,openat,open", sys.executable]
    run = subprocess.run([*traced, "-c", EVERY_FOLDER], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    lines = calls.read_text().splitlines()
    assert sum("execve" in line for line in lines) == 1 and not [line for line in lines if "connect(" in line]
    assert not [line for line in lines if '"/etc/passwd"' in line]
    begun = next(i for i, line in enumerate(lines) if '"folder0/' in line)  # torch reads it as it is imported
    assert not [line for line in lines[begun:] if "/proc/self/environ" in line]
    assert CANARY not in run.stdout and len(run.stdout.splitlines()) > len(HOSTILE)


def check_hostile(reader: str, name: str, received: Path, capsys: pytest.CaptureFixture[str]) -> None:
    HOSTILE[name](received)
    with watching() as seen:
        answered(reader, received, capsys)
    assert not seen.executed and not seen.connected
    assert not {path for path in seen.imported if not path.startswith(TRUSTED) or path.startswith(str(received))}
    assert "/etc/passwd" not in seen.opened
    assert reader == "report" or all(within(path, received) for path in seen.opened)  # a report looks for fonts
    for path in received.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.stat().st_size < 1e6:
            assert CANARY.encode() not in path.read_bytes()


def test_a_sound_folder_is_read(received: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "val/accuracy" in everything(received) and resumed(received) == "0" and another(received) == "2"
    assert "optimizer.lr=0.1 there and 0.5 here" in capsys.readouterr().err


def places(node: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a value lies in lists and mappings, for every one."""
    for at, inner in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield (*above, at)
        yield from places(inner, (*above, at))


def put(node: Any, place: tuple[Any, ...], value: Any) -> None:
    """Set the value at a place, or take it away: `GONE`."""
    for at in place[:-1]:
        node = node[at]
    if value is GONE:
        del node[place[-1]]
    else:
        node[place[-1]] = value


GONE = object()


def mutations(folder: Path) -> list[tuple[str, tuple[Any, ...], Any]]:
    """(file, place, value): each value of the description and of a record gone, or of another type."""
    described = json.loads((folder / "sweep.json").read_text())
    (line,) = (folder / "journal").read_text().splitlines()
    found = [("sweep.json", place) for place in places(described)]
    found += [("journal", place) for place in places(json.loads(line.partition(" ")[2]))]
    return [(file, place, value) for file, place in found for value in (*WRONG, GONE)]


def mutated(folder: Path, file: str, place: tuple[Any, ...], value: Any) -> None:
    if file == "sweep.json":
        describe(folder, lambda d: put(d, place, value))
        return
    (line,) = (folder / "journal").read_text().splitlines()
    content = json.loads(line.partition(" ")[2])
    put(content, place, value)
    journal(folder, json.dumps(content))


def check_mutations(folder: Path, base: Path, seed: int, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Some mutations, each answered by every reader; many of the answers are refusals."""
    every = mutations(base)
    refused = 0
    for file, place, value in Random(seed).sample(every, min(count, len(every))):
        for reader in ("read", "status", "compare", *COMMANDS):
            shutil.copytree(base, folder, dirs_exist_ok=True)
            mutated(folder, file, place, value)
            refused += answered(reader, folder, capsys)[0] not in "[(03"
    assert refused > min(count, len(every)) / 2


def test_a_value_of_another_type_is_refused_or_read(
    received: Path, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_mutations(received, base, seed=0, count=60, capsys=capsys)


@pytest.mark.parametrize("gone", ["metric", "direction"])
def test_a_metric_has_a_direction(gone: str, received: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(base, received, dirs_exist_ok=True)
    mutated(received, "journal", ("runs", 0, gone), GONE)
    for reader in ("read", "status", "compare"):
        assert "has a metric or its direction, and not both" in answered(reader, received, capsys)


@pytest.mark.torture
def test_every_value_of_another_type(received: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_mutations(received, base, seed=0, count=10**6, capsys=capsys)
