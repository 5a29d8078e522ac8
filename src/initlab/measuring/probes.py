"""The probes of a command's runs: each run's net as training would start it.

for run, found in of_plan(plan): print(found.verdict)
keep(found, folder, run.name)         # probe.json, probe.svg, probe.png, events for TensorBoard
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from initlab.config import digest
from initlab.datasets import Data, load
from initlab.errors import Refused
from initlab.measuring.advice import Advice, advise
from initlab.measuring.findings import Probe, as_json, unmeasured
from initlab.measuring.portrait import draw, scalars
from initlab.measuring.probing import ROWS, Expected, expected, measure
from initlab.planning.plan import Plan
from initlab.planning.runs import Run
from initlab.storage import events
from initlab.storage.disk import write
from initlab.storage.folder import PROBE_FILE
from initlab.training.module import StackModule


def of_plan(plan: Plan) -> Iterator[tuple[Run, Probe, Advice]]:
    """Each run's probe, and which scheme its net should start from."""
    for stack in plan.stacks:
        data = load(stack.config["dataset"])
        module = StackModule([run.config for run in stack.runs], data)
        module.prepare()
        advices: dict[int, Advice] = {}  # the runs of a stack have one net: what differs is the seed
        probed = Probed(module, full=True)
        for lane, run in enumerate(stack.runs):
            if traceback := module.raised.get(lane):
                raise Refused(f"{run.name}: {traceback.strip().splitlines()[-1]}")
            seed = run.config["init_seed"]
            if seed not in advices:
                net = probed.net(lane)
                advices[seed] = advise(net, batch(net, data), run.config["act"], seed)
            yield run, probed.of(lane), advices[seed]


class Probed:
    """Probes of a prepared stack's runs, before their first update. Their nets differ in what was drawn alone, so that
    theory is asked once for a scheme, whatever the seeds."""

    def __init__(self, module: StackModule, full: bool) -> None:
        self.module, self.full = module, full
        self._net = copy.deepcopy(module.program.net)
        self._expected: dict[str, Expected] = {}

    def net(self, lane: int) -> torch.nn.Module:
        """A run's net, with its own tensors, until the next one is asked for."""
        tensors = {**self.module.state.params, **self.module.state.buffers}
        self._net.load_state_dict({name: tensor[lane] for name, tensor in tensors.items()}, strict=False)
        return self._net

    def of(self, lane: int) -> Probe:
        """The probe of a run's net on the first rows of its training part."""
        net, config = self.net(lane), self.module.configs[lane]
        x, y = batch(net, self.module.data)
        scheme = digest(config["init"])
        if scheme not in self._expected:
            fields = {name: value for name, value in config["init"].items() if name != "name"}
            self._expected[scheme] = expected(net, config["init"]["name"], config["act"], x, fields)
        return measure(net, x, y, self._expected[scheme], self.full)

    def content(self, lane: int) -> bytes:
        """The content of probe.json. Nothing is raised: of what cannot be probed it is the reason."""
        try:
            found = self.of(lane)
        except Exception as error:  # somebody else's net or activation raises what it likes: no reason not to train it
            found = unmeasured(f"not probed: {type(error).__name__}: {error}")
        return json.dumps(as_json(found), indent=1).encode()


def batch(net: torch.nn.Module, data: Data) -> tuple[Tensor, Tensor]:
    """The first rows of the training part, as the net takes them."""
    x, y = torch.tensor(data.train.x[:ROWS]), torch.tensor(data.train.y[:ROWS])
    like = next(net.parameters())
    x, y = (t.to(like.device, like.dtype if t.is_floating_point() else t.dtype) for t in (x, y))
    return x, y


def keep(found: Probe, advice: Advice, folder: Path, title: str) -> str | None:
    """Write a probe into a folder; None, or why there is no figure."""
    folder.mkdir(parents=True, exist_ok=True)
    told = as_json(found) | {"advice": asdict(advice)}
    write(folder / PROBE_FILE, json.dumps(told, indent=1).encode())
    for name, layers in scalars(found).items():
        path = folder / name / events.FILE_NAME
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        events.append(path, [(i, 0.0, told) for i, told in enumerate(layers, 1)])
    try:
        draw(found, title, folder / "probe")
    except ImportError as missing:
        return f"no figure: {missing}. It is drawn with matplotlib: pip install 'initlab[report]'."
    return None
