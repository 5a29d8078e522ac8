"""A sweep in a named folder grows by more values of its axes; anything else there is refused, with the difference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from faults import Killed, made, numbers, opened, train
from initlab.errors import Refused
from initlab.storage import store
from initlab.storage.folder import read
from initlab.training import updates as updating
from initlab.training.module import StackModule
from initlab.views import hparams

EIGHT = ["init=xavier,kaiming", "seed=range(4)", "trainer.max_steps=5"]
TWELVE = ["init=xavier,kaiming", "seed=range(6)", "trainer.max_steps=5"]


def files(folder: Path) -> dict[Path, tuple[int, bytes]]:
    """Of the runs, their curves and the journal; the rows of TensorBoard's table, a view of the sweep, apart."""
    chosen = [*(folder / "runs").rglob("*"), *(folder / "curves").iterdir()]
    return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in chosen if p.is_file() and p.name != hparams.FILE_NAME}


def test_a_sweep_that_grows_trains_what_is_new_and_touches_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "s"
    assert train(made(folder, *EIGHT)) == {"done": 8}
    before, said, journal = files(folder), numbers(folder), (folder / "journal").read_bytes()
    drawn: list[int] = []
    whole = StackModule._initial

    def initial(self: StackModule, net: Any, r: int, *data: Any) -> Any:
        drawn.append(self.configs[r]["seed"])
        return whole(self, net, r, *data)

    monkeypatch.setattr(StackModule, "_initial", initial)
    assert train(made(folder, *TWELVE)) == {"done": 12}
    assert sorted(drawn) == [4, 4, 5, 5]
    after = files(folder)
    assert {path: after[path] for path in before} == before and (folder / "journal").read_bytes().startswith(journal)
    now = numbers(folder)
    assert len(now) == 12 and all(now[name] == said[name] for name in said)
    described = read(folder).description
    assert [stack["width"] for stack in described["stacks"]] == [8, 4]
    assert described["axes"][1]["values"] == list(range(6)) and described["seeds"]["seed"] == list(range(6))
    (earlier,) = described["earlier"]
    assert earlier["runs"] == 8 and earlier["command"] == ["python", "train.py"]
    assert store.finished(made(folder, *TWELVE))


def test_what_an_earlier_command_left_may_be_long(tmp_path: Path) -> None:
    """A diff of any length is kept with the command that it belongs to, and read again."""
    folder, diff = tmp_path / "s", "+ a line that was not committed\n" * 1000
    train(made(folder, *EIGHT))
    path = folder / "sweep.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"git": {"commit": "0" * 40, "diff": diff}}))
    train(made(folder, *TWELVE))
    (earlier,) = read(folder).description["earlier"]
    assert earlier["git"] == {"commit": "0" * 40, "diff": diff}


def test_a_sweep_may_grow_before_it_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was begun goes on in its old stack, from its checkpoint; then come the new runs."""
    folder = tmp_path / "s"
    train(made(tmp_path / "eight", *EIGHT))
    steps: list[int] = []
    whole = updating.step

    def step(program, state, x, y, spare):  # type: ignore[no-untyped-def]
        if len(steps) == 4:
            raise Killed
        steps.append(len(state.alive))
        return whole(program, state, x, y, spare)

    with monkeypatch.context() as patch:
        patch.setattr(updating, "step", step)
        with pytest.raises(Killed):
            train(made(folder, *EIGHT))
    widths: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(updating, "step", lambda p, s, *rest: (widths.append(len(s.alive)), whole(p, s, *rest))[1])
        assert train(made(folder, *TWELVE)) == {"done": 12}
    assert widths == [8] + [4] * 5
    there, here = numbers(tmp_path / "eight"), numbers(folder)
    assert all(here[name]["record"].pop("commands")[-1] == 1 for name in there)
    assert all(there[name]["record"].pop("commands") == [0] for name in there)
    assert all(here[name] == there[name] for name in there)


@pytest.mark.parametrize(
    ("words", "difference"),
    [
        ([EIGHT[0], "seed=range(3)", EIGHT[2]], "8 runs; this one: 6; seed=3 only there"),
        (
            ["init=xavier,lecun", "seed=range(4)", "trainer.max_steps=5"],
            "init=kaiming only there, init=lecun only here",
        ),
        ([*EIGHT[:2], "trainer.max_steps=6"], "trainer.max_steps=5 there and 6 here"),
        ([*EIGHT, "act=relu,tanh"], "act=relu,tanh only here"),
    ],
)
def test_a_different_experiment_is_refused_with_the_difference(
    words: list[str], difference: str, tmp_path: Path
) -> None:
    with opened(made(tmp_path, *EIGHT)) as entered:
        for run in entered.plan.runs:
            entered.begin(run)
    with pytest.raises(Refused, match="holds another sweep") as refused:
        store.check(made(tmp_path, *words))
    assert difference in str(refused.value)


def test_a_description_whose_stacks_were_changed_is_refused(tmp_path: Path) -> None:
    """Widths decide how sums are rounded, so a folder that does not say them is not gone on with."""
    planned = made(tmp_path, *EIGHT)
    with opened(planned):
        pass
    described = json.loads((tmp_path / "sweep.json").read_text())
    described["stacks"][0]["keys"].pop()
    (tmp_path / "sweep.json").write_text(json.dumps(described))
    with pytest.raises(Refused, match="is damaged, as its runs, stacks and plan do not agree"):
        opened(planned)
