"""What a sweep says of the machine, the code and the command that made it."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from initlab.specs import GROUPS

PACKAGES = ("torch", "lightning", "hydra-core", "omegaconf", "tensorboard", "numpy", "safetensors")

CODE = ("src", "conf", "scripts", "train.py", "pyproject.toml")
PLAIN = ("--binary", "--no-ext-diff", "--no-textconv", "--no-color", "--src-prefix=a/", "--dst-prefix=b/")


def describe(root: Path, argv: Sequence[str]) -> dict[str, Any]:
    """The part of sweep.json that no plan holds: command, time, versions, device, plug-ins, commit and diff."""
    return {
        "command": ["python", "train.py", *argv],
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "device": _device(),
        # modules of the user's, with the hash of their source
        "plugins": {str(s.facts["plugin"]): s.revision for registry in GROUPS.values() for s in registry.plugins()},
        "git": code(root),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _device() -> dict[str, Any]:
    import torch

    found = {"machine": platform.machine(), "system": platform.system(), "threads": torch.get_num_threads()}
    if torch.cuda.is_available():
        found |= {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
    return found


def code(root: Path) -> dict[str, str | None]:
    """The commit, and what differs from it in our code, new files included, as `git apply` takes it.

    Bytes that are no UTF-8 come as lone surrogates. None where the code is no checkout or git is not there.
    """
    commit, index = _git(root, "rev-parse", "HEAD"), _git(root, "rev-parse", "--git-path", "index")
    if commit is None or index is None:
        return {"commit": None, "diff": None}
    with tempfile.TemporaryDirectory() as scratch:  # the user's own index is left alone
        copy = Path(scratch) / "index"
        copy.write_bytes((root / index.strip()).read_bytes())
        own = [path for path in CODE if (root / path).exists()]
        _git(root, "add", "--intent-to-add", "--", *own, index=copy)
        diff = _git(root, "diff", *PLAIN, "HEAD", "--", *CODE, index=copy)
    return {"commit": commit.strip(), "diff": diff}


def _git(root: Path, *words: str, index: Path | None = None) -> str | None:
    environment = os.environ | ({"GIT_INDEX_FILE": str(index)} if index else {})
    command = ["git", "-C", str(root), *words]
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=10, env=environment)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="surrogateescape")
