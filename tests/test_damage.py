"""A byte of a sweep's folder is changed, or a file cut: what is read is a part of what was written, or refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from faults import Killed, made, train
from initlab.errors import Refused
from initlab.planning.plan import Plan
from initlab.storage import journal, store
from initlab.storage.description import restacked
from initlab.storage.folder import description_of
from initlab.training import updates as updating

every = pytest.mark.parametrize(
    "every", [pytest.param(97, id="some"), pytest.param(1, id="all", marks=pytest.mark.torture)]
)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Two stacks: one done, one stopped in the middle; both have checkpoints in the journal."""
    steps, whole = iter(range(14)), updating.step

    def step(*words: Any) -> Any:
        if next(steps, None) is None:
            raise Killed
        return whole(*words)

    planned = made(tmp_path_factory.mktemp("damage") / "s")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(updating, "step", step)
        with pytest.raises(Killed):
            train(planned)
    return planned


def damaged(content: bytes, every: int) -> Iterator[bytes]:
    """With a bit of each byte flipped, the low one and a high one in turn, and cut before each."""
    for i in range(0, len(content), every):
        yield content[:i] + bytes([content[i] ^ (1 << (i % 7))]) + content[i + 1 :]
        yield content[:i]


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    return journal.read(path), journal.checkpoints(path)


@every
def test_no_damage_to_the_journal_is_believed(every: int, stopped: Plan, tmp_path: Path) -> None:
    """What is read is what the journal said after its first n commits, so that a next start knows where it is."""
    content = (stopped.folder / "journal").read_bytes()
    copy, lines = tmp_path / "journal", content.splitlines(keepends=True)
    prefixes = []
    for n in range(len(lines) + 1):
        copy.write_bytes(b"".join(lines[:n]))
        prefixes.append(read(copy))
    assert len(prefixes[-1][0]) == 2 and len(prefixes[-1][1]) == 1
    refused = recovered = 0
    for wrong in damaged(content, every):
        copy.write_bytes(wrong)
        try:
            found = read(copy)
        except Refused as refusal:
            assert "is damaged" in str(refusal)
            refused += 1
            continue
        assert found in prefixes
        journal.mend(copy)
        assert read(copy) == found
        recovered += 1
    assert refused and recovered
    print(f"journal: {refused} refused, {recovered} recovered, 0 believed")


@every
def test_no_damage_to_the_description_changes_a_stack(every: int, stopped: Plan, tmp_path: Path) -> None:
    content = (stopped.folder / "sweep.json").read_bytes()
    planned = made(tmp_path)
    path, stacks = tmp_path / "sweep.json", [stack.id for stack in stopped.stacks]
    refused = harmless = 0
    for wrong in damaged(content, every):
        path.write_bytes(wrong)
        try:
            store.check(planned)
            held = description_of(tmp_path)
            assert held is not None
            assert [stack.id for stack in restacked(path, held, planned).stacks] == stacks
            harmless += 1
        except Refused:
            refused += 1
    assert refused > harmless > 0
    print(f"sweep.json: {refused} refused, {harmless} harmless, 0 changed a stack")
