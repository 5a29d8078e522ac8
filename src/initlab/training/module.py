"""The LightningModule of a stack: feeds batches to the pure step, keeps the curves, evaluates each epoch.

    module = StackModule(stack, data)
    trainer.fit(module, module.chunks(), val_dataloaders=module.parts("val"))
    trainer.test(module, module.parts("test"))
    module.curves.whole()["val/loss"].values          # [R, T]

Optimization is manual: a training_step makes up to `CHUNK` updates, so that Lightning's own cost is paid once for them.
The whole data set lies on the device; an epoch is a permutation of each run's own. Between two updates everything is
consistent: what a stack is after t of them is its `State`, and what it measured its `Curves`. Where it stands is
told by t alone, so that a stack that is given a `Checkpoint` goes on from there, in the middle of an epoch too.
"""

from __future__ import annotations

import hashlib
import math
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import lightning as L
import torch
from torch import Tensor

from initlab.config import Config
from initlab.datasets import Data
from initlab.schemes.adapt import Told
from initlab.schemes.apply import rates
from initlab.schemes.initial import initial
from initlab.slots import slots
from initlab.specs import OPTIMIZERS, PER_RUN
from initlab.training.batches import Batches
from initlab.training.chain import Chain
from initlab.training.checkpoint import INTERVALS, Checkpoint
from initlab.training.clock import Clock, Schedule
from initlab.training.curves import Curves
from initlab.training.graphs import Choice, choose
from initlab.training.nets import DTYPES, PRODUCTS, base_net, build_net
from initlab.training.optimizers import Hyper, Optimizer
from initlab.training.signals import signals
from initlab.training.step import Program, State, evaluate, refusal, start
from initlab.training.updates import Resident, updates_of

CHUNK = 20  # updates in one training_step
WORTH = 50  # updates to come, for which it pays to find out whether they can be replayed


class Chunk(NamedTuple):
    """Some updates of one epoch: the batches ``first`` ... ``first + batches - 1`` of its permutations."""

    epoch: int
    first: int
    batches: int


class StackModule(L.LightningModule):
    """R runs of equal shapes and activation. ``configs`` differ in init, seeds and `PER_RUN` of the optimizer alone.

    ``live`` are the lanes that are trained, by default all. The others are zeros that keep the width, and with it the
    arithmetic of the rest, as it is. A lane whose initial weights cannot be drawn joins them, its traceback in
    ``raised``. ``graphs``: whether updates may be replayed, on a GPU; ``choice`` says what came of it. `go_on`: from
    where a checkpoint stands.
    """

    def __init__(
        self,
        configs: Sequence[Config],
        data: Data,
        live: Sequence[int] | None = None,
        graphs: bool = False,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.configs, self.data = configs, data
        self.live = list(range(len(configs)) if live is None else live)
        self.raised: dict[int, str] = {}
        self.graphs = graphs
        self.choice: Choice | None = None
        self.resumed: Checkpoint | None = None
        shared = configs[0]
        self.dtype_ = DTYPES[shared["trainer"]["precision"]]
        self.batch_size: int = shared["dataset"]["batch_size"]
        self.batches = len(data.train.x) // self.batch_size
        self.steps: int = shared["trainer"]["max_steps"] or shared["trainer"]["max_epochs"] * self.batches
        self.intervals: dict[str, int] = {name: shared["trainer"][name] for name in INTERVALS}
        self.curves = Curves()
        self.initial_hashes: list[str] = []
        self.adapted: dict[int, list[Told]] = {}  # what the schemes that look at data did, by lane
        self.on_ready: Callable[[], None] = lambda: None  # before the first update
        self.on_chunk: Callable[[], None] = lambda: None  # within an epoch
        self.on_block: Callable[[], None] = lambda: None  # after an epoch and its evaluation
        self.stop: Callable[[], bool] = lambda: False  # asked after each update; then on_chunk comes at once

    def go_on(self, checkpoint: Checkpoint) -> None:
        """Start from there, and measure at its intervals: a curve has one."""
        self.resumed, self.curves, self.initial_hashes = checkpoint, Curves(checkpoint.curves), checkpoint.hashes
        self.intervals = checkpoint.intervals

    # --- before training ----------------------------------------------------------------------------------------------

    def prepare(self, rehearsal: bool = False) -> None:
        """Make every run's initial weights, or take the checkpoint's state, and put it and the data on the device.

        In a ``rehearsal`` the weights are torch's own, the same for all, as some schemes' draws take long, and the
        learning rate is 0, so that no run dies of it.
        """
        shared = self.configs[0]
        net = build_net(shared, self.data).to(self.dtype_)
        hyper = self.hyper()
        if rehearsal:
            hyper = hyper._replace(lr=torch.zeros_like(hyper.lr))
        self._parts = {
            name: (self._tensor(part.x).to(self.device), self._tensor(part.y).to(self.device))
            for name, part in (("train", self.data.train), ("val", self.data.val), ("test", self.data.test))
        }
        orders = [config["order_seed"] for config in self.configs]
        self.rows = Batches(*self._parts.pop("train"), orders, self.batch_size)
        optimizer: Optimizer = OPTIMIZERS.build(shared["optimizer"])
        kind, warmup = (shared["optimizer"][field] for field in ("schedule", "warmup"))
        schedule = Schedule(kind, self.steps, round(warmup * self.steps))
        low = PRODUCTS.get(shared["trainer"]["precision"])
        self.refusal = refusal(net, self._tensor(self.data.train.x[: self.batch_size]), low)
        self.program = Program(
            net.to(self.device),
            Chain.of(net, stackable=self.refusal is None, low=low),
            self.data.task,
            optimizer.update,
            hyper,
            Clock(schedule, optimizer.factors, hyper.lr, self.batches),
            rates=self._rates(net),
        )
        first = self.resumed.state if self.resumed else self._start(net, optimizer.slots(hyper), rehearsal)
        self.state: State = first.to(self.device)
        self.updates = updates_of(self.program, self.rows, self.device)

    def _start(self, net: torch.nn.Module, kept: int, rehearsal: bool) -> State:
        own = {name: p.detach() for name, p in net.named_parameters()}
        drawn = [own] * len(self.configs) if rehearsal else self._all_drawn(net)
        params = {name: torch.stack([run[name] for run in drawn]) for name in own}
        buffers = {name: b.expand(len(drawn), *b.shape).clone() for name, b in net.named_buffers()}
        state = start(params, buffers, kept)
        return state._replace(alive=torch.tensor([r in self.live for r in range(len(drawn))]))

    def _all_drawn(self, net: torch.nn.Module) -> list[dict[str, Tensor]]:
        blank = {name: torch.zeros_like(p, device="cpu") for name, p in net.named_parameters()}
        data = torch.tensor(self.data.train.x), torch.tensor(self.data.train.y)
        drawn = [self._drawn(net, r, *data) or blank for r in range(len(self.configs))]
        self.initial_hashes = [_hash(run) for run in drawn]
        return drawn

    def _drawn(self, net: torch.nn.Module, r: int, x: Tensor, y: Tensor) -> dict[str, Tensor] | None:
        """The initial weights of run r; None if it is not trained, or cannot be."""
        if r not in self.live:
            return None
        try:
            return self._initial(net, r, x, y)
        except (OSError, MemoryError):
            raise  # the machine's trouble, not the run's
        except Exception:
            self.raised[r] = traceback.format_exc()
            self.live.remove(r)
            return None

    def _initial(self, net: torch.nn.Module, r: int, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        config = self.configs[r]
        drawn, told = initial(
            net, config["init"], config["act"], config["init_seed"], x, y, base=base_net(config, self.data)
        )
        if told:
            self.adapted[r] = told
        return {name: drawn.get(name, p.detach()).to("cpu", self.dtype_) for name, p in net.named_parameters()}

    def _rates(self, net: torch.nn.Module) -> dict[str, Tensor]:
        """Factors [R] of the learning rate, for the parameters of which some run's scheme has one."""
        optimizer = self.configs[0]["optimizer"]["name"]
        runs = [rates(slots(net, base=base_net(c, self.data)), c["init"], optimizer) for c in self.configs]
        return {
            name: torch.tensor([run.get(name, 1.0) for run in runs], dtype=self.dtype_, device=self.device)
            for name in {name for run in runs for name in run}
        }

    def hyper(self) -> Hyper:
        def column(field: str, neutral: float) -> Tensor | None:
            values = [config["optimizer"].get(field) for config in self.configs]
            values = [neutral if value is None else value for value in values]
            if all(value == neutral for value in values):
                return None
            return torch.tensor(values, dtype=self.dtype_, device=self.device)

        columns = {field: column(field, math.inf if field == "clip" else 0.0) for field in PER_RUN}
        return Hyper(**columns)  # type: ignore[arg-type]  # lr is positive, never None

    def _tensor(self, array: Any) -> Tensor:
        tensor = torch.tensor(array)  # a copy: the arrays of a data set are read-only
        return tensor.to(self.dtype_) if tensor.is_floating_point() else tensor

    # --- Lightning's hooks --------------------------------------------------------------------------------------------

    def configure_optimizers(self) -> None:
        """None: the update is part of the step."""

    def on_fit_start(self) -> None:
        self.prepare()
        if self.state.t == 0:
            self._evaluate("val")
        self.on_ready()

    def chunks(self) -> _Chunks:
        return _Chunks(self)

    def parts(self, name: str) -> list[str]:
        return [name]

    @property
    def epochs_left(self) -> int:
        """Epochs still to be trained, the one that a checkpoint interrupted among them."""
        t = self.resumed.state.t if self.resumed else 0
        return -(-self.steps // self.batches) - t // self.batches if t < self.steps else 0

    def on_train_epoch_start(self) -> None:
        self.rows.shuffle(self.state.t // self.batches)
        self.program.clock.cover(self.state.t)
        if self.graphs and isinstance(self.updates, Resident) and self.steps - self.state.t >= WORTH:
            self.choice = choose(self.updates, self.state)
        self.graphs = False  # asked once

    def training_step(self, chunk: Chunk, _: int) -> None:
        log_every, probe_every = (self.intervals[name] for name in INTERVALS)
        for i in range(chunk.first, chunk.first + chunk.batches):
            probed = bool(probe_every) and (self.state.t + 1) % probe_every == 0
            before = self.updates.held(self.state) if probed else self.state
            self.state, losses = self.updates(self.state, i)
            if probed:
                for metric, values in signals(self.program, before, self.state, *self.rows.take(i)).items():
                    self._keep(metric, values)
            if self.state.t % log_every == 0 or self.state.t == 1:
                self._keep("train/loss", losses.clone())
            if self.stop():
                break
        if self.state.t < self.steps:
            if self.state.t % self.batches:
                self.on_chunk()
            else:
                self.rows.draw(self.state.t // self.batches)

    def validation_step(self, part: str, _: int) -> None:
        self._evaluate(part)
        self.on_block()

    def test_step(self, part: str, _: int) -> None:
        self._evaluate(part)

    # --- measuring ----------------------------------------------------------------------------------------------------

    def _evaluate(self, part: str) -> None:
        loss, metric = evaluate(self.program, self.state, *self._parts[part])
        self._keep(f"{part}/loss", loss)
        self._keep(f"{part}/{self.data.metric}", metric)

    def _keep(self, metric: str, values: Tensor) -> None:
        self.curves.keep(metric, self.state.t, self.state.t * self.batch_size, values)


class _Chunks:
    """The training data as Lightning sees it: the chunks of an epoch, the last epoch ending with the last step."""

    def __init__(self, module: StackModule) -> None:
        self.module = module

    def __iter__(self) -> Iterator[Chunk]:
        module = self.module
        epoch, made = divmod(module.state.t, module.batches)
        left = min(module.batches, module.steps - epoch * module.batches)
        for first in range(made, left, CHUNK):
            yield Chunk(epoch, first, min(CHUNK, left - first))


def _hash(tensors: dict[str, Tensor]) -> str:
    """SHA-256 of a run's tensors: names, shapes, bytes."""
    digest = hashlib.sha256()
    for name, tensor in tensors.items():
        digest.update(f"{name}\0{tuple(tensor.shape)}\0{tensor.dtype}\0".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
