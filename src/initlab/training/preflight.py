"""What is asked of a plan that only its nets and the machine can tell, before a folder is made.

check(plan)         # raises Refused, in words
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from initlab.config import Config
from initlab.datasets import Data, load
from initlab.errors import Refused
from initlab.planning.plan import Plan
from initlab.schemes.apply import check as check_net
from initlab.schemes.apply import unmatched
from initlab.slots import slots
from initlab.specs import ACTS
from initlab.training.nets import build_net, check_precision
from initlab.training.step import refusal, unused
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
