"""Stopped anywhere and started again, a sweep is what it is undisturbed, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults import Killed, assert_equal, made, train
from initlab import module


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
    whole = module.step

    def step(program, state, x, y):  # type: ignore[no-untyped-def]
        if len(seen) == kill_at:
            raise Killed
        seen.append(state.t + 1)
        return whole(program, state, x, y)

    monkeypatch.setattr(module, "step", step)
    return seen


@pytest.mark.parametrize(
    "kill_at", [pytest.param(n, marks=() if n in (0, 2, 3, 7, 10, 19) else pytest.mark.torture) for n in range(20)]
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
