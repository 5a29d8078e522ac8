"""Stopped anywhere and started again, a sweep is what it is undisturbed, bit for bit."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from faults import Killed, assert_equal, made, train
from initlab.training import interrupts, module
from initlab.training import train as training
from initlab.training import updates as updating
from initlab.training.interrupts import Interrupted
from initlab.training.writer import Writer


@pytest.fixture(autouse=True)
def _chunks_within_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints after the third update of an epoch, and at its end."""
    monkeypatch.setattr(module, "CHUNK", 3)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "s"
    assert train(made(folder)) == {"done": 4}
    return folder


def updates(monkeypatch: pytest.MonkeyPatch, kill_at: int) -> list[int]:
    """The steps that are made from here on; the process ends before the ``kill_at``-th."""
    seen: list[int] = []
    whole = updating.step

    def step(program, state, x, y, spare):  # type: ignore[no-untyped-def]
        if len(seen) == kill_at:
            raise Killed
        seen.append(state.t + 1)
        return whole(program, state, x, y, spare)

    monkeypatch.setattr(updating, "step", step)
    return seen


@pytest.mark.parametrize(
    "kill_at", [pytest.param(n, marks=() if n in (2, 7, 13) else pytest.mark.torture) for n in range(20)]
)
def test_killed_before_any_update_and_resumed_it_equals_the_undisturbed(
    kill_at: int, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "s"
    with monkeypatch.context() as patch:
        made_before = updates(patch, kill_at)
        with pytest.raises(Killed):
            train(made(folder))
    with monkeypatch.context() as patch:
        made_after = updates(patch, -1)
        assert train(made(folder)) == {"done": 4}
    assert_equal(folder, undisturbed)
    lost = {0: 0, 1: 1, 2: 2, 3: 0}[kill_at % 10 % 4]  # since the last checkpoint
    assert len(made_before) + len(made_after) == 20 + lost
    assert not list((folder / "checkpoints").iterdir())


def test_saving_takes_less_than_two_percent_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that runs ten seconds in a chunk and one in a save; the interval of the command would be eight."""
    clock, saves = [0.0], []

    def save(self: Writer, part: str, step: int, of: int, content: bytes) -> None:
        saves.append(clock[0])
        clock[0] += 1

    def tick(self: Writer, step: int, of: int) -> None:
        clock[0] += 10

    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(Writer, "save", save)
    monkeypatch.setattr(Writer, "tick", tick)
    assert train(made(tmp_path / "s", "seed=0,1", "trainer.max_steps=100", "sweep.checkpoint_every=8")) == {"done": 2}
    assert len(saves) > 3 and all(50 <= after - before < 65 for before, after in pairwise(saves))


def _raise_if(arrived: bool) -> None:
    if arrived:
        raise Interrupted(15)


@pytest.mark.parametrize("stop_at", [4, 6, 10])
def test_a_signal_is_answered_between_two_updates_and_costs_none(
    stop_at: int, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a chunk, at an epoch's end and at the last: what was measured there is there when it goes on."""
    planned = made(tmp_path / "s")
    with monkeypatch.context() as patch:
        seen = updates(patch, -1)
        patch.setattr(interrupts, "requested", lambda: len(seen) == stop_at)
        patch.setattr(interrupts, "poll", lambda: _raise_if(len(seen) == stop_at))
        with pytest.raises(Interrupted):
            train(planned)
        assert len(seen) == stop_at
    with monkeypatch.context() as patch:
        seen = updates(patch, -1)
        assert train(planned) == {"done": 4}
        assert len(seen) == 20 - stop_at
    assert_equal(tmp_path / "s", undisturbed)
    assert not list((tmp_path / "s" / "checkpoints").iterdir())


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before_it(
    undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With both damaged the stack starts anew."""
    for damaged, left in ((1, 20 - 7), (2, 20)):
        folder = tmp_path / str(damaged)
        with monkeypatch.context() as patch:
            updates(patch, 9)
            with pytest.raises(Killed):
                train(made(folder))
        files = sorted((folder / "checkpoints").iterdir(), key=lambda file: int(file.stem.split("-")[1]))
        assert [file.stem.split("-")[1] for file in files] == ["7", "8"]
        for file in files[-damaged:]:
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 1
            file.write_bytes(content)
        with monkeypatch.context() as patch:
            seen = updates(patch, -1)
            train(made(folder))
            assert len(seen) == left
        assert_equal(folder, undisturbed)
