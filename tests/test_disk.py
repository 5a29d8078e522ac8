"""A disk that fails: the n-th call that changes a sweep's folder fails, for every n, or the process dies there.

What the command says and returns then, and that the next start gets every number right.
"""

from __future__ import annotations

import errno
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from faults import ROOT, TINY, Killed, assert_equal, made, numbers, train
from initlab.command import main
from initlab.storage.folder import read

SMALL = ["init=xavier,kaiming", "trainer.max_steps=5"]  # one stack of two runs, an epoch and a part of one
CALLS = ("open", "write", "fsync", "replace", "mkdir", "unlink", "truncate", "rmdir")
FAULTS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "killed": None}


@contextmanager
def failing(folder: Path, nth: int, fault: str) -> Iterator[list[str]]:
    """The nth of the calls below a folder fails; a write that fails has written half. Yields the calls made."""
    made: list[str] = []
    opened: set[int] = set()
    whole = {name: getattr(os, name) for name in CALLS}

    def call(name: str) -> Callable[..., Any]:
        def instead(target: Any, *arguments: Any, **named: Any) -> Any:
            ours = target in opened if isinstance(target, int) else str(target).startswith(str(folder))
            if ours:
                made.append(name)
                if len(made) == nth:
                    if name == "write":
                        whole["write"](target, arguments[0][: len(arguments[0]) // 2])
                    code = FAULTS[fault]
                    if code is None:
                        raise Killed
                    where = () if isinstance(target, int) else (str(target),)
                    raise OSError(code, os.strerror(code), *where)
            result = whole[name](target, *arguments, **named)
            if name == "open" and ours:
                opened.add(result)
            return result

        return instead

    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, call(name))
        yield made


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "s"
    train(made(folder, *SMALL))
    return folder


def survive(folder: Path, nth: int, fault: str, undisturbed: Path) -> str | None:
    """Train under the fault, read what is there, and start again. The call that failed, if there were so many."""
    with failing(folder, nth, fault) as calls:
        try:
            train(made(folder, *SMALL))
        except OSError as error:
            assert error.errno == FAULTS[fault] and str(error.filename).startswith(str(folder))
        except Killed:
            assert fault == "killed"
    if (folder / "sweep.json").exists():
        table = folder / "results.csv"
        if not table.exists():  # it is made after the commit, and again at the next start
            table.write_text((undisturbed / "results.csv").read_text())
        right = numbers(undisturbed)
        for name, said in numbers(folder).items():
            assert said == right[name]
    assert train(made(folder, *SMALL)) == {"done": 2}
    assert_equal(folder, undisturbed)
    return calls[nth - 1] if nth <= len(calls) else None


@pytest.mark.parametrize("fault", FAULTS)
def test_wherever_the_disk_fails_the_next_start_is_exact(fault: str, undisturbed: Path, tmp_path: Path) -> None:
    for nth in {"ENOSPC": (9, 50), "EIO": (30,), "killed": (20, 75)}[fault]:
        assert survive(tmp_path / str(nth), nth, fault, undisturbed)


@pytest.mark.parametrize("fault", ["ENOSPC", "EDQUOT", "EROFS", "EIO"])
def test_the_command_says_what_failed_where_and_what_room_there_is(
    fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line and exit code 74, wherever it happens: here at the first write that names no file by itself."""
    monkeypatch.setitem(FAULTS, fault, getattr(errno, fault))
    words = ["-m", *TINY, *SMALL, f"hydra.sweep.dir={tmp_path / 's'}"]
    with failing(tmp_path, 4, fault) as calls:
        assert main(ROOT, words) == 74
    assert calls[3] == "write"
    (line,) = capsys.readouterr().err.splitlines()
    said = rf"disk: {re.escape(os.strerror(getattr(errno, fault)))}: {tmp_path}/s/lock \([\d,]+ bytes free\)\. The same"
    assert re.match(said, line), line


@pytest.mark.torture
@pytest.mark.parametrize("fault", FAULTS)
def test_every_call_may_fail(fault: str, undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failed = []
    for nth in count(1):
        called = survive(tmp_path / str(nth), nth, fault, undisturbed)
        if called is None:
            break
        failed.append(called)
    assert {"open", "write", "fsync", "replace"} <= set(failed)
    with capsys.disabled():
        print(f"\n{fault}: {len(failed)} calls failed, one at a time: { ({c: failed.count(c) for c in CALLS}) }")


@pytest.mark.torture
def test_a_file_system_that_is_full_may_be_grown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A real one of 600 kB, full in the middle of a sweep; where this user may mount one."""
    small, whole = tmp_path / "small", tmp_path / "whole"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "none", small], capture_output=True).returncode:
        pytest.skip("this user mounts nothing")
    words = ["-m", *TINY, "seed=range(40)", "sweep.stack_width=8", "trainer.max_steps=5"]
    try:
        assert main(ROOT, [*words, f"hydra.sweep.dir={small}/s"]) == 74
        (line,) = capsys.readouterr().err.splitlines()
        assert re.match(rf"disk: No space left on device: {small}/s/.+ \([\d,]+ bytes free\)\. The same command", line)
        assert 0 < len(read(small / "s").records) < 40
        subprocess.run(["mount", "-o", "remount,size=60m", small], check=True)
        assert main(ROOT, [*words, f"hydra.sweep.dir={small}/s"]) == 0
        assert main(ROOT, [*words, f"hydra.sweep.dir={whole}"]) == 0
        assert_equal(small / "s", whole)
    finally:
        subprocess.run(["umount", small], check=True)
