"""The same sweep gives the same numbers wherever it is trained, and whoever dies meanwhile."""

from __future__ import annotations

import copy
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins

from faults import ROOT, TINY, assert_equal, made, numbers, train
from forks import Child, gone
from initlab import plugins
from initlab.executors import local, pool, zygote
from initlab.executors.messages import packed, unpacked
from initlab.executors.zygote import Zygote
from initlab.specs import INITS
from initlab.storage.folder import read
from initlab.storage.store import Store
from initlab.training import updates as updating
from initlab.training.module import StackModule

BROKEN = """
import initlab

@initlab.register_init("broken")
def broken(weight):
    raise RuntimeError("no weights today")
"""
# Two stacks of 12 runs, of which some clip, some diverge, and some raise.
MIXED = ["init=xavier,kaiming,broken", "act=relu,tanh", "optimizer.clip=null,0.05", "optimizer.lr=0.01,1e38"]
MIXED += ["trainer.max_steps=10"]


def measured(folder: Path) -> dict[str, dict[str, Any]]:
    """All but the configs, which say how the sweep was organised."""
    found = numbers(folder)
    for said in found.values():
        del said["config"]
    return found


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The current folder, with a plug-in whose scheme raises; what it registers is taken back."""
    folder, before = tmp_path_factory.mktemp("here"), Path.cwd()
    (folder / "broken_scheme.py").write_text(BROKEN)
    Plugins.instance()  # Hydra's join its repository when they are first looked for
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(INITS, "_specs", dict(INITS._specs))
        patch.setattr(INITS, "_functions", dict(INITS._functions))
        patch.setattr(ConfigStore.instance(), "repo", copy.deepcopy(ConfigStore.instance().repo))
        os.chdir(folder)
        plugins.load(["broken_scheme"])
        patch.setenv("PYTHONPATH", str(ROOT / "src"))  # for who starts elsewhere
        yield folder
        os.chdir(before)


@pytest.fixture(scope="module")
def here(broken: Path) -> dict[str, dict[str, Any]]:
    """In one process."""
    assert train(made(broken / "one", *MIXED)) == {"done": 8, "diverged": 8, "failed": 8}
    return measured(broken / "one")


class Spawned(local.Processes):
    def __init__(self, layout: Any, forks: bool, in_fork: Callable[[], None]) -> None:
        super().__init__(layout, False, in_fork)


def executor(how: str, patch: pytest.MonkeyPatch) -> list[str]:
    """The overrides that it takes; skipped, in words, where it is not there."""
    if how in ("processes of submitit", "slurm"):
        pytest.importorskip("submitit", reason="submitit is not installed")
        from initlab.executors import slurm

        if how == "slurm" and not (shutil.which("sinfo") and not subprocess.run("sinfo").returncode):
            pytest.skip("there is no Slurm here")
        patch.setattr(slurm, "LOCAL", how != "slurm")
        return ["sweep.executor=slurm"]
    if how == "ray":
        pytest.importorskip("ray", reason="ray is not installed")
        return ["sweep.executor=ray"]
    if how == "at hand":
        patch.setattr(Zygote, "at_hand", Zygote())
    if how == "spawned":
        patch.setattr(pool, "Processes", Spawned)
    return []


HOW = ["forked", "at hand", "spawned", "ray", "processes of submitit", pytest.param("slurm", marks=pytest.mark.torture)]


@pytest.mark.parametrize("how", HOW)
def test_every_number_is_the_same_wherever_it_is_made(
    how: str, here: dict[str, dict[str, Any]], broken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers; nothing that one needs is left behind."""
    train(made(broken / how, *MIXED, "sweep.workers=2", *executor(how, monkeypatch)))
    zygote.dismiss()
    assert not (broken / f".{how}.slurm").exists()
    there = measured(broken / how)
    assert there.keys() == here.keys()
    for name, said in there.items():
        for part in said:
            assert said[part] == here[name][part], (name, part)
    trace = read(broken / how).folder / "runs" / next(iter(n for n in there if "broken" in n)) / "traceback.txt"
    assert "no weights today" in trace.read_text()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "s"
    train(made(folder, "sweep.workers=2", *LONG))
    return folder


LONG = ["init=xavier,kaiming", "act=relu,tanh", "trainer.max_steps=60"]


def test_a_worker_that_dies_is_replaced_and_goes_on_from_the_last_checkpoint(
    undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = updating.step

    def step(program: Any, state: Any, x: Any, y: Any, spare: Any) -> Any:
        flag = tmp_path / f"died{os.getppid()}"
        if state.t == 30 and not flag.exists():
            flag.write_text("")
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(program, state, x, y, spare)

    monkeypatch.setattr(updating, "step", step)
    assert train(made(tmp_path / "s", "sweep.workers=2", *LONG)) == {"done": 4}
    assert "  a worker died (signal 9, SIGKILL); its stack is tried again\n" in capsys.readouterr().out
    assert_equal(tmp_path / "s", undisturbed)


def test_a_worker_whose_device_is_broken_leaves_and_its_stack_goes_on_in_another(
    undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As CUDA is for the rest of a process, after some errors."""
    whole = updating.step

    def step(*given: Any) -> Any:
        flag = tmp_path / f"broken{os.getppid()}"
        if given[1].t == 30 and not flag.exists():
            flag.write_text("")
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return whole(*given)

    monkeypatch.setattr(updating, "step", step)
    monkeypatch.setattr("initlab.executors.worker.usable", lambda _: False)
    assert train(made(tmp_path / "s", "sweep.workers=2", *LONG)) == {"done": 4}
    error = "RuntimeError: CUDA error: an illegal memory access was encountered"
    words = f"  a worker died (nothing can be computed there after {error}); its stack is tried again\n"
    assert words in capsys.readouterr().out
    assert_equal(tmp_path / "s", undisturbed)


@pytest.mark.parametrize(("number", "stacks"), [(signal.SIGSEGV, [4, 4]), (signal.SIGKILL, [1, 1, 2, 4])])
def test_a_run_that_kills_its_worker_fails_alone(
    number: signal.Signals, stacks: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what is killed from outside the reason may be its memory: it is split; what crashes is not."""
    whole = StackModule._initial

    def initial(self: StackModule, net: Any, r: int, *data: Any) -> Any:
        if self.configs[r]["init_seed"] == 1 and self.configs[r]["act"]["name"] == "tanh":
            os.kill(os.getpid(), number)
        return whole(self, net, r, *data)

    words = ["seed=range(4)", "act=relu,tanh", "trainer.max_steps=3"]
    monkeypatch.setattr(StackModule, "_initial", initial)
    assert train(made(tmp_path / "s", "sweep.workers=2", *words)) == {"done": 7, "failed": 1}
    found = read(tmp_path / "s")
    (failed,) = [record for record in found.records if record["status"] == "failed"]
    assert failed["name"] == "act=tanh,seed=1"
    assert failed["error"] == f"WorkerDied: its process died, signal {number}, {number.name}, 3 times"
    assert sorted(stack["width"] for stack in found.description["stacks"]) == stacks


RAYS_WORDS = "worker exit detail: ... (1) The process is killed by SIGKILL by OOM killer due to high memory usage."


@pytest.mark.parametrize(("kind", "memory"), [("RayError", False), ("OutOfMemoryError", True)])
def test_a_death_that_ray_cannot_explain_is_no_matter_of_memory(
    kind: str, memory: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names memory among what may be, also where the worker crashed; its own watch of memory has its own error."""
    ray = pytest.importorskip("ray", reason="ray is not installed")
    from initlab.executors.ray import Actors, Remote

    def get(_: Any) -> Any:
        raise getattr(ray.exceptions, kind)(RAYS_WORDS)

    monkeypatch.setattr(ray, "wait", lambda refs, **_: (refs, []))
    monkeypatch.setattr(ray, "get", get)
    actors, remote = Actors.__new__(Actors), Remote(None, "what it says")
    actors.workers, actors._started, actors._died = 1, [], {}
    workers = pool.Workers(actors, {})
    workers._busy[remote] = "item", None
    workers._ready.add(remote)
    ((item, outcome),) = workers.ended()
    assert (item, outcome.how, outcome.memory) == ("item", "died", memory)


def test_the_disks_trouble_in_a_worker_is_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any) -> Any:
        raise OSError(5, "Input/output error", "/data/train.npz")

    planned = made(tmp_path / "s", "sweep.workers=2", *LONG)
    monkeypatch.setattr(StackModule, "_initial", missing)
    with pytest.raises(OSError, match="Input/output error") as raised:
        train(planned)
    assert raised.value.filename == "/data/train.npz"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_stopped_coordinator_leaves_no_worker_and_goes_on_exactly(
    number: signal.Signals, undisturbed: Path, tmp_path: Path
) -> None:
    """Ctrl-C reaches all of a terminal's processes; they leave because the coordinator tells them to."""
    words = ["-m", *TINY, *LONG, "sweep.workers=2", "hydra.sweep.dir=s"]
    child = Child(words, tmp_path, slow=0.02)
    until(lambda: len(child.workers()) == 2)
    forks = child.forks()
    until(lambda: len(list((tmp_path / "s" / "checkpoints").glob("*"))) >= 2)
    for pid in [*(forks if number == signal.SIGINT else []), child.pid]:
        os.kill(pid, number)
    assert child.wait() == (-9 if number == signal.SIGKILL else 128 + number)
    until(lambda: all(gone(pid) for pid in forks))
    if number != signal.SIGKILL:
        assert "the 2 stacks in progress are kept" in child.said(tmp_path)
    assert Child(words, tmp_path).wait() == 0
    assert_equal(tmp_path / "s", undisturbed)


def until(holds: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


def test_what_is_said_comes_back_as_it_was() -> None:
    said = {
        "text": "a\nb",
        "number": 0.1,
        "nothing": None,
        "empty": {},
        "bytes": b"\n\0",
        "many": {"x": b"1\n", "y": b""},
    }
    word, arguments = unpacked(packed("write", said))
    assert word == "write" and arguments == said


@pytest.mark.torture
@pytest.mark.parametrize("how", ["processes of submitit", "slurm", "ray"])
def test_workers_elsewhere_are_replaced_too(
    how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is killed as soon as there is a checkpoint."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    words = ["init=xavier,kaiming", "act=relu,tanh", "trainer.max_steps=1000", "sweep.checkpoint_every=0.1"]
    train(made(tmp_path / "there", *words))
    planned = made(tmp_path / "s", *words, "sweep.workers=2", *executor(how, monkeypatch))
    killed: list[int] = []
    whole = Store.save

    def save(self: Store, part: str, content: bytes, step: int, of: int) -> None:
        whole(self, part, content, step, of)
        if not killed:
            killed.append(worker())
            os.kill(killed[0], signal.SIGKILL)

    monkeypatch.setattr(Store, "save", save)
    assert train(planned) == {"done": 4} and killed
    assert "  a worker died " in capsys.readouterr().out
    here, there = measured(tmp_path / "s"), measured(tmp_path / "there")
    assert here == there


def worker() -> int:
    """The last that was started: an actor, or what a job runs."""
    lines = {int(at.name): at / "cmdline" for at in Path("/proc").iterdir() if at.name.isdigit()}
    ours = [
        pid
        for pid, line in lines.items()
        if re.match(r"ray::Actor|\S*python\S* -u -m submitit.core._submit", said(line))
    ]
    return max(ours)


def said(file: Path) -> str:
    try:
        return file.read_text().replace("\0", " ")
    except OSError:  # it has just ended
        return ""
