"""A checkpoint comes back bit for bit; one that its stack cannot have left is refused, whatever its checksum says."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from faults import Killed, assert_equal, made, train, updates
from hostile import WRONG, rehashed
from initlab.datasets import load as load_data
from initlab.errors import Refused
from initlab.planning.runs import Stack
from initlab.storage.folder import read
from initlab.training import module
from initlab.training.checkpoint import MOST_HEADER, Layout, packed, unpacked
from initlab.training.module import StackModule
from initlab.training.resuming import layout

SIGNALS = ["init=xavier,kaiming", "act=relu,tanh", "trainer.max_steps=10", "trainer.probe_every=2"]
Tensors = dict[str, torch.Tensor]


def stopped(folder: Path, *words: str, after: int = 9) -> Path:
    """The folder of a sweep that was killed after so many updates of its first stack."""
    with pytest.MonkeyPatch.context() as patch, updates(after), pytest.raises(Killed):
        patch.setattr(module, "CHUNK", 3)
        train(made(folder, *words))
    return folder


def layout_of(stack: Stack) -> Layout:
    return layout(StackModule([run.config for run in stack.runs], load_data(stack.config["dataset"])))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Layout]:
    """A checkpoint at step 8 of 10, an epoch's end: both runs train, and their signals are measured."""
    torch.set_num_threads(1)
    folder = stopped(tmp_path_factory.mktemp("checkpoint") / "s", *SIGNALS)
    (file,) = (folder / "checkpoints").glob("*-8.safetensors")
    return file.read_bytes(), layout_of(made(folder, *SIGNALS).stacks[0])


def test_it_comes_back_bit_for_bit(sound: tuple[bytes, Layout]) -> None:
    content, layout = sound
    found = unpacked(content, layout)
    assert packed(found) == content and found.state.t == 8
    assert found.intervals == {"log_every_n_steps": 1, "probe_every": 2}
    assert found.curves["signal/update/fc1"].steps.tolist() == [2, 4, 6, 8]


def about(tensors: Tensors, **changed: Any) -> Tensors:
    """With other words on what it is about."""
    said = json.loads(tensors["about"].numpy().tobytes()) | changed
    return tensors | {"about": torch.tensor(list(json.dumps(said).encode()), dtype=torch.uint8)}


def put(name: str, value: Any, *at: int) -> Callable[[Tensors], Tensors]:
    """With another value in one place of a tensor."""

    def change(tensors: Tensors) -> Tensors:
        tensor = tensors[name].clone()
        tensor[at] = value
        return tensors | {name: tensor}

    return change


def diverged(at: int, frozen: bool) -> Callable[[Tensors], Tensors]:
    """The first run said to have diverged at a step."""
    return lambda t: put("alive", not frozen, 0)(put("diverged_at", at, 0)(t))


FORGED: dict[str, tuple[Callable[[Tensors], Tensors], str]] = {
    "an older one": (lambda t: about(t, schema=1), "schema=1"),
    "a step of its own": (lambda t: about(t, t=6), "its val/loss is of|its steps val/loss is"),
    "a step beyond the end": (lambda t: about(t, t=11), "it stands at step 11 of 10"),
    "before the first step": (lambda t: about(t, t=0), "t=0: not allowed"),
    "other intervals": (lambda t: about(t, intervals={"log_every_n_steps": 2, "probe_every": 2}), "is \\[8\\]"),
    "no signals": (lambda t: about(t, intervals={"log_every_n_steps": 1, "probe_every": 0}), "curves of signal/"),
    "a metric of its own": (lambda t: about(t, metrics=["train/loss", "val/loss", "val/accuracy", "x"]), "of train"),
    "a hash too few": (lambda t: about(t, hashes=["0"]), "1 hashes of initial weights, for 2 runs"),
    "words that are no JSON": (lambda t: t | {"about": torch.tensor([123], dtype=torch.uint8)}, "not the JSON"),
    "words as numbers": (lambda t: t | {"about": torch.zeros(3)}, "what it is about"),
    "a tensor too many": (lambda t: t | {"params fc9": torch.zeros(1)}, "has a params fc9, and this stack has none"),
    "other steps": (put("steps train/loss", 9, -1), "train/loss is of other steps"),
    "other samples": (put("samples val/loss", 9, -1), "val/loss is of other steps"),
    "no time": (put("times val/loss", float("nan"), 0), "a time that is none"),
    "a loss that is NaN": (put("values train/loss", float("nan"), 1, 3), "a loss that is not finite"),
    "a weight that is NaN": (put("params fc1.weight", float("nan"), 0, 0, 0), "a weight that is not finite"),
    "a run that stopped": (put("alive", False, 0), "who trains and who diverged does not agree"),
    "a run that fell and trains": (diverged(5, frozen=False), "does not agree"),
    "a run that falls later": (diverged(9, frozen=True), "does not agree"),
    "a run that fell before": (diverged(-1, frozen=True), "does not agree"),
    "in no tensor": (put("diverged_in", 99, 0), "does not agree"),
}


@pytest.mark.parametrize("name", FORGED)
def test_what_no_stack_can_have_left_is_refused(name: str, sound: tuple[bytes, Layout]) -> None:
    content, layout = sound
    change, words = FORGED[name]
    with pytest.raises(Refused, match=words) as refused:
        unpacked(save(change(load(content))), layout)
    assert str(refused.value).isprintable()


def test_a_run_that_diverged_may_have_losses_that_are_not_finite(sound: tuple[bytes, Layout]) -> None:
    """From that step on; before it may not."""
    content, layout = sound
    tensors = diverged(4, frozen=True)(put("values train/loss", float("nan"), 0, 3)(load(content)))
    assert unpacked(save(tensors), layout).state.alive.tolist() == [False, True]
    with pytest.raises(Refused, match="a loss that is not finite"):
        unpacked(save(put("values train/loss", float("inf"), 0, 2)(tensors)), layout)


def test_every_tensor_is_needed_in_its_shape_and_type(sound: tuple[bytes, Layout]) -> None:
    content, layout = sound
    tensors = load(content)
    for name, tensor in tensors.items():
        other = torch.float16 if tensor.dtype != torch.float16 else torch.float32
        without = {n: t for n, t in tensors.items() if n != name}
        for forged in (without, *(without | {name: x} for x in (tensor[:-1], tensor[None], tensor.to(other)))):
            with pytest.raises(Refused):
                unpacked(save({n: t.contiguous() for n, t in forged.items()}), layout)


def test_every_word_of_another_type_is_refused(sound: tuple[bytes, Layout]) -> None:
    content, layout = sound
    tensors = load(content)
    said = json.loads(tensors["about"].numpy().tobytes())
    refused = 0
    for name in said:
        for value in WRONG:
            try:
                found = unpacked(save(about(tensors, **{name: value})), layout)
            except Refused:
                refused += 1
            else:
                assert name == "seconds" and found.seconds == value == 1.5
    assert refused == len(said) * len(WRONG) - 1


def test_bytes_that_are_no_tensors_are_refused(sound: tuple[bytes, Layout]) -> None:
    content, layout = sound
    size = struct.unpack("<Q", content[:8])[0]
    header = content[8 : 8 + size]
    claims = [struct.pack("<Q", n) + content[8:] for n in (0, 1, size - 1, size + 1, MOST_HEADER + 1, 2**63, 2**64 - 1)]
    words = ((b"F32", b"I32"), (b"F32", b"F99"), (b"[2,8,4]", b"[2,8,9]"), (b"[2,8,4]", b"[2,-1]"), (b"{", b"["))
    swapped = [content.replace(header, header.replace(*pair)[:size].ljust(size)) for pair in words]
    cut = [content[: len(content) * n // 16] for n in range(16)]
    for forged in (*claims, *swapped, *cut, b"", content + b"\0", np.random.default_rng(0).bytes(4096)):
        with pytest.raises(Refused):
            unpacked(forged, layout)


def test_a_forged_checkpoint_is_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its hash in the journal is right. The one before it counts; where that is forged too the stack starts anew."""
    assert train(made(tmp_path / "undisturbed")) == {"done": 4}
    for forged, first in ((1, 8), (2, 1)):  # and the first step that is made again
        folder = stopped(tmp_path / str(forged))
        for step in (8, 7)[:forged]:
            (file,) = (folder / "checkpoints").glob(f"*-{step}.safetensors")
            tensors = load(file.read_bytes())
            rehashed(folder, file, save(put("params fc1.weight", float("inf"), 0, 0, 0)(tensors)))
        capsys.readouterr()
        with updates() as steps:
            assert train(made(folder)) == {"done": 4}
        said = capsys.readouterr().out
        assert said.count("  a checkpoint is passed over: a run that trains has a weight that is not finite.") == forged
        assert steps[0] == first and len(steps) == 20 - first + 1
        assert_equal(folder, tmp_path / "undisturbed")


def test_a_stack_that_was_begun_keeps_its_intervals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A curve has one interval, also where the command that goes on asks for another; stacks not begun have the new."""
    assert train(made(tmp_path / "undisturbed", *SIGNALS)) == {"done": 4}
    folder, other = stopped(tmp_path / "s", *SIGNALS), ["trainer.log_every_n_steps=5", "trainer.probe_every=0"]
    capsys.readouterr()
    assert train(made(folder, *SIGNALS[:3], *other)) == {"done": 4}
    said = "keeps trainer.log_every_n_steps=1, not 5 and trainer.probe_every=2, not 0; sweep.fresh=true starts anew"
    assert capsys.readouterr().out.count(said) == 1
    whole, found = read(tmp_path / "undisturbed"), read(folder)
    for record, old in zip(found.records, whole.records, strict=True):
        config, curves, before = found.config(record)["trainer"], found.curves(record), whole.curves(old)
        assert record["final"] == old["final"]
        if record["axes"]["act"] == "relu":
            assert (config["log_every_n_steps"], config["probe_every"]) == (1, 2)
            assert {m: (s.tolist(), v.tolist()) for m, (s, v) in curves.items()} == {
                m: (s.tolist(), v.tolist()) for m, (s, v) in before.items()
            }
        else:
            assert (config["log_every_n_steps"], config["probe_every"]) == (5, 0)
            assert curves["train/loss"][0].tolist() == [1, 5, 10] and "signal/update/fc1" not in curves
