"""The command itself on the device: a sweep is the same sweep on every way that it can go."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch
from scripts.gpu_checks.stacks import CPU, Checks

from initlab.replay import DIFFERENT, IDENTICAL, planned, verdicts
from initlab.storage import journal
from initlab.storage.folder import Sweep, read

ROOT = Path(__file__).parents[2]
SWEEP = ["-m", "init=xavier,kaiming", "act=relu,tanh", "dataset=gaussian", "dataset.samples=400"]
SWEEP += ["dataset.batch_size=16", "arch.depth=2", "arch.width=16", "trainer.precision=float64", "sweep.workers=1"]
DIVERGING = ["optimizer.lr=0.05,1e308", "trainer.max_steps=60"]  # half of the runs do, and graphs pay
WAYS = {
    "sweep.stack_width=auto": ["sweep.stack_width=auto"],
    "sweep.stack_width=64": ["sweep.stack_width=64"],
    "sweep.executor=ray": ["sweep.executor=ray"],
    "trainer.accelerator=cpu": ["trainer.accelerator=cpu"],
}
LONG = ["optimizer.momentum=0.9", "trainer.max_steps=1000", "sweep.stack_width=64"]
PATIENCE = 120  # seconds until the first checkpoint


def checks(device: torch.device, quick: bool) -> Checks:
    ways = ["sweep.stack_width=auto"] if quick else list(WAYS)
    if not find_spec("ray"):
        ways = [way for way in ways if way != "sweep.executor=ray"]
    if device == CPU:
        ways = [way for way in ways if way != "trainer.accelerator=cpu"]
    yield f"train.py -m, one by one and {', '.join(ways)}", partial(same_on_all, device, ways)
    if not quick:
        yield "train.py -m, stopped after a checkpoint, and again", partial(resumed, device)


def same_on_all(device: torch.device, ways: Sequence[str]) -> str:
    """The same initial weights, bit for bit, the same losses, the same runs diverge."""
    with tempfile.TemporaryDirectory() as scratch:
        alone = swept(Path(scratch) / "alone", [*DIVERGING, "sweep.stack_width=1"], device)
        ended = Counter(record["status"] for record in alone.records)
        assert ended == {"done": 4, "diverged": 4}, ended
        said = []
        for i, way in enumerate(ways):
            where = CPU if way == "trainer.accelerator=cpu" else device
            other = swept(Path(scratch) / str(i), [*DIVERGING, *WAYS[way]], where)
            said.append(f"{_same(alone, other, exactly=False)} ({way})")
    return f"8 runs, 4 diverge; {', '.join(said)}"


def resumed(device: torch.device) -> str:
    """A sweep that was stopped goes on from its checkpoint, and ends as the undisturbed one, bit for bit."""
    with tempfile.TemporaryDirectory() as scratch:
        undisturbed, stopped = Path(scratch) / "undisturbed", Path(scratch) / "stopped"
        words = [*SWEEP, *LONG, f"hydra.sweep.dir={stopped}", "sweep.checkpoint_every=0"]
        started = [sys.executable, str(ROOT / "train.py"), *words]
        with subprocess.Popen(started, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            until = time.monotonic() + PATIENCE
            while process.poll() is None and time.monotonic() < until:
                if any(stopped.glob("checkpoints/*.safetensors")):
                    break
                time.sleep(0.005)
            process.send_signal(signal.SIGINT)
            code = process.wait()
        assert code == 128 + signal.SIGINT, f"exit code {code} of what was stopped"
        steps = [lines[-1]["step"] for lines in journal.checkpoints(stopped / "journal").values()]
        assert steps, "nothing was kept"
        alone = swept(undisturbed, LONG, device)
        again = swept(stopped, LONG, device)
        return f"stopped at steps {steps} of 1000; {_same(alone, again, exactly=True)}"


def command(words: Sequence[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, ROOT / "train.py", *words], cwd=cwd, capture_output=True, text=True)


def swept(folder: Path, words: Sequence[str], device: torch.device) -> Sweep:
    """The sweep that the command leaves there, every run of it trained on that kind of device."""
    done = command([*SWEEP, *words, f"hydra.sweep.dir={folder}"], folder.parent)
    assert done.returncode == 0, f"exit code {done.returncode}: {done.stderr[-300:]}"
    assert "passed over" not in done.stdout, "a checkpoint was not taken"
    sweep = read(folder)
    devices = {record["device"].split(":")[0] for record in sweep.records}
    assert devices == {device.type}, f"trained on {devices}"
    return sweep


def _same(sweep: Sweep, other: Sweep, exactly: bool) -> str:
    """In words: initial weights, statuses and every curve."""
    found = list(verdicts(sweep, planned(sweep, sweep.folder), other))
    assert len(found) == len(sweep.records) == len(other.records), f"{len(found)} runs of {len(sweep.records)}"
    bad = [v for v in found if v.outcome == DIFFERENT or (exactly and v.outcome != IDENTICAL)]
    assert not bad, f"{bad[0].name}: {bad[0].first}"
    return ", ".join(f"{count} {outcome}" for outcome, count in Counter(v.outcome for v in found).items())
