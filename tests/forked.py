"""The command in a forked child, to its end: a process of its own which need not import torch and lightning again.

done = command(["init=xavier"], cwd=tmp_path)      # a CompletedProcess: returncode, stdout, stderr
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import initlab.executors.worker  # noqa: F401  # torch and lightning, before the fork
from faults import ROOT
from initlab.command import main


def command(words: Sequence[str], cwd: Path, before: Callable[[], object] = bool) -> subprocess.CompletedProcess[str]:
    """`python train.py words` in a folder; ``before`` is called first, in the child."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        pid = os.fork()
        if pid == 0:
            _run(list(words), cwd, before, out.fileno(), err.fileno())
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        out.seek(0), err.seek(0)
        return subprocess.CompletedProcess(list(words), code, out.read(), err.read())


def _run(words: list[str], cwd: Path, before: Callable[[], object], out: int, err: int) -> None:
    code = 70
    try:
        os.chdir(cwd)
        for name, descriptor, target in (("stdout", 1, out), ("stderr", 2, err)):
            os.dup2(target, descriptor)
            stream = os.fdopen(descriptor, "w", buffering=1, closefd=False)
            setattr(sys, name, stream), setattr(sys, f"__{name}__", stream)
        warnings.resetwarnings()  # a warning is shown or not as to a user, and ends nothing
        for kind in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", kind)
        sys.path[:] = [place for place in sys.path if place not in ("", ".", str(ROOT / "tests"))]
        sys.argv = [str(ROOT / "train.py"), *words]
        before()
        code = main(ROOT, words)
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)
