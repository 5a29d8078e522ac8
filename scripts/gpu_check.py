#!/usr/bin/env python
"""Check on this machine's GPU what the tests prove on a CPU: python scripts/gpu_check.py [--quick]

Every option of the registries that training reads, in stacks of three, in float64. A stack on the device has to start
from the CPU's weights, bit for bit, and to agree with each of its runs alone on the device and with itself on the CPU,
where the tests hold it equal to a plain program. Without CUDA the same checks run on the CPU. Exit code 1: one failed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from initlab.command import answered
from initlab.config import Config, typed
from initlab.datasets import Data, Part
from initlab.errors import Refused
from initlab.registry import Registry
from initlab.roles import offering
from initlab.specs import ACTS, ARCHS, INITS, OPTIMIZERS
from initlab.storage.folder import read
from initlab.streams import uniforms
from initlab.training.module import Chunk, StackModule

ROOT = Path(__file__).parents[1]
STEPS = 15
TOLERANCE = 1e-9  # of what is larger, 1 or the value: float64's roundings after that many steps, in any order of sums
SMALL = {
    "mlp": {"depth": 2, "width": 16},
    "cnn": {"depth": 2, "width": 6},
    "resmlp": {"depth": 2, "width": 16},
    "resnet": {"depth": 1, "width": 4},
    "vit": {"depth": 1, "width": 8, "patch": 4},
    "transformer": {"depth": 1, "width": 8},
    "metainit": {"steps": 10},
    "gradinit": {"steps": 10},
}
TRAINER: dict[str, Any] = {"max_steps": STEPS, "precision": "float64", "log_every_n_steps": 1}
DATASET = {"name": "gaussian", "samples": 400, "batch_size": 16}
SHARED = {"dataset": DATASET, "trainer": TRAINER, "act": {"name": "tanh"}, "arch": {"name": "mlp"} | SMALL["mlp"]}
CPU = torch.device("cpu")
# Images of noise, as many as the configs say; a net that takes vectors flattens them, one for sequences takes lines.
X, Y = uniforms((400, 1, 8, 8), 0, "check", "images").astype(np.float32), np.arange(400) % 3
CUT = np.split(np.arange(400), [280, 340])
IMAGES, SEQUENCES = (Data("classification", 3, *(Part(x[rows], Y[rows]) for rows in CUT)) for x in (X, X[:, 0]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="each option with its defaults only")
    arguments, failed = parser.parse_args(), 0
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(torch.cuda.get_device_name() if device != CPU else "no CUDA on this machine: the same checks, on the CPU")
    print(f"torch {torch.__version__}, CUDA {torch.version.cuda}, lightning {version('lightning')}\n")
    for name, check in checks(device, arguments.quick):
        try:
            verdict, said = "pass", check()
        except Refused as refusal:  # options that do not go together, or not with these data
            verdict, said = "skip", str(refusal)
        except Exception as error:  # a check that breaks has failed; the others still tell something
            verdict, said = "FAIL", f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        failed += verdict == "FAIL"
        print(f"{verdict}  {name:<52} {said}", flush=True)
    print(f"\n{failed} failed")
    return int(failed > 0)


def checks(device: torch.device, quick: bool) -> Iterator[tuple[str, Callable[[], str]]]:
    """(name, check): a check says what it measured, or raises."""
    for registry in (ACTS, ARCHS, INITS, OPTIMIZERS):
        for label, option in variants(registry, quick or registry is INITS):
            yield f"{registry.group}={label}", partial(same_training, device, {registry.group: option})
    for name in OPTIMIZERS:
        scheduled = {"optimizer": {"name": name, "warmup": 0.4, "schedule": "cosine", "clip": 0.05}}
        yield f"optimizer={name}, warm-up, cosine, clip", partial(same_training, device, scheduled)
    for clip in (None, 0.05):
        yield f"one run diverges, clip={clip}", partial(isolated, device, clip)
    yield "python train.py -m init=xavier,kaiming act=relu,tanh", partial(end_to_end, device)


def variants(registry: Registry, quick: bool) -> Iterator[tuple[str, Config]]:
    """Each option with its defaults, and once more for each other word that one of its fields can take."""
    for name in registry:
        option = {"name": name} | SMALL.get(name, {})
        yield name, option
        for key, field in {} if quick else registry[name].fields.items():
            for word in [word for word in getattr(field.check, "words", ()) if word not in (field.default, None)]:
                yield f"{name}, {key}={word}", option | {key: word}


def net_for(option: Config) -> dict[str, Config]:
    """The first net with the roles that a scheme needs, if it needs any."""
    needs = INITS[option["name"]].facts.get("needs", ())
    if not needs:
        return {}
    name, fields = next(offering(needs, {name: spec.facts.get("roles") for name, spec in ARCHS.items()}))
    return {"arch": {"name": name} | SMALL.get(name, {}) | {field: values[0] for field, values in fields.items()}}


def stack(options: dict[str, Config]) -> list[Config]:
    """Three runs that differ in seed, lr, weight decay, and scheme if none is given."""
    optimizer, inits = {"name": "sgd"} | options.get("optimizer", {}), ("xavier", "kaiming", "orthogonal")
    rate = 0.02 if optimizer["name"] == "sgd" else 2e-3
    own = [optimizer | {"lr": rate * (1 + r), "weight_decay": 0.01 * r} for r in range(3)]
    options = net_for(options.get("init", {"name": inits[0]})) | options
    return [typed(SHARED | {"init": {"name": inits[r]}} | options | {"optimizer": own[r], "seed": r}) for r in range(3)]


def trained(configs: list[Config], device: torch.device, steps: int | None = None) -> StackModule:
    lines = "positions" in ARCHS[configs[0]["arch"]["name"]].facts
    module = StackModule(configs, SEQUENCES if lines else IMAGES).to(device)
    module.prepare()
    module.on_train_epoch_start()
    module.training_step(Chunk(0, 0, TRAINER["max_steps"] if steps is None else steps), 0)
    return module


def numbers(module: StackModule) -> list[torch.Tensor]:
    """Every parameter and buffer [R, ...], then the losses [R, T] of the steps made, on the CPU."""
    stacked = [tensor.cpu() for tensor in (module.state.params | module.state.buffers).values()]
    return stacked + [torch.from_numpy(series.values) for series in module.curves.whole().values()]


def apart(some: list[torch.Tensor], others: list[torch.Tensor]) -> float:
    """The largest difference, in units of what is larger, 1 or the value; NaN if there is one."""
    units = [((a - b) / b.abs().clamp(min=1)).abs().flatten() for a, b in zip(some, others, strict=True)]
    return torch.cat(units).max().item()


def same_training(device: torch.device, options: dict[str, Config]) -> str:
    configs = stack(options)
    assert apart(numbers(trained(configs, CPU, 0)), numbers(trained(configs, device, 0))) == 0, "other initial weights"
    module = trained(configs, device)
    assert module.refusal is None, f"vmap refuses the net: {module.refusal}"
    assert not module.state.diverged_at.any(), "diverged"
    together = numbers(module)
    alone = [numbers(trained([config], device)) for config in configs]
    far = [apart([tensor[r : r + 1] for tensor in together], run) for r, run in enumerate(alone)]
    far.append(apart(together, numbers(trained(configs, CPU))))
    said = f"from its runs alone {max(far[:-1]):.0e}, from the CPU {far[-1]:.0e}"
    assert all(distance <= TOLERANCE for distance in far), said
    return said


def isolated(device: torch.device, clip: float | None) -> str:
    """One run's lr is huge: the others are what they are without it, bit for bit."""
    configs = stack({"optimizer": {"clip": clip}})
    healthy = trained(configs, device)
    configs[1]["optimizer"]["lr"] = 1e308
    sick = trained(configs, device)
    fell = sick.state.diverged_at.tolist()
    assert fell[1] > 0 == fell[0] == fell[2], f"diverged at {fell}"
    others = [[tensor[[0, 2]] for tensor in numbers(module)] for module in (healthy, sick)]
    assert apart(*others) == 0, "it touched the others"
    return f"at step {fell[1]}; the others as without it, bit for bit"


def end_to_end(device: torch.device) -> str:
    with tempfile.TemporaryDirectory() as folder:
        words = ["-m", "init=xavier,kaiming", "act=relu,tanh", "trainer.max_epochs=2", f"hydra.sweep.dir={folder}/out"]
        done = subprocess.run([sys.executable, ROOT / "train.py", *words], capture_output=True, text=True)
        assert done.returncode == 0, f"exit code {done.returncode}: {done.stderr[-300:]}"
        ran = {(record["status"], record["device"].split(":")[0]) for record in read(Path(folder) / "out").records}
    assert ran == {("done", device.type)}, ran
    return f"trained on {device.type}"


if __name__ == "__main__":
    sys.exit(answered(main, sys.argv[1:]))
