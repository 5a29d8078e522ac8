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
from collections.abc import Callable
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from safetensors.torch import save
from torch import Tensor, nn

from initlab.config import Config
from initlab.datasets import Data, load
from initlab.errors import Refused
from initlab.executors.items import Item, Outcome
from initlab.measuring import probes
from initlab.planning.plan import Plan
from initlab.schemes.apply import check as check_net
from initlab.schemes.apply import unmatched
from initlab.slots import slots
from initlab.specs import ACTS
from initlab.storage import events
from initlab.storage.folder import PROBE_FILE
from initlab.storage.journal import part_id
from initlab.training import interrupts, results
from initlab.training.checkpoint import Checkpoint, packed
from initlab.training.curves import packed as npz
from initlab.training.module import StackModule
from initlab.training.nets import arithmetic, build_net, check_precision, device_of, out_of_memory
from initlab.training.resuming import go_on
from initlab.training.step import refusal, unused
from initlab.training.writer import Outlet
from initlab.walk import ROWS


def check(plan: Plan) -> None:
    """What only the nets and the machine can tell, before a folder is made. Raises Refused.

    On one thread: OpenMP's others, once they have been at work, would be missed in a fork (`executors.local`).
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _check(plan)
    finally:
        torch.set_num_threads(before)


def _check(plan: Plan) -> None:
    idle: list[str] = []
    for stack in plan.stacks:
        if stack.config["trainer"]["accelerator"] == "gpu" and not torch.cuda.is_available():
            raise Refused(
                "trainer.accelerator=gpu: this machine has none that torch can use. auto takes what is there."
            )
        check_precision(stack.config)
        data = load(stack.config["dataset"])
        where = _whose(stack.config)
        net = _built(stack.config, data, where)
        places, x = slots(net), torch.tensor(data.train.x[:ROWS])
        _check_answer(net, where, x[:2], data.outputs)
        idle += _idle(net, where, x[: stack.config["dataset"]["batch_size"]])
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
    for line in dict.fromkeys(idle):
        print(line, flush=True)


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
    out = _tried(where, x, lambda: net.eval()(x))
    if not isinstance(out, Tensor):
        raise Refused(f"{where}: gives a {type(out).__name__} and not {wanted}. Return the part that counts.")
    if out.dim() not in (2, 3) or (len(out), out.shape[-1]) != (len(x), outputs):
        raise Refused(f"{where}: gives {list(out.shape)} for {len(x)} rows, and not {wanted}.")
    if "random operation" in (refusal(net, x) or ""):
        raise Refused(
            f"{where}: draws random numbers while it computes, as dropout does, from torch's own generator, so "
            "that a run could not be repeated. Set its probability to 0."
        )


def _idle(net: nn.Module, where: str, x: Tensor) -> list[str]:
    """A line on the parameters that no gradient reaches, if there are any."""
    x = x.to(next(net.parameters()).dtype) if x.is_floating_point() else x
    names = _tried(where, x, lambda: unused(net, x))
    told = f"{where}: no gradient reaches {', '.join(names)}. What is not used, or frozen, stays as it is drawn."
    return [told] if names else []


def _tried(where: str, x: Tensor, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:  # a net of somebody else's raises what it likes
        raise Refused(f"{where}: raises on {len(x)} rows {list(x.shape)} of the data. {error}") from None


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
        self.module = StackModule(configs, load(stack.config["dataset"]), live)
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
    """Train an item; how that ended. Raises OSError: the disk's trouble is the command's, not the run's."""
    try:
        with arithmetic(item.stack.config):
            Training(item, outlet).run()
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
