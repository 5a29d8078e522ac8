"""Requests and files at random: each is planned, or refused in a line that tells what is known; nothing is written."""

from __future__ import annotations

import functools
import logging
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

import fuzz
from hostile import ROOT, config_of, sound
from initlab.command import main
from initlab.config import checked
from initlab.errors import Refused
from initlab.planning import compose, plan
from initlab.specs import GROUPS
from initlab.storage.folder import read

CANARY = "hunter2-f00dcafe"
PLAN_ONLY = ["sweep.dry_run=true", "sweep.max_runs=200"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory, and configs that are read once: what is tried is the words."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOKEN", CANARY)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    root = logging.getLogger()
    level = root.level
    yield tmp_path
    for handler in [one for one in root.handlers if type(one) is logging.StreamHandler]:
        root.removeHandler(handler)  # of Hydra's --info: it writes where a test's words went, which is closed by then
    root.setLevel(level)


def answer(argv: list[str], capsys: pytest.CaptureFixture[str]) -> int:
    """The command's exit code; what it says is checked."""
    try:
        code = main(ROOT, argv)
    except SystemExit as left:  # Hydra's own pages end so
        assert not left.code, argv
        return 0
    printed = capsys.readouterr()
    assert code in (0, 2), argv
    assert "Traceback" not in printed.err and CANARY not in printed.out + printed.err, argv
    if code == 2:
        assert printed.err.startswith("refused: ") and len(printed.err.splitlines()) == 1, argv
        assert printed.err.strip().isprintable(), argv
        check_names(printed.err)
    return code


def check_names(line: str) -> None:
    """A refusal of an option's name lists every name, and one of a field every field."""
    if found := re.search(r": no (dataset|arch|act|init|optimizer) '", line):
        assert all(name in line for name in GROUPS[found[1]].names()), line
    if found := re.search(r"no field of (dataset|arch|act|init|optimizer)=(\w+) '", line):
        assert all(field in line for field in GROUPS[found[1]][found[2]].fields), line


def overrides(seeds: range, capsys: pytest.CaptureFixture[str]) -> Counter[int]:
    """The exit codes of as many requests; nothing is left on the disk."""
    keep, make = functools.cache(compose.Composer), plan.make

    def made(*args: Any) -> plan.Plan:
        """Whatever is planned has names that are one folder each."""
        planned = make(*args)
        assert all(re.fullmatch(r"[A-Za-z0-9_=,+-][A-Za-z0-9._=,+-]*", run.name) for run in planned.runs), args[1]
        return planned

    codes: Counter[int] = Counter()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compose, "Composer", keep)
        patch.setattr(plan, "make", made)
        for seed in seeds:
            codes[answer([*fuzz.words(Random(seed)), *PLAN_ONLY], capsys)] += 1
            assert not list(Path().iterdir()), seed
    return codes


def presets(seeds: range, capsys: pytest.CaptureFixture[str]) -> Counter[int]:
    codes: Counter[int] = Counter()
    file = Path("experiment/x.yaml")
    file.parent.mkdir(exist_ok=True)
    for seed in seeds:
        random = Random(seed)
        file.write_text(fuzz.preset(random), errors="surrogateescape")
        flags = random.choice([[], ["-m"], ["-m"]])
        codes[answer(["--config-dir", ".", "+experiment=x", *flags, *PLAN_ONLY], capsys)] += 1
        assert list(Path().iterdir()) == [Path("experiment")], seed
    return codes


def configs(seeds: range) -> Counter[bool]:
    """How many received configs are read, and how many are refused."""
    folder = sound(Path("s"))
    file, sweep = config_of(folder), read(folder)
    text = file.read_text()
    taken: Counter[bool] = Counter()
    for seed in seeds:
        file.write_text(fuzz.recorded(Random(seed), text), errors="surrogateescape")
        try:
            config = sweep.config(sweep.records[0])
            checked({name: value for name, value in config.items() if name not in ("schema", "key")})
            taken[True] += 1
        except Refused as refusal:
            check_names(str(refusal))
            taken[False] += 1
    return taken


def test_overrides(capsys: pytest.CaptureFixture[str]) -> None:
    codes = overrides(range(40), capsys)
    assert min(codes[0], codes[2]) > 2  # both ends are met; most words of a fuzzer are wrong


def test_presets(capsys: pytest.CaptureFixture[str]) -> None:
    codes = presets(range(20), capsys)
    assert min(codes[0], codes[2]) > 2


def test_received_configs() -> None:
    taken = configs(range(240))
    assert min(taken[True], taken[False]) > 10


@pytest.mark.torture
@pytest.mark.parametrize("part", range(20))
def test_twenty_thousand_overrides(part: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert overrides(range(1000 * (part + 1), 1000 * (part + 2)), capsys).total() == 1000


@pytest.mark.torture
@pytest.mark.parametrize("part", range(5))
def test_five_thousand_presets(part: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert presets(range(1000 * (part + 1), 1000 * (part + 2)), capsys).total() == 1000


@pytest.mark.torture
def test_five_thousand_received_configs() -> None:
    assert configs(range(1000, 6000)).total() == 5000
