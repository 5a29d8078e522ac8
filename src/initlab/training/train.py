"""One item, from its stack's data or its last checkpoint to its runs' records.

    carried_out(item, outlet)           # Outcome("done")

What it has to say goes to the outlet, here or in another process: it touches no folder.
"""

from __future__ import annotations

import json
import logging
import time
import traceback
import warnings
from typing import TYPE_CHECKING

import lightning as L
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from safetensors.torch import save

from initlab.datasets import load
from initlab.executors.items import Item, Outcome
from initlab.storage import events
from initlab.storage.folder import PROBE_FILE
from initlab.storage.journal import part_id
from initlab.training import interrupts, results
from initlab.training.checkpoint import Checkpoint, packed
from initlab.training.curves import packed as npz
from initlab.training.device import out_of_memory, reclaim
from initlab.training.module import StackModule
from initlab.training.nets import arithmetic, device_of
from initlab.training.resuming import go_on

if TYPE_CHECKING:
    from initlab.training.writer import Outlet


def fit(module: StackModule) -> None:
    """Train a stack and test it, by Lightning's loop on its device.

    What Lightning would log, save or draw is done elsewhere, for every run of the stack.
    """
    trainer = L.Trainer(
        accelerator="gpu" if device_of(module.configs[0]).type == "cuda" else "cpu",
        devices=1,
        max_epochs=module.epochs_left,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        plugins=LightningEnvironment(),  # one process, also where a queue's variables are set
        inference_mode=False,
    )
    trainer.fit(module, module.chunks(), module.parts("val"))
    trainer.test(module, module.parts("test"), verbose=False)


APART = 50  # what a checkpoint costs, so many times, until the next: all of them take less than 2 % of the time


class NoneLeft(Exception):
    """Every run of the stack has failed."""


class Training:
    """An item while it trains."""

    def __init__(self, item: Item, outlet: Outlet) -> None:
        self.item, self.outlet = item, outlet
        self.runs = list(item.runs)
        self.began = time.monotonic()
        self.due = self.began + item.every
        self.shown = -1  # the step up to which the event files go

    def run(self) -> None:
        stack, keys = self.item.stack, {run.key for run in self.runs}
        live = [r for r, run in enumerate(stack.runs) if run.key in keys]
        configs = [run.config for run in stack.runs]
        self.module = StackModule(configs, load(stack.config["dataset"]), live, self.item.graphs)
        before = go_on(self.module, self.item.checkpoints, self.outlet.say)
        self.began -= before or 0.0
        self.module.on_ready, self.module.stop = self._ready, interrupts.requested
        self.module.on_chunk, self.module.on_block = self._chunk, self._block
        # Lightning has put its own answer to SIGTERM before ours by then, which would leave without a word.
        self.module.on_train_start = interrupts.catch  # type: ignore[method-assign]
        self.outlet.begin([run.key for run in self.runs], self.module.intervals, resumed=before is not None)
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
        for lane, trace in self.module.raised.items():
            self.outlet.fail(self.item.stack.runs[lane].key, trace)
            self.runs.remove(self.item.stack.runs[lane])
        if not self.runs:
            raise NoneLeft
        lanes = list(zip(self.runs, self.module.live, strict=True))
        adapted = {run.key: told for run, lane in lanes if (told := self.module.adapted.get(lane))}
        as_json = {key: json.dumps({"schema": 1, "adapted": told}, indent=1) for key, told in adapted.items()}
        self.outlet.write({key: content.encode() for key, content in as_json.items()}, "adapted.json")
        if (asked := self.item.probe) and self.module.state.t == 0:
            from initlab.measuring import probes  # theory and all, for who asks

            probed = probes.Probed(self.module, full=asked is True)
            for run, lane in lanes:
                self.outlet.write({run.key: probed.content(lane)}, PROBE_FILE)
        if self.module.refusal is not None:
            name = self.item.stack.config["arch"]["name"]
            self.outlet.say(f"  arch={name} cannot be stacked, trained one by one: {self.module.refusal}")
        self.outlet.tick(self.module.state.t, of=self.module.steps)
        if t := self.module.state.t:  # what is measured at this step may still be to come
            self._show(t - 1, anew=True)
        interrupts.poll()

    def _chunk(self) -> None:
        self.outlet.tick(self.module.state.t, of=self.module.steps)
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
            seconds = now - self.began
            whole = Checkpoint(state, curves, self.module.initial_hashes, seconds, self.module.intervals)
            self.outlet.save(self.part, state.t, of=self.module.steps, content=packed(whole))
            cost = time.monotonic() - now
            self.due = now + cost + (max(self.item.every, APART * cost) if self.item.every else 0)
        interrupts.poll()

    def _show(self, until: int, anew: bool = False) -> None:
        """Bring the event files up to a step. ``anew``: a crash may have left them ahead, or torn."""
        diverged = self.module.state.diverged_at.tolist()
        block = self.module.curves.between(self.shown, until)
        points = {
            run.key: some
            for run, lane in zip(self.runs, self.module.live, strict=True)
            if (some := events.of_run(block, lane, diverged[lane]))
        }
        if points:
            started = next(iter(points.values()))[0][1]
            self.outlet.show({key: events.body(some) for key, some in points.items()}, started, anew)
        self.shown = until

    def _finish(self) -> None:
        self._show(self.module.steps)
        if (choice := self.module.choice) and choice.broken:
            self.outlet.say(f"  updates were asked for one by one: {choice.why}")
        if self.item.stack.config["trainer"]["save_weights"]:
            self._save_weights()
        seconds = (time.monotonic() - self.began) / len(self.runs)
        records, curves = results.ended(self.runs, self.module, self.part, seconds)
        self.outlet.commit(records, self.part, npz(curves, [record["key"] for record in records]))

    def _save_weights(self) -> None:
        state = self.module.state
        stacked = {name: tensor.detach().cpu() for name, tensor in (state.params | state.buffers).items()}
        for run, lane in zip(self.runs, self.module.live, strict=True):
            weights = save({name: tensor[lane].contiguous() for name, tensor in stacked.items()})
            self.outlet.write({run.key: weights}, "weights.safetensors")


def carried_out(item: Item, outlet: Outlet) -> Outcome:
    """Train an item; how that ended. What is no fault of a run's raises: OSError, the disk's trouble; Refused, where
    this machine has no such precision."""
    with arithmetic(item.stack.config):
        try:
            return _ended(Training(item, outlet))
        finally:
            reclaim(device_of(item.stack.config))


def _ended(training: Training) -> Outcome:
    try:
        training.run()
    except OSError:
        raise
    except SystemExit as left:
        interrupts.poll()  # Lightning's answer to a signal, where it came first
        return Outcome("raised", f"SystemExit: a run's code called sys.exit({left.code})")
    except Exception as error:
        return Outcome("raised", traceback.format_exc(), out_of_memory(error))
    return Outcome("done")


def quiet() -> None:
    """Lightning's advice is about training one large model; here it would be said once a stack."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
