"""A worker: it carries out what its coordinator sends, one item after the other, and says what comes of it.

    serve(link)

``link`` is its end of whatever lies between the two. It writes nothing itself: what an item says goes back through a
`Sender`. A further kind of item is one more row of KINDS.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import torch

from initlab import __version__, plugins
from initlab.config import Config, key
from initlab.datasets import fingerprint
from initlab.errors import Refused
from initlab.executors import pipes
from initlab.executors.items import Item, Outcome, Rehearse
from initlab.executors.messages import packed, unpacked
from initlab.training import interrupts, rehearsal
from initlab.training.device import usable
from initlab.training.interrupts import Interrupted
from initlab.training.nets import device_of
from initlab.training.train import carried_out, quiet

EVERY = 0.1  # seconds between two ticks, at least


class Link(Protocol):
    """A worker's way to its coordinator. All three raise `pipes.Gone` where there is none any more."""

    def send(self, frame: bytes) -> None: ...

    def receive(self) -> bytes | None:
        """The next thing to do; None: leave."""

    def asked(self) -> bool:
        """Whether to leave; asked after each update, so it has to cost microseconds."""


class Sender:
    """A `training.writer.Outlet` whose calls are messages."""

    def __init__(self, link: Link) -> None:
        self.link, self._ticked = link, 0.0

    def begin(self, keys: Sequence[str], intervals: Mapping[str, int], resumed: bool) -> None:
        self._send("begin", keys=keys, intervals=intervals, resumed=resumed)

    def write(self, files: Mapping[str, bytes], name: str) -> None:
        self._send("write", files=files, name=name)

    def show(self, events: Mapping[str, bytes], started: float, anew: bool) -> None:
        self._send("show", events=events, started=started, anew=anew)

    def save(self, part: str, step: int, of: int, content: bytes) -> None:
        self._send("save", part=part, step=step, of=of, content=content)

    def commit(self, records: Sequence[dict[str, Any]], part: str, curves: bytes) -> None:
        self._send("commit", records=records, part=part, curves=curves)

    def fail(self, key: str, trace: str) -> None:
        self._send("fail", key=key, trace=trace)

    def tick(self, step: int, of: int) -> None:
        if (now := time.monotonic()) - self._ticked >= EVERY:
            self._ticked = now
            self._send("tick", step=step, of=of)

    def say(self, line: str) -> None:
        self._send("say", line=line)

    def _send(self, word: str, **arguments: Any) -> None:
        self.link.send(packed(word, arguments))


def serve(link: Link) -> None:
    """Until the coordinator, or a signal, says to leave. Raises Gone."""
    quiet()
    interrupts.serve(link.asked)
    while (frame := link.receive()) is not None:
        word, arguments = unpacked(frame)
        try:
            KINDS[word](link, arguments)
        except Refused as refusal:
            link.send(packed("refused", {"words": str(refusal)}))
        except OSError as error:
            where = str(error.filename) if error.filename else None
            link.send(packed("broken", {"number": error.errno, "words": error.strerror, "where": where}))


def _prepare(link: Link, told: Mapping[str, Any]) -> None:
    """``threads`` of a worker; ``plugins``, modules; ``folder``, the current one, where this machine has it.

    ``version`` of initlab. Raises Refused for another version, and where a plug-in is not there.
    """
    if told["version"] != __version__:
        raise Refused(f"{os.uname().nodename}: has initlab {__version__}, and the coordinator {told['version']}.")
    if Path(told["folder"]).is_dir():
        os.chdir(told["folder"])
    plugins.load(told["plugins"])
    torch.set_num_threads(told["threads"])
    link.send(packed("ready", {}))


def _train(link: Link, told: Mapping[str, Any]) -> None:
    item = Item.received(told)
    _check(item)
    try:
        outcome = carried_out(item, Sender(link))
    except Interrupted:
        outcome = Outcome("left")
    _answer(link, outcome, item.stack.config)


def _rehearse(link: Link, told: Mapping[str, Any]) -> None:
    item = Rehearse.received(told)
    _answer(link, rehearsal.timed(item), item.configs[0])


def _answer(link: Link, outcome: Outcome, config: Config) -> None:
    if outcome.how == "raised" and not usable(device_of(config)):
        # every other item would raise here; this one may end in a new process
        outcome = Outcome("died", f"nothing can be computed there after {outcome.trace.strip().splitlines()[-1]}")
    link.send(packed("ended", vars(outcome)))


def _check(item: Item) -> None:
    """Raises Refused where the runs are others here: another version, other data, another plug-in."""
    for run in item.runs:
        if key(run.config, fingerprint(run.config["dataset"])) != run.key:
            where = f"{os.uname().nodename}: its data, code or plug-ins are not those of the coordinator"
            raise Refused(f"{run.name}: is another run on {where} (the keys differ). Give each node the same.")


KINDS: dict[str, Callable[[Link, Mapping[str, Any]], None]] = {
    "prepare": _prepare,
    "train": _train,
    "rehearse": _rehearse,
}


def work(descriptor: int, parent: int) -> None:
    """Be a worker at this end of a pipe, for as long as the parent lives."""
    pipes.follow(parent)
    try:
        serve(pipes.Pipe(Connection(descriptor)))
    except pipes.Gone:
        os._exit(1)


if __name__ == "__main__":  # python -m initlab.executors.worker DESCRIPTOR: of a pipe that is inherited
    work(int(sys.argv[1]), os.getppid())
