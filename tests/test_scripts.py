"""What the scripts answer when something is in the way: the command's exit codes, in a line."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from scripts import coordinates, gallery, probe, rebuild_events, report, status

from initlab.errors import FolderInUse, Refused
from initlab.training.interrupts import Interrupted

WORK = {
    report: "scripts.report.write",
    status: "scripts.status.status",
    rebuild_events: "scripts.rebuild_events.rebuild",
    probe: "initlab.measuring.probe_command.run",
    coordinates: "initlab.planning.plan.make",
    gallery: "initlab.command.decide",
}
NAMES = {gallery: "sigmoid_vanishes"}
ANSWERS = [
    (OSError(errno.ENOSPC, "No space left on device", "out/index.html"), 74, "disk: No space left on device: out/"),
    (FolderInUse("process 1 trains there"), 75, "busy: process 1"),
    (Refused("a\x1b[31m"), 2, "refused: a\\x1b[31m\n"),
    (BrokenPipeError(), 141, ""),
    (Interrupted(15), 143, "\nstopped by SIGTERM"),
    (KeyboardInterrupt(), 130, ""),
]


@pytest.mark.parametrize("script", WORK, ids=lambda script: script.__name__)
@pytest.mark.parametrize(("error", "code", "said"), ANSWERS, ids=lambda value: str(value)[:10])
def test_a_script_answers_as_the_command_does(
    script: Any, error: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    def raises(*_: Any) -> None:
        raise error

    monkeypatch.setattr(WORK[script], raises)
    monkeypatch.setattr("sys.argv", ["script", NAMES.get(script, "there")])
    monkeypatch.setattr("os.dup2", lambda *_: None)  # of a broken pipe: the test's own output stays
    assert script.main() == code
    assert capfd.readouterr().err.startswith(said)
