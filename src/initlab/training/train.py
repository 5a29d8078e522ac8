"""One stack, from its data or its last checkpoint to its runs' records on the disk.

    Training(stack, runs, store, progress).run()

``runs`` are those of the stack that train; the lanes of the others are masked, so that the width stays what it is.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import lightning as L
import torch
from safetensors.torch import save
from torch import Tensor, nn

from initlab.config import Config
from initlab.datasets import Data, load
from initlab.errors import Refused
from initlab.measuring import probes
from initlab.planning.plan import Plan, Run, Stack
from initlab.schemes.apply import check as check_net
from initlab.schemes.apply import unmatched
from initlab.slots import slots
from initlab.specs import ACTS
from initlab.storage import disk, events
from initlab.storage.folder import PROBE_FILE
from initlab.storage.journal import part_id
from initlab.storage.store import Store
from initlab.training import interrupts, results
from initlab.training.checkpoint import Checkpoint, packed, unpacked
from initlab.training.module import StackModule, build_net
from initlab.training.step import refusal
from initlab.views.progress import Progress
from initlab.walk import ROWS


def check(plan: Plan) -> None:
    """What only the nets and the machine can tell, before a folder is made. Raises Refused."""
    for stack in plan.stacks:
        if stack.config["trainer"]["accelerator"] == "gpu" and not torch.cuda.is_available():
            raise Refused(
                "trainer.accelerator=gpu: this machine has none that torch can use. auto takes what is there."
            )
        data = load(stack.config["dataset"])
        where = _whose(stack.config)
        net = _built(stack.config, data, where)
        places, x = slots(net), torch.tensor(data.train.x[:ROWS])
        _check_answer(net, where, x[:2], data.outputs)
        checked: list[Any] = []
        for run in stack.runs:
            if run.config["init"] in checked:
                continue
            checked.append(run.config["init"])
            for i in unmatched(places, run.config["init"]["rules"]):
                names = ", ".join(place.name for place in places if place.part in ("weight", "bias"))
                raise Refused(
                    f"init.rules[{i}]: matches no weight or bias of arch={run.config['arch']['name']}. Known: {names}."
                )
            check_net(net, run.config["init"], run.config["act"], x)


def _whose(config: Config) -> str:
    """The options that make a net, in words: its arch, and an act of the user's."""
    own = f" with act={config['act']['name']}" if "plugin" in ACTS[config["act"]["name"]].facts else ""
    return f"arch={config['arch']['name']}{own}"


def _built(config: Config, data: Data, where: str) -> nn.Module:
    try:
        return build_net(config, data)
    except Refused:
        raise
    except Exception as error:  # code of somebody else's raises what it likes
        raise Refused(f"{where}: cannot be built for this data. {type(error).__name__}: {error}") from error


@torch.no_grad()
def _check_answer(net: nn.Module, where: str, x: Tensor, outputs: int) -> None:
    """Raises Refused for a net that does not give [B, outputs], or [B, T, outputs], or that draws random numbers."""
    x = x.to(next(net.parameters()).dtype) if x.is_floating_point() else x
    wanted = f"a tensor [B, {outputs}]"
    try:
        out = net.eval()(x)
    except Exception as error:  # a net of somebody else's raises what it likes
        raise Refused(f"{where}: raises on two rows {list(x.shape)} of the data. {error}") from None
    if not isinstance(out, Tensor):
        raise Refused(f"{where}: gives a {type(out).__name__} and not {wanted}. Return the part that counts.")
    if out.dim() not in (2, 3) or (len(out), out.shape[-1]) != (len(x), outputs):
        raise Refused(f"{where}: gives {list(out.shape)} for {len(x)} rows, and not {wanted}.")
    if "random operation" in (refusal(net, x) or ""):
        raise Refused(
            f"{where}: draws random numbers while it computes, as dropout does, from torch's own generator, so "
            "that a run could not be repeated. Set its probability to 0."
        )


def fit(module: StackModule) -> None:
    """Train a stack and test it, by Lightning's loop on its device.

    What Lightning would log, save or draw is done elsewhere, for every run of the stack.
    """
    accelerator = module.configs[0]["trainer"]["accelerator"]
    if accelerator == "auto":
        accelerator = "gpu" if torch.cuda.is_available() else "cpu"
    trainer = L.Trainer(
        accelerator=accelerator,
        devices=1,
        max_epochs=module.epochs_left,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        inference_mode=False,
    )
    trainer.fit(module, module.chunks(), module.parts("val"))
    trainer.test(module, module.parts("test"), verbose=False)


APART = 50  # what a checkpoint costs, so many times, until the next: all of them take less than 2 % of the time


class NoneLeft(Exception):
    """Every run of the stack has failed."""


class Training:
    """A stack while it trains. ``runs`` are in the stack's order."""

    def __init__(self, stack: Stack, runs: Sequence[Run], store: Store, progress: Progress) -> None:
        self.stack, self.runs, self.store, self.progress = stack, list(runs), store, progress
        self.every: float = store.plan.options["checkpoint_every"]
        self.began = time.monotonic()
        self.due = self.began + self.every
        self.shown = -1  # the step up to which the event files go

    def run(self) -> None:
        content = self.store.checkpoint(self.part)
        resumed = unpacked(content) if content else None
        if resumed:
            self.began -= resumed.seconds
        keys = {run.key for run in self.runs}
        live = [r for r, run in enumerate(self.stack.runs) if run.key in keys]
        configs = [run.config for run in self.stack.runs]
        self.module = StackModule(configs, load(self.stack.config["dataset"]), live, resumed)
        self.module.on_ready, self.module.stop = self._ready, interrupts.requested
        self.module.on_chunk, self.module.on_block = self._chunk, self._block
        for run in self.runs:
            self.store.begin(run, resumed is not None)
        try:
            fit(self.module)
        except NoneLeft:
            return
        self._finish()

    @property
    def part(self) -> str:
        """The id of the runs that train."""
        return part_id(run.key for run in self.runs)

    def _ready(self) -> None:
        interrupts.catch()  # Lightning has put its own answer to SIGTERM before ours, which would leave without a word
        for lane, traceback in self.module.raised.items():
            fail(self.stack.runs[lane], traceback, self.store, self.progress)
            self.runs.remove(self.stack.runs[lane])
        if not self.runs:
            raise NoneLeft
        asked = self.store.plan.options["probe"]
        probed = probes.Probed(self.module, full=asked is True) if asked and self.module.state.t == 0 else None
        for run, lane in zip(self.runs, self.module.live, strict=True):
            if told := self.module.adapted.get(lane):
                content = json.dumps({"schema": 1, "adapted": told}, indent=1)
                disk.write(self.store.run_folder(run) / "adapted.json", content.encode())
            if probed is not None:
                disk.write(self.store.run_folder(run) / PROBE_FILE, probed.content(lane))
        if self.module.refusal is not None:
            name = self.stack.config["arch"]["name"]
            self.progress.say(f"  arch={name} cannot be stacked, trained one by one: {self.module.refusal}")
        self.progress.tick(self.module.state.t, of=self.module.steps)
        if t := self.module.state.t:  # what is measured at this step may still be to come
            self._show(t - 1, anew=True)
        interrupts.poll()

    def _chunk(self) -> None:
        self.progress.tick(self.module.state.t, of=self.module.steps)
        self._rest()

    def _block(self) -> None:
        """At the last epoch's end the test is still to come, and belongs to the same step."""
        self._chunk()
        if self.module.state.t < self.module.steps:
            self._show(self.module.state.t)

    def _rest(self) -> None:
        """Between two updates: save what is due, and leave if a signal waits."""
        now = time.monotonic()
        if interrupts.requested() or now >= self.due:
            state, curves = self.module.state, self.module.curves.whole()
            content = packed(Checkpoint(state, curves, self.module.initial_hashes, now - self.began))
            self.store.save(self.part, content, state.t, of=self.module.steps)
            cost = time.monotonic() - now
            self.due = now + cost + (max(self.every, APART * cost) if self.every else 0)
        interrupts.poll()

    def _show(self, until: int, anew: bool = False) -> None:
        """Bring the event files up to a step. ``anew``: a crash may have left them ahead, or torn."""
        diverged = self.module.state.diverged_at.tolist()
        block = self.module.curves.between(self.shown, until)
        for run, lane in zip(self.runs, self.module.live, strict=True):
            if points := events.of_run(block, lane, diverged[lane]):
                events.append(self.store.run_folder(run) / events.FILE_NAME, points, anew)
        self.shown = until

    def _finish(self) -> None:
        self._show(self.module.steps)
        if self.stack.config["trainer"]["save_weights"]:
            self._save_weights()
        seconds = (time.monotonic() - self.began) / len(self.runs)
        records, curves = results.ended(self.runs, self.module, self.part, seconds)
        self.store.commit(records, self.part, curves)
        self.progress.end(records)

    def _save_weights(self) -> None:
        state = self.module.state
        stacked = {name: tensor.detach().cpu() for name, tensor in (state.params | state.buffers).items()}
        for run, lane in zip(self.runs, self.module.live, strict=True):
            weights = save({name: tensor[lane].contiguous() for name, tensor in stacked.items()})
            disk.write(self.store.run_folder(run) / "weights.safetensors", weights)


def fail(run: Run, traceback: str, store: Store, progress: Progress) -> None:
    """Record a run that raised."""
    folder, record = store.begin(run), results.failed(run, traceback)
    disk.write(folder / "traceback.txt", traceback.encode())
    progress.say(f"  {run.name} failed: {record['error']} (see {folder / 'traceback.txt'})")
    store.commit([record])
    progress.end([record])
