"""One worker that is this process: one item after the other, and no messages."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import torch

from initlab.executors.items import Item, Outcome, Rehearse
from initlab.executors.zygote import Zygote
from initlab.training import rehearsal
from initlab.training.train import carried_out, quiet
from initlab.training.writer import Writer


class Here:
    """A `pool.Pool`."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._given: tuple[Any, Any] | None = None
        self.count = 1

    @property
    def free(self) -> bool:
        return self._given is None

    def give(self, item: Item | Rehearse, writer: Writer | None = None) -> None:
        self._given = item, writer
        Zygote.was_threaded |= isinstance(item, Rehearse) and item.threads > 1

    def ended(self) -> Iterator[tuple[Any, Outcome]]:
        if self._given is not None:
            (item, writer), self._given = self._given, None
            yield item, rehearsal.timed(item) if isinstance(item, Rehearse) else carried_out(item, writer)

    def stop(self) -> None:
        """What trains is asked by the signal itself."""

    def dismiss(self) -> None:
        """This process has more to do."""

    def __enter__(self) -> Self:
        quiet()
        self._before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        Zygote.was_threaded |= self.threads > 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        torch.set_num_threads(self._before)
